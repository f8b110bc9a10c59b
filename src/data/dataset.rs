//! An ordered list of samples, read one by one.

use super::array::{Array, image_axes};
use super::source::{self, Item, OnError, Origin, Source};
use super::{Picture, Preprocess, shuffle};
use crate::base::digest::Digest;
use crate::base::{DType, Place, Result, Shape, files};
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// An ordered list of samples. Cloning shares the list.
#[derive(Clone)]
pub struct Dataset {
    items: Arc<[Item]>,
    array: Option<Arc<Array>>,
    classes: Option<Arc<[String]>>,
    on_error: OnError,
}

/// What a model reads for one sample, without a batch axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// The numbers, row-major.
    pub values: Vec<f32>,
    /// Their shape, such as `[3, 224, 224]`.
    pub shape: Shape,
    /// The output that is right, where it is known.
    pub label: Option<usize>,
    /// The path below the folder or list; `file[row]` of an array.
    pub name: String,
    /// Its place in the dataset.
    pub index: usize,
}

impl Dataset {
    /// Lists the samples of `source`, in an order that depends on names alone. No image is read yet.
    ///
    /// # Errors
    /// A missing file or folder, a malformed list or array, a label that names no class, no sample at all.
    pub fn open(source: &Source) -> Result<Dataset> {
        let listing = source::list(source)?;
        Ok(Dataset {
            items: listing.items.into(),
            array: listing.array,
            classes: listing.classes.map(Into::into),
            on_error: source.on_error,
        })
    }

    /// The first `n` samples; all, where there are fewer.
    pub fn take(&self, n: usize) -> Dataset {
        Dataset { items: self.items.iter().take(n).cloned().collect(), ..self.clone() }
    }

    /// The samples in another order, which depends on `seed` alone (see [`shuffle`]).
    pub fn shuffled(&self, seed: u64) -> Dataset {
        let mut items = self.items.to_vec();
        shuffle::shuffle(&mut items, seed);
        Dataset { items: items.into(), ..self.clone() }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Has it no samples? Only [`Dataset::take`] of 0 makes that.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The output that is right for sample `i`, where it is known.
    pub fn label(&self, i: usize) -> Option<usize> {
        self.items[i].label
    }

    /// Has every sample a label?
    pub fn is_labelled(&self) -> bool {
        self.items.iter().all(|i| i.label.is_some())
    }

    /// The name of sample `i`.
    pub fn name(&self, i: usize) -> &str {
        &self.items[i].name
    }

    /// The names of the classes, where the source has them.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// What becomes of an image that cannot be decoded.
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// Reads sample `i`. Images are preprocessed; rows of an f32 array are given as they are.
    pub fn load(&self, i: usize, preprocess: &Preprocess) -> Result<Sample> {
        let item = &self.items[i];
        let (values, shape) = match (&item.origin, &self.array) {
            (Origin::Row(row), Some(array)) if array.dtype == DType::F32 => {
                let numbers = array.row(*row).as_chunks::<4>().0;
                (numbers.iter().map(|&b| f32::from_le_bytes(b)).collect(), array.row_shape())
            }
            _ => preprocess.apply(&self.picture(item)?).map_err(|e| e.at(item.place()))?,
        };
        Ok(Sample { values, shape, label: item.label, name: item.name.clone(), index: i })
    }

    /// The picture of sample `i` after the steps of the preprocessing; the sample must be an image.
    pub fn pixels(&self, i: usize, preprocess: &Preprocess) -> Result<Picture> {
        let item = &self.items[i];
        preprocess.picture(&self.picture(item)?).map_err(|e| e.at(item.place()))
    }

    fn picture(&self, item: &Item) -> Result<Picture> {
        match (&item.origin, &self.array) {
            (Origin::File(path), _) => Picture::open(path),
            (Origin::Row(row), Some(array)) => Ok(row_picture(array, *row)),
            (Origin::Row(_), None) => unreachable!("rows come with their array"),
        }
    }

    /// A small JPEG of an image, at most `side` pixels each way; `None` for what is no image.
    pub fn thumbnail(&self, i: usize, side: usize) -> Option<Vec<u8>> {
        let item = self.items.get(i)?;
        if self.array.as_ref().is_some_and(|a| a.dtype == DType::F32) {
            return None;
        }
        self.picture(item).ok()?.thumbnail(side)
    }

    /// How many of these samples are also in `other`: the same files, or rows of the same numbers.
    pub fn overlap(&self, other: &Dataset) -> usize {
        let theirs: HashSet<Identity> = other.items.iter().map(|i| other.identity(i)).collect();
        self.items.iter().filter(|i| theirs.contains(&self.identity(i))).count()
    }

    fn identity(&self, item: &Item) -> Identity {
        match (&item.origin, &self.array) {
            (Origin::File(path), _) => Identity::File(path.canonicalize().unwrap_or_else(|_| path.clone())),
            (Origin::Row(row), Some(array)) => Identity::Row(Digest::of(array.row(*row)).to_string()),
            (Origin::Row(_), None) => unreachable!("rows come with their array"),
        }
    }

    /// The digest of the list: names and labels in their order. Independent of where the data lies.
    pub fn list_digest(&self) -> Digest {
        let labels: Vec<_> = self.items.iter().map(|i| label_bytes(i.label)).collect();
        let parts = self.items.iter().zip(&labels);
        Digest::of_parts(parts.flat_map(|(i, l)| [i.name.as_bytes(), l.as_slice()]))
    }

    /// The digest of the list and of the bytes of every sample. Reads every file once, in parallel.
    pub fn digest(&self) -> Result<Digest> {
        let content = |item: &Item| match (&item.origin, &self.array) {
            (Origin::Row(row), Some(array)) => Ok(Digest::of(array.row(*row)).to_string()),
            (Origin::File(path), _) => match (files::map(path), self.on_error) {
                (Ok(bytes), _) => Ok(Digest::of(&bytes).to_string()),
                (Err(_), OnError::Skip) => Ok("unreadable".into()),
                (Err(e), OnError::Fail) => Err(e),
            },
            (Origin::Row(_), None) => unreachable!("rows come with their array"),
        };
        let contents: Vec<String> = self.items.par_iter().map(content).collect::<Result<_>>()?;
        let list = self.list_digest().to_string();
        Ok(Digest::of_parts(std::iter::once(list.as_bytes()).chain(contents.iter().map(|c| c.as_bytes()))))
    }
}

/// What makes a sample the same as another.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    File(PathBuf),
    Row(String),
}

impl Item {
    pub(super) fn place(&self) -> Place {
        match &self.origin {
            Origin::File(path) => Place::file(path),
            Origin::Row(_) => Place::Named(self.name.clone()),
        }
    }
}

fn label_bytes(label: Option<usize>) -> Vec<u8> {
    label.map_or(Vec::new(), |l| (l as u64).to_le_bytes().to_vec())
}

/// Row `i` of an array of u8 images.
fn row_picture(array: &Array, i: usize) -> Picture {
    let (h, w, c, channels_first) = image_axes(&array.shape).unwrap_or((0, 0, 1, false)); // checked when opened
    let row = array.row(i);
    let pixels = match channels_first {
        true => (0..h * w).flat_map(|p| (0..c).map(move |k| row[k * h * w + p])).collect(),
        false => row.to_vec(),
    };
    Picture::new(w, h, c, pixels)
}

#[cfg(test)]
mod tests;

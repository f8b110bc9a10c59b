//! Answers of a network to samples, kept in a file: an evaluation of another engine need not ask again.
//!
//! The file has the form of [`sections`](crate::base::sections): a manifest (postcard) and the numbers, little endian.

use crate::base::codes::engine;
use crate::base::sections::Form;
use crate::base::{Diagnostic, Digest, Place, Result, Shape, files};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What files of answers look like.
pub const FORM: Form = Form {
    magic: b"QNTZANS\n",
    version: 1,
    what: "file of FP32 answers",
    writer: "quantize --config FILE",
    code: engine::ANSWERS,
    help: "delete the file: it only saves time, and the next run makes it anew",
};

/// Kinds of sections.
const MANIFEST: u32 = 1;
const NUMBERS: u32 = 2;

/// Whose answers they are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The digest of everything that decides an answer.
    pub key: Digest,
    /// The model's name.
    pub model: String,
    /// The output's name.
    pub output: String,
    /// Its shape for one sample.
    pub shape: Shape,
}

/// One output of a network for some samples of a dataset.
#[derive(Clone, PartialEq, Debug)]
pub struct Answers {
    asked: Asked,
    /// The samples' places in the dataset, ascending.
    samples: Vec<u64>,
    values: Vec<f32>,
}

impl Answers {
    /// No answers yet.
    pub fn new(asked: Asked) -> Self {
        Answers { asked, samples: Vec::new(), values: Vec::new() }
    }

    /// Whose answers they are.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Adds the answers to samples that follow those there are.
    ///
    /// # Panics
    /// Where the samples do not follow, or the numbers are not as many as the answers have: a mistake of the caller.
    pub fn push(&mut self, samples: &[usize], values: &[f32]) {
        let each = self.asked.shape.numel();
        assert_eq!(values.len(), samples.len() * each, "answers of {} samples", samples.len());
        self.samples.extend(samples.iter().map(|&s| s as u64));
        assert!(self.samples.is_sorted(), "samples out of order");
        self.values.extend_from_slice(values);
    }

    /// The answers to samples that follow one another here, where all of them are known.
    pub fn find(&self, samples: &[usize]) -> Option<&[f32]> {
        let first = *samples.first()? as u64;
        let at = self.samples.binary_search(&first).ok()?;
        let known = self.samples.get(at..at + samples.len())?;
        let each = self.asked.shape.numel();
        let same = known.iter().zip(samples).all(|(&k, &s)| k == s as u64);
        same.then(|| &self.values[at * each..(at + samples.len()) * each])
    }

    /// Reads a file of answers.
    ///
    /// # Errors
    /// A missing, foreign or damaged file.
    pub fn load(path: &Path) -> Result<Self> {
        Answers::read(files::map(path)?).map_err(|e| e.at(Place::file(path)))
    }

    /// Writes a file of answers.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, &self.to_bytes()?)
    }

    /// The bytes of a file of answers.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let manifest = postcard::to_stdvec(&(&self.asked, &self.samples))
            .map_err(|e| Diagnostic::new(engine::ANSWERS, format!("the manifest cannot be written: {e}")))?;
        let numbers: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Ok(FORM.write(&[(MANIFEST, &manifest), (NUMBERS, &numbers)]))
    }

    /// Answers from the bytes of a file.
    pub fn read(file: Bytes) -> Result<Self> {
        let sections = FORM.read(&file)?;
        let manifest = sections.find(MANIFEST, "manifest")?;
        let (asked, samples): (Asked, Vec<u64>) = postcard::from_bytes(&manifest)
            .map_err(|e| FORM.damaged(format!("the manifest is not what this version writes: {e}")))?;
        let numbers = sections.find(NUMBERS, "numbers")?;
        let each = asked.shape.checked_numel().and_then(|n| n.checked_mul(size_of::<f32>()));
        let stated = each.and_then(|each| each.checked_mul(samples.len()));
        if stated != Some(numbers.len()) || !samples.is_sorted() {
            return Err(FORM.damaged("the samples and the numbers do not fit together"));
        }
        let values = numbers.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        Ok(Answers { asked, samples, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        let asked = Asked {
            key: Digest::of(b"k"),
            model: "m".into(),
            output: "y".into(),
            shape: Shape::from([1, 2]),
        };
        let mut a = Answers::new(asked);
        a.push(&[0, 1], &[1.0, 2.0, 3.0, f32::NAN]);
        a.push(&[3], &[-0.0, 6.0]); // sample 2 could not be decoded
        a
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn answers_are_found_where_all_are_known() {
        let a = answers();
        assert_eq!(a.find(&[0, 1]).map(bits), Some(bits(&[1.0, 2.0, 3.0, f32::NAN])));
        assert_eq!(a.find(&[1, 3]).map(bits), Some(bits(&[3.0, f32::NAN, -0.0, 6.0])));
        for unknown in [&[2][..], &[0, 2], &[3, 4], &[1, 2, 3], &[]] {
            assert_eq!(a.find(unknown).map(bits), None, "{unknown:?}");
        }
    }

    #[test]
    fn a_file_holds_every_bit_and_shows_every_flipped_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        answers().save(&path).unwrap();
        let back = Answers::load(&path).unwrap();
        assert_eq!((back.asked(), &back.samples), (answers().asked(), &answers().samples));
        assert_eq!(bits(&back.values), bits(&answers().values));
        let mut bytes = std::fs::read(&path).unwrap();
        for i in 0..bytes.len() * 8 {
            bytes[i / 8] ^= 1 << (i % 8);
            let e = Answers::read(bytes.clone().into()).expect_err("a damaged file was accepted");
            assert_eq!(e.code.id, "Q0510");
            bytes[i / 8] ^= 1 << (i % 8);
        }
    }
}

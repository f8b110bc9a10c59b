//! Where samples come from: a folder, a list, files by name, or an array; read into an ordered list of items.

use super::array::Array;
use super::picture::EXTENSIONS;
use crate::base::codes::data::{EMPTY, LABEL, LIST};
use crate::base::{Diagnostic, Place, Result, files, nearest};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where samples come from, and how their labels are read.
#[derive(Clone, PartialEq, Debug)]
pub struct Source {
    /// The form and place of the data.
    pub form: Form,
    /// The names of the classes in the order of the model's outputs. Without them, class folders are numbered in
    /// the order of their names.
    pub classes: Option<Vec<String>>,
    /// Added to every label of a list or an array, where the model counts from another number.
    pub label_offset: i64,
    /// What becomes of an image that cannot be decoded.
    pub on_error: OnError,
}

/// The forms a dataset has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// A folder with a sub-folder of images for each class, or a flat folder of unlabelled images.
    Folder(PathBuf),
    /// A text file of lines `path` or `path<TAB>label`, paths relative to the file's folder.
    List(PathBuf),
    /// A `.npy` or `.npz` file.
    Array(PathBuf),
    /// Unlabelled images.
    Files(Vec<PathBuf>),
}

/// What becomes of an image that cannot be read or decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It stops the run.
    #[default]
    Fail,
    /// It is left out, counted, and named in the report.
    Skip,
}

impl Source {
    /// The source of this form: labels as they are, failing at an undecodable image.
    pub fn new(form: Form) -> Self {
        Source { form, classes: None, label_offset: 0, on_error: OnError::Fail }
    }

    /// A folder, as [`Form::Folder`].
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Source::new(Form::Folder(path.into()))
    }

    /// A list file, as [`Form::List`].
    pub fn list(path: impl Into<PathBuf>) -> Self {
        Source::new(Form::List(path.into()))
    }

    /// An array file, as [`Form::Array`].
    pub fn array(path: impl Into<PathBuf>) -> Self {
        Source::new(Form::Array(path.into()))
    }
}

/// The names of classes: one a line, in the order of the model's outputs.
pub fn read_classes(path: &Path) -> Result<Vec<String>> {
    let text = files::read_text(path)?;
    let names: Vec<String> = text.trim_end().lines().map(|l| l.trim().to_string()).collect();
    match names.iter().position(String::is_empty) {
        _ if text.trim().is_empty() => {
            Err(Diagnostic::new(EMPTY, "the labels file is empty").at(Place::file(path)))
        }
        Some(i) => Err(Diagnostic::new(LABEL, "a line of the labels file is empty")
            .at(at_line(path, i, ""))
            .expected("the name of a class on every line")),
        None => Ok(names),
    }
}

/// One sample, not yet read.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The path below the folder, or as the list writes it; `name[row]` of an array. Never an absolute path of
    /// this machine, unless the list has it.
    pub name: String,
    pub label: Option<usize>,
    pub origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) enum Origin {
    File(PathBuf),
    Row(usize),
}

/// What a source holds.
pub(super) struct Listing {
    pub items: Vec<Item>,
    pub classes: Option<Vec<String>>,
    pub array: Option<Arc<Array>>,
}

pub(super) fn list(source: &Source) -> Result<Listing> {
    let mut listing = match &source.form {
        Form::Folder(path) => folder(path, source)?,
        Form::List(path) => Listing { items: list_file(path, source)?, classes: None, array: None },
        Form::Array(path) => array(path, source)?,
        Form::Files(paths) => {
            let items = paths.iter().map(|p| file_item(p.display().to_string(), None, p.clone())).collect();
            Listing { items, classes: None, array: None }
        }
    };
    if listing.items.is_empty() {
        let d = Diagnostic::new(EMPTY, "the dataset has no samples");
        return Err(match &source.form {
            Form::Folder(path) => d
                .at(Place::file(path))
                .expected(format!("images ({}), or folders of them", EXTENSIONS.join(", "))),
            Form::List(path) => d.at(Place::file(path)).expected("a line `path<TAB>label` for every image"),
            Form::Array(path) => d.at(Place::file(path)).expected("at least one row"),
            Form::Files(_) => d.expected("the path of an image"),
        });
    }
    if source.classes.is_some() {
        listing.classes.clone_from(&source.classes);
    }
    Ok(listing)
}

fn file_item(name: String, label: Option<usize>, path: PathBuf) -> Item {
    Item { name, label, origin: Origin::File(path) }
}

fn folder(path: &Path, source: &Source) -> Result<Listing> {
    let (folders, loose) = entries(path)?;
    if folders.is_empty() {
        let items = loose.into_iter().map(|n| file_item(n.clone(), None, path.join(n))).collect();
        return Ok(Listing { items, classes: None, array: None });
    }
    if let Some(image) = loose.first() {
        return Err(Diagnostic::new(LABEL, format!("`{image}` stands beside folders, so it has no class"))
            .at(Place::file(path))
            .expected("either images, or folders of images"));
    }
    let classes = source.classes.as_ref().unwrap_or(&folders);
    let mut by_class = Vec::new();
    for name in &folders {
        by_class.push((class_number(name, classes).map_err(|e| e.at(Place::file(path)))?, name));
    }
    by_class.sort();
    let mut items = Vec::new();
    for (label, class) in by_class {
        let (_, images) = entries(&path.join(class))?;
        items.extend(
            images
                .into_iter()
                .map(|n| file_item(format!("{class}/{n}"), Some(label), path.join(class).join(n))),
        );
    }
    Ok(Listing { items, classes: Some(classes.clone()), array: None })
}

fn class_number(folder: &str, classes: &[String]) -> Result<usize> {
    classes.iter().position(|c| c == folder).ok_or_else(|| {
        let d = Diagnostic::new(LABEL, format!("the folder `{folder}` is no class of the labels file"))
            .expected(format!("one of its {} names", classes.len()));
        match nearest::nearest(folder, classes.iter().map(String::as_str)) {
            Some(name) => d.help(format!("did you mean `{name}`?")),
            None => d,
        }
    })
}

/// The names of the folders and of the images in a folder, each sorted; hidden ones and other files left out.
fn entries(path: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let read = |e: std::io::Error| files::cannot("read", path, &e);
    let (mut folders, mut images) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            folders.push(name);
        } else if is_image(&name) {
            images.push(name);
        }
    }
    folders.sort();
    images.sort();
    Ok((folders, images))
}

fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
    EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension))
}

fn list_file(path: &Path, source: &Source) -> Result<Vec<Item>> {
    let text = files::read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut items: Vec<Item> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let item = list_line(line, folder, source).map_err(|e| e.at(at_line(path, i, line)))?;
        if items.first().is_some_and(|first| first.label.is_some() != item.label.is_some()) {
            return Err(Diagnostic::new(LIST, "some lines have a label and some have none")
                .at(at_line(path, i, line))
                .expected("`path<TAB>label` on every line, or `path` on every line"));
        }
        items.push(item);
    }
    Ok(items)
}

fn list_line(line: &str, folder: &Path, source: &Source) -> Result<Item> {
    let (name, label) = match line.split_once('\t') {
        Some((name, label)) => (name.trim(), Some(label.trim())),
        None => (line.trim(), None),
    };
    if name.is_empty() {
        return Err(Diagnostic::new(LIST, "the line has no path").expected("`path<TAB>label`"));
    }
    let label = label.map(|l| parse_label(l, source)).transpose()?;
    let path = folder.join(name);
    if !path.is_file() {
        let d = Diagnostic::new(LIST, format!("the list names `{name}`, which is no file"))
            .expected(format!("a path relative to `{}`", folder.display()));
        // a list whose columns are parted by blanks reads as one long path
        return Err(match name.rsplit_once([' ', ',']) {
            Some((_, last)) if label.is_none() && last.parse::<i64>().is_ok() => {
                d.help("put a tab, not a blank or a comma, before the label")
            }
            _ => d,
        });
    }
    Ok(file_item(name.to_string(), label, path))
}

fn parse_label(text: &str, source: &Source) -> Result<usize> {
    let number: i64 = text.parse().map_err(|_| {
        Diagnostic::new(LABEL, format!("the label `{text}` is no whole number"))
            .expected("the number of the class, from 0")
    })?;
    output_index(number, source)
}

/// More classes than this are taken for a mistake.
const MAX_CLASSES: usize = 1 << 24;

/// The model's output that a label of the data stands for.
fn output_index(label: i64, source: &Source) -> Result<usize> {
    let limit = source.classes.as_ref().map_or(MAX_CLASSES, Vec::len);
    let index = label.checked_add(source.label_offset).and_then(|l| usize::try_from(l).ok());
    index.filter(|&i| i < limit).ok_or_else(|| {
        let shifted = match source.label_offset {
            0 => String::new(),
            n => format!(" with the offset {n}"),
        };
        Diagnostic::new(LABEL, format!("the label {label}{shifted} is out of range"))
            .expected(format!("0 to {}", limit - 1))
    })
}

fn array(path: &Path, source: &Source) -> Result<Listing> {
    let array = Array::open(path)?;
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let labels = array.labels.as_deref();
    let item = |i: usize| {
        let label = labels.map(|l| output_index(l[i], source)).transpose();
        let label = label.map_err(|e| e.at(Place::Named(format!("{}, labels[{i}]", path.display()))))?;
        Ok(Item { name: format!("{stem}[{i}]"), label, origin: Origin::Row(i) })
    };
    let items = (0..array.len()).map(item).collect::<Result<_>>()?;
    Ok(Listing { items, classes: None, array: Some(Arc::new(array)) })
}

/// Line `index` (from 0) of a text file.
fn at_line(path: &Path, index: usize, text: &str) -> Place {
    Place::File { path: path.to_path_buf(), position: Some((index + 1, 1)), line: Some(text.to_string()) }
}

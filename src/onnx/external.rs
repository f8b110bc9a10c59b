//! External data: tensors whose bytes lie in a file beside the model.

use super::proto::TensorProto;
use crate::base::codes::model::EXTERNAL;
use crate::base::{Diagnostic, Result, files};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The files beside a model, each mapped once. None may lie outside the model's folder: a model from a stranger must
/// not read whatever the user can read.
#[derive(Debug, Default)]
pub(super) struct ExternalData {
    folder: Option<PathBuf>,
    maps: BTreeMap<String, Bytes>,
}

impl ExternalData {
    /// For a model in `folder`; a model that came as bytes has none.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        ExternalData { folder: folder.map(Path::to_path_buf), maps: BTreeMap::new() }
    }

    /// The files that were read, by their place in the folder, in order of their names.
    pub(super) fn files(&self) -> Vec<String> {
        self.maps.keys().cloned().collect()
    }

    /// The bytes of a tensor, which must be `want` many.
    pub(super) fn bytes(&mut self, t: &TensorProto, want: usize) -> Result<Bytes> {
        let entry = |key: &str| t.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let number = |key: &str| match entry(key).map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(n)) => Ok(Some(n)),
            Some(Err(_)) => Err(wrong(format!("`{key}` is `{}`, not a size", entry(key).unwrap_or("")))),
        };
        let location =
            entry("location").filter(|l| !l.is_empty()).ok_or_else(|| wrong("`location` is missing"))?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(want));
        if length != want {
            return Err(wrong(format!("`length` is {length}, its type and shape need {want} bytes")));
        }
        let file = self.file(location)?;
        match offset.checked_add(want).filter(|&end| end <= file.len()) {
            Some(end) => Ok(file.slice(offset..end)),
            None => Err(wrong(format!(
                "bytes {offset} to {} are asked of `{location}`, which has {}",
                offset.saturating_add(want),
                file.len()
            ))
            .help("copy the model together with its data file, whole")),
        }
    }

    fn file(&mut self, location: &str) -> Result<Bytes> {
        if let Some(map) = self.maps.get(location) {
            return Ok(map.clone());
        }
        let path = self.resolve(location)?;
        let map = files::map(&path)?;
        self.maps.insert(location.to_string(), map.clone());
        Ok(map)
    }

    /// The file's path, which must not leave the model's folder: not by its text, and not through a link.
    fn resolve(&self, location: &str) -> Result<PathBuf> {
        let folder = self.folder.as_ref().ok_or_else(|| {
            wrong(format!("it lies in `{location}`, but the model was read from memory, without a folder"))
        })?;
        let inside =
            Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || location.contains(['\\', '\0']) {
            return Err(leaves(location));
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let path = folder.join(location);
        let real = path.canonicalize().map_err(|e| files::cannot("read", &path, &e))?;
        let home = folder.canonicalize().map_err(|e| files::cannot("read", folder, &e))?;
        if real.starts_with(&home) { Ok(real) } else { Err(leaves(location)) }
    }
}

fn wrong(what: impl Into<String>) -> Box<Diagnostic> {
    Diagnostic::new(EXTERNAL, format!("external data: {}", what.into()))
}

fn leaves(location: &str) -> Box<Diagnostic> {
    wrong(format!("the path `{location}` leaves the model's folder"))
        .expected("a relative path without `..`, to a file in the model's folder or below")
}

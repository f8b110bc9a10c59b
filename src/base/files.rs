//! Files: read with one clear error, mapped, and written whole or not at all.

use super::codes::machine;
use super::{Diagnostic, Place, Result};
use bytes::Bytes;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The bytes of a file, mapped into memory. Cloning and slicing share the map.
pub fn map(path: &Path) -> Result<Bytes> {
    let file = fs::File::open(path).map_err(|e| cannot("read", path, &e))?;
    let meta = file.metadata().map_err(|e| cannot("read", path, &e))?;
    if meta.is_dir() {
        return Err(
            Diagnostic::new(machine::IO, "a folder stands where a file was expected").at(Place::file(path))
        );
    }
    if meta.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is read-only and private. Another process that shortens the file while we read it could
    // raise SIGBUS; our own writers never touch a file in place (`write` renames), which is as good as it gets.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| cannot("map", path, &e))?;
    Ok(Bytes::from_owner(map))
}

/// The text of a file.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|e| cannot("read", path, &e))?;
    String::from_utf8(bytes)
        .map_err(|_| Diagnostic::new(machine::IO, "the file is not text (UTF-8)").at(Place::file(path)))
}

/// Writes `bytes` to `path` so that a reader, a full disk or a kill sees the old file or the new one, never half
/// of it: to a temporary name in the same folder, then renamed. Missing folders are made.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(|e| cannot("create the folder of", path, &e))?;
    }
    let tmp = temporary_name(path);
    let written = fs::File::create(&tmp).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    written.and_then(|()| fs::rename(&tmp, path)).map_err(|e| {
        let _ = fs::remove_file(&tmp); // what is left of a failed write is of no use to anybody
        cannot("write", path, &e)
    })
}

/// A name beside `path` that no other process writes to.
fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// The diagnostic of a failed file operation.
pub fn cannot(verb: &str, path: &Path, e: &std::io::Error) -> Box<Diagnostic> {
    let d =
        Diagnostic::new(machine::IO, format!("cannot {verb} the file: {}", reason(e))).at(Place::file(path));
    match e.kind() {
        std::io::ErrorKind::NotFound => match nearest_sibling(path) {
            Some(name) => d.help(format!("the folder holds `{name}`: is that the one?")),
            None => d,
        },
        _ => d,
    }
}

fn reason(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => e.to_string(),
    }
}

fn nearest_sibling(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = fs::read_dir(dir)
        .ok()?
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    super::nearest::nearest(&name, names.iter().map(String::as_str)).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_names_its_nearest_sibling() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("resnet.onnx"), b"x").unwrap();
        let e = map(&dir.path().join("resent.onnx")).unwrap_err();
        assert!(e.to_string().contains("`resnet.onnx`"), "{e}");
    }
}

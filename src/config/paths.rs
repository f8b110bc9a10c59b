//! Paths of a configuration: `${NAME}` filled in, relative ones joined to what they are relative to.

use super::document::Document;
use super::tree::Spot;
use crate::base::codes::config::PATH;
use crate::base::{Diagnostic, Place, Result, files, nearest};
use std::path::{Path, PathBuf};

/// What a path must lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// An existing file.
    File,
    /// An existing folder.
    Folder,
    /// Anything, existing or not.
    Any,
}

/// The path that `text`, the value of the dotted key `key`, stands for.
pub fn path(document: &Document, key: &str, text: &str, want: Want) -> Result<PathBuf> {
    if text.trim().is_empty() {
        return Err(document.error(PATH, key, format!("`{key}` is an empty path")));
    }
    let expanded = expand(text, &|name| std::env::var(name).ok())
        .map_err(|what| document.error(PATH, key, format!("`{key}`: {what}")))?;
    let from_argument = matches!(document.spot(key), Some(Spot::Argument(_)));
    let path = match document.path.parent() {
        Some(folder) if !from_argument => folder.join(&expanded),
        _ => PathBuf::from(&expanded),
    };
    let wrong = match want {
        Want::File if path.is_dir() => "is a folder, not a file",
        Want::Folder if path.is_file() => "is a file, not a folder",
        Want::File if !path.is_file() => "does not exist",
        Want::Folder if !path.is_dir() => "does not exist",
        _ => return Ok(path),
    };
    Err(not_there(document, key, &path, wrong))
}

fn not_there(document: &Document, key: &str, path: &Path, wrong: &str) -> Box<Diagnostic> {
    let d = document.error(PATH, key, format!("`{key}`: `{}` {wrong}", path.display()));
    let relative_to = match &d.place {
        Some(Place::Named(_)) => "the working directory, as all paths on the command line".to_string(),
        _ => format!("the folder of {}", document.path.display()),
    };
    let d = d.expected(format!("a path relative to {relative_to}"));
    // the helpful part of the error that opening the file would give: the nearest name in its folder
    match files::map(path).err().and_then(|e| e.help) {
        Some(help) => d.help(help),
        None => d,
    }
}

/// `text` with every `${NAME}` replaced by the variable's value.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> std::result::Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (name, behind) =
            after.split_once('}').ok_or_else(|| format!("`${{` without `}}` in `{text}`"))?;
        let value = variable(name).ok_or_else(|| {
            let names: Vec<String> = std::env::vars_os().filter_map(|(n, _)| n.into_string().ok()).collect();
            let hint = match nearest::nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!(" (did you mean `{near}`?)"),
                None => String::new(),
            };
            format!("the environment variable `{name}` is not set{hint}")
        })?;
        out.push_str(&value);
        rest = behind;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn variables_are_filled_in() {
        let get = |text| expand(text, &|n| (n == "DATA").then(|| "/d".to_string()));
        assert_eq!(get("${DATA}/x/${DATA}").unwrap(), "/d/x//d");
        assert_eq!(get("a$b{c}").unwrap(), "a$b{c}");
        assert!(get("${NO_SUCH_THING}").unwrap_err().contains("`NO_SUCH_THING` is not set"));
        assert!(get("${DATA").unwrap_err().contains("without `}`"));
    }
}

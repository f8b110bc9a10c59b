//! A configuration as it was read: the tree, the schema's structs, and the text to show lines of.

use super::de;
use super::schema::Schema;
use super::tree::{Entry, Node, Spot, SyntaxError, Value};
use crate::base::codes::{config::SYNTAX, machine::USAGE};
use crate::base::{Code, Diagnostic, Place, Result, files};
use std::path::{Path, PathBuf};

/// A configuration that has the right form, not yet resolved.
#[derive(Debug)]
pub struct Document {
    /// The file, as the user wrote its path.
    pub path: PathBuf,
    /// Its content, arguments merged in.
    pub schema: Schema,
    tree: Node,
    lines: Vec<String>,
    sets: Vec<String>,
}

/// Largest configuration file, in bytes.
const MAX_BYTES: usize = 1 << 20;

impl Document {
    /// Reads a file, then lets each `key=value` of `sets` replace a value.
    pub fn load(path: &Path, sets: &[String]) -> Result<Document> {
        Document::parse(&files::read_text(path)?, path, sets)
    }

    /// As [`Document::load`], of a text that is said to stand in the file `path`.
    pub fn parse(text: &str, path: &Path, sets: &[String]) -> Result<Document> {
        if text.len() > MAX_BYTES {
            return Err(Diagnostic::new(SYNTAX, "the file is too large for a configuration")
                .at(Place::file(path))
                .expected(format!("at most {MAX_BYTES} bytes")));
        }
        let mut document = Document {
            path: path.to_path_buf(),
            schema: Schema::default(),
            tree: Node::empty(),
            lines: text.lines().map(str::to_string).collect(),
            sets: sets.to_vec(),
        };
        document.tree = Node::parse(text).map_err(|e| document.syntax_error(e))?;
        for (i, set) in sets.iter().enumerate() {
            document.set(i, set)?;
        }
        document.schema = de::from_node(&document.tree).map_err(|f| {
            let mut d = Diagnostic::new(f.code, f.what);
            (d.expected, d.help, d.place) = (f.expected, f.help, f.spot.map(|s| document.place(s)));
            d
        })?;
        Ok(document)
    }

    fn syntax_error(&self, e: SyntaxError) -> Box<Diagnostic> {
        let place = match e.position {
            Some((line, column)) => self.place(Spot::File(line, column)),
            None => Place::file(&self.path),
        };
        let d = Diagnostic::new(SYNTAX, e.what);
        match &place {
            Place::File { line: Some(line), .. } if line.contains('\t') => {
                d.help("indent with blanks: YAML takes no tabs")
            }
            _ => d,
        }
        .at(place)
    }

    /// Applies argument `i`, `key.key=value`.
    fn set(&mut self, i: usize, argument: &str) -> Result<()> {
        let place = self.place(Spot::Argument(i));
        let (key, text) =
            argument.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(|| {
                Diagnostic::new(USAGE, format!("`{argument}` is no assignment"))
                    .at(place.clone())
                    .expected("`--set key=value`, such as `--set calibration.samples=100`")
            })?;
        let value = match text.trim() {
            "" => Node { value: Value::Null, spot: Spot::Argument(i) },
            text => Node::parse(text).map(|n| n.moved_to(i)).map_err(|e| {
                Diagnostic::new(SYNTAX, format!("the value `{text}` is not valid YAML: {}", e.what)).at(place)
            })?,
        };
        let keys: Vec<&str> = key.trim().split('.').collect();
        insert(&mut self.tree, &keys, value, Spot::Argument(i));
        Ok(())
    }

    /// The place of a spot, with the text of its line.
    pub fn place(&self, spot: Spot) -> Place {
        match spot {
            Spot::Argument(i) => Place::Named(format!("--set {}", self.sets[i])),
            Spot::File(line, column) => Place::File {
                path: self.path.clone(),
                position: Some((line, column)),
                line: line.checked_sub(1).and_then(|l| self.lines.get(l)).map(|l| shown(l)),
            },
        }
    }

    /// Where the value of a dotted key was written; where there is none, the group nearest to it.
    pub fn spot(&self, key: &str) -> Option<Spot> {
        let mut node = &self.tree;
        let mut spot = None;
        for part in key.split(['.', '[']) {
            (node, spot) = match (&node.value, part.strip_suffix(']')) {
                (Value::List(nodes), Some(i)) => {
                    let Some(n) = i.parse().ok().and_then(|i: usize| nodes.get(i)) else { return spot };
                    (n, Some(n.spot))
                }
                _ => match node.entry(part) {
                    Some(e) => (&e.node, Some(e.spot)),
                    None => return spot,
                },
            };
        }
        Some(match node.value {
            Value::Map(_) | Value::Null => spot.unwrap_or(node.spot),
            _ => node.spot,
        })
    }

    /// Is the dotted key written anywhere?
    pub fn is_set(&self, key: &str) -> bool {
        key.split('.').try_fold(&self.tree, |node, part| node.entry(part).map(|e| &e.node)).is_some()
    }

    /// An error about the value of a dotted key.
    pub fn error(&self, code: Code, key: &str, what: impl Into<String>) -> Box<Diagnostic> {
        let place = self.spot(key).map_or_else(|| Place::file(&self.path), |s| self.place(s));
        Diagnostic::new(code, what).at(place)
    }
}

/// A line as messages show it: not longer than a screen is wide.
fn shown(line: &str) -> String {
    const WIDTH: usize = 160;
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_string(),
    }
}

/// Sets a value in a tree, making the groups on the way; what is no group is replaced by one.
fn insert(node: &mut Node, keys: &[&str], value: Node, spot: Spot) {
    let Some((key, rest)) = keys.split_first() else {
        *node = value;
        return;
    };
    if !matches!(node.value, Value::Map(_)) {
        *node = Node { value: Value::Map(Vec::new()), spot };
    }
    let Value::Map(entries) = &mut node.value else { return };
    if !entries.iter().any(|e| e.key == *key) {
        let node = Node { value: Value::Null, spot };
        entries.push(Entry { key: key.to_string(), spot, node });
    }
    if let Some(entry) = entries.iter_mut().find(|e| e.key == *key) {
        if rest.is_empty() {
            entry.spot = spot;
        }
        insert(&mut entry.node, rest, value, spot);
    }
}

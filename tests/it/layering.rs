//! The house keeps its floors: a room uses only rooms below it, an outside crate stays in its room, files stay short.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up. Rooms on one line do not use one another.
const LINES: &[&[&str]] = &[
    &["base"],
    &["ir", "data", "report"],
    &["onnx", "calib", "eval"],
    &["device", "quant", "rewrite"],
    &["tune"],
    &["plan"],
    &["engine"],
    &["config"],
    &["pipeline"],
    &["cli"],
];

/// Macros that the crate's root exports, and their rooms.
const MACROS: &[(&str, &str)] = &[("typed_id", "base")];

/// The floors of a house within a room: these never use one another.
const DEVICES: &[&str] = &["cpu", "cuda", "interp"];

/// Outside crates that only one room uses.
const OUTSIDE: &[(&str, &str)] = &[
    ("prost", "onnx"),
    ("image", "data"),
    ("maud", "report"),
    ("statrs", "eval"),
    ("cudarc", "device/cuda"),
    ("libloading", "device/cuda"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("indicatif", "cli"),
    ("ctrlc", "cli"),
    ("tracing_subscriber", "cli"),
];

const LONGEST_FILE: usize = 500;

/// A source file below `src`, comments and literals blanked out, lines kept.
struct Source {
    /// `eval/metrics/mod.rs`
    path: String,
    code: String,
    /// Is all of it compiled for tests only?
    test_only: bool,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The code before the unit tests at its foot.
    fn without_tests(&self) -> &str {
        let foot = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub mod tests {"];
        let end = foot.iter().filter_map(|f| self.code.find(f)).min();
        if self.test_only { "" } else { &self.code[..end.unwrap_or(self.code.len())] }
    }

    /// Does this byte belong to tests?
    fn is_test(&self, at: usize) -> bool {
        at >= self.without_tests().len()
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let mut all: Vec<Source> = paths
        .iter()
        .map(|p| Source {
            path: p.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/"),
            code: blank(&fs::read_to_string(p).unwrap()),
            test_only: false,
        })
        .collect();
    let tests: Vec<String> = all.iter().flat_map(test_modules).collect();
    for s in &mut all {
        s.test_only =
            tests.iter().any(|t| s.path == format!("{t}.rs") || s.path.starts_with(&format!("{t}/")));
    }
    all
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The files (without `.rs`) of modules that a file declares for tests only.
fn test_modules(s: &Source) -> Vec<String> {
    let folder = match s.path.strip_suffix("/mod.rs") {
        Some(folder) => folder.to_string(),
        None if s.path == "lib.rs" => String::new(),
        None => s.path.trim_end_matches(".rs").to_string(),
    };
    let mut lines = s.code.lines().map(str::trim).peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        let name = next.trim_start_matches("pub ").strip_prefix("mod ").and_then(|m| m.strip_suffix(';'));
        if let Some(name) = name.filter(|_| line == "#[cfg(test)]" || line.starts_with("#[cfg(any(test")) {
            found.push(format!("{folder}/{name}").trim_start_matches('/').to_string());
        }
    }
    found
}

/// Comments and the insides of literals as blanks, so that what is left is code at its old place. Attributes keep
/// their strings out of the way too; raw strings and nested comments are understood.
fn blank(text: &str) -> String {
    let b = text.as_bytes();
    let mut out = b.to_vec();
    let mut i = 0;
    let clear = |out: &mut Vec<u8>, from: usize, to: usize| {
        out[from..to].iter_mut().filter(|c| **c != b'\n').for_each(|c| *c = b' ');
    };
    while i < b.len() {
        let end = if b[i..].starts_with(b"//") {
            text[i..].find('\n').map_or(b.len(), |n| i + n)
        } else if b[i..].starts_with(b"/*") {
            text[i..].find("*/").map_or(b.len(), |n| i + n + 2)
        } else if let Some(hashes) = raw_string(b, i) {
            let close = format!("\"{}", "#".repeat(hashes));
            let inside = i + 2 + hashes;
            text[inside..].find(&close).map_or(b.len(), |n| inside + n + close.len())
        } else if b[i] == b'"' {
            let mut j = i + 1;
            while j < b.len() && b[j] != b'"' {
                j += if b[j] == b'\\' { 2 } else { 1 };
            }
            (j + 1).min(b.len())
        } else if b[i..].starts_with(b"'\"'") {
            i + 3
        } else if b[i..].starts_with(b"'\\") {
            text[i + 2..].find('\'').map_or(b.len(), |n| i + 2 + n + 1).max((i + 4).min(b.len()))
        } else {
            i += 1;
            continue;
        };
        clear(&mut out, i, end);
        i = end;
    }
    String::from_utf8(out).unwrap()
}

/// The number of `#` where a raw string begins at `i`.
fn raw_string(b: &[u8], i: usize) -> Option<usize> {
    let before = i.checked_sub(1).map(|j| b[j]);
    let word = before.is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
    let rest = b[i..].strip_prefix(b"r").filter(|_| !word || before == Some(b'b'))?;
    let hashes = rest.iter().take_while(|c| **c == b'#').count();
    (rest.get(hashes) == Some(&b'"')).then_some(hashes)
}

/// Places of `name::` that are not the tail of another path or word.
fn uses(code: &str, name: &str) -> Vec<usize> {
    let path = format!("{name}::");
    let free = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    code.match_indices(&path).map(|(at, _)| at).filter(|&at| free(at)).collect()
}

/// The rooms that a path after `crate::` names: one, or those in braces.
fn targets(rest: &str) -> Vec<String> {
    let word =
        |s: &str| s.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    if !rest.starts_with('{') {
        return vec![word(rest)];
    }
    let (mut depth, mut names, mut start) = (0, Vec::new(), 1);
    for (i, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            names.push(word(&rest[start..i]));
            start = i + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

fn line(room: &str) -> Option<usize> {
    let room = MACROS.iter().find(|m| m.0 == room).map_or(room, |m| m.1);
    LINES.iter().position(|rooms| rooms.contains(&room))
}

fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn rooms_use_only_rooms_below() {
    let mut wrong = Vec::new();
    let rooms = |s: &&Source| !["lib.rs", "main.rs"].contains(&s.path.as_str()) && s.room() != "testing";
    for s in sources().iter().filter(rooms) {
        let from = s.room();
        let Some(own) = line(from) else {
            wrong.push(format!("src/{}: the room `{from}` stands on no line", s.path));
            continue;
        };
        for at in uses(&s.code, "crate") {
            for to in targets(&s.code[at + "crate::".len()..]) {
                // what tests share may use every room, and tests may use it
                let fine =
                    to == from || line(&to).is_some_and(|l| l < own) || (to == "testing" && s.is_test(at));
                if !fine {
                    let where_to = line(&to).map_or("on no line".into(), |l| format!("line {l}"));
                    wrong.push(format!(
                        "src/{}:{} {from} (line {own}) must not use {to} ({where_to})",
                        s.path,
                        s.line_of(at)
                    ));
                }
            }
        }
    }
    report(wrong);
}

#[test]
fn devices_never_see_one_another() {
    let mut wrong = Vec::new();
    for s in sources() {
        let Some(own) = DEVICES.iter().find(|d| s.path.starts_with(&format!("device/{d}/"))) else {
            continue;
        };
        for other in DEVICES.iter().filter(|d| *d != own) {
            for path in ["crate::device::", "super::", "super::super::"] {
                for (at, _) in s.code.match_indices(&format!("{path}{other}::")) {
                    wrong.push(format!("src/{}:{} {own} must not use {other}", s.path, s.line_of(at)));
                }
            }
        }
    }
    report(wrong);
}

#[test]
fn outside_crates_stay_in_their_room() {
    let mut wrong = Vec::new();
    for s in sources() {
        for (name, room) in OUTSIDE.iter().filter(|(_, room)| !s.path.starts_with(&format!("{room}/"))) {
            for at in uses(s.without_tests(), name) {
                wrong.push(format!("src/{}:{} only {room} may use {name}", s.path, s.line_of(at)));
            }
        }
    }
    report(wrong);
}

#[test]
fn files_are_short() {
    let long =
        |s: &Source| (s.code.lines().count() > LONGEST_FILE).then(|| format!("src/{} is too long", s.path));
    report(sources().iter().filter_map(long).collect());
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut wrong = Vec::new();
    for s in sources() {
        for word in [".unwrap()", ".expect("] {
            for (at, _) in s.without_tests().match_indices(word) {
                // the parser of graph texts has a method of that name, which returns an error
                if word == ".expect(" && s.path == "ir/parse.rs" {
                    continue;
                }
                wrong.push(format!("src/{}:{} {word}", s.path, s.line_of(at)));
            }
        }
    }
    report(wrong);
}

#[test]
fn the_scanner_sees_what_it_should() {
    let code = blank(
        "use crate::{base::{A, B}, ir::C};\n// crate::cli\nlet s = \"crate::cli\"; /* crate::cli */ crate::data::x()",
    );
    let rooms: Vec<String> = uses(&code, "crate").iter().flat_map(|&at| targets(&code[at + 7..])).collect();
    assert_eq!(rooms, ["base", "ir", "data"]);
    assert!(
        uses(&blank("crate::data::image::x; my_image::y; r#\"image::z\"#; '\"'; \"image::\""), "image")
            .is_empty()
    );
    assert_eq!(uses("image::open(); use image::{a}", "image").len(), 2);
}

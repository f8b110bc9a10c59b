//! The one error type: what happened, where, what was expected, and the way out.

use super::codes::Code;
use std::fmt;
use std::path::{Path, PathBuf};

/// A result whose error is a [`Diagnostic`].
pub type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// An error as the user sees it. Printed as
///
/// ```text
/// error[Q0101]: unknown key `methd`
///   --> configs/resnet.yaml:12:3
///    |   methd: entropy
///   expected: one of method, percentile, samples
///   help: did you mean `method`?
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Which kind of error; `quantize explain CODE` says more.
    pub code: Code,
    /// What happened, with the offending value.
    pub what: String,
    /// Where.
    pub place: Option<Place>,
    /// What was expected instead.
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// Further lines: a list of nodes, the parts of a cache that differ.
    pub details: Vec<String>,
}

/// Where an error is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, and where known the line, column (from 1) and the line's text.
    File {
        /// The file's path as the user wrote it.
        path: PathBuf,
        /// Line and column, from 1.
        position: Option<(usize, usize)>,
        /// The text of that line.
        line: Option<String>,
    },
    /// A named thing: `node stage2.0.conv1 (Conv)`, `tensor relu1`, `section weights of x.engine`.
    Named(String),
}

impl Place {
    /// A whole file.
    pub fn file(path: &Path) -> Self {
        Place::File { path: path.to_path_buf(), position: None, line: None }
    }
}

impl Diagnostic {
    /// An error with a code and a sentence, boxed as every [`Result`] wants it.
    #[allow(clippy::new_ret_no_self)] // a Result's error is boxed; a bare one is of no use
    pub fn new(code: Code, what: impl Into<String>) -> Box<Self> {
        Box::new(Diagnostic {
            code,
            what: what.into(),
            place: None,
            expected: None,
            help: None,
            details: Vec::new(),
        })
    }

    /// Adds the place, unless one nearer to the cause is there already.
    pub fn at(mut self: Box<Self>, place: Place) -> Box<Self> {
        self.place.get_or_insert(place);
        self
    }

    /// Adds what was expected.
    pub fn expected(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.expected = Some(text.into());
        self
    }

    /// Adds what to do.
    pub fn help(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.help = Some(text.into());
        self
    }

    /// Adds a line to the list under the error.
    pub fn detail(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.details.push(text.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code.id, self.what)?;
        match &self.place {
            Some(Place::File { path, position, line }) => {
                write!(f, "\n  --> {}", path.display())?;
                if let Some((l, c)) = position {
                    write!(f, ":{l}:{c}")?;
                }
                if let Some(line) = line {
                    write!(f, "\n   | {line}")?;
                }
            }
            Some(Place::Named(name)) => write!(f, "\n  --> {name}")?,
            None => {}
        }
        for d in &self.details {
            write!(f, "\n   - {d}")?;
        }
        if let Some(e) = &self.expected {
            write!(f, "\n  expected: {e}")?;
        }
        if let Some(h) = &self.help {
            write!(f, "\n  help: {h}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

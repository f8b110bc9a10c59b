//! The configuration: YAML text to a [`Job`].
//!
//! 1. [`tree`]: text to a tree in which every key and value knows its line; `--set` replaces parts of it.
//! 2. [`schema`]: the tree to plain structs, whose doc comments are the documentation of every key ([`mod@reference`]).
//! 3. [`mod@resolve`]: paths made whole, defaults filled in, combinations checked.
//!
//! What must hold: whatever is wrong is one error with the line, what was found, what was expected, and the
//! nearest valid name.

mod de;
pub mod document;
pub mod job;
pub mod paths;
pub mod reference;
pub mod resolve;
pub mod schema;
pub mod tree;

pub use document::Document;
pub use job::Job;
pub use resolve::{Names, resolve};

use crate::base::Result;
use std::path::Path;

/// Reads a configuration file, applies the `--set key=value` arguments and resolves it.
///
/// `names` are the methods and metrics there are.
pub fn load(path: &Path, sets: &[String], names: &Names) -> Result<Job> {
    resolve(&Document::load(path, sets)?, names)
}

#[cfg(test)]
mod tests;

//! The drift report: one value, [`Report`], and its renderings, each a pure function of it.
//!
//! `report.json` is the value itself, so an old one can be read ([`from_json`]) and rendered again. To add a format:
//! a file here, and a row in [`FORMATS`].

pub mod model;

mod data_uri;
mod html;
mod json;
mod markdown;
mod schema;
mod verdict;
pub mod words;

#[cfg(any(test, feature = "testing"))]
pub mod sample;

pub use data_uri::data_uri;
pub use html::render as to_html;
pub use json::{from_json, to_json};
pub use markdown::render as to_markdown;
pub use model::Report;
pub use schema::schema;
pub use verdict::{Outcome, conclude, outcome};

/// A rendering of the report.
#[derive(Clone, Debug)]
pub struct Format {
    /// Its name, which is the extension of its file.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub doc: &'static str,
    /// The text of the file.
    pub render: fn(&Report) -> String,
}

impl Format {
    /// The name of the file that a run writes.
    pub fn file(&self) -> String {
        format!("report.{}", self.name)
    }
}

/// Every rendering.
pub static FORMATS: &[Format] = &[
    Format { name: "html", doc: "the page for people, complete in itself", render: to_html },
    Format { name: "json", doc: "the data, for programs and for rendering again", render: to_json },
    Format { name: "md", doc: "a short page for a pull request", render: to_markdown },
];

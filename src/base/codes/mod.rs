//! The table of error codes, one file per room. `quantize explain CODE` prints a row.

use std::fmt;

/// A kind of error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// `Q0101`.
    pub id: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What it means, why it happens and what to do: a short paragraph.
    pub explanation: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n\n{}", self.id, self.title, self.explanation)
    }
}

/// Declares the codes of a room, and `ALL` of them in order.
macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal, $explanation:literal;)*) => {
        use super::Code;
        $(#[doc = $title] pub const $name: Code = Code { id: $id, title: $title, explanation: $explanation };)*
        /// Every code of this room.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

pub mod calibration;
pub mod config;
pub mod data;
pub mod engine;
pub mod machine;
pub mod model;
pub mod report;

/// Every code, in order of its number.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [machine::ALL, config::ALL, model::ALL, data::ALL, calibration::ALL, engine::ALL, report::ALL]
        .into_iter()
        .flatten()
}

/// The code with this id, in any case.
pub fn find(id: &str) -> Option<&'static Code> {
    all().find(|c| c.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_unique_and_explained() {
        let mut ids: Vec<_> = super::all().map(|c| c.id).collect();
        assert!(super::all().all(|c| c.explanation.len() > 40));
        let n = ids.len();
        ids.dedup();
        assert!(ids.is_sorted() && ids.len() == n, "{ids:?}");
    }
}

//! Warnings of an import, each said once however many nodes it concerns.

use std::collections::BTreeMap;

/// Warnings and the names they concern.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeMap<String, Vec<String>>);

impl Notes {
    /// Says `sentence` about `name`.
    pub(super) fn add(&mut self, sentence: impl Into<String>, name: impl Into<String>) {
        self.0.entry(sentence.into()).or_default().push(name.into());
    }

    /// The warnings, one sentence each.
    pub(super) fn into_sentences(self) -> Vec<String> {
        let few = |names: Vec<String>| match names.len() {
            0..=4 => names.join(", "),
            n => format!("{} and {} more", names[..3].join(", "), n - 3),
        };
        self.0.into_iter().map(|(sentence, names)| format!("{sentence}: {}", few(names))).collect()
    }
}

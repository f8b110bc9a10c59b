//! Where a calibration comes from, and how two of them differ, in words.

use crate::base::digest::Digest;
use std::fmt;
use std::str::FromStr;

/// What was calibrated with what. A cache serves a run whose provenance is equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// Of the model file and its external data.
    pub model: Digest,
    /// Of the list of samples: names relative to the data set and their order.
    pub data_list: Digest,
    /// Of the samples' content, in the order of the list.
    pub data_content: Digest,
    /// Of the preprocessing, resolved.
    pub preprocessing: Digest,
    /// Which integer types activations may have.
    pub activations: Activations,
    /// Number of samples in the list.
    pub samples: u64,
}

/// Which integer types activations may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activations {
    /// Unsigned where a tensor cannot be negative, signed elsewhere.
    U8,
    /// Signed everywhere.
    S8,
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activations::U8 => "u8",
            Activations::S8 => "s8",
        })
    }
}

impl FromStr for Activations {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "u8" => Ok(Activations::U8),
            "s8" => Ok(Activations::S8),
            _ => Err(format!("`{s}` is neither u8 nor s8")),
        }
    }
}

/// The parts in which a cache's provenance differs from that of this run, a sentence each; none where the cache
/// serves it.
pub fn differences(cache: &Provenance, run: &Provenance) -> Vec<String> {
    let digest = |what: &str, a: Digest, b: Digest| {
        (a != b).then(|| format!("{what}: the cache has {}, this run {}", a.short(), b.short()))
    };
    let word = |what: &str, a: String, b: String| {
        (a != b).then(|| format!("{what}: the cache has {a}, this run {b}"))
    };
    let of = |p: &Provenance| (p.activations.to_string(), p.samples.to_string());
    let ((cache_activations, cache_samples), (run_activations, run_samples)) = (of(cache), of(run));
    let list_differs = digest("the list of calibration samples differs", cache.data_list, run.data_list);
    // another list always has other content; saying both would hide that the files are the same
    let content = digest("the content of a calibration sample differs", cache.data_content, run.data_content);
    [
        digest("the model file differs", cache.model, run.model),
        word("the number of calibration samples differs", cache_samples, run_samples),
        list_differs.clone(),
        content.filter(|_| list_differs.is_none()),
        digest("the preprocessing differs", cache.preprocessing, run.preprocessing),
        word("`precision.activations` differs", cache_activations, run_activations),
    ]
    .into_iter()
    .flatten()
    .collect()
}

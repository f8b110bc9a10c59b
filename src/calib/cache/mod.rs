//! Our calibration cache: what was seen, of what, and what was decided, in one text file.
//!
//! The statistics are in it, so that another method needs no second run of the network; so is where they come from
//! ([`Provenance`]), so that a cache of another model or other images is refused. A checkpoint is the same file
//! before the last sample ([`Cache::is_complete`]). No time, batch size, thread count or path is in it: the same
//! calibration writes the same bytes on every machine.
//!
//! The form is made of lines, tensors sorted by name, numbers in the shortest decimal form that reads back as the
//! same bits:
//!
//! ```text
//! quantize calibration cache, version 2
//! model 5f0c..                          digests: BLAKE3
//! data-list 77a1..
//! data-content 03de..
//! preprocessing 9b2c..
//! activations u8
//! samples 64 of 64 skipped 1            how many of them could not be decoded, where any
//! method auto percentile 99.99 readers 9c31..   once decided; what `auto` judged by: which nodes read what in 8 bits
//! crc 1d5c9a07                          of the lines above, to find the damaged one
//!
//! tensor "conv1"
//! alias "relu1"                         a name folded into it
//! channels 3
//! part 0 count 9000 zeros 0 non-finite 0 min -1.5 max 2.5
//! largest "River/River_11.jpg"          the sample with the largest magnitude
//! amax 2.5 1.25 0.5                     per channel, up to 16 a line
//! places 3000                           values of each channel, and their sum in 2^-32, from which the means follow
//! sums 3865470566 -429496729 8589934592
//! positive 2                            the exponent of the histogram's range
//! 2048 17 5 0 3                         counts from bin 2048 on, up to 64 bins a line
//! negative 1
//! 3072 4
//! range entropy -2.25 2.25 error 0.001  what a method gives, and its error where `auto` measured it
//! chosen entropy -2.25 2.25 i8 scale 0.017716536 zero-point 0
//! crc 77aa01f3
//!
//! checksum 1b9c..                       of everything above
//! ```

mod format;
mod parse;
mod provenance;
mod reader;

pub use provenance::{Activations, Provenance, differences};

use super::shards::TensorStats;
use crate::base::codes::calibration::UNLIKE_STATISTICS;
use crate::base::digest::Digest;
use crate::base::quant::{QuantParams, Range};
use crate::base::{Diagnostic, Place, Result, files};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the form. Another one is refused.
pub const VERSION: u32 = 2;

/// The first line, before the version.
const MAGIC: &str = "quantize calibration cache, version ";

/// A calibration: of what, what was seen, what was decided.
#[derive(Clone, PartialEq, Debug)]
pub struct Cache {
    /// What was calibrated with what.
    pub provenance: Provenance,
    /// How many of the samples are in the statistics: the first ones of the list. All of them but in a checkpoint.
    pub done: u64,
    /// How many of those could not be decoded and were left out.
    pub skipped: u64,
    /// How the ranges were chosen, once they were.
    pub setting: Option<Setting>,
    /// The watched tensors by name.
    pub tensors: BTreeMap<String, Entry>,
}

/// How the ranges of a calibration were chosen.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// The method's name; may be `auto`.
    pub method: String,
    /// The share of values that `percentile` keeps, in percent.
    pub percentile: f64,
    /// Digest of what `auto` judged by: the nodes that read each tensor in 8 bits. Other methods need none.
    pub readers: Option<Digest>,
}

/// One tensor of a calibration.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Names of the model's tensors that were folded into this one and share its scale, sorted.
    pub aliases: Vec<String>,
    /// What was seen.
    pub stats: TensorStats,
    /// What the methods give that were asked for (`auto` asks for all), by the method's name.
    pub candidates: BTreeMap<String, Candidate>,
    /// What was decided; a checkpoint has none.
    pub chosen: Option<Chosen>,
}

/// What one method gives for a tensor.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Candidate {
    /// The range.
    pub range: Range,
    /// The error at the consumers' outputs, where it was measured to choose between methods.
    pub error: Option<f64>,
}

/// What was decided for a tensor.
#[derive(Clone, PartialEq, Debug)]
pub struct Chosen {
    /// The method whose range it is, or another word (without spaces) for where it comes from.
    pub method: String,
    /// The range.
    pub range: Range,
    /// The type, scale and zero point.
    pub params: QuantParams,
    /// The bits of a scale that came from a TensorRT cache, to be written again as they were.
    pub imported: Option<u32>,
}

impl Entry {
    /// A tensor of which nothing is decided.
    pub fn new(stats: TensorStats) -> Self {
        Entry { aliases: Vec::new(), stats, candidates: BTreeMap::new(), chosen: None }
    }
}

impl Cache {
    /// A calibration that has seen nothing.
    pub fn new(provenance: Provenance) -> Self {
        Cache { provenance, done: 0, skipped: 0, setting: None, tensors: BTreeMap::new() }
    }

    /// Are all samples in the statistics? Else this is a checkpoint.
    pub fn is_complete(&self) -> bool {
        self.done == self.provenance.samples
    }

    /// The cache in a file.
    ///
    /// # Errors
    /// `NOT_A_CACHE` for another kind of file or another version, `DAMAGED_CACHE` with the first wrong line.
    pub fn load(path: &Path) -> Result<Cache> {
        Cache::parse(&files::read_text(path)?, path)
    }

    /// Writes the cache to a file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, self.to_string().as_bytes())
    }

    /// The cache in `text`, read from `path` (for messages only). Errors: see [`Cache::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Cache> {
        parse::parse(text, path)
    }

    /// Adds the statistics of another calibration of the same tensors, sample for sample; what was decided is
    /// dropped, as it no longer follows from them. The provenance is left to the caller, who knows both data lists.
    ///
    /// # Errors
    /// `UNLIKE_STATISTICS` where the tensors or their channels differ.
    pub fn merge_statistics(&mut self, other: &Cache) -> Result<()> {
        let channels = |c: &Cache, name: &str| c.tensors.get(name).map(|e| e.stats.channels());
        let names = || self.tensors.keys().chain(other.tensors.keys());
        if let Some(name) = names().find(|n| channels(self, n) != channels(other, n)) {
            let say =
                |c| channels(c, name).map_or("lacks it".into(), |n| format!("has it with {n} channel(s)"));
            let what = format!("one calibration {}, the other {}", say(self), say(other));
            return Err(Diagnostic::new(UNLIKE_STATISTICS, what)
                .at(Place::Named(format!("tensor {name}")))
                .expected("calibrations of the same model by the same version"));
        }
        self.setting = None;
        self.done += other.done;
        self.skipped += other.skipped;
        for (name, entry) in &mut self.tensors {
            entry.stats.merge(&other.tensors[name].stats);
            entry.candidates.clear();
            entry.chosen = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

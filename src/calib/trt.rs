//! TensorRT's calibration cache: a text of one scale per tensor.
//!
//! ```text
//! TRT-100300-EntropyCalibration2
//! data: 3c000889
//! onnx::Conv_329: 3c96d93c
//! ```
//!
//! A line is `name: scale`, the scale (largest magnitude / 127) as the hex digits of its f32 bits, most significant
//! first. Names may hold colons and spaces: the last colon of a line separates, as in `trtexec`. TensorRT ignores a
//! cache whose version or algorithm is not its own, so the first line is the user's choice.

use super::cache::{Cache, Chosen};
use crate::base::codes::calibration::TRT_CACHE;
use crate::base::quant::Scale;
use crate::base::{Diagnostic, Place, Result, files};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// A TensorRT calibration cache.
#[derive(Clone, PartialEq, Debug)]
pub struct TrtCache {
    /// The first line.
    pub header: Header,
    /// The tensors, in the order of the file.
    pub entries: Vec<TrtEntry>,
}

/// The first line.
#[derive(Clone, PartialEq, Debug)]
pub enum Header {
    /// `TRT-<version>-<algorithm>`.
    Version {
        /// 8601 is 8.6.1, 100300 is 10.3.0.
        version: u32,
        /// `EntropyCalibration2`, `MinMaxCalibration`, ...
        algorithm: String,
    },
    /// `0 <cutoff> <quantile>`: that of the legacy calibrator.
    Legacy {
        /// The regression cutoff, 0 to 1.
        cutoff: f64,
        /// The quantile, 0 to 1.
        quantile: f64,
    },
}

/// One tensor of the cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrtEntry {
    /// The tensor's name.
    pub name: String,
    /// The bits of its f32 scale, kept so that they are written as they were read.
    pub bits: u32,
}

impl TrtEntry {
    /// The scale as the engine uses it: 1 for a tensor of zeros (scale 0 or denormal), `None` where the scale is
    /// negative or not finite, so that the tensor has no INT8 range.
    pub fn scale(&self) -> Option<Scale> {
        let s = f32::from_bits(self.bits);
        match s.is_finite() && s.is_sign_positive() {
            true => Scale::new(s).or(Some(Scale::symmetric(0.0))),
            false => None,
        }
    }

    /// What is odd about the scale, in words.
    fn complaint(&self) -> Option<String> {
        let s = f32::from_bits(self.bits);
        let how = match s {
            _ if s.is_nan() => "not a number, so that the tensor stays in float",
            _ if s.is_sign_negative() => "negative, so that the tensor stays in float",
            _ if s.is_infinite() => "infinite, so that the tensor stays in float",
            _ if s < f32::MIN_POSITIVE => {
                "0 or denormal, so that the tensor counts as all zero and gets the scale 1"
            }
            _ => return None,
        };
        Some(format!("the scale {:08x} of tensor `{}` is {how}", self.bits, self.name))
    }
}

impl TrtCache {
    /// The scales of a calibration: of every tensor decided on, and the same for every name folded into it. An
    /// imported scale is written as it was, another is `amax / 127` by f32 division, whatever type the engine uses.
    /// The form has no place for a name with a line break; such a tensor is left out.
    pub fn of(cache: &Cache, version: u32, algorithm: &str) -> Self {
        let bits =
            |c: &Chosen| c.imported.unwrap_or_else(|| Scale::symmetric(c.range.amax()).get().to_bits());
        let mut entries = Vec::new();
        for (name, entry) in &cache.tensors {
            if let Some(bits) = entry.chosen.as_ref().map(bits) {
                let names = std::iter::once(name).chain(&entry.aliases);
                let names = names.filter(|n| !n.contains(['\n', '\r']));
                entries.extend(names.map(|name| TrtEntry { name: name.clone(), bits }));
            }
        }
        TrtCache { header: Header::Version { version, algorithm: algorithm.into() }, entries }
    }

    /// The entry of the tensor with this name.
    pub fn get(&self, name: &str) -> Option<&TrtEntry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// The cache in a file, and what is odd about it in words (a line each).
    ///
    /// # Errors
    /// `TRT_CACHE` with the line that is not of the form.
    pub fn load(path: &Path) -> Result<(TrtCache, Vec<String>)> {
        TrtCache::parse(&files::read_text(path)?, path)
    }

    /// Writes the cache to a file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, self.to_string().as_bytes())
    }

    /// The cache in `text`, read from `path` (for messages only), and what is odd about it. Lines may end in CRLF or,
    /// the last, in nothing; empty lines do not count. Of a tensor that is there twice, the last scale holds.
    pub fn parse(text: &str, path: &Path) -> Result<(TrtCache, Vec<String>)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate();
        let header = lines.next().and_then(|(_, l)| header(l.trim())).ok_or_else(|| {
            wrong(
                path,
                0,
                text.lines().next().unwrap_or_default(),
                "the first line is not that of such a cache",
            )
            .expected("`TRT-<version>-<algorithm>`, such as TRT-100300-EntropyCalibration2")
        })?;
        let mut cache = TrtCache { header, entries: Vec::new() };
        let mut warnings = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (i, line) in lines.filter(|(_, l)| !l.trim().is_empty()) {
            let e = entry(line).map_err(|what| {
                wrong(path, i, line, what).expected("`tensor name: scale`, the scale as up to 8 hex digits")
            })?;
            warnings.extend(e.complaint().map(|c| format!("line {}: {c}", i + 1)));
            match places.get(&e.name) {
                Some(&place) => {
                    let name = &e.name;
                    warnings
                        .push(format!("line {}: tensor `{name}` is there twice; this scale holds", i + 1));
                    cache.entries[place] = e;
                }
                None => {
                    places.insert(e.name.clone(), cache.entries.len());
                    cache.entries.push(e);
                }
            }
        }
        Ok((cache, warnings))
    }
}

fn header(line: &str) -> Option<Header> {
    if let Some(rest) = line.strip_prefix("TRT-") {
        let (version, algorithm) = rest.split_once('-')?;
        let version = version.parse().ok()?;
        return (!algorithm.is_empty()).then(|| Header::Version { version, algorithm: algorithm.into() });
    }
    let bits =
        |s: &str| (s.len() == 16).then(|| u64::from_str_radix(s, 16).ok()).flatten().map(f64::from_bits);
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["0", cutoff, quantile] => Some(Header::Legacy { cutoff: bits(cutoff)?, quantile: bits(quantile)? }),
        _ => None,
    }
}

fn entry(line: &str) -> std::result::Result<TrtEntry, &'static str> {
    let (name, hex) = line.rsplit_once(':').ok_or("the line has no colon")?;
    let hex = hex.trim();
    if name.trim().is_empty() {
        return Err("the line has no tensor name");
    }
    // `from_str_radix` would take a sign
    match hex.chars().all(|c| c.is_ascii_hexdigit()) && (1..=8).contains(&hex.len()) {
        true => u32::from_str_radix(hex, 16)
            .map(|bits| TrtEntry { name: name.into(), bits })
            .map_err(|_| "what follows the last colon is no scale"),
        false => Err("what follows the last colon is no scale"),
    }
}

fn wrong(path: &Path, line: usize, text: &str, what: &str) -> Box<Diagnostic> {
    let text = text.chars().take(80).collect();
    let place = Place::File { path: path.to_path_buf(), position: Some((line + 1, 1)), line: Some(text) };
    Diagnostic::new(TRT_CACHE, format!("not a TensorRT calibration cache: {what}")).at(place)
}

impl Header {
    /// The TensorRT version in its usual form: `8.6.1`, `10.3.0`. From 10 on the major version counts 10,000, before
    /// 1,000.
    pub fn version_name(&self) -> Option<String> {
        match self {
            Header::Version { version: v, .. } => {
                let unit = if *v >= 100_000 { 10_000 } else { 1_000 };
                Some(format!("{}.{}.{}", v / unit, v % unit / 100, v % 100))
            }
            Header::Legacy { .. } => None,
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Header::Version { version, algorithm } => write!(f, "TRT-{version}-{algorithm}"),
            Header::Legacy { cutoff, quantile } => {
                write!(f, "0 {:016x} {:016x}", cutoff.to_bits(), quantile.to_bits())
            }
        }
    }
}

impl fmt::Display for TrtCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.header)?;
        self.entries.iter().try_for_each(|e| writeln!(f, "{}: {:08x}", e.name, e.bits))
    }
}

#[cfg(test)]
mod tests;

//! Reading the cache's text: every line is checked, and the first wrong one is named.

use super::format::BINS_A_LINE;
use super::reader::{Reader, damaged};
use super::{Cache, Candidate, Chosen, Entry, MAGIC, Provenance, Setting, VERSION};
use crate::base::codes::calibration::NOT_A_CACHE;
use crate::base::digest::Digest;
use crate::base::quant::{QuantParams, Scale, limits};
use crate::base::{DType, Diagnostic, Place, Result};
use crate::calib::histogram::{BINS, Histogram, bin_of, exponent};
use crate::calib::means::Means;
use crate::calib::shards::{PARTS, TensorStats};
use crate::calib::stats::Stats;
use std::collections::BTreeMap;
use std::path::Path;

/// More tensors, channels (of all tensors together) or counts than any real calibration has are taken for damage:
/// neither allocated nor added.
const MAX_TENSORS: usize = 1 << 14;
const MAX_CHANNELS: usize = 1 << 22;
const MAX_COUNT: u64 = 1 << 53;

/// The cache in `text`, read from `path` (for messages only).
pub fn parse(text: &str, path: &Path) -> Result<Cache> {
    check_version(text, path)?;
    // the form is read even where the checksum is wrong: what breaks it says where
    let cache = read(&mut Reader::new(text, path))?;
    check_whole(text, path).map(|()| cache)
}

fn check_version(text: &str, path: &Path) -> Result<()> {
    let first = text.lines().next().unwrap_or_default();
    let what = match first.strip_prefix(MAGIC) {
        Some(v) if v == VERSION.to_string() => return Ok(()),
        Some(v) => format!("this is a calibration cache of version {v}, which this program does not read"),
        None => "this is not a calibration cache".into(),
    };
    Err(Diagnostic::new(NOT_A_CACHE, what)
        .at(Place::file(path))
        .expected(format!("the first line `{MAGIC}{VERSION}`"))
        .help("delete the file to calibrate again"))
}

/// Does the checksum in the last line fit all that is above?
fn check_whole(text: &str, path: &Path) -> Result<()> {
    let body = text.strip_suffix('\n').and_then(|t| t.rfind('\n')).map_or("", |i| &text[..=i]);
    let last = &text[body.len()..];
    if last == format!("checksum {}\n", Digest::of(body.as_bytes())) {
        return Ok(());
    }
    let what = "the checksum does not fit the file, or is not its last line";
    Err(damaged(path, (text.lines().count(), last.trim_end()), what.into()))
}

fn read(r: &mut Reader) -> Result<Cache> {
    let mut cache = block(r, head)?;
    let mut channels = 0;
    while r.peek() != "checksum" {
        if cache.tensors.len() == MAX_TENSORS {
            return Err(r.damaged(format!("it has more than {MAX_TENSORS} tensors")));
        }
        let (name, entry) = block(r, tensor)?;
        channels += entry.stats.channels();
        if channels > MAX_CHANNELS {
            return Err(r.damaged(format!("its tensors have more than {MAX_CHANNELS} channels")));
        }
        if cache.tensors.insert(name, entry).is_some() {
            return Err(r.damaged("the tensor above is there twice"));
        }
    }
    Ok(cache)
}

/// Lines that end with their checksum and an empty line.
fn block<T>(r: &mut Reader, read: impl Fn(&mut Reader) -> Result<T>) -> Result<T> {
    let (from, first) = (r.position(), r.number() + 1);
    let value = read(r)?;
    let (crc, last) = (format!("{:08x}", crc32fast::hash(r.since(from))), r.number());
    let found: String = r.line("crc")?.only()?;
    if found != crc {
        return Err(r.damaged(format!("lines {first} to {last} do not fit their checksum")));
    }
    match r.next() {
        "" => Ok(value),
        _ => Err(r.damaged("expected an empty line")),
    }
}

fn head(r: &mut Reader) -> Result<Cache> {
    r.next(); // the version, which is checked
    let model = r.line("model")?.digest()?;
    let data_list = r.line("data-list")?.digest()?;
    let data_content = r.line("data-content")?.digest()?;
    let preprocessing = r.line("preprocessing")?.digest()?;
    let activations = r.line("activations")?.only()?;
    let mut line = r.line("samples")?;
    let (done, samples): (u64, u64) = (line.word()?, line.after("of")?);
    let skipped = line.perhaps("skipped")?.unwrap_or(0);
    line.end()?;
    if skipped > done || done > samples || samples > MAX_COUNT {
        return Err(r.damaged("more samples than there can be"));
    }
    let provenance = Provenance { model, data_list, data_content, preprocessing, activations, samples };
    let setting = if r.peek() == "method" { Some(setting(r)?) } else { None };
    Ok(Cache { provenance, done, skipped, setting, tensors: BTreeMap::new() })
}

fn setting(r: &mut Reader) -> Result<Setting> {
    let mut line = r.line("method")?;
    let (method, percentile) = (line.word()?, line.after("percentile")?);
    let readers = line.perhaps::<String>("readers")?;
    let digest = |hex| Digest::try_from(hex).map_err(|_| line.wrong("expected a digest of 64 hex digits"));
    let readers = readers.map(digest).transpose()?;
    line.end().map(|()| Setting { method, percentile, readers })
}

fn tensor(r: &mut Reader) -> Result<(String, Entry)> {
    let name = r.line("tensor")?.name()?;
    let mut aliases = Vec::new();
    while r.peek() == "alias" {
        aliases.push(r.line("alias")?.name()?);
    }
    let channels: usize = r.line("channels")?.only()?;
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(r.damaged(format!("a tensor has 1 to {MAX_CHANNELS} channels")));
    }
    let stats = parts(r, channels)?;
    let mut candidates = BTreeMap::new();
    while r.peek() == "range" {
        let (method, candidate) = candidate(r)?;
        candidates.insert(method, candidate);
    }
    let chosen = if r.peek() == "chosen" { Some(chosen(r)?) } else { None };
    Ok((name, Entry { aliases, stats, candidates, chosen }))
}

/// The parts there are; the others have seen nothing.
fn parts(r: &mut Reader, channels: usize) -> Result<TensorStats> {
    let mut parts: [Option<Stats>; PARTS] = Default::default();
    while r.peek() == "part" {
        let (number, stats) = part(r, channels)?;
        match parts.get_mut(number) {
            Some(slot @ None) => *slot = Some(stats),
            _ => return Err(r.damaged(format!("part {number} is there twice or cannot be"))),
        }
    }
    Ok(TensorStats { parts: parts.map(|p| p.unwrap_or_else(|| Stats::new(channels))) })
}

fn part(r: &mut Reader, channels: usize) -> Result<(usize, Stats)> {
    let mut line = r.line("part")?;
    let number = line.word()?;
    let (count, zeros) = (line.after("count")?, line.after("zeros")?);
    let non_finite = line.after("non-finite")?;
    let (min, max): (f32, f32) = (line.after("min")?, line.after("max")?);
    line.end()?;
    let amax_sample = if r.peek() == "largest" { Some(r.line("largest")?.name()?.into()) } else { None };
    let mut channel_amax: Vec<f32> = Vec::new();
    while r.peek() == "amax" {
        channel_amax.extend(r.line("amax")?.all::<f32>()?);
    }
    let places = if r.peek() == "places" { r.line("places")?.only()? } else { 0 };
    let mut means = Means { places, sums: Vec::new() };
    while r.peek() == "sums" {
        means.sums.extend(r.line("sums")?.all::<i128>()?);
    }
    let positive = histogram(r, "positive", max)?;
    let negative = histogram(r, "negative", -min)?;
    let stats =
        Stats { count, zeros, non_finite, min, max, positive, negative, channel_amax, means, amax_sample };
    check_part(&stats, channels).map_err(|what| r.damaged(format!("in the part above, {what}")))?;
    Ok((number, stats))
}

/// What every state of [`Stats`] fulfils, and what the methods rely on.
fn check_part(s: &Stats, channels: usize) -> std::result::Result<(), String> {
    if s.count > MAX_COUNT || s.non_finite > MAX_COUNT {
        return Err("a count is beyond the largest there can be".into());
    }
    // each at most 4096 times 2^53, which does not overflow
    let (zeros, above, below) = (s.zeros.min(MAX_COUNT), s.positive.total(), s.negative.total());
    if s.zeros > MAX_COUNT || u128::from(zeros) + u128::from(above) + u128::from(below) != u128::from(s.count)
    {
        return Err(format!("{} zeros and the bins do not add up to {} values", s.zeros, s.count));
    }
    for (h, amax) in [(&s.positive, s.max), (&s.negative, -s.min)] {
        if amax > 0.0 && h.last() != Some(bin_of(amax, h.exp())) {
            return Err(format!("the last bin is not that of the largest magnitude {amax:?}"));
        }
    }
    let empty = s.min == f32::INFINITY && s.max == f32::NEG_INFINITY;
    if (s.count == 0) != empty || !(empty || (s.min <= s.max && s.min.is_finite() && s.max.is_finite())) {
        return Err(format!("{:?} to {:?} is no range of {} values", s.min, s.max, s.count));
    }
    let listed = s.channel_amax.len();
    if listed != if channels > 1 { channels } else { 0 } {
        return Err(format!("{listed} of {channels} channels are listed"));
    }
    let (summed, places) = (s.means.sums.len(), s.means.places);
    if summed != if places > 0 { listed } else { 0 } || places > MAX_COUNT {
        return Err(format!("{summed} of {channels} channels have sums over {places} places"));
    }
    match s.channel_amax.iter().all(|a| (0.0..=s.amax()).contains(a)) {
        true => Ok(()),
        false => Err("a channel's largest magnitude is none, or larger than the tensor's".into()),
    }
}

/// The histogram of a side whose largest magnitude is `max`.
fn histogram(r: &mut Reader, side: &str, max: f32) -> Result<Histogram> {
    let mut h = Histogram::new();
    if r.peek() != side {
        return Ok(h);
    }
    let exp: i32 = r.line(side)?.only()?;
    if !(max > 0.0 && max.is_finite() && exponent(max) == exp) {
        return Err(r.damaged(format!("a range of 2^{exp} does not fit the largest magnitude {max:?}")));
    }
    while r.peek().starts_with(|c: char| c.is_ascii_digit()) {
        let from: usize = r.peek().parse().unwrap_or(BINS);
        let counts: Vec<u64> = r.line(r.peek())?.all()?;
        let fits = from < BINS && from.is_multiple_of(BINS_A_LINE) && counts.len() <= BINS_A_LINE;
        if !fits || counts.iter().any(|&n| n > MAX_COUNT) {
            return Err(r.damaged("a bin or a count beyond the largest there can be"));
        }
        h.cells(exp)[from..from + counts.len()].copy_from_slice(&counts);
    }
    Ok(h)
}

fn candidate(r: &mut Reader) -> Result<(String, Candidate)> {
    let mut line = r.line("range")?;
    let method = line.word()?;
    let candidate = Candidate { range: line.range()?, error: line.perhaps("error")? };
    line.end().map(|()| (method, candidate))
}

fn chosen(r: &mut Reader) -> Result<Chosen> {
    let mut line = r.line("chosen")?;
    let (method, range, dtype) = (line.word()?, line.range()?, line.word::<DType>()?);
    let scale = Scale::new(line.after("scale")?).ok_or_else(|| line.wrong("that is no scale"))?;
    let zero_point = line.after("zero-point")?;
    let (lo, hi) = if dtype == DType::I8 { (0, 0) } else { limits(dtype) };
    if !dtype.is_int8() || zero_point < lo || zero_point > hi {
        return Err(line.wrong("that type and zero point do not go together"));
    }
    let imported = line.perhaps::<String>("imported")?;
    let bits = |hex: String| u32::from_str_radix(&hex, 16).map_err(|_| line.wrong("that is no hex number"));
    let imported = imported.map(bits).transpose()?;
    line.end()?;
    Ok(Chosen { method, range, params: QuantParams { dtype, scale, zero_point }, imported })
}

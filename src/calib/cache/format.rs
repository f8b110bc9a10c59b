//! Writing the cache's text.

use super::{Cache, Entry, MAGIC, VERSION};
use crate::base::digest::Digest;
use crate::base::quant::Range;
use crate::calib::histogram::{BINS, Histogram};
use crate::calib::stats::Stats;
use std::fmt::{self, Display, Write};

/// Bins a line.
pub(super) const BINS_A_LINE: usize = 64;

/// Channels a line.
const CHANNELS_A_LINE: usize = 16;

impl Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        block(&mut text, |s| head(s, self))?;
        for (name, entry) in &self.tensors {
            block(&mut text, |s| tensor(s, name, entry))?;
        }
        writeln!(text, "checksum {}", Digest::of(text.as_bytes()))?;
        f.write_str(&text)
    }
}

/// Writes lines, then their checksum and an empty line.
fn block(text: &mut String, lines: impl Fn(&mut String) -> fmt::Result) -> fmt::Result {
    let from = text.len();
    lines(text)?;
    let crc = crc32fast::hash(&text.as_bytes()[from..]);
    write!(text, "crc {crc:08x}\n\n")
}

fn head(s: &mut String, c: &Cache) -> fmt::Result {
    let p = &c.provenance;
    writeln!(s, "{MAGIC}{VERSION}")?;
    writeln!(s, "model {}", p.model)?;
    writeln!(s, "data-list {}", p.data_list)?;
    writeln!(s, "data-content {}", p.data_content)?;
    writeln!(s, "preprocessing {}", p.preprocessing)?;
    writeln!(s, "activations {}", p.activations)?;
    write!(s, "samples {} of {}", c.done, p.samples)?;
    if c.skipped > 0 {
        write!(s, " skipped {}", c.skipped)?;
    }
    writeln!(s)?;
    if let Some(m) = &c.setting {
        write!(s, "method {} percentile {:?}", m.method, m.percentile)?;
        m.readers.map_or(Ok(()), |digest| write!(s, " readers {digest}"))?;
        writeln!(s)?;
    }
    Ok(())
}

fn tensor(s: &mut String, name: &str, e: &Entry) -> fmt::Result {
    writeln!(s, "tensor {}", quoted(name))?;
    for alias in &e.aliases {
        writeln!(s, "alias {}", quoted(alias))?;
    }
    writeln!(s, "channels {}", e.stats.channels())?;
    for (i, stats) in e.stats.parts.iter().enumerate() {
        part(s, i, stats)?;
    }
    for (method, c) in &e.candidates {
        write!(s, "range {method} {}", ends(c.range))?;
        c.error.map_or(Ok(()), |error| write!(s, " error {error:?}"))?;
        writeln!(s)?;
    }
    if let Some(c) = &e.chosen {
        let (q, scale) = (c.params, c.params.scale.get());
        write!(s, "chosen {} {} {}", c.method, ends(c.range), q.dtype)?;
        write!(s, " scale {scale:?} zero-point {}", q.zero_point)?;
        c.imported.map_or(Ok(()), |bits| write!(s, " imported {bits:08x}"))?;
        writeln!(s)?;
    }
    Ok(())
}

/// A part that has seen nothing is left out.
fn part(s: &mut String, number: usize, p: &Stats) -> fmt::Result {
    if p.count == 0 && p.non_finite == 0 {
        return Ok(());
    }
    write!(s, "part {number} count {} zeros {} non-finite {}", p.count, p.zeros, p.non_finite)?;
    writeln!(s, " min {:?} max {:?}", p.min, p.max)?;
    if let Some(sample) = &p.amax_sample {
        writeln!(s, "largest {}", quoted(sample))?;
    }
    for line in p.channel_amax.chunks(CHANNELS_A_LINE) {
        let words: Vec<String> = line.iter().map(|x| format!("{x:?}")).collect();
        writeln!(s, "amax {}", words.join(" "))?;
    }
    if p.means.places > 0 {
        writeln!(s, "places {}", p.means.places)?;
    }
    for line in p.means.sums.chunks(CHANNELS_A_LINE) {
        let words: Vec<String> = line.iter().map(|x| x.to_string()).collect();
        writeln!(s, "sums {}", words.join(" "))?;
    }
    histogram(s, "positive", &p.positive)?;
    histogram(s, "negative", &p.negative)
}

/// Counts in lines that begin with the number of their first bin; empty stretches are left out.
fn histogram(s: &mut String, side: &str, h: &Histogram) -> fmt::Result {
    if h.is_empty() {
        return Ok(());
    }
    writeln!(s, "{side} {}", h.exp())?;
    for from in (0..BINS).step_by(BINS_A_LINE) {
        let bins = &h.bins()[from..from + BINS_A_LINE];
        if let Some(last) = bins.iter().rposition(|&n| n > 0) {
            write!(s, "{from}")?;
            bins[..=last].iter().for_each(|&n| count(s, n));
            s.push('\n');
        }
    }
    Ok(())
}

/// A blank and a number: what a cache mostly consists of, and too much for the general way of formatting.
fn count(s: &mut String, mut n: u64) {
    const LONGEST: usize = 20;
    let (mut digits, mut at) = ([b' '; LONGEST + 1], LONGEST);
    loop {
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        at -= 1;
        if n == 0 {
            break;
        }
    }
    s.extend(digits[at..].iter().map(|&d| char::from(d)));
}

fn ends(r: Range) -> String {
    format!("{:?} {:?}", r.lo, r.hi)
}

/// A name in double quotes with JSON's escapes: tensor names may hold anything, line breaks too.
fn quoted(name: &str) -> impl Display {
    serde_json::Value::from(name)
}

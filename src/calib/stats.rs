//! What calibration knows of one tensor: counts, extremes, histograms of both signs.

use super::histogram::{BINS, Histogram};
use super::means::{self, Means, Sums};
use super::tally::{BLOCK, Extremes, Tally, Totals};
use crate::base::wide::{fetch, wide};
use std::borrow::Cow;
use std::sync::Arc;

/// Values in a line of the cache.
const LINE: usize = 16;

/// Statistics of one tensor over any number of samples, in fixed memory ([`Stats::bytes`], and one name).
///
/// The state depends only on which values were seen: order, batches, threads and merging leave no trace.
/// NaN and infinities are counted and otherwise ignored; -0 counts as 0.
#[derive(Clone, PartialEq, Debug)]
pub struct Stats {
    /// Finite values seen, zeros included.
    pub count: u64,
    /// Values equal to zero, which every scale represents exactly.
    pub zeros: u64,
    /// NaN and infinite values.
    pub non_finite: u64,
    /// Smallest finite value; +inf before the first.
    pub min: f32,
    /// Largest finite value; -inf before the first.
    pub max: f32,
    /// The values above 0.
    pub positive: Histogram,
    /// The magnitudes of the values below 0.
    pub negative: Histogram,
    /// Largest magnitude per channel; empty where channels are not told apart.
    pub channel_amax: Vec<f32>,
    /// Means of the channels over whole samples ([`Stats::update_from`]).
    pub means: Means,
    /// The sample with the largest magnitude, the first by name of several; where samples have names.
    pub amax_sample: Option<Arc<str>>,
}

impl Stats {
    /// Statistics that have seen nothing, of a tensor with that many channels. 1 does not tell channels apart.
    pub fn new(channels: usize) -> Self {
        Stats {
            count: 0,
            zeros: 0,
            non_finite: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            positive: Histogram::new(),
            negative: Histogram::new(),
            channel_amax: if channels > 1 { vec![0.0; channels] } else { Vec::new() },
            means: Means::default(),
            amax_sample: None,
        }
    }

    /// Number of channels told apart.
    pub fn channels(&self) -> usize {
        self.channel_amax.len().max(1)
    }

    /// Most bytes that the statistics of a tensor with that many channels take, however many values they see.
    pub fn bytes(channels: usize) -> usize {
        let per_channel = if channels > 1 { (4 + size_of::<i128>()) * channels } else { 0 };
        size_of::<Stats>() + 2 * BINS * size_of::<u64>() + per_channel
    }

    /// Takes in the values of whole samples. The channel of value `i` is `(i / inner) % channels`: `inner` is the
    /// number of values between two channels (`H*W` for NCHW, 1 where channels are last).
    pub fn update(&mut self, values: &[f32], inner: usize) {
        let mut tally = Tally::default();
        self.take_in(&mut tally, values, inner, false);
        tally.empty(&mut self.totals());
    }

    /// Likewise the values of one sample, which is remembered where it has the largest magnitude.
    pub fn update_from(&mut self, sample: &Arc<str>, values: &[f32], inner: usize) {
        self.update_all(std::iter::once((sample, values)), inner);
    }

    /// Likewise of several samples.
    pub fn update_all<'s>(&mut self, samples: impl Iterator<Item = (&'s Arc<str>, &'s [f32])>, inner: usize) {
        let mut tally = Tally::default();
        for (sample, values) in samples {
            let before = self.amax();
            let amax = self.take_in(&mut tally, values, inner, true);
            name_largest(&mut self.amax_sample, before, amax, Some(sample));
        }
        tally.empty(&mut self.totals());
    }

    /// Takes in values, and the means of their channels where these are whole samples; returns their largest finite
    /// magnitude. What is counted may still be in the tally.
    fn take_in(&mut self, tally: &mut Tally, values: &[f32], inner: usize, whole: bool) -> f32 {
        let mut means = std::mem::take(&mut self.means);
        let channels = if whole { self.channel_amax.len() } else { 0 };
        let mut sums = Sums::of(&mut means, channels, values.len());
        let amax = wide(
            #[inline(always)]
            || self.take_in_blocks(tally, values, inner.max(1), &mut sums),
        );
        drop(sums);
        self.means = means;
        amax
    }

    /// A block at a time: all that is found of it is found while it is in the nearest cache, and the next one comes.
    #[inline(always)] // to be compiled for wide registers; so what it calls
    fn take_in_blocks(&mut self, tally: &mut Tally, values: &[f32], inner: usize, sums: &mut Sums) -> f32 {
        let (mut amax, mut at) = (0.0f32, 0);
        while at < values.len() {
            let len = block_len(at, self.channels(), inner).min(values.len() - at);
            let (block, rest) = values[at..].split_at(len);
            rest.chunks(LINE).take(len / LINE).for_each(|line| fetch(line.as_ptr().cast()));
            let seen = Extremes::of(block);
            self.update_channels(block, at, inner, sums, &seen);
            amax = amax.max(if seen.finite() {
                self.absorb(tally, block, &seen)
            } else {
                let finite: Vec<f32> = block.iter().copied().filter(|x| x.is_finite()).collect();
                self.non_finite += (block.len() - finite.len()) as u64;
                self.absorb(tally, &finite, &Extremes::of(&finite))
            });
            at += len;
        }
        amax
    }

    /// Adds what `other` has seen.
    ///
    /// # Panics
    /// Where the numbers of channels differ: a mistake of the caller.
    pub fn merge(&mut self, other: &Stats) {
        assert_eq!(self.channels(), other.channels(), "statistics of tensors with other channels");
        let before = self.amax();
        name_largest(&mut self.amax_sample, before, other.amax(), other.amax_sample.as_ref());
        self.count += other.count;
        self.zeros += other.zeros;
        self.non_finite += other.non_finite;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
        self.means.merge(&other.means);
        for (a, &b) in self.channel_amax.iter_mut().zip(&other.channel_amax) {
            *a = a.max(b);
        }
    }

    /// Largest magnitude seen; 0 before the first value.
    pub fn amax(&self) -> f32 {
        self.max.max(-self.min).max(0.0)
    }

    /// The histogram of |x|, zeros left out: both signs on the wider range of the two.
    pub fn abs_histogram(&self) -> Histogram {
        let mut h = self.positive.clone();
        h.merge(&self.negative);
        h
    }

    /// |x|, as a calibration method sees it.
    pub fn magnitudes(&self) -> Magnitudes<'_> {
        let histogram = match (self.positive.is_empty(), self.negative.is_empty()) {
            (_, true) => Cow::Borrowed(&self.positive),
            (true, _) => Cow::Borrowed(&self.negative),
            _ => Cow::Owned(self.abs_histogram()),
        };
        Magnitudes::new(histogram, self.count, self.amax())
    }

    /// The values above 0 as a calibration method sees them, all others as zeros.
    pub fn positive_side(&self) -> Magnitudes<'_> {
        Magnitudes::new(Cow::Borrowed(&self.positive), self.count, self.max.max(0.0))
    }

    /// The magnitudes of the values below 0 as a calibration method sees them, all others as zeros.
    pub fn negative_side(&self) -> Magnitudes<'_> {
        Magnitudes::new(Cow::Borrowed(&self.negative), self.count, (-self.min).max(0.0))
    }

    fn totals(&mut self) -> Totals<'_> {
        Totals { sides: [&mut self.positive, &mut self.negative], zeros: &mut self.zeros }
    }

    /// Counts finite values; returns their largest magnitude.
    #[inline(always)]
    fn absorb(&mut self, tally: &mut Tally, block: &[f32], seen: &Extremes) -> f32 {
        if block.is_empty() {
            return 0.0;
        }
        let (min, max) = seen.range();
        self.count += block.len() as u64;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        if (min, max) == (0.0, 0.0) {
            self.zeros += block.len() as u64;
        } else {
            tally.count(&mut self.totals(), block, [max, -min]);
        }
        max.max(-min)
    }

    /// Extremes and sums of the channels of a block that begins at value `at`.
    #[inline(always)]
    fn update_channels(&mut self, block: &[f32], at: usize, inner: usize, sums: &mut Sums, seen: &Extremes) {
        let channels = self.channel_amax.len();
        if channels == 0 {
            return;
        }
        let first = at / inner % channels;
        let near = seen.finite() && means::is_near(seen.amax());
        if !(near || sums.is_empty()) {
            let channel = |i: usize| (at + i) / inner % channels;
            block.iter().enumerate().for_each(|(i, &x)| sums.add(channel(i), x));
        }
        if inner == 1 {
            let rows = Rows { block, channels: channels.min(block.len()) };
            let amax = &mut self.channel_amax[first..];
            if near {
                rows.amax(amax, magnitude);
                rows.add(sums.near(block.len() / rows.channels).get_mut(first..).unwrap_or_default());
            } else {
                rows.amax(amax, finite_magnitude);
            }
        } else {
            let old = &mut self.channel_amax[first];
            *old = f32::from_bits(block.iter().fold(old.to_bits(), |m, &x| finite_magnitude(x).max(m)));
            if near && !sums.is_empty() {
                sums.near(block.len())[first] += sum_of(block);
            }
        }
    }
}

/// `sample` has the magnitude `amax`, beside `before` of all others, of which `kept` has the largest. Of equals the first
/// by name is kept, so that order leaves no trace.
pub fn name_largest(kept: &mut Option<Arc<str>>, before: f32, amax: f32, sample: Option<&Arc<str>>) {
    if amax > before {
        *kept = sample.cloned();
    } else if amax == before && amax > 0.0 {
        *kept = kept.iter().chain(sample).min().cloned();
    }
}

/// How many values from `at` on make the next block: whole rows of channels, or what a block holds of one row or of one
/// channel.
fn block_len(at: usize, channels: usize, inner: usize) -> usize {
    match (channels, inner) {
        (1, _) => BLOCK,
        (_, 1) if channels <= BLOCK => BLOCK / channels * channels,
        (_, 1) => BLOCK.min(channels - at % channels),
        _ => BLOCK.min(inner - at % inner),
    }
}

/// A block of rows of channels, or a piece of one row.
struct Rows<'b> {
    block: &'b [f32],
    channels: usize,
}

/// Channels side by side, in registers over the rows of a block.
const SIDE_BY_SIDE: usize = 16;

impl Rows<'_> {
    /// Calls `each` with the place and state of `N` channels at a time, then with those that are left one by one.
    #[inline(always)]
    fn groups<T>(
        &self,
        state: &mut [T],
        wide: impl Fn(usize, &mut [T; SIDE_BY_SIDE]),
        one: impl Fn(usize, &mut [T; 1]),
    ) {
        let channels = self.channels.min(state.len());
        let (groups, rest) = state[..channels].as_chunks_mut();
        // plain loops: what an iterator calls may stay out of line, compiled for narrow registers
        for (i, state) in groups.iter_mut().enumerate() {
            wide(i * SIDE_BY_SIDE, state);
        }
        let (rest, _) = rest.as_chunks_mut();
        for (i, state) in rest.iter_mut().enumerate() {
            one(channels / SIDE_BY_SIDE * SIDE_BY_SIDE + i, state);
        }
    }

    /// The values of `N` channels from `first` on, row by row.
    #[inline(always)]
    fn of<const N: usize>(&self, first: usize) -> impl Iterator<Item = &[f32; N]> {
        self.block.chunks_exact(self.channels).filter_map(move |row| row[first..].first_chunk())
    }

    /// Takes in the largest magnitude of each channel, where `magnitude` gives its bits.
    #[inline(always)]
    fn amax(&self, amax: &mut [f32], magnitude: impl Fn(f32) -> u32) {
        self.groups(
            amax,
            #[inline(always)]
            |at, amax| self.amax_of(at, amax, &magnitude),
            #[inline(always)]
            |at, amax| self.amax_of(at, amax, &magnitude),
        );
    }

    #[inline(always)]
    fn amax_of<const N: usize>(&self, first: usize, amax: &mut [f32; N], magnitude: impl Fn(f32) -> u32) {
        let mut bits = amax.map(f32::to_bits);
        for values in self.of::<N>(first) {
            for (m, &x) in bits.iter_mut().zip(values) {
                *m = magnitude(x).max(*m);
            }
        }
        *amax = bits.map(f32::from_bits);
    }

    /// Adds the units of each channel's values, which are near; to no sums, where there are none.
    #[inline(always)]
    fn add(&self, sums: &mut [i64]) {
        self.groups(
            sums,
            #[inline(always)]
            |at, sums| self.add_to(at, sums),
            #[inline(always)]
            |at, sums| self.add_to(at, sums),
        );
    }

    #[inline(always)]
    fn add_to<const N: usize>(&self, first: usize, sums: &mut [i64; N]) {
        let mut here = [0i64; N];
        for values in self.of::<N>(first) {
            for (sum, &x) in here.iter_mut().zip(values) {
                *sum = sum.wrapping_add(means::rounded(x));
            }
        }
        let rows = self.block.len() / self.channels;
        sums.iter_mut().zip(here).for_each(|(sum, here)| *sum += means::units_of(here, rows));
    }
}

/// The bits of |x|, which are in the order of the magnitudes.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// The same; 0 for NaN and infinities.
#[inline(always)]
fn finite_magnitude(x: f32) -> u32 {
    let bits = magnitude(x);
    if bits < f32::INFINITY.to_bits() { bits } else { 0 }
}

/// The units of a block of near values.
#[inline(always)]
fn sum_of(block: &[f32]) -> i64 {
    let sum = block.iter().fold(0i64, |sum, &x| sum.wrapping_add(means::rounded(x)));
    means::units_of(sum, block.len())
}

/// Magnitudes of one tensor, or of one sign of it, as a calibration method sees them.
#[derive(Clone, Debug)]
pub struct Magnitudes<'a> {
    /// The magnitudes above 0.
    pub histogram: Cow<'a, Histogram>,
    /// How many of the magnitudes are above 0: what the histogram counts.
    pub non_zero: u64,
    /// How many magnitudes there are, zeros included.
    pub count: u64,
    /// The largest; 0 where there is none.
    pub max: f32,
}

impl<'a> Magnitudes<'a> {
    /// The magnitudes that `histogram` counts, `count` in all with the zeros, of which `max` is the largest.
    pub fn new(histogram: Cow<'a, Histogram>, count: u64, max: f32) -> Self {
        let non_zero = histogram.total();
        Magnitudes { histogram, non_zero, count, max }
    }

    /// The upper border of the first `bins` bins, but never above the largest magnitude: where methods put their
    /// threshold. Above 0 where there is a magnitude above 0.
    pub fn border(&self, bins: usize) -> f32 {
        let border = (bins as f64 * self.histogram.width()).min(f64::from(self.max));
        // f32 represents every border but those finer than its denormal numbers
        (border as f32).max(f32::from_bits(1)).min(self.max)
    }
}

#[cfg(test)]
mod tests;

//! What calibration knows of one tensor: counts, extremes, histograms of both signs.

use super::histogram::{BINS, Histogram, bin_factor, bin_of, exponent};
use super::means::Means;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Values handled between two looks at the maximum: small enough to stay in the first-level cache.
const BLOCK: usize = 2048;

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
        self.take_in(values, inner);
    }

    /// Likewise the values of one sample, which is remembered where it has the largest magnitude.
    pub fn update_from(&mut self, sample: &Arc<str>, values: &[f32], inner: usize) {
        let before = self.amax();
        let amax = self.take_in(values, inner);
        if self.channels() > 1 {
            self.means.add(values, self.channels(), inner);
        }
        self.name_largest(before, amax, Some(sample));
    }

    /// Takes in values; returns their largest finite magnitude.
    fn take_in(&mut self, values: &[f32], inner: usize) -> f32 {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has the instructions.
            return unsafe { self.take_in_avx2(values, inner) };
        }
        self.take_in_by_any(values, inner)
    }

    /// The same code, compiled for registers of eight values: without fused or reordered sums it finds the same.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn take_in_avx2(&mut self, values: &[f32], inner: usize) -> f32 {
        self.take_in_by_any(values, inner)
    }

    #[inline(always)] // into each of its callers, to be compiled for their instructions; so what it calls
    fn take_in_by_any(&mut self, values: &[f32], inner: usize) -> f32 {
        self.update_channels(values, inner.max(1));
        let mut amax = 0.0f32;
        for block in values.chunks(BLOCK) {
            let seen = Extremes::of(block);
            amax = amax.max(if seen.finite() {
                self.absorb(block, &seen)
            } else {
                let finite: Vec<f32> = block.iter().copied().filter(|x| x.is_finite()).collect();
                self.non_finite += (block.len() - finite.len()) as u64;
                self.absorb(&finite, &Extremes::of(&finite))
            });
        }
        amax
    }

    /// Adds what `other` has seen.
    ///
    /// # Panics
    /// Where the numbers of channels differ: a mistake of the caller.
    pub fn merge(&mut self, other: &Stats) {
        assert_eq!(self.channels(), other.channels(), "statistics of tensors with other channels");
        self.name_largest(self.amax(), other.amax(), other.amax_sample.as_ref());
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

    /// `sample` has the magnitude `amax`, beside `before` of all others. Of equals the first by name is kept, so that
    /// order leaves no trace.
    fn name_largest(&mut self, before: f32, amax: f32, sample: Option<&Arc<str>>) {
        if amax > before {
            self.amax_sample = sample.cloned();
        } else if amax == before && amax > 0.0 {
            self.amax_sample = self.amax_sample.iter().chain(sample).min().cloned();
        }
    }

    /// Counts finite values; returns their largest magnitude.
    #[inline(always)]
    fn absorb(&mut self, block: &[f32], seen: &Extremes) -> f32 {
        if block.is_empty() {
            return 0.0;
        }
        let zeros = block.iter().filter(|&&x| x == 0.0).count() as u64;
        let (min, max) = seen.range();
        self.count += block.len() as u64;
        self.zeros += zeros;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        match (max > 0.0, min < 0.0) {
            (false, false) => {}
            (true, false) => count_one_side(&mut self.positive, block, max, zeros),
            (false, true) => count_one_side(&mut self.negative, block, -min, zeros),
            (true, true) => {
                count_both_sides(&mut self.positive, &mut self.negative, block, min..max, zeros);
            }
        }
        max.max(-min)
    }

    #[inline(always)]
    fn update_channels(&mut self, values: &[f32], inner: usize) {
        let channels = self.channel_amax.len();
        if channels == 0 {
            return;
        }
        if inner == 1 {
            for row in values.chunks(channels) {
                for (m, x) in self.channel_amax.iter_mut().zip(row) {
                    *m = f32::from_bits(m.to_bits().max(finite_magnitude(*x)));
                }
            }
        } else {
            for (run, c) in values.chunks(inner).zip((0..channels).cycle()) {
                let m = run.iter().fold(0, |m, &x| finite_magnitude(x).max(m));
                let old = &mut self.channel_amax[c];
                *old = f32::from_bits(old.to_bits().max(m));
            }
        }
    }
}

/// The bits of |x|, which are in the order of the magnitudes; 0 for NaN and infinities.
fn finite_magnitude(x: f32) -> u32 {
    let bits = x.to_bits() & 0x7fff_ffff;
    if bits < f32::INFINITY.to_bits() { bits } else { 0 }
}

/// The extremes of a block, as integers in the order of the floats: a loop over them becomes vector code, which one
/// over `f32::max` does not.
struct Extremes {
    min: i32,
    max: i32,
}

impl Extremes {
    #[inline(always)]
    fn of(block: &[f32]) -> Self {
        block.iter().fold(Extremes { min: i32::MAX, max: i32::MIN }, |m, x| {
            let key = ordered(x.to_bits() as i32);
            Extremes { min: m.min.min(key), max: m.max.max(key) }
        })
    }

    /// NaN and infinities lie outside, on either end.
    fn finite(&self) -> bool {
        let infinity = f32::INFINITY.to_bits() as i32;
        self.max < infinity && self.min > ordered(f32::NEG_INFINITY.to_bits() as i32)
    }

    /// Smallest and largest value, -0 as 0.
    fn range(&self) -> (f32, f32) {
        let value = |key: i32| f32::from_bits(ordered(key) as u32) + 0.0;
        (value(self.min), value(self.max))
    }
}

/// Float bits to integers in the same order, and back.
fn ordered(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

/// The integer part of a place among the bins. `as` would look for NaN and values out of range, one by one.
#[inline(always)]
fn truncated(place: f32) -> i32 {
    debug_assert!((0.0..=BINS as f32).contains(&place));
    // SAFETY: the values of a block are finite, and none is beyond the range that the factor scales to the bins.
    unsafe { place.to_int_unchecked() }
}

/// Counts a block whose values, zeros apart, are all of one sign and at most `amax` in magnitude.
#[inline(always)]
fn count_one_side(h: &mut Histogram, block: &[f32], amax: f32, zeros: u64) {
    let exp = exponent(amax).max(h.exp());
    let cells = h.cells(exp);
    match bin_factor(exp) {
        Some(k) => {
            let mut bins = [0u16; BLOCK];
            for (bin, &x) in bins.iter_mut().zip(block) {
                *bin = truncated(x.abs() * k) as u16;
            }
            // a bin is below BINS; the mask tells the compiler so
            bins[..block.len()].iter().for_each(|&bin| cells[usize::from(bin) % BINS] += 1);
        }
        None => block.iter().for_each(|x| cells[bin_of(x.abs(), exp) % BINS] += 1),
    }
    cells[0] -= zeros;
}

/// Counts a block with values of both signs, within `range`.
#[inline(always)]
fn count_both_sides(
    positive: &mut Histogram,
    negative: &mut Histogram,
    block: &[f32],
    range: Range<f32>,
    zeros: u64,
) {
    let exp_p = exponent(range.end).max(positive.exp());
    let exp_n = exponent(-range.start).max(negative.exp());
    let sides = [positive.cells(exp_p), negative.cells(exp_n)];
    match (bin_factor(exp_p), bin_factor(exp_n)) {
        (Some(p), Some(n)) => {
            let mut bins = [0u16; BLOCK];
            for (bin, &x) in bins.iter_mut().zip(block) {
                let (k, side) = if x < 0.0 { (-n, BINS as i32) } else { (p, 0) };
                *bin = (truncated(x * k) + side) as u16;
            }
            for &bin in &bins[..block.len()] {
                let bin = usize::from(bin);
                sides[(bin / BINS) % 2][bin % BINS] += 1;
            }
        }
        _ => block.iter().for_each(|&x| match x < 0.0 {
            true => sides[1][bin_of(-x, exp_n) % BINS] += 1,
            false => sides[0][bin_of(x, exp_p) % BINS] += 1,
        }),
    }
    sides[0][0] -= zeros; // of either sign: -0 is not below 0
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

//! Counting values into histograms, a block at a time.

use super::histogram::{BINS, Histogram, bin_factor, exponent};
use std::cell::Cell;

/// Most values of a block: it and its bins stay in the first-level cache.
pub(super) const BLOCK: usize = 2048;

/// Neighbours count side by side: a counter that is written is not read again at once, which would wait.
const WAYS: usize = 2;

/// Zeros, of which there may be many in a row, count in turns in as many bins of their own.
const ZEROS: usize = 8;

/// So many blocks fit the counters.
const BLOCKS: usize = u32::MAX as usize / BLOCK;

/// The extremes of a block, found in the bits of its values: loops over integers become vector code, which one over
/// `f32::max` does not.
pub(super) struct Extremes {
    /// The largest bits as a signed integer: those of the largest value, where one is positive or +0.
    signed: i32,
    /// The largest bits: those of the smallest value, where one is negative or -0.
    largest: u32,
    /// The smallest bits: those of the value nearest to 0, of positive ones where there are any.
    smallest: u32,
}

impl Extremes {
    #[inline(always)]
    pub fn of(block: &[f32]) -> Self {
        let nothing = Extremes { signed: i32::MIN, largest: 0, smallest: u32::MAX };
        block.iter().map(|x| x.to_bits()).fold(nothing, |m, bits| Extremes {
            signed: m.signed.max(bits as i32),
            largest: m.largest.max(bits),
            smallest: m.smallest.min(bits),
        })
    }

    /// The bits of infinity and of NaN are beyond those of numbers, for each sign.
    pub fn finite(&self) -> bool {
        self.signed < f32::INFINITY.to_bits() as i32 && self.largest < f32::NEG_INFINITY.to_bits()
    }

    /// Smallest and largest value, -0 as 0.
    pub fn range(&self) -> (f32, f32) {
        let max = if self.signed >= 0 { self.signed as u32 } else { self.smallest };
        let min = if self.largest >= (-0f32).to_bits() { self.largest } else { self.smallest };
        (f32::from_bits(min) + 0.0, f32::from_bits(max) + 0.0)
    }

    /// The largest magnitude.
    pub fn amax(&self) -> f32 {
        let (min, max) = self.range();
        max.max(-min)
    }
}

/// Places for counters: a power of two, so that a remainder is cheap.
const PLACES: usize = 4 * BINS;

/// Counters of both signs and of zeros. They and the places among them have 32 bits: some CPUs take twice as long to store
/// fewer.
type Counters = [[u32; WAYS]; PLACES];

thread_local! {
    /// Counters that nobody uses, all 0: every sample needs some, and allocates none.
    static SPARE: Cell<Option<Box<Counters>>> = const { Cell::new(None) };
}

/// Counts that are on their way into the histograms of both signs, over the ranges of those or over larger ones.
#[derive(Default)]
pub(super) struct Tally {
    /// The ranges that are counted over, of the signs that occurred.
    exps: [Option<i32>; 2],
    counters: Option<Box<Counters>>,
    /// Blocks counted here.
    blocks: usize,
}

impl Tally {
    /// Counts finite values, of which `amax` are the largest magnitudes above 0 and below.
    #[inline(always)]
    pub fn count(&mut self, to: &mut Totals, block: &[f32], amax: [f32; 2]) {
        let exp = |side: usize| {
            let known = self.exps[side].unwrap_or(to.sides[side].exp());
            if amax[side] > 0.0 { Some(exponent(amax[side]).max(known)) } else { self.exps[side] }
        };
        let exps = [exp(0), exp(1)];
        // a sign that does not occur has nothing to be scaled
        let [Some(p), Some(n)] = exps.map(|e| e.map_or(Some(0.0), bin_factor)) else {
            return self.count_one_by_one(to, block);
        };
        if exps != self.exps || self.blocks == BLOCKS {
            self.empty(to);
            self.exps = exps;
        }
        let mut bins = [0u32; BLOCK];
        find_bins(&mut bins, block, p, n);
        let counters = self
            .counters
            .get_or_insert_with(|| SPARE.take().unwrap_or_else(|| Box::new([[0; WAYS]; PLACES])));
        add_one_each(counters, &bins[..block.len()]);
        self.blocks += 1;
    }

    /// Counts values whose range is too small for a factor in f32.
    fn count_one_by_one(&mut self, to: &mut Totals, block: &[f32]) {
        self.empty(to);
        self.exps = [None; 2]; // the histograms say which, from here on
        let [positive, negative] = &mut to.sides;
        for &x in block {
            positive.add(x, 1);
            negative.add(-x, 1);
            *to.zeros += u64::from(x == 0.0);
        }
    }

    /// Adds what is counted here to the histograms.
    #[inline(always)]
    pub fn empty(&mut self, to: &mut Totals) {
        let Some(counters) = self.counters.as_deref_mut().filter(|_| self.blocks > 0) else { return };
        let (sides, zeros) = counters[..2 * BINS + ZEROS].split_at_mut(2 * BINS);
        for ((side, counters), exp) in to.sides.iter_mut().zip(sides.chunks_exact_mut(BINS)).zip(self.exps) {
            let Some(exp) = exp else { continue };
            for (cell, ways) in side.cells(exp).iter_mut().zip(&*counters) {
                *cell += sum(ways);
            }
            counters.fill([0; WAYS]);
        }
        *to.zeros += zeros.iter().map(sum).sum::<u64>();
        zeros.fill([0; WAYS]);
        self.blocks = 0;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // what was not emptied is lost, not counted by the next
        if let Some(counters) = self.counters.take().filter(|_| self.blocks == 0) {
            SPARE.set(Some(counters));
        }
    }
}

/// What a tally is emptied into.
pub(super) struct Totals<'s> {
    pub sides: [&'s mut Histogram; 2],
    pub zeros: &'s mut u64,
}

/// The place of each value's counter, where `p` scales values above 0 to the bins and `n` the magnitudes of those below.
#[inline(always)]
fn find_bins(bins: &mut [u32; BLOCK], block: &[f32], p: f32, n: f32) {
    for (i, (bin, &x)) in (0u32..).zip(bins.iter_mut().zip(block)) {
        let (factor, side) = if x < 0.0 { (-n, BINS as i32) } else { (p, 0) };
        let zero = if x == 0.0 { (2 * BINS) as i32 + (i % ZEROS as u32) as i32 } else { 0 };
        *bin = (truncated(x * factor) + side + zero) as u32;
    }
}

/// Counts one more in each of these bins.
#[inline(always)]
fn add_one_each(counters: &mut Counters, bins: &[u32]) {
    let (rows, rest) = bins.as_chunks::<8>();
    for bins in rows {
        for (i, &bin) in bins.iter().enumerate() {
            // a place is below the limit; the remainder tells the compiler so
            counters[bin as usize % PLACES][i % WAYS] += 1;
        }
    }
    rest.iter().for_each(|&bin| counters[bin as usize % PLACES][0] += 1);
}

#[inline(always)]
fn sum(ways: &[u32; WAYS]) -> u64 {
    ways.iter().map(|&n| u64::from(n)).sum()
}

/// The integer part of a place among the bins. `as` would look for NaN and values out of range, one by one.
#[inline(always)]
fn truncated(place: f32) -> i32 {
    debug_assert!((0.0..=BINS as f32).contains(&place));
    // SAFETY: the values of a block are finite, and none is beyond the range that the factor scales to the bins.
    unsafe { place.to_int_unchecked() }
}

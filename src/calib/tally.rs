//! Counting values into histograms, a block at a time.

use super::histogram::{BINS, Histogram, bin_factor, exponent};
use std::cell::Cell;

/// Most values of a block: it and its bins stay in the first-level cache.
pub(super) const BLOCK: usize = 2048;

/// Neighbours count in different tables: a counter that is written is not read again at once, which would wait.
const WAYS: usize = 4;

/// So many blocks fit the counters.
const BLOCKS: usize = u16::MAX as usize / (BLOCK / WAYS);

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

/// Counters of both signs, for each way.
type Ways = [[u16; 2 * BINS]; WAYS];

thread_local! {
    /// Counters that nobody uses, all 0: every sample needs some, and allocates none.
    static SPARE: Cell<Option<Box<Ways>>> = const { Cell::new(None) };
}

/// Counts that are on their way into the histograms of both signs, over the ranges of those or over larger ones.
#[derive(Default)]
pub(super) struct Tally {
    /// The ranges that are counted over, of the signs that occurred.
    exps: [Option<i32>; 2],
    /// For each way the bins of both signs.
    ways: Option<Box<Ways>>,
    /// Blocks counted here.
    blocks: usize,
    /// Zeros counted here: in bin 0 of the positive sign, where none belongs.
    zeros: u64,
}

impl Tally {
    /// Counts finite values of which `zeros` are 0, not all; `amax` are their largest magnitudes above 0 and below.
    #[inline(always)]
    pub fn count(&mut self, sides: [&mut Histogram; 2], block: &[f32], amax: [f32; 2], zeros: u64) {
        let exp = |side: usize| {
            let known = self.exps[side].unwrap_or(sides[side].exp());
            if amax[side] > 0.0 { Some(exponent(amax[side]).max(known)) } else { self.exps[side] }
        };
        let exps = [exp(0), exp(1)];
        // a sign that does not occur has nothing to be scaled
        let [Some(p), Some(n)] = exps.map(|e| e.map_or(Some(0.0), bin_factor)) else {
            return self.count_one_by_one(sides, block);
        };
        if exps != self.exps || self.blocks == BLOCKS {
            self.empty(sides);
            self.exps = exps;
        }
        let mut bins = [0u16; BLOCK];
        for (bin, &x) in bins.iter_mut().zip(block) {
            let (factor, side) = if x < 0.0 { (-n, BINS as i32) } else { (p, 0) };
            *bin = (truncated(x * factor) + side) as u16;
        }
        let ways =
            self.ways.get_or_insert_with(|| SPARE.take().unwrap_or_else(|| Box::new([[0; 2 * BINS]; WAYS])));
        for bins in bins[..block.len()].chunks(WAYS) {
            // a bin is below the limit; the remainder tells the compiler so
            ways.iter_mut().zip(bins).for_each(|(way, &bin)| way[usize::from(bin) % (2 * BINS)] += 1);
        }
        self.blocks += 1;
        self.zeros += zeros;
    }

    /// Counts values whose range is too small for a factor in f32.
    fn count_one_by_one(&mut self, [positive, negative]: [&mut Histogram; 2], block: &[f32]) {
        self.empty([positive, negative]);
        self.exps = [None; 2]; // the histograms say which, from here on
        for &x in block {
            positive.add(x, 1);
            negative.add(-x, 1);
        }
    }

    /// Adds what is counted here to the histograms.
    #[inline(always)]
    pub fn empty(&mut self, [positive, negative]: [&mut Histogram; 2]) {
        if let Some(ways) = self.ways.as_deref_mut().filter(|_| self.blocks > 0) {
            if let Some(exp) = self.exps[0] {
                let cells = positive.cells(exp);
                add(cells, ways, 0);
                cells[0] -= self.zeros;
            }
            if let Some(exp) = self.exps[1] {
                add(negative.cells(exp), ways, BINS);
            }
            ways.iter_mut().for_each(|way| way.fill(0));
        }
        (self.blocks, self.zeros) = (0, 0);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // what was not emptied is lost, not counted by the next
        if let Some(ways) = self.ways.take().filter(|_| self.blocks == 0) {
            SPARE.set(Some(ways));
        }
    }
}

/// Adds the counters from `first` on to the bins of one sign.
#[inline(always)]
fn add(cells: &mut [u64; BINS], ways: &Ways, first: usize) {
    for (i, cell) in cells.iter_mut().enumerate() {
        *cell += ways.iter().map(|way| u64::from(way[first + i])).sum::<u64>();
    }
}

/// The integer part of a place among the bins. `as` would look for NaN and values out of range, one by one.
#[inline(always)]
fn truncated(place: f32) -> i32 {
    debug_assert!((0.0..=BINS as f32).contains(&place));
    // SAFETY: the values of a block are finite, and none is beyond the range that the factor scales to the bins.
    unsafe { place.to_int_unchecked() }
}

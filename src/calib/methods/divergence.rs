//! The Kullback-Leibler divergence between a clipped histogram and its quantized form, for every threshold.
//!
//! For a threshold after bin `i`, P is the histogram's first `i` bins with all that lies beyond added to the last of
//! them, and Q what is left of those bins when they are merged into `levels` levels (bin `j` into level
//! `floor(j*levels/i)`) and each level is spread evenly over its non-empty bins (S. Migacz, "8-bit inference with
//! TensorRT", GTC 2017). Q is constant within a level, so with running sums of the histogram the divergence costs one
//! logarithm per level, not one per bin. Logarithms in f32 with a known bound of their error tell which thresholds may be
//! the best; only those are looked at closely, so the result is that of looking at all.

use super::super::histogram::BINS;
use super::{Levels, Magnitudes};
use crate::base::wide;
use rayon::prelude::*;

/// What an empty bin of Q counts as where P is not empty.
pub enum EmptyBins {
    /// Nothing: the divergence is infinite.
    Nothing,
    /// Half a value: finite, and small against any bin that holds something.
    Half,
}

/// The first candidate: thresholds below 1/32 of the range are not tried.
const FIRST: usize = 128;

/// Two divergences nearer than this are equal: rounding decides between them.
const TIE: f64 = 1e-12;

/// More than logarithms in f32 can change a divergence by: those of at most 2^53 values are below 64, so that each of the
/// few roundings on their way changes them by less than 2^-18, and they are averaged.
const ROUGHLY: f64 = 2e-5;

/// Most levels there are.
const LEVELS: usize = 256;

/// The fewest candidates that are worth a thread.
const PER_THREAD: usize = 256;

/// Sums side by side.
const LANES: usize = 8;

/// Running sums of a histogram. Counts are f64, which hold them exactly up to 2^53.
pub struct Divergence {
    /// For each `i`, of the first `i` bins: how many values they hold, and how many of them hold any.
    sums: Vec<[f64; 2]>,
    /// `n_ln_n[i]`: sum of `n ln n` over the first `i` bins.
    n_ln_n: Vec<f64>,
    /// Number of bins up to the last non-empty one.
    used: usize,
}

impl Divergence {
    /// Of non-zero magnitudes, of which there must be one. Zeros are left out: every scale represents them exactly,
    /// and after a ReLU their peak would drown the rest.
    pub fn of(m: &Magnitudes) -> Self {
        let used = m.histogram.last().map_or(1, |last| last + 1);
        let (mut sums, mut n_ln_n) = (vec![[0.0; 2]], vec![0.0]);
        for (i, &n) in m.histogram.bins()[..used.min(BINS)].iter().enumerate() {
            let [count, occupied] = sums[i];
            sums.push([count + n as f64, occupied + if n > 0 { 1.0 } else { 0.0 }]);
            n_ln_n.push(n_ln_n[i] + x_ln_x(n as f64));
        }
        Divergence { sums, n_ln_n, used }
    }

    /// How many values there are.
    fn total(&self) -> f64 {
        self.sums[self.used][0]
    }

    /// How many values a threshold after bin `i` clips.
    fn tail(&self, i: usize) -> f64 {
        self.total() - self.sums[i][0]
    }

    /// KL(P || Q) for a threshold after `i` bins, both normalized.
    fn at(&self, i: usize, levels: Levels, empty: &EmptyBins) -> f64 {
        let in_levels = wide(
            #[inline(always)]
            || self.in_levels(i, levels),
        );
        self.of_levels(i, in_levels, empty)
    }

    /// The same to within [`ROUGHLY`].
    fn near(&self, i: usize, levels: Levels, empty: &EmptyBins) -> f64 {
        let in_levels = wide(
            #[inline(always)]
            || self.roughly_in_levels(i, levels),
        );
        self.of_levels(i, in_levels, empty)
    }

    /// The divergence for a threshold after `i` bins, of which the sum of `p ln q` and the last `q` are known.
    fn of_levels(&self, i: usize, (mut p_ln_q, mut last_q): (f64, f64), empty: &EmptyBins) -> f64 {
        let (total, tail) = (self.total(), self.tail(i));
        let last = self.sums[i][0] - self.sums[i - 1][0];
        let mut sum_q = self.sums[i][0];
        if tail > 0.0 {
            if last == 0.0 {
                match empty {
                    EmptyBins::Nothing => return f64::INFINITY,
                    EmptyBins::Half => last_q = 0.5,
                }
                sum_q += last_q;
            }
            p_ln_q += tail * ln(last_q);
        }
        let p_ln_p = self.n_ln_n[i - 1] + x_ln_x(last + tail);
        (p_ln_p - p_ln_q) / total - ln(total) + ln(sum_q)
    }

    /// The first `i` bins in levels: the sum of `p ln q` over them, and the last `q`.
    #[inline(always)]
    fn in_levels(&self, i: usize, levels: Levels) -> (f64, f64) {
        let (codes, bits) = (levels.codes(), levels.codes().ilog2());
        let (mut inside, mut occupied) = ([0.0; LEVELS], [0.0; LEVELS]);
        let mut from = [0.0; 2];
        for (level, (inside, occupied)) in inside[..codes].iter_mut().zip(&mut occupied).enumerate() {
            let to = self.sums[((level + 1) * i + codes - 1) >> bits];
            (*inside, *occupied) = (to[0] - from[0], to[1] - from[1]);
            from = to;
        }
        let last = inside[..codes].iter().rposition(|&n| n > 0.0);
        let last_q = last.map_or(0.0, |level| inside[level] / occupied[level]);
        let mut sums = [0.0; LANES];
        for (inside, occupied) in
            inside[..codes].chunks_exact(LANES).zip(occupied[..codes].chunks_exact(LANES))
        {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // an empty level adds nothing
                *sum += inside[lane] * ln(inside[lane].max(1.0) / occupied[lane].max(1.0));
            }
        }
        (sums.iter().sum(), last_q)
    }

    /// The same with logarithms in f32, of counts in units of their mean over all bins.
    #[inline(always)]
    fn roughly_in_levels(&self, i: usize, levels: Levels) -> (f64, f64) {
        let (codes, bits) = (levels.codes(), levels.codes().ilog2());
        let border = |level: usize| self.sums[(level * i + codes - 1) >> bits];
        let (mut inside, mut occupied) = ([0f32; LEVELS], [1f32; LEVELS]);
        let mut from = [0.0; 2];
        for (level, (inside, occupied)) in inside[..codes].iter_mut().zip(&mut occupied).enumerate() {
            let to = border(level + 1);
            (*inside, *occupied) = ((to[0] - from[0]) as f32, (to[1] - from[1]) as f32);
            from = to;
        }
        let mean = self.total() / self.used as f64;
        let scale = (1.0 / mean) as f32;
        let mut terms = [0f32; LEVELS];
        for ((term, &inside), &occupied) in terms.iter_mut().zip(&inside).zip(&occupied) {
            *term = inside * rough_ln(inside * scale / occupied.max(1.0));
        }
        let mut sums = [0.0; LANES];
        for terms in terms.as_chunks::<LANES>().0 {
            sums.iter_mut().zip(terms).for_each(|(sum, &term)| *sum += f64::from(term));
        }
        let last = inside.iter().rposition(|&n| n > 0.0);
        let last_q = last.map_or(0.0, |level| {
            let (from, to) = (border(level), border(level + 1));
            (to[0] - from[0]) / (to[1] - from[1])
        });
        (sums.iter().sum::<f64>() + self.sums[i][0] * ln(mean), last_q)
    }

    /// The number of bins, at least 128, after which the divergence is the smallest among those that clip at most
    /// `max_clipped` of the values. The largest of equals.
    pub fn best(&self, levels: Levels, empty: EmptyBins, max_clipped: f64) -> (usize, f64) {
        let limit = max_clipped * self.total();
        let least_of = |all: &[(usize, f64)]| all.iter().map(|c| c.1).fold(f64::INFINITY, f64::min);
        let rough: Vec<(usize, f64)> = (FIRST..self.used + 1)
            .into_par_iter()
            .with_min_len(PER_THREAD)
            .filter(|&i| self.tail(i) <= limit)
            .map(|i| (i, self.near(i, levels, &empty)))
            .collect();
        let bound = least_of(&rough) + 2.0 * ROUGHLY + TIE;
        let close = rough.into_iter().filter(|c| c.1 <= bound);
        let all: Vec<(usize, f64)> = close.map(|(i, _)| (i, self.at(i, levels, &empty))).collect();
        let least = least_of(&all);
        all.into_iter().rfind(|c| c.1 <= least + TIE).unwrap_or((self.used, least))
    }
}

fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * ln(x) } else { 0.0 }
}

/// The natural logarithm of a normal positive number, to an ulp: the same bits everywhere, and without a branch, so that
/// a loop over it becomes vector code. The polynomial is that of FreeBSD's `e_log.c`.
#[inline(always)]
fn ln(x: f64) -> f64 {
    const LN2_HI: f64 = 6.931_471_803_691_238e-1;
    const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
    const C: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    // x = 2^k m with m from sqrt(1/2) on: the bits above those of sqrt(1/2) count the powers
    const ROOT: u64 = 0x3fe6_a09e_0000_0000;
    let above = x.to_bits().wrapping_sub(ROOT);
    // 2^52 + 2^11 + k, as its lowest bits are made
    let k = f64::from_bits(0x4330_0000_0000_0000 | ((above >> 52) ^ 0x800)) - 4_503_599_627_372_544.0;
    let m = f64::from_bits((above & 0x000f_ffff_ffff_ffff) + ROOT);
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let half = 0.5 * f * f;
    let r = C.iter().rev().fold(0.0, |r, c| (r + c) * z);
    s * (half + r) + k * LN2_LO - half + f + k * LN2_HI
}

/// The natural logarithm of a positive normal f32, to within some 1e-7 and its own rounding; something finite for 0. The
/// polynomial is that of Cephes' `logf`.
#[inline(always)]
fn rough_ln(x: f32) -> f32 {
    const C: [f32; 9] = [
        0.333_333_3,
        -0.249_999_94,
        0.200_007_15,
        -0.166_680_58,
        0.142_493_22,
        -0.124_201_41,
        0.116_769_99,
        -0.115_146_1,
        0.070_376_836,
    ];
    const ROOT: i32 = 0x3f35_04f3;
    let k = (x.to_bits() as i32 - ROOT) >> 23;
    let m = f32::from_bits((x.to_bits() as i32 - (k << 23)) as u32);
    let f = m - 1.0;
    // the powers by parts: a chain of nine products would have to be waited for
    let (f2, f4) = (f * f, f * f * (f * f));
    let pair = |i: usize| C[i] + C[i + 1] * f;
    let p = pair(0) + pair(2) * f2 + (pair(4) + pair(6) * f2 + C[8] * f4) * f4;
    f * f2 * p - 0.5 * f2 + f + k as f32 * std::f32::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::SplitMix64;
    use crate::calib::histogram::Histogram;
    use std::borrow::Cow;

    /// Histograms of every size of count, with gaps: what is rough is as near as it must be.
    #[test]
    fn what_is_rough_is_near() {
        let mut random = SplitMix64::new(3);
        for size in [1usize, 30, 1000, 1 << 20, 1 << 40] {
            let mut h = Histogram::new();
            h.add(1.0, 1 + random.below(size) as u64);
            let cells = h.cells(1);
            for (i, n) in cells.iter_mut().enumerate() {
                let steep = (size as f64 * (-(i as f64) / 300.0).exp()) as usize;
                *n += if random.below(3) == 0 { 0 } else { random.below(steep + 2) as u64 };
            }
            let d = Divergence::of(&Magnitudes::new(Cow::Owned(h), 1 << 50, 1.9));
            for levels in [Levels::S8, Levels::U8] {
                for i in (FIRST..=d.used).step_by(7) {
                    let (near, at) = (d.near(i, levels, &EmptyBins::Half), d.at(i, levels, &EmptyBins::Half));
                    assert!((near - at).abs() < ROUGHLY / 4.0, "{size}: {near} for {at}");
                }
            }
        }
    }

    #[test]
    fn logarithms_are_those_of_the_library() {
        let near = |x: f64| {
            let (ours, exact) = (ln(x), x.ln());
            assert!((ours - exact).abs() <= 2.3e-16 * exact.abs().max(1e-300), "{x}: {ours} {exact}");
        };
        (1..5000).for_each(|i| near(f64::from(i)));
        (1..5000).for_each(|i| near(f64::from(i) / 37.0));
        (-200..200).for_each(|i| near(1.0 + f64::from(i) * 1e-9));
        (-1000..1000).for_each(|e| near(1.37 * 2f64.powi(e)));
    }
}

//! The Kullback-Leibler divergence between a clipped histogram and its quantized form, for every threshold.
//!
//! For a threshold after bin `i`, P is the histogram's first `i` bins with all that lies beyond added to the last of
//! them, and Q what is left of those bins when they are merged into `levels` levels (bin `j` into level
//! `floor(j*levels/i)`) and each level is spread evenly over its non-empty bins (S. Migacz, "8-bit inference with
//! TensorRT", GTC 2017). Q is constant within a level, so with running sums of the histogram the divergence costs one
//! logarithm per level, not one per bin.

use super::super::histogram::BINS;
use super::Magnitudes;

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

/// Running sums of a histogram.
pub struct Divergence {
    /// `counts[i]`: values in the first `i` bins.
    counts: Vec<u64>,
    /// `occupied[i]`: non-empty ones of the first `i` bins.
    occupied: Vec<u32>,
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
        let (mut counts, mut occupied, mut n_ln_n) = (vec![0], vec![0], vec![0.0]);
        for i in 0..used.min(BINS) {
            let n = m.histogram.bins()[i];
            counts.push(counts[i] + n);
            occupied.push(occupied[i] + u32::from(n > 0));
            n_ln_n.push(n_ln_n[i] + x_ln_x(n as f64));
        }
        Divergence { counts, occupied, n_ln_n, used }
    }

    /// How many values a threshold after bin `i` clips.
    fn tail(&self, i: usize) -> u64 {
        self.counts[self.used] - self.counts[i]
    }

    /// KL(P || Q) for a threshold after `i` bins, both normalized.
    fn at(&self, i: usize, levels: usize, empty: &EmptyBins) -> f64 {
        let total = self.counts[self.used] as f64;
        let tail = self.tail(i) as f64;
        let last = (self.counts[i] - self.counts[i - 1]) as f64;
        let mut sum_q = self.counts[i] as f64;
        let mut p_ln_q = 0.0;
        let mut last_q = 0.0;
        let mut from = 0;
        for level in 1..=levels {
            let to = (level * i).div_ceil(levels);
            let inside = (self.counts[to] - self.counts[from]) as f64;
            if inside > 0.0 {
                last_q = inside / f64::from(self.occupied[to] - self.occupied[from]);
                p_ln_q += inside * last_q.ln();
            }
            from = to;
        }
        if tail > 0.0 {
            if last == 0.0 {
                match empty {
                    EmptyBins::Nothing => return f64::INFINITY,
                    EmptyBins::Half => last_q = 0.5,
                }
                sum_q += last_q;
            }
            p_ln_q += tail * last_q.ln();
        }
        let p_ln_p = self.n_ln_n[i - 1] + x_ln_x(last + tail);
        (p_ln_p - p_ln_q) / total - total.ln() + sum_q.ln()
    }

    /// The number of bins, at least 128, after which the divergence is the smallest among those that clip at most
    /// `max_clipped` of the values. The largest of equals.
    pub fn best(&self, levels: usize, empty: EmptyBins, max_clipped: f64) -> (usize, f64) {
        let limit = max_clipped * self.counts[self.used] as f64;
        let all: Vec<(usize, f64)> = (FIRST..=self.used)
            .filter(|&i| self.tail(i) as f64 <= limit)
            .map(|i| (i, self.at(i, levels, &empty)))
            .collect();
        let least = all.iter().map(|c| c.1).fold(f64::INFINITY, f64::min);
        all.into_iter().rfind(|c| c.1 <= least + TIE).unwrap_or((self.used, least))
    }
}

fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

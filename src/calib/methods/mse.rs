//! The threshold with the least squared error.

use super::super::histogram::BINS;
use super::{Levels, Magnitudes, Method, Options};

/// The first candidate: thresholds below 1/32 of the range are not tried.
const FIRST: usize = 128;

/// The least mean squared error of quantizing the histogram's bin centres.
///
/// With bin width `w`, candidate `i` has the scale `s = (i + 1/2) w / Q` (`Q` = 127 or 255) and the error
/// `sum_j h[j] (s min(rint(c_j / s), Q) - c_j)^2` at the centres `c_j = (j + 1/2) w`. In units of `w / 2Q` all of it
/// is integer (`s = 2i+1`, `c_j = Q(2j+1)`, no quotient a tie, as an even number never equals an odd one), so errors
/// are compared exactly: those of the candidates that errors in f64 leave.
pub struct Mse;

impl Method for Mse {
    fn name(&self) -> &'static str {
        "mse"
    }

    fn doc(&self) -> &'static str {
        "the least mean squared error of quantizing; gives large values much weight"
    }

    fn amax(&self, m: &Magnitudes, levels: Levels, _: &Options) -> f32 {
        let sums = Moments::of(m.histogram.bins());
        let last = m.histogram.last().unwrap_or(0);
        let rough: Vec<(usize, f64, f64)> = match levels {
            Levels::S8 => (FIRST..=last).map(|i| sums.roughly::<127>(i)).collect(),
            Levels::U8 => (FIRST..=last).map(|i| sums.roughly::<255>(i)).collect(),
        };
        let bound = rough.iter().map(|(_, error, off)| error + off).fold(f64::INFINITY, f64::min);
        let close = rough.into_iter().filter(|(_, error, off)| error - off <= bound).map(|(i, ..)| i);
        let best = close.min_by_key(|&i| sums.error(i, levels.max_code()));
        best.map_or(m.max, |i| m.border(i + 1))
    }
}

/// Running sums over the bins of the counts and of the counts times `2j+1`; the same in f64.
struct Moments(Vec<[i128; 2]>, Vec<[f64; 2]>);

/// The bins that round to code `k` or a lower one: 2 Q (2j+1) < (2k+1) step.
#[inline(always)]
fn bins_up_to(k: u32, step: u32, q: u32) -> usize {
    match k == q {
        true => BINS,
        false => (((2 * k + 1) * step / (2 * q)).div_ceil(2) as usize).min(BINS),
    }
}

impl Moments {
    fn of(bins: &[u64; BINS]) -> Self {
        let mut sum = [0; 2];
        let mut sums = vec![sum];
        for (j, &n) in bins.iter().enumerate() {
            let n = i128::from(n);
            sum = [sum[0] + n, sum[1] + n * (2 * j as i128 + 1)];
            sums.push(sum);
        }
        let rounded = sums.iter().map(|s| s.map(|n| n as f64)).collect();
        Moments(sums, rounded)
    }

    /// A candidate, its error in f64 and by how much that may be off. No term is larger than the largest level times `2 Q`
    /// times the sum of all `n (2j+1)`, a few hundred are added up, and f64 rounds each by 2^-53 a few times.
    fn roughly<const Q: u32>(&self, i: usize) -> (usize, f64, f64) {
        let step = 2 * i as u32 + 1;
        let mut error = 0.0;
        let mut from = self.1[0];
        for k in 0..=Q {
            let to = self.1[bins_up_to(k, step, Q)];
            let level = f64::from(k * step);
            error += level * (level * (to[0] - from[0]) - f64::from(2 * Q) * (to[1] - from[1]));
            from = to;
        }
        (i, error, 1e-12 * f64::from(Q * step) * f64::from(2 * Q) * self.1[BINS][1])
    }

    /// The error of candidate `i` in units of `(w / 2Q)^2`, less what all candidates share. Per code `k` that is the
    /// sum over its bins of `n (k (2i+1) - Q (2j+1))^2`, multiplied out, without the squares of `Q (2j+1)`.
    fn error(&self, i: usize, q: u32) -> i128 {
        let step = 2 * i as u32 + 1;
        let mut error = 0;
        let mut from = &self.0[0];
        for k in 0..=q {
            let to = &self.0[bins_up_to(k, step, q)];
            let (n, c) = (to[0] - from[0], to[1] - from[1]);
            let level = i128::from(k * step);
            error += level * (level * n - i128::from(2 * q) * c);
            from = to;
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_sums_give_the_error_of_the_definition() {
        let mut bins = [0u64; BINS];
        bins.iter_mut().enumerate().for_each(|(j, n)| *n = (j as u64 * 2_654_435_761) % 1000);
        let sums = Moments::of(&bins);
        for (i, q) in [(128, 127), (2047, 127), (2048, 255), (4095, 255), (4000, 127)] {
            let s = (i as f64 + 0.5) / q as f64;
            let direct: f64 = (0..BINS)
                .map(|j| {
                    let c = j as f64 + 0.5;
                    bins[j] as f64 * ((c / s).round_ties_even().min(q as f64) * s - c).powi(2)
                })
                .sum();
            let shared: i128 =
                (0..BINS).map(|j| i128::from(bins[j]) * (q * (2 * j as i128 + 1)).pow(2)).sum();
            let ours = (sums.error(i, q as u32) + shared) as f64 / (4 * q * q) as f64;
            assert!((ours / direct - 1.0).abs() < 1e-10, "{i} {q}: {ours} {direct}");
            let (_, rough, off) = if q == 127 { sums.roughly::<127>(i) } else { sums.roughly::<255>(i) };
            let exact = sums.error(i, q as u32) as f64;
            assert!((rough - exact).abs() < off / 10.0, "{i} {q}: {rough} {exact} {off}");
        }
    }
}

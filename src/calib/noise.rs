//! What a range alone does to a tensor: the error of rounding within it and of clipping beyond it.

use super::histogram::Histogram;
use super::stats::Stats;
use crate::base::quant::Range;

/// Powers, summed over all values of a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Of the values.
    pub signal: f64,
    /// Of the error of values within the range.
    pub rounding: f64,
    /// Of the error of values beyond it.
    pub clipping: f64,
}

impl Noise {
    /// The noise of 8 bits over `range`, from the histograms of both signs (a bin's values at its centre).
    pub fn of(stats: &Stats, range: Range) -> Noise {
        let symmetric = range.lo == -range.hi;
        let step = match symmetric {
            true => f64::from(range.hi) / 127.0,
            false => (f64::from(range.hi) - f64::from(range.lo)) / 255.0,
        };
        let mut noise = Noise::default();
        noise.add(&stats.positive, f64::from(range.hi), step);
        noise.add(&stats.negative, f64::from(-range.lo), step);
        noise
    }

    fn add(&mut self, side: &Histogram, edge: f64, step: f64) {
        let width = side.width();
        for (i, &n) in side.bins().iter().enumerate().filter(|(_, n)| **n > 0) {
            let (n, x) = (n as f64, (i as f64 + 0.5) * width);
            self.signal += n * x * x;
            // what rounds to zero is lost whole; the rest is spread over a step
            let rounded = if x < step / 2.0 { x * x } else { step * step / 12.0 };
            match x > edge {
                true => self.clipping += n * (x - edge) * (x - edge),
                false => self.rounding += n * rounded,
            }
        }
    }

    /// Signal to noise in decibels; `None` where there is neither.
    pub fn sqnr_db(&self) -> Option<f64> {
        let noise = self.rounding + self.clipping;
        (self.signal > 0.0 && noise > 0.0).then(|| 10.0 * (self.signal / noise).log10())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A uniform variable on [0, 1): signal 1/3. In 255 steps the noise is 1/(12 255^2): 10 log10(4 255^2) = 54.15 dB.
    /// Clipped at 1/2, the noise is the integral of (x - 1/2)^2 from there, 1/24: 10 log10(8) = 9.03 dB.
    #[test]
    fn a_uniform_variable() {
        let mut s = Stats::new(1);
        s.update(&(0..1 << 16).map(|i| (i as f32 + 0.5) / 65536.0).collect::<Vec<_>>(), 1);
        let db = |hi| Noise::of(&s, Range::unsigned(hi)).sqnr_db().unwrap();
        assert!((db(1.0) - 54.15).abs() < 0.05, "{}", db(1.0));
        assert!((db(0.5) - 9.03).abs() < 0.05, "{}", db(0.5));
        assert_eq!(Noise::of(&Stats::new(1), Range::unsigned(1.0)).sqnr_db(), None);
    }

    #[test]
    fn negative_values_are_clipped_by_a_range_from_zero() {
        let mut s = Stats::new(1);
        s.update(&[-1.0, 1.0], 1);
        let n = Noise::of(&s, Range::unsigned(1.0));
        assert!((n.clipping - 1.0).abs() < 1e-3 && n.rounding < 1e-4, "{n:?}");
    }
}

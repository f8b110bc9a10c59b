//! How far a tensor is from its FP32 self, streaming.
//!
//! The same sums serve both curves of the report. *Local* drift of a layer: the layer alone is quantized and fed
//! the reference's inputs. *Cumulative* drift: the whole engine runs, and is compared at the layer's output.

use crate::report::model::EXACT_DB;

/// Sums of squares over everything seen of one tensor, in f64.
///
/// ```
/// use quantize::eval::Drift;
/// let mut d = Drift::default();
/// d.update(&[3.0, 4.0], &[3.0, 4.5]);
/// // signal 9 + 16, noise 0.25: ratio 100, so 20 dB
/// assert!((d.sqnr_db().unwrap() - 20.0).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drift {
    /// `Σ x²` of the reference.
    pub signal: f64,
    /// `Σ (x - x̂)²`.
    pub noise: f64,
    /// Largest `|x - x̂|`; infinite once either side is not finite.
    pub max_abs_error: f64,
    /// How many values.
    pub count: u64,
}

impl Drift {
    /// Adds `reference` and, value by value, `candidate`. Of slices of unequal length the common start counts.
    pub fn update(&mut self, reference: &[f32], candidate: &[f32]) {
        for (&x, &y) in reference.iter().zip(candidate) {
            let (x, error) = (f64::from(x), f64::from(x) - f64::from(y));
            self.signal += x * x;
            self.noise += error * error;
            self.count += 1;
            let magnitude = if error.is_nan() { f64::INFINITY } else { error.abs() };
            self.max_abs_error = self.max_abs_error.max(magnitude);
        }
    }

    /// Adds what another saw of the same tensor.
    pub fn merge(&mut self, other: &Drift) {
        self.signal += other.signal;
        self.noise += other.noise;
        self.max_abs_error = self.max_abs_error.max(other.max_abs_error);
        self.count += other.count;
    }

    /// Signal to quantization noise, `10 log10(Σx² / Σ(x-x̂)²)` in dB, kept within ±[`EXACT_DB`]: bit-equal
    /// tensors give exactly that, errors of a silent tensor or values that are not finite give its negative.
    /// `None` before the first value.
    pub fn sqnr_db(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let db = 10.0 * (self.signal / self.noise).log10();
        Some(match (self.noise, db) {
            (0.0, _) => EXACT_DB,
            (_, db) if db.is_nan() => -EXACT_DB,
            (_, db) => db.clamp(-EXACT_DB, EXACT_DB),
        })
    }

    /// Mean squared error.
    pub fn mse(&self) -> Option<f64> {
        (self.count > 0).then(|| self.noise / self.count as f64)
    }

    /// Root-mean-square error in units of the tensor's step. Rounding alone gives `1/√12 = 0.289`; well beyond
    /// 0.5 it is clipping that dominates (the rule of TensorFlow Lite's quantization debugger).
    pub fn rmse_over_scale(&self, scale: f32) -> Option<f64> {
        self.mse().map(|mse| mse.sqrt() / f64::from(scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For uniform x a quantizer of step s has noise s²/12 (Bennett 1948): 127 steps of 1 over [-127, 127] give
    /// 10 log10((127²/3) / (1/12)) dB.
    #[test]
    fn rounding_alone_has_the_noise_that_theory_says() {
        let x: Vec<f32> = (0..254_000).map(|i| (i as f32 + 0.5) / 1000.0 - 127.0).collect();
        let q: Vec<f32> = x.iter().map(|x| x.round_ties_even()).collect();
        let mut d = Drift::default();
        d.update(&x, &q);
        assert!((d.rmse_over_scale(1.0).unwrap() - 12f64.sqrt().recip()).abs() < 1e-4);
        let want = 10.0 * (127.0 * 127.0 / 3.0 * 12.0f64).log10();
        assert!((d.sqnr_db().unwrap() - want).abs() < 0.01, "{:?} {want}", d.sqnr_db());
    }

    #[test]
    fn merging_equals_one_pass() {
        let (x, y): (Vec<f32>, Vec<f32>) = (0..64).map(|i| (i as f32, i as f32 + 0.5)).unzip();
        let (mut one, mut a, mut b) = (Drift::default(), Drift::default(), Drift::default());
        one.update(&x, &y);
        a.update(&x[..20], &y[..20]);
        b.update(&x[20..], &y[20..]);
        a.merge(&b);
        assert_eq!(a, one);
        assert_eq!((one.count, one.noise), (64, 64.0 * 0.25));
    }

    #[test]
    fn the_ends_are_finite() {
        let of = |x: f32, y: f32| {
            let mut d = Drift::default();
            d.update(&[x], &[y]);
            d.sqnr_db().unwrap()
        };
        assert_eq!((of(1.0, 1.0), of(0.0, 0.0)), (EXACT_DB, EXACT_DB));
        assert_eq!(
            (of(0.0, 1.0), of(1.0, f32::NAN), of(1.0, f32::INFINITY)),
            (-EXACT_DB, -EXACT_DB, -EXACT_DB)
        );
        assert_eq!(Drift::default().sqnr_db(), None);
    }
}

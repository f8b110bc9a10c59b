//! One calibrated tensor: its values, and the thresholds that the methods chose for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A calibrated activation tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TensorReport {
    /// The ONNX name of the value.
    pub name: String,
    /// The layers that read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<String>,
    /// Smallest value seen.
    pub min: f32,
    /// Largest value seen.
    pub max: f32,
    /// Largest magnitude seen.
    pub amax: f32,
    /// The sample that held the largest magnitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amax_sample: Option<String>,
    /// What is odd about it, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// The threshold (amax) that each method gives; without an evaluation of the method that was asked for alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f32>,
    /// The method whose threshold was taken.
    pub method: String,
    /// The threshold that was taken; differs from the method's own where tensors share a scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Element type in the engine: `u8`, `i8`, or `f32` where it stays float.
    pub dtype: String,
    /// Its step, where it is quantized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// Its zero point, where it is quantized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_point: Option<i32>,
    /// Share of its values beyond the threshold, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
    /// What its range alone leaves of it, by rounding and clipping: signal to noise in decibels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqnr_db: Option<f64>,
    /// The tensor whose threshold it shares, where that is not its own: both must have one scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_with: Option<String>,
    /// Share of its values that become zero, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_code: Option<f64>,
    /// By how much the threshold differs between halves of the calibration data, relative to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_spread: Option<f64>,
    /// The magnitudes, for drawing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Bars>,
}

impl TensorReport {
    /// The threshold in use: the one that was taken, else the chosen method's own.
    pub fn chosen_threshold(&self) -> Option<f32> {
        self.threshold.or_else(|| self.thresholds.get(&self.method).copied())
    }
}

/// A histogram of magnitudes, coarse enough to draw. Bar `i` counts `i <= |x| / 2^exponent < i + 1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bars {
    /// The bars are `2^exponent` wide.
    pub exponent: i32,
    /// How many values fell into each bar, zeros left out; at most [`Bars::MOST`].
    pub counts: Vec<u64>,
    /// How many values were exactly zero.
    #[serde(default)]
    pub zeros: u64,
}

impl Bars {
    /// The most bars that a drawing has use for.
    pub const MOST: usize = 128;

    /// Merges neighbouring `bins`, each `2^exponent` wide, until at most [`Bars::MOST`] are left up to the last
    /// that holds anything. Exact: no count is split.
    pub fn merged(exponent: i32, bins: &[u64], zeros: u64) -> Self {
        let used = bins.iter().rposition(|&n| n > 0).map_or(0, |i| i + 1);
        let mut doublings = 0;
        while used.div_ceil(1 << doublings) > Bars::MOST {
            doublings += 1;
        }
        let counts =
            bins[..used].chunks(1 << doublings).map(|c| c.iter().fold(0u64, |a, &b| a.saturating_add(b)));
        Bars { exponent: exponent + doublings, counts: counts.collect(), zeros }
    }

    /// The width of a bar.
    pub fn width(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// The upper edge of the last bar.
    pub fn upper(&self) -> f64 {
        self.width() * self.counts.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_merge_in_powers_of_two_and_keep_every_count() {
        let mut bins = vec![0u64; 4096];
        (bins[0], bins[31], bins[32], bins[2050]) = (5, 6, 7, 8);
        let bars = Bars::merged(-10, &bins, 3);
        // 2051 bins in use: 32 a bar gives 65 bars, 16 would give 129
        assert_eq!((bars.exponent, bars.counts.len(), bars.zeros), (-5, 65, 3));
        assert_eq!((bars.counts[0], bars.counts[1], bars.counts[64]), (11, 7, 8));
        assert_eq!(bars.upper(), 65.0 / 32.0);
    }

    #[test]
    fn few_or_no_bins_stay_as_they_are() {
        assert_eq!(Bars::merged(2, &[0, 4, 0, 0], 0), Bars { exponent: 2, counts: vec![0, 4], zeros: 0 });
        assert!(Bars::merged(0, &[0; 16], 9).counts.is_empty());
    }
}

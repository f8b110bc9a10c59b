//! Means of channels over samples, exactly: sums that do not depend on the order, on batches or on threads.

/// Units of a sum in 1: fine enough for any activation, and so many samples of the largest f64 that matters fit.
const UNITS: f64 = (1u64 << 32) as f64;

/// The mean of each channel of a tensor, over samples and places.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Means {
    /// Samples added.
    pub samples: u64,
    /// For each channel the sum of the samples' means, in 2^-32; empty before the first, or where channels are not told
    /// apart.
    pub sums: Vec<i128>,
}

impl Means {
    /// Adds one sample: the sum of each channel, over so many places. A mean that is not finite counts as 0.
    pub fn add(&mut self, sums: &[f64], places: usize) {
        self.samples += 1;
        self.sums.resize(sums.len(), 0);
        for (total, sum) in self.sums.iter_mut().zip(sums) {
            *total = total.saturating_add((sum / places.max(1) as f64 * UNITS).round_ties_even() as i128);
        }
    }

    /// Adds what `other` has seen.
    pub fn merge(&mut self, other: &Means) {
        self.samples += other.samples;
        self.sums.resize(self.sums.len().max(other.sums.len()), 0);
        for (a, b) in self.sums.iter_mut().zip(&other.sums) {
            *a = a.saturating_add(*b);
        }
    }

    /// The mean of each channel; empty where there is none.
    pub fn values(&self) -> Vec<f64> {
        self.sums.iter().map(|&s| s as f64 / UNITS / self.samples.max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calib::Stats;

    #[test]
    fn means_by_hand_in_any_order() {
        // two channels of three places, channels first and channels last
        let samples = [[1.0f32, 2.0, 3.0, -4.0, 0.0, 1.0], [0.5, 0.25, 0.0, 8.0, 8.0, 8.0]];
        let last = samples.map(|s| [s[0], s[3], s[1], s[4], s[2], s[5]]);
        let of = |all: &[[f32; 6]], inner| {
            let mut stats = Stats::new(2);
            all.iter().for_each(|s| stats.update_from(&"sample".into(), s, inner));
            stats.means
        };
        let means = of(&samples, 3);
        assert_eq!(means.samples, 2);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(means.values()[0], 1.125) && near(means.values()[1], 3.5), "{:?}", means.values());
        assert_eq!(of(&last, 1), means);
        let mut merged = of(&samples[1..], 3);
        merged.merge(&of(&samples[..1], 3));
        assert_eq!(merged, means);
        assert!(Means::default().values().is_empty());
        assert_eq!(of(&[[f32::NAN, 0.0, 0.0, 1.0, 1.0, 1.0]], 3).values(), [0.0, 1.0]);
    }
}

//! Means of channels over samples, exactly: integer sums, on which order, batches and threads leave no trace.

/// Units of a sum in 1: fine enough for any activation.
const UNITS: f64 = (1u64 << 32) as f64;

/// Numbers near this one are a unit apart: adding it rounds to units, half to even, and the bits of the result count them.
const ROUNDER: f64 = 1.5 * (1u64 << 20) as f64;

/// Magnitudes below this are near enough.
const NEAR: f32 = (1u64 << 19) as f32;

/// So many near values of a channel have a sum of units that 64 bits hold.
const MOST_NEAR: usize = 4095;

/// The mean of each channel of a tensor, over samples and places.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Means {
    /// Values of each channel that were added.
    pub places: u64,
    /// For each channel the sum of its values, each rounded to 2^-32 ([`units`]), in 2^-32; empty before the first, or
    /// where channels are not told apart.
    pub sums: Vec<i128>,
}

/// A value in units of 2^-32, rounded half to even; beyond 2^31 that, and 0 for what is not finite. Its sums over any
/// values are exact, so a device may add them in any order.
pub fn units(x: f32) -> i64 {
    if x.is_finite() { (f64::from(x) * UNITS).round_ties_even() as i64 } else { 0 }
}

impl Means {
    /// Adds what `other` has seen.
    pub fn merge(&mut self, other: &Means) {
        self.places += other.places;
        self.sums.resize(self.sums.len().max(other.sums.len()), 0);
        for (a, b) in self.sums.iter_mut().zip(&other.sums) {
            *a = a.saturating_add(*b);
        }
    }

    /// The mean of each channel; empty where there is none.
    pub fn values(&self) -> Vec<f64> {
        self.sums.iter().map(|&s| s as f64 / UNITS / self.places.max(1) as f64).collect()
    }
}

/// Sums of one sample's channels on their way into [`Means`]; of no channels, where nothing is to be added.
pub(super) struct Sums<'m> {
    total: &'m mut [i128],
    /// Units of near values, which plain loops add.
    near: Vec<i64>,
    /// So many of a channel, at most.
    pending: usize,
}

impl<'m> Sums<'m> {
    /// Sums of the channels of `means`, to which a sample of so many values is added.
    pub fn of(means: &'m mut Means, channels: usize, values: usize) -> Self {
        if channels == 0 {
            return Sums::none();
        }
        means.places += (values / channels) as u64;
        means.sums.resize(channels, 0);
        Sums { total: &mut means.sums, near: vec![0; channels], pending: 0 }
    }

    /// Nothing is added.
    pub fn none() -> Self {
        Sums { total: &mut [], near: Vec::new(), pending: 0 }
    }

    /// Is nothing to be added?
    pub fn is_empty(&self) -> bool {
        self.total.is_empty()
    }

    /// The units of near values, to which at most `more` values of each channel will be added.
    #[inline(always)]
    pub fn near(&mut self, more: usize) -> &mut [i64] {
        if self.pending + more > MOST_NEAR {
            self.spill();
        }
        self.pending += more;
        &mut self.near
    }

    /// Adds a value of any size.
    pub fn add(&mut self, channel: usize, x: f32) {
        self.total[channel] += i128::from(units(x));
    }

    fn spill(&mut self) {
        self.total.iter_mut().zip(&mut self.near).for_each(|(t, n)| *t += i128::from(std::mem::take(n)));
        self.pending = 0;
    }
}

impl Drop for Sums<'_> {
    fn drop(&mut self) {
        self.spill();
    }
}

/// Are values of this magnitude near?
#[inline(always)]
pub(super) fn is_near(amax: f32) -> bool {
    amax < NEAR
}

/// The bits of a near value that was rounded to units: those of 0, and one more for each unit.
#[inline(always)]
pub(super) fn rounded(x: f32) -> i64 {
    (f64::from(x) + ROUNDER).to_bits() as i64
}

/// The sum of units of which `sum` is the wrapping sum of so many [`rounded`].
#[inline(always)]
pub(super) fn units_of(sum: i64, values: usize) -> i64 {
    sum.wrapping_sub((ROUNDER.to_bits() as i64).wrapping_mul(values as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calib::Stats;
    use proptest::prelude::*;

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
        assert_eq!(means.places, 6);
        assert_eq!(means.values(), [1.125, 3.5]);
        assert_eq!(of(&last, 1), means);
        let mut merged = of(&samples[1..], 3);
        merged.merge(&of(&samples[..1], 3));
        assert_eq!(merged, means);
        assert!(Means::default().values().is_empty());
        assert_eq!(of(&[[f32::NAN, 0.0, 0.0, 1.0, 1.0, 1.0]], 3).values(), [0.0, 1.0]);
    }

    /// Blocks of near values, of others and of both, in both layouts: the units of every value, added up.
    #[test]
    fn sums_are_those_of_the_definition() {
        let value = prop_oneof![
            4 => -4.0f32..4.0,
            1 => (0u32..=u32::MAX).prop_map(f32::from_bits),
            1 => Just(524_287.97f32),
            1 => -1e6f32..1e6,
        ];
        let samples = (1usize..40, prop::collection::vec(value, 9000), any::<bool>());
        proptest!(|((channels, values, last) in samples)| {
            let values = &values[..values.len() / channels * channels];
            let (places, inner) = (values.len() / channels, if last { 1 } else { values.len() / channels });
            let near: Vec<f32> = values.iter().map(|x| x.clamp(-524_287.0, 524_287.0)).collect();
            for values in [values, &near] {
                let mut stats = Stats::new(channels);
                stats.update_from(&"sample".into(), values, inner);
                let mut sums = vec![0; if channels > 1 { channels } else { 0 }];
                for (i, &x) in values.iter().enumerate().filter(|_| channels > 1) {
                    sums[i / inner % channels] += i128::from(units(x));
                }
                prop_assert_eq!(&stats.means.sums, &sums);
                prop_assert!(channels == 1 || stats.means.places == places as u64);
            }
        });
    }

    #[test]
    fn units_round_half_to_even_and_end() {
        let unit = 2f32.powi(-32);
        assert_eq!([0.5, 1.5, -2.5, 3.0].map(|x| units(x * unit)), [0, 2, -2, 3]);
        assert_eq!([1e20, -1e20, f32::NAN, f32::INFINITY].map(units), [i64::MAX, i64::MIN, 0, 0]);
        for x in [0.1f32, -7.3, 524_287.97, -524_287.97, 1e-12, 0.5 * unit, 1.5 * unit, -2.5 * unit] {
            assert_eq!(units_of(rounded(x), 1), units(x), "{x}");
        }
    }
}

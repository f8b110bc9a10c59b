//! One tensor's statistics in four parts, so that thresholds can be judged on samples that did not make them.

use super::stats::Stats;
use std::sync::Arc;

/// Every fifth sample is held out while `auto` chooses a method.
const HELD_OUT_EVERY: usize = 5;

/// Number of parts that statistics are kept in.
pub const PARTS: usize = 4;

/// Statistics of one tensor, by the sample's place in the calibration list: its half (even or odd) and whether it
/// is held out (every fifth). What the parts hold depends on the list alone, so it is the same for every batch size
/// and thread count.
#[derive(Clone, PartialEq, Debug)]
pub struct TensorStats {
    /// Even kept, odd kept, even held out, odd held out.
    pub parts: [Stats; PARTS],
}

/// Is the sample with this place in the list held out?
fn is_held_out(sample: usize) -> bool {
    sample % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
}

/// Samples that are judged together, by thresholds of all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fold {
    /// Those held out.
    HeldOut,
    /// The even ones of the others.
    Even,
    /// The odd ones of the others.
    Odd,
}

impl Fold {
    /// Every fold. Those held out come first: the most samples are left to make their thresholds.
    pub const ALL: [Fold; 3] = [Fold::HeldOut, Fold::Even, Fold::Odd];

    /// The fold of the sample with this place in the list.
    pub fn of(sample: usize) -> Fold {
        match part_of(sample) {
            0 => Fold::Even,
            1 => Fold::Odd,
            _ => Fold::HeldOut,
        }
    }
}

/// The part that a sample with this place in the list goes to.
pub fn part_of(sample: usize) -> usize {
    sample % 2 + if is_held_out(sample) { 2 } else { 0 }
}

impl TensorStats {
    /// Statistics that have seen nothing, of a tensor with that many channels (1: not told apart).
    pub fn new(channels: usize) -> Self {
        TensorStats { parts: std::array::from_fn(|_| Stats::new(channels)) }
    }

    /// Number of channels told apart.
    pub fn channels(&self) -> usize {
        self.parts[0].channels()
    }

    /// Takes in one sample's values; `sample` is its place in the calibration list, from 0. See [`Stats::update`].
    pub fn update(&mut self, sample: usize, values: &[f32], inner: usize) {
        self.part(sample).update(values, inner);
    }

    /// Likewise of a sample with a name. See [`Stats::update_from`].
    pub fn update_from(&mut self, sample: usize, name: &Arc<str>, values: &[f32], inner: usize) {
        self.part(sample).update_from(name, values, inner);
    }

    /// Likewise of several samples (place, name, values), the parts side by side on all cores.
    pub fn update_all(&mut self, samples: &[(usize, &Arc<str>, &[f32])], inner: usize) {
        let update = |part: usize, stats: &mut Stats| {
            let ours = samples.iter().filter(|(sample, ..)| part_of(*sample) == part);
            stats.update_all(ours.map(|&(_, name, values)| (name, values)), inner);
        };
        // by halves, which are of one size: two cores have the same to do
        let [even, odd, even_held_out, odd_held_out] = &mut self.parts;
        rayon::join(
            || rayon::join(|| update(0, even), || update(2, even_held_out)),
            || rayon::join(|| update(1, odd), || update(3, odd_held_out)),
        );
    }

    fn part(&mut self, sample: usize) -> &mut Stats {
        &mut self.parts[part_of(sample)]
    }

    /// Adds what `other` has seen.
    ///
    /// # Panics
    /// Where the numbers of channels differ: a mistake of the caller.
    pub fn merge(&mut self, other: &TensorStats) {
        self.parts.iter_mut().zip(&other.parts).for_each(|(a, b)| a.merge(b));
    }

    /// Of every sample: what the final threshold is made from.
    pub fn all(&self) -> Stats {
        self.sum(&[0, 1, 2, 3])
    }

    /// Of the even samples (`half` 0) or of the odd ones (1).
    pub fn half(&self, half: usize) -> Stats {
        self.sum(&[half % 2, half % 2 + 2])
    }

    /// Of all samples but a fold: what `auto` makes thresholds from, to judge them by the fold.
    pub fn without(&self, fold: Fold) -> Stats {
        match fold {
            Fold::HeldOut => self.sum(&[0, 1]),
            Fold::Even => self.sum(&[1, 2, 3]),
            Fold::Odd => self.sum(&[0, 2, 3]),
        }
    }

    fn sum(&self, parts: &[usize]) -> Stats {
        let mut sum = Stats::new(self.channels());
        parts.iter().for_each(|&p| sum.merge(&self.parts[p]));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_the_place_in_the_list() {
        let mut t = TensorStats::new(1);
        (0..10).for_each(|i| t.update(i, &[i as f32 + 1.0], 1));
        let [a, b, c, d] = &t.parts;
        assert_eq!([a.count, b.count, c.count, d.count], [4, 4, 1, 1]); // 4 and 9 are held out
        assert_eq!((c.max, d.max), (5.0, 10.0));
        assert_eq!((t.half(0).count, t.half(1).max), (5, 10.0));
        for fold in Fold::ALL {
            let mut others = Stats::new(1);
            (0..10).filter(|&i| Fold::of(i) != fold).for_each(|i| others.update(&[i as f32 + 1.0], 1));
            assert_eq!(t.without(fold), others, "{fold:?}");
        }
        let mut whole = Stats::new(1);
        (0..10).rev().for_each(|i| whole.update(&[i as f32 + 1.0], 1));
        assert_eq!(t.all(), whole);
    }

    /// In any order, and merged from any two workers: the sample of the largest magnitude, the first by name of equals.
    #[test]
    fn the_sample_of_the_maximum_has_a_name() {
        let samples: [(&str, &[f32]); 5] =
            [("d", &[1.0]), ("c", &[-7.0, 2.0]), ("a", &[6.5, f32::NAN]), ("b", &[7.0]), ("e", &[0.0])];
        let seen = |order: &[usize]| {
            let mut t = TensorStats::new(1);
            order.iter().for_each(|&i| t.update_from(i, &samples[i].0.into(), samples[i].1, 1));
            t
        };
        let all = seen(&[0, 1, 2, 3, 4]);
        assert_eq!(all.all().amax_sample.as_deref(), Some("b"));
        assert_eq!(
            (all.half(0).amax_sample.as_deref(), all.half(1).amax_sample.as_deref()),
            (Some("a"), Some("b"))
        );
        let names = samples.map(|(name, _)| Arc::from(name));
        let together: Vec<_> = (0..5).map(|i| (i, &names[i], samples[i].1)).collect();
        let mut t = TensorStats::new(1);
        t.update_all(&together[..2], 1);
        t.update_all(&together[2..], 1);
        assert_eq!(t, all);
        for (a, b) in
            [(&[4usize, 3, 2][..], &[1usize, 0][..]), (&[1], &[0, 4, 2, 3]), (&[], &[3, 1, 0, 2, 4])]
        {
            let (mut one, other) = (seen(a), seen(b));
            one.merge(&other);
            assert_eq!(one, all);
        }
        assert_eq!(seen(&[4]).all().amax_sample, None, "zeros have no largest");
    }
}

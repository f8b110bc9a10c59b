//! The invariants of the statistics, against a plain definition of them, on random values.

use super::*;
use crate::calib::histogram::power_of_two;
use crate::calib::shards::TensorStats;
use proptest::prelude::*;

/// Values of every kind: both signs, zeros, denormal, huge, not finite, and clusters that share bins.
fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -4.0f32..4.0,
        2 => (0u32..=u32::MAX).prop_map(f32::from_bits),
        1 => prop_oneof![Just(0.0f32), Just(-0.0), Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
        1 => (1u32..100).prop_map(f32::from_bits),
    ]
}

fn values() -> impl Strategy<Value = Vec<f32>> {
    prop_oneof![
        prop::collection::vec(any_value(), 0..300),
        prop::collection::vec(-4.0f32..4.0, 0..5000), // longer than a block
        prop::collection::vec(0.0f32..6.0, 0..5000),
        prop::collection::vec((0u32..1 << 23).prop_map(f32::from_bits), 0..50), // a range too small for f32 factors
    ]
}

fn stats_of(values: &[f32]) -> Stats {
    let mut s = Stats::new(1);
    s.update(values, 1);
    s
}

/// The definition: bin = floor(|x| / width) in f64, one value at a time, over the range of the largest.
fn by_definition(values: &[f32]) -> (i32, Vec<u64>) {
    let max = values.iter().fold(0.0f32, |m, &x| m.max(x));
    let mut exp = -148;
    while f64::from(max) >= power_of_two(exp) {
        exp += 1;
    }
    let mut bins = vec![0; BINS];
    let width = power_of_two(exp) / BINS as f64;
    values.iter().filter(|&&x| x > 0.0).for_each(|&x| bins[(f64::from(x) / width).floor() as usize] += 1);
    (exp, bins)
}

proptest! {
    #[test]
    fn counts_are_those_of_the_definition(values in values()) {
        let s = stats_of(&values);
        let finite: Vec<f32> = values.iter().copied().filter(|x| x.is_finite()).collect();
        let negated: Vec<f32> = finite.iter().map(|x| -x).collect();
        let (exp, bins) = by_definition(&finite);
        prop_assert_eq!((s.positive.exp(), s.positive.bins().as_slice()), (exp, bins.as_slice()));
        let (exp, bins) = by_definition(&negated);
        prop_assert_eq!((s.negative.exp(), s.negative.bins().as_slice()), (exp, bins.as_slice()));
        let magnitudes: Vec<f32> = finite.iter().map(|x| x.abs()).collect();
        let (exp, bins) = by_definition(&magnitudes);
        let h = s.abs_histogram();
        prop_assert_eq!((h.exp(), h.bins().as_slice()), (exp, bins.as_slice()));
        prop_assert_eq!(s.count, finite.len() as u64);
        prop_assert_eq!(s.non_finite, (values.len() - finite.len()) as u64);
        prop_assert_eq!(s.zeros, finite.iter().filter(|&&x| x == 0.0).count() as u64);
        prop_assert_eq!(s.amax(), magnitudes.iter().copied().fold(0.0, f32::max));
    }

    #[test]
    fn order_and_split_leave_no_trace(values in values(), cuts in prop::collection::vec(0usize..5000, 0..6)) {
        let whole = stats_of(&values);
        let mut reversed = values.clone();
        reversed.reverse();
        prop_assert_eq!(&stats_of(&reversed), &whole);

        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(values.len())).chain([0, values.len()]).collect();
        cuts.sort_unstable();
        let parts: Vec<Stats> = cuts.windows(2).map(|c| stats_of(&values[c[0]..c[1]])).collect();
        let merged = |parts: Vec<&Stats>| parts.iter().fold(Stats::new(1), |mut a, b| { a.merge(b); a });
        let forwards = merged(parts.iter().collect());
        prop_assert_eq!(&forwards, &whole);
        prop_assert_eq!(forwards.min.to_bits(), whole.min.to_bits()); // -0 and 0 are equal, their bits are not
        prop_assert_eq!(&merged(parts.iter().rev().collect()), &whole);
        let (left, right) = parts.split_at(parts.len() / 2);
        let halves = [merged(left.iter().collect()), merged(right.iter().collect())];
        prop_assert_eq!(&merged(halves.iter().collect()), &whole);
    }

    #[test]
    fn powers_of_two_only_move_the_exponent(values in prop::collection::vec(-4.0f32..4.0, 1..500), k in -20i32..20) {
        // numbers that stay normal: scaling them is exact
        let values: Vec<f32> = values.into_iter().filter(|x| x.abs() > 1e-20).collect();
        let scaled: Vec<f32> = values.iter().map(|x| x * power_of_two(k) as f32).collect();
        let (a, b) = (stats_of(&values), stats_of(&scaled));
        prop_assert_eq!(a.positive.bins(), b.positive.bins());
        prop_assert_eq!(a.negative.bins(), b.negative.bins());
        if !a.positive.is_empty() {
            prop_assert_eq!(a.positive.exp() + k, b.positive.exp());
        }
    }

    #[test]
    fn a_sign_flip_swaps_the_sides(values in values()) {
        let flipped: Vec<f32> = values.iter().map(|x| -x).collect();
        let (a, b) = (stats_of(&values), stats_of(&flipped));
        prop_assert_eq!(&a.positive, &b.negative);
        prop_assert_eq!(&a.negative, &b.positive);
        prop_assert_eq!(a.abs_histogram(), b.abs_histogram());
        if a.count > 0 {
            prop_assert_eq!((a.min, a.max), (-b.max, -b.min));
        }
    }

    #[test]
    fn channels_have_their_own_amax(
        channels in 2usize..5, inner in 1usize..4, samples in 1usize..4, seed in prop::collection::vec(any_value(), 48),
    ) {
        let values = &seed[..channels * inner * samples];
        let mut s = Stats::new(channels);
        s.update(values, inner);
        for c in 0..channels {
            let own = values.iter().enumerate().filter(|(i, x)| (i / inner) % channels == c && x.is_finite());
            prop_assert_eq!(s.channel_amax[c], own.fold(0.0f32, |m, (_, x)| m.max(x.abs())));
        }
    }

    #[test]
    fn samples_in_any_order_fill_the_same_parts(order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle()) {
        let sample = |i: usize| [(i as f32 - 4.5) * 1.3, 0.0, i as f32];
        let mut in_order = TensorStats::new(3);
        (0..12).for_each(|i| in_order.update(i, &sample(i), 1));
        let mut workers = [TensorStats::new(3), TensorStats::new(3)];
        order.iter().enumerate().for_each(|(n, &i)| workers[n % 2].update(i, &sample(i), 1));
        let [mut a, b] = workers;
        a.merge(&b);
        prop_assert_eq!(a, in_order);
    }
}

#[test]
fn counters_hold_more_than_single_precision_does() {
    let mut h = Histogram::new();
    h.add(1.0, (1 << 24) + 1);
    h.add(1.0, 1);
    let copy = h.clone();
    h.merge(&copy);
    assert_eq!(h.bins()[2048], 2 * ((1 << 24) + 2));
}

#[test]
fn memory_is_that_announced() {
    let s = Stats::new(64);
    assert_eq!(Stats::bytes(64), size_of_val(&s) + 64 * (4 + 16) + 2 * 4096 * 8);
}

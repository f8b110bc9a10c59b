//! The methods: names, bounds, invariants, and the fast forms against their definitions.

use super::*;
use crate::calib::golden::data::data_set;
use crate::calib::histogram::Histogram;
use proptest::prelude::*;
use std::borrow::Cow;

#[test]
fn names_parse_and_misspelt_ones_say_the_nearest() {
    for name in MethodName::all() {
        assert_eq!(name.parse::<MethodName>().unwrap().name(), name);
    }
    let e = "entrpy".parse::<MethodName>().unwrap_err().to_string();
    assert!(e.contains("did you mean `entropy`?") && e.contains("minmax"), "{e}");
}

#[test]
fn the_smallest_error_wins_and_the_first_of_equals() {
    let (winner, others) = choose(&[("a", f64::NAN), ("b", 2.0), ("c", 1.0), ("d", 1.0)]).unwrap();
    assert_eq!(winner, "c");
    assert_eq!(others.iter().map(|o| o.0).collect::<Vec<_>>(), ["d", "b", "a"]);
    assert!(choose::<()>(&[]).is_none());
}

#[test]
fn sides_have_their_own_thresholds() {
    let mut s = Stats::new(1);
    s.update(&[-0.25, -0.5, 0.0, 4.0, 3.0], 1);
    let range = |levels, asymmetric| range(&s, &minmax::MinMax, levels, asymmetric, &Options::default());
    assert_eq!(range(Levels::S8, false), Range { lo: -4.0, hi: 4.0 });
    assert_eq!(range(Levels::U8, false), Range { lo: 0.0, hi: 4.0 });
    assert_eq!(range(Levels::U8, true), Range { lo: -0.5, hi: 4.0 });
}

/// The threshold of `method` on the magnitudes of `values`.
fn amax(method: &str, values: &[f32], levels: Levels, percentile: f64) -> f32 {
    let mut s = Stats::new(1);
    s.update(values, 1);
    let m = s.magnitudes();
    if m.max > 0.0 { find(method).unwrap().amax(&m, levels, &Options { percentile }) } else { 0.0 }
}

/// Numbers with a bell-shaped density: the sum of four even ones.
fn bell() -> impl Strategy<Value = Vec<f32>> {
    let one = [-1.0f32..1.0, -1.0f32..1.0, -1.0f32..1.0, -1.0f32..1.0];
    prop::collection::vec(one.prop_map(|x| x.iter().sum()), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn thresholds_scale_with_powers_of_two(values in bell(), k in -20i32..20) {
        let scaled: Vec<f32> = values.iter().map(|x| x * (k as f32).exp2()).collect();
        for m in METHODS {
            for levels in [Levels::S8, Levels::U8] {
                let (a, b) = (amax(m.name(), &values, levels, 99.0), amax(m.name(), &scaled, levels, 99.0));
                prop_assert_eq!(a * (k as f32).exp2(), b, "{}", m.name());
            }
        }
    }

    #[test]
    fn thresholds_ignore_sign_and_order(values in bell()) {
        let flipped: Vec<f32> = values.iter().rev().map(|x| -x).collect();
        for m in METHODS {
            let of = |values| amax(m.name(), values, Levels::S8, 99.0);
            prop_assert_eq!(of(&values), of(&flipped), "{}", m.name());
        }
    }

    #[test]
    fn thresholds_lie_between_zero_and_the_largest(bits in prop::collection::vec(any::<u32>(), 1..200)) {
        // any bit pattern is a number: of any size, denormal, or not finite
        let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let max = values.iter().filter(|x| x.is_finite()).fold(0.0f32, |m, x| m.max(x.abs()));
        for m in METHODS {
            for levels in [Levels::S8, Levels::U8] {
                let t = amax(m.name(), &values, levels, 50.0);
                prop_assert!(t <= max && (t > 0.0) == (max > 0.0), "{} {t} {max}", m.name());
            }
        }
    }

    #[test]
    fn percentile_grows_with_the_share(values in bell(), p in 1.0f64..100.0, q in 1.0f64..100.0) {
        let of = |p| amax("percentile", &values, Levels::S8, p);
        prop_assert!(of(p.min(q)) <= of(p.max(q)));
        let mut sorted: Vec<f32> = values.iter().map(|x| x.abs()).collect();
        sorted.sort_by(f32::total_cmp);
        let exact = sorted[(p / 100.0 * sorted.len() as f64).ceil() as usize - 1];
        let (t, max) = (of(p), sorted[sorted.len() - 1]);
        prop_assert!(t >= exact && t <= exact + max / 2048.0, "{t} {exact}");
    }

    #[test]
    fn a_constant_is_its_own_threshold(c in 1e-30f32..1e30, negative in any::<bool>(), n in 1usize..50) {
        let values = vec![if negative { -c } else { c }; n];
        for m in METHODS {
            prop_assert_eq!(amax(m.name(), &values, Levels::S8, 99.99), c, "{}", m.name());
        }
    }
}

#[test]
fn one_outlier_hardly_moves_percentile_and_entropy() {
    let normal = data_set("normal");
    let mut with_outlier = normal.clone();
    let largest = normal.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    with_outlier[7] = 25.0 * largest;
    let step =
        |method, values, levels: Levels| amax(method, values, levels, 99.99) / levels.max_code() as f32;
    for method in ["percentile", "entropy"] {
        let (a, b) = (step(method, &normal, Levels::S8), step(method, &with_outlier, Levels::S8));
        assert!((b / a - 1.0).abs() < 0.1, "{method}: {a} {b}");
        // what is left below the outlier has about as many bins as U8 has levels: all thresholds up to 256 bins are
        // as good for the entropy, so that the step may become as coarse as that of S8
        let b = step(method, &with_outlier, Levels::U8);
        assert!(b <= a, "{method}: {a} {b}");
    }
    assert_eq!(amax("minmax", &with_outlier, Levels::S8, 0.0), 25.0 * largest);
}

#[test]
fn counts_beyond_single_precision_are_exact() {
    let mut h = Histogram::new();
    h.add(1.0, 999_900_000);
    h.add(1.5, 99_999); // 99.99 % of 10^9 lie at or below 1
    h.add(100.0, 1);
    let m = Magnitudes::new(Cow::Owned(h), 1_000_000_000, 100.0);
    let t = find("percentile").unwrap().amax(&m, Levels::S8, &Options::default());
    assert_eq!(t, 33.0 / 32.0); // the upper border of the bin of 1: the width is 128/4096
}

/// The divergence by its definition, bin by bin, for S8.
fn entropy_by_definition(h: &[u64], clip_limit: f64) -> usize {
    let total: f64 = h.iter().sum::<u64>() as f64;
    let mut best = (f64::INFINITY, 0);
    for i in 128..=h.len() {
        let tail = h[i..].iter().sum::<u64>() as f64;
        if tail > clip_limit * total {
            continue;
        }
        let mut p: Vec<f64> = h[..i].iter().map(|&n| n as f64).collect();
        let mut q = vec![0.0; i];
        for level in 0..128 {
            let bins: Vec<usize> = (0..i).filter(|j| 128 * j / i == level && h[*j] > 0).collect();
            let mean = bins.iter().map(|&j| h[j] as f64).sum::<f64>() / bins.len() as f64;
            bins.iter().for_each(|&j| q[j] = mean);
        }
        p[i - 1] += tail;
        (0..i).filter(|&j| p[j] > 0.0).for_each(|j| q[j] = f64::max(q[j], 0.5));
        let sum: f64 = q.iter().sum();
        let kl: f64 = p
            .iter()
            .zip(&q)
            .filter(|(p, _)| **p > 0.0)
            .map(|(p, q)| p / total * (p / total / (q / sum)).ln())
            .sum();
        if kl <= best.0 + 1e-12 {
            best = (kl.min(best.0), i);
        }
    }
    best.1
}

#[test]
fn running_sums_give_the_divergence_of_the_definition() {
    let mut s = Stats::new(1);
    s.update(&data_set("student_t3")[..3000], 1);
    let m = s.magnitudes();
    let used = m.histogram.last().unwrap() + 1;
    let want = entropy_by_definition(&m.histogram.bins()[..used], 0.001);
    assert_eq!(find("entropy").unwrap().amax(&m, Levels::S8, &Options::default()), m.border(want));
}

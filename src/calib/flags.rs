//! What is odd about a tensor's calibration, in words. A check is one row of [`CHECKS`].

use super::noise::Noise;
use super::shards::TensorStats;
use super::stats::Stats;
use crate::base::quant::Range;
use std::fmt;
use std::sync::Arc;

/// Clipping more than this share of the values is odd.
const CLIPPED: f64 = 0.01;

/// Halves of the data whose thresholds differ by more than this share are odd.
const UNSTABLE: f64 = 0.1;

/// A range that leaves less than this of a tensor, in decibels, is odd where clipping is the reason. Ranges that cost no
/// accuracy leave 28 dB and more, by every method.
const NOISY_DB: f64 = 25.0;

/// What the checks look at.
pub struct Subject<'a> {
    /// What was seen of the tensor.
    pub stats: &'a Stats,
    /// The range that was chosen for it.
    pub range: Range,
    /// The ranges that the same method gives for the two halves of the data; see [`halves`].
    pub halves: Option<[Range; 2]>,
}

/// The ranges that `range_of` gives for the even and for the odd samples; `None` where one half saw nothing.
pub fn halves(stats: &TensorStats, range_of: impl Fn(&Stats) -> Range) -> Option<[Range; 2]> {
    let halves = [stats.half(0), stats.half(1)];
    halves.iter().all(|h| h.count > 0).then(|| halves.each_ref().map(range_of))
}

/// Something odd, with the numbers that say so. Printed as a sentence without the tensor's name.
#[derive(Clone, PartialEq, Debug)]
pub enum Flag {
    /// No value but 0 was seen.
    AllZero {
        /// How many.
        count: u64,
    },
    /// One value only was seen.
    Constant {
        /// That value.
        value: f32,
    },
    /// NaN or infinities were seen.
    NotFinite {
        /// How many.
        count: u64,
        /// Of how many values.
        of: u64,
    },
    /// The range is too small for a normal f32 scale.
    TinyScale {
        /// The largest magnitude of the range.
        amax: f32,
    },
    /// Much lies outside the range.
    Clipped {
        /// The share of the values outside, 0 to 1.
        share: f64,
        /// The range.
        range: Range,
        /// Smallest and largest value seen.
        seen: (f32, f32),
        /// The sample with the largest magnitude.
        largest: Option<Arc<str>>,
    },
    /// Few values lie outside the range, but so far that they make most of the error.
    Noisy {
        /// Signal to noise of the tensor in its range.
        sqnr_db: f64,
        /// The share of the noise that clipping makes, 0 to 1.
        clipping: f64,
        /// The share of the values outside, 0 to 1.
        share: f64,
    },
    /// The two halves of the data ask for different thresholds.
    Unstable {
        /// The thresholds of the halves.
        thresholds: [f32; 2],
        /// Their difference as a share of the larger.
        difference: f64,
        /// The sample with the largest magnitude.
        largest: Option<Arc<str>>,
    },
}

/// A check: the name in reports, what it looks for, and how.
pub struct Check {
    /// The name in reports.
    pub name: &'static str,
    /// What it looks for, in a line.
    pub doc: &'static str,
    /// The flag, where the subject deserves it.
    pub run: fn(&Subject) -> Option<Flag>,
}

/// Every check.
pub static CHECKS: &[Check] = &[
    Check { name: "not-finite", doc: "NaN or infinite values were seen", run: not_finite },
    Check { name: "all-zero", doc: "no value but 0 was seen", run: all_zero },
    Check { name: "constant", doc: "every value seen was the same", run: constant },
    Check { name: "tiny-scale", doc: "the scale would be below the smallest normal number", run: tiny_scale },
    Check { name: "clipped", doc: "more than 1 % of the values lie outside the range", run: clipped },
    Check {
        name: "noisy",
        doc: "the range leaves the tensor less than 25 dB, mostly by clipping, however few values that hits",
        run: noisy,
    },
    Check {
        name: "unstable",
        doc: "the thresholds of two halves of the data differ by more than 10 %",
        run: unstable,
    },
];

/// What is odd about the subject, in the order of [`CHECKS`].
pub fn examine(subject: &Subject) -> Vec<Flag> {
    CHECKS.iter().filter_map(|c| (c.run)(subject)).collect()
}

fn not_finite(s: &Subject) -> Option<Flag> {
    let (count, of) = (s.stats.non_finite, s.stats.count + s.stats.non_finite);
    (count > 0).then_some(Flag::NotFinite { count, of })
}

fn all_zero(s: &Subject) -> Option<Flag> {
    let count = s.stats.count;
    (count > 0 && s.stats.zeros == count).then_some(Flag::AllZero { count })
}

fn constant(s: &Subject) -> Option<Flag> {
    let value = s.stats.min;
    (value == s.stats.max && value != 0.0).then_some(Flag::Constant { value })
}

fn tiny_scale(s: &Subject) -> Option<Flag> {
    let amax = s.range.amax();
    (amax > 0.0 && amax / 127.0 < f32::MIN_POSITIVE).then_some(Flag::TinyScale { amax })
}

fn clipped(s: &Subject) -> Option<Flag> {
    let share = clipped_share(s.stats, s.range);
    let seen = (s.stats.min, s.stats.max);
    let largest = s.stats.amax_sample.clone();
    (share > CLIPPED).then_some(Flag::Clipped { share, range: s.range, seen, largest })
}

fn noisy(s: &Subject) -> Option<Flag> {
    let noise = Noise::of(s.stats, s.range);
    let (sqnr_db, share) = (noise.sqnr_db()?, clipped_share(s.stats, s.range));
    let clipping = noise.clipping / (noise.clipping + noise.rounding);
    // what is flagged as clipped needs no second flag
    (sqnr_db < NOISY_DB && clipping > 0.5 && share <= CLIPPED).then_some(Flag::Noisy {
        sqnr_db,
        clipping,
        share,
    })
}

fn unstable(s: &Subject) -> Option<Flag> {
    let thresholds = s.halves?.map(Range::amax);
    let larger = f64::from(thresholds[0].max(thresholds[1]));
    let difference = f64::from((thresholds[0] - thresholds[1]).abs()) / larger;
    let largest = s.stats.amax_sample.clone();
    (difference > UNSTABLE).then_some(Flag::Unstable { thresholds, difference, largest })
}

/// The share of the finite values that lie outside `range`, 0 to 1, to within the values of one bin a side (exact
/// where the range ends on borders of bins, as those of all methods but minmax do).
pub fn clipped_share(stats: &Stats, range: Range) -> f64 {
    let (lo, hi) = (-range.lo, range.hi);
    let above = if hi < stats.max { stats.positive.count_from(f64::from(hi)) } else { 0 };
    let below = if lo < -stats.min { stats.negative.count_from(f64::from(lo)) } else { 0 };
    if stats.count == 0 { 0.0 } else { (above + below) as f64 / stats.count as f64 }
}

impl Flag {
    /// The name of the check that raises it.
    pub fn name(&self) -> &'static str {
        match self {
            Flag::NotFinite { .. } => "not-finite",
            Flag::AllZero { .. } => "all-zero",
            Flag::Constant { .. } => "constant",
            Flag::TinyScale { .. } => "tiny-scale",
            Flag::Clipped { .. } => "clipped",
            Flag::Noisy { .. } => "noisy",
            Flag::Unstable { .. } => "unstable",
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flag::NotFinite { count, of } => write!(f, "{count} of {of} values are NaN or infinite"),
            Flag::AllZero { count } => write!(f, "all {count} values are 0, so that its scale is 1"),
            Flag::Constant { value } => write!(f, "every value is {value:?}"),
            Flag::TinyScale { amax } => {
                write!(
                    f,
                    "the largest magnitude {amax:?} is too small for a scale, so that everything becomes 0"
                )
            }
            Flag::Clipped { share, range, seen, largest } => write!(
                f,
                "{:.1} % of the values are clipped: the range is {:?} to {:?}, the values reach from {:?} to {:?}{}",
                share * 100.0,
                range.lo,
                range.hi,
                seen.0,
                seen.1,
                largest_in(largest)
            ),
            Flag::Noisy { sqnr_db, clipping, share } => write!(
                f,
                "its range leaves it {sqnr_db:.1} dB: {:.2} % of the values are clipped and make {:.0} % of the error",
                share * 100.0,
                clipping * 100.0
            ),
            Flag::Unstable { thresholds: [a, b], difference, largest } => write!(
                f,
                "the threshold is {a:?} by one half of the samples and {b:?} by the other, {:.0} % apart{}: calibrate \
                 with more samples",
                difference * 100.0,
                largest_in(largest)
            ),
        }
    }
}

fn largest_in(sample: &Option<Arc<str>>) -> String {
    sample.as_ref().map(|s| format!(" (the largest magnitude is in {s})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(values: &[f32], range: Range) -> Vec<Flag> {
        let mut s = Stats::new(1);
        s.update(values, 1);
        let flags = examine(&Subject { stats: &s, range, halves: None });
        assert!(flags.iter().all(|f| CHECKS.iter().any(|c| c.name == f.name())));
        flags
    }

    #[test]
    fn odd_tensors_are_flagged_with_their_numbers() {
        let r = Range::symmetric;
        assert_eq!(flags(&[0.0; 5], r(0.0)), [Flag::AllZero { count: 5 }]);
        assert_eq!(flags(&[0.7; 5], r(0.7)), [Flag::Constant { value: 0.7 }]);
        assert_eq!(flags(&[1.0, f32::NAN, 2.0], r(2.0)), [Flag::NotFinite { count: 1, of: 3 }]);
        assert_eq!(flags(&[1e-37, 0.0], r(1e-37)), [Flag::TinyScale { amax: 1e-37 }]);
        assert_eq!(flags(&[1.0, -2.0], r(2.0)), []);
    }

    #[test]
    fn clipping_counts_both_sides() {
        let mut values = vec![0.5; 96];
        values.extend([4.0, -4.0, -4.0, 1.0]);
        let Some(Flag::Clipped { share, .. }) = flags(&values, Range::symmetric(2.0)).first().cloned() else {
            panic!("not flagged")
        };
        assert_eq!(share, 0.03);
        assert_eq!(flags(&values[..97], Range { lo: 0.0, hi: 4.0 }), []);
        let text = flags(&values, Range::unsigned(4.0))[0].to_string();
        assert!(text.starts_with("2.0 % of the values are clipped"), "{text}"); // negative ones, by a range from 0
    }

    #[test]
    fn few_values_clipped_far_are_noisy() {
        let mut values = vec![1.0; 999];
        values.push(9.0);
        // signal 999 + 81, clipping 7.5^2: 12.83 dB
        let [Flag::Noisy { sqnr_db, clipping, share }] = flags(&values, Range::symmetric(1.5))[..] else {
            panic!("not flagged")
        };
        assert!(
            (sqnr_db - 12.83).abs() < 0.1 && clipping > 0.99 && share == 0.001,
            "{sqnr_db} {clipping} {share}"
        );
        assert_eq!(flags(&values, Range::symmetric(9.0)), []); // rounding alone
    }

    #[test]
    fn halves_that_disagree_are_unstable() {
        let mut t = TensorStats::new(1);
        t.update(0, &[1.0, 0.5], 1);
        assert_eq!(halves(&t, |s| Range::symmetric(s.amax())), None);
        t.update_from(1, &"b.png".into(), &[1.25], 1);
        let halves = halves(&t, |s| Range::symmetric(s.amax()));
        let flags = examine(&Subject { stats: &t.all(), range: Range::symmetric(1.25), halves });
        assert_eq!(
            flags,
            [Flag::Unstable { thresholds: [1.0, 1.25], difference: 0.2, largest: Some("b.png".into()) }]
        );
        assert!(flags[0].to_string().contains("20 % apart (the largest magnitude is in b.png): "));
    }
}

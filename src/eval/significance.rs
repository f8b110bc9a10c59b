//! Is a difference more than chance? Both sides see the same samples, so only the samples on which they differ count.

use statrs::distribution::{Binomial, DiscreteCDF};

/// The 97.5 % quantile of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// Two classifiers on the same labelled samples.
///
/// ```
/// use quantize::eval::Paired;
/// let p = Paired { n: 1000, lost: 30, gained: 10 };
/// assert_eq!(p.drop(), 2.0);
/// // SE = sqrt(40 - 20²/1000) / 1000 = 0.0062929; 1.95996 SE = 1.2334 points
/// let [lo, hi] = p.drop_ci95().unwrap();
/// assert!((lo - 0.7666).abs() < 1e-4 && (hi - 3.2334).abs() < 1e-4);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// How many samples.
    pub n: u64,
    /// Reference right, candidate wrong.
    pub lost: u64,
    /// Reference wrong, candidate right.
    pub gained: u64,
}

impl Paired {
    /// Counts one sample.
    pub fn update(&mut self, reference_right: bool, candidate_right: bool) {
        self.n += 1;
        self.lost += u64::from(reference_right && !candidate_right);
        self.gained += u64::from(!reference_right && candidate_right);
    }

    /// Accuracy lost in percentage points, positive is worse; 0 without samples.
    pub fn drop(&self) -> f64 {
        100.0 * (self.lost as f64 - self.gained as f64) / (self.n.max(1) as f64)
    }

    /// 95 % confidence interval of [`Paired::drop`], by the normal approximation for paired proportions (Wald):
    /// `SE = sqrt((b + c) - (b - c)²/n) / n`. `None` without samples. With no flips at all it has no width.
    pub fn drop_ci95(&self) -> Option<[f64; 2]> {
        if self.n == 0 {
            return None;
        }
        let (b, c, n) = (self.lost as f64, self.gained as f64, self.n as f64);
        let half = 100.0 * Z95 * ((b + c) - (b - c) * (b - c) / n).max(0.0).sqrt() / n;
        Some([self.drop() - half, self.drop() + half])
    }

    /// Exact McNemar test, two-sided: `2 P(X <= min(b, c))` for X binomial of `b + c` fair coins, at most 1.
    pub fn mcnemar_p(&self) -> f64 {
        match Binomial::new(0.5, self.lost + self.gained) {
            Ok(coins) => (2.0 * coins.cdf(self.lost.min(self.gained))).min(1.0),
            Err(_) => 1.0, // one half is a probability, so this cannot be
        }
    }
}

/// 95 % interval of an accuracy in percent, `correct` of `n` samples, by Wilson's score (Wilson 1927). `None`
/// without samples.
pub fn wilson95(correct: u64, n: u64) -> Option<[f64; 2]> {
    if n == 0 || correct > n {
        return None;
    }
    let (p, n, z2) = (correct as f64 / n as f64, n as f64, Z95 * Z95);
    let centre = p + z2 / (2.0 * n);
    let half = Z95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let end = |x: f64| (100.0 * x / (1.0 + z2 / n)).clamp(0.0, 100.0);
    Some([end(centre - half), end(centre + half)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table I of Newcombe, "Two-sided confidence intervals for the single proportion", 1998, method 3.
    #[test]
    fn wilson_matches_newcombe() {
        for (correct, n, lo, hi) in
            [(81, 263, 25.53, 36.62), (15, 148, 6.24, 16.05), (0, 20, 0.0, 16.11), (1, 29, 0.61, 17.18)]
        {
            let [a, b] = wilson95(correct, n).unwrap();
            assert!((a - lo).abs() < 0.006 && (b - hi).abs() < 0.006, "{correct}/{n}: {a} {b}");
        }
        assert_eq!((wilson95(0, 0), wilson95(3, 2)), (None, None));
    }

    #[test]
    fn mcnemar_matches_sums_of_coins_by_hand() {
        let p = |lost, gained| Paired { n: 10_000, lost, gained }.mcnemar_p();
        assert!((p(5, 1) - 2.0 * 7.0 / 64.0).abs() < 1e-12); // (1 + 6) of 2^6
        assert!((p(1, 5) - p(5, 1)).abs() < 1e-15);
        assert!((p(0, 10) - 2.0 / 1024.0).abs() < 1e-12);
        assert_eq!((p(0, 0), p(7, 7)), (1.0, 1.0));
        // 121 against 59 (the example of statsmodels' tests): the sum of C(180, k), k <= 59, over 2^179, in exact
        // rational arithmetic
        assert!((p(121, 59) / 4.434449263755176e-6 - 1.0).abs() < 1e-9, "{}", p(121, 59));
    }

    #[test]
    fn the_interval_is_empty_or_has_no_width_where_it_must() {
        assert_eq!(Paired::default().drop_ci95(), None);
        assert_eq!(Paired { n: 50, lost: 0, gained: 0 }.drop_ci95(), Some([0.0, 0.0]));
        assert_eq!(Paired { n: 5, lost: 5, gained: 0 }.drop_ci95(), Some([100.0, 100.0]));
    }

    #[test]
    fn only_differences_count() {
        let mut p = Paired::default();
        for (r, c) in [(true, true), (true, false), (false, true), (true, false), (false, false)] {
            p.update(r, c);
        }
        assert_eq!(p, Paired { n: 5, lost: 2, gained: 1 });
        assert_eq!(p.drop(), 20.0);
    }
}

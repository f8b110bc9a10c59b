//! Summing up times, and saying when they are not to be trusted.

use crate::report::model::Percentiles;

/// The summary of `times`, in their unit; `None` without any. Percentiles interpolate linearly between the two
/// nearest ranks, as NumPy does by default (Hyndman and Fan 1996, definition 7). Values that are not finite are
/// left out.
///
/// ```
/// let p = quantize::eval::latency::summarize(&[4.0, 1.0, 2.0, 3.0]).unwrap();
/// assert_eq!((p.min, p.mean, p.median, p.max, p.n), (1.0, 2.5, 2.5, 4.0, 4));
/// assert!((p.p90 - 3.7).abs() < 1e-12);
/// ```
pub fn summarize(times: &[f64]) -> Option<Percentiles> {
    let mut sorted: Vec<f64> = times.iter().copied().filter(|t| t.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    Some(Percentiles {
        min,
        mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        median: quantile(&sorted, 0.5),
        p90: quantile(&sorted, 0.9),
        p95: quantile(&sorted, 0.95),
        p99: quantile(&sorted, 0.99),
        max,
        n: sorted.len() as u64,
    })
}

/// The `q`-quantile of ascending, non-empty `sorted`.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = q * (sorted.len() - 1) as f64;
    let (below, above) = (rank.floor() as usize, rank.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * rank.fract()
}

/// Times whose 95th percentile lies this far above their median came from a disturbed machine.
const TAIL_LIMIT: f64 = 1.25;
/// So did times of which the medians of the four quarters of the run differ by more than this.
const TREND_LIMIT: f64 = 1.10;
/// Fewer times than this say nothing about noise.
const FEWEST: usize = 20;

/// Says in a sentence why `times`, in the order they were taken, are not to be trusted; `None` where nothing
/// speaks against them. Two signs are looked for: a long tail (other programs ran), and a trend from quarter to
/// quarter (the clock changed: heat, a turbo that ran out, a governor).
pub fn noisy(times: &[f64]) -> Option<String> {
    if times.len() < FEWEST {
        return None;
    }
    let all = summarize(times)?;
    if all.p95 > TAIL_LIMIT * all.median {
        return Some(format!(
            "the machine was noisy: one run in twenty took {:.0} % longer than the median or more; stop other \
             programs, or use fewer threads, and measure again",
            100.0 * (all.p95 / all.median - 1.0)
        ));
    }
    let quarter = times.len() / 4;
    let medians: Vec<f64> =
        times.chunks_exact(quarter).take(4).filter_map(|q| Some(summarize(q)?.median)).collect();
    let (low, high) =
        medians.iter().fold((f64::INFINITY, 0.0f64), |(low, high), &m| (low.min(m), high.max(m)));
    (high > TREND_LIMIT * low).then(|| {
        format!(
            "the machine's speed changed during the measurement: the medians of its quarters differ by {:.0} %; \
             warm up longer, fix the clock, and measure again",
            100.0 * (high / low - 1.0)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy.percentile([15, 20, 35, 40, 50], [50, 90, 95, 99]) = [35, 46, 48, 49.6].
    #[test]
    fn percentiles_are_numpys() {
        let p = summarize(&[40.0, 15.0, 50.0, 35.0, 20.0, f64::NAN]).unwrap();
        for (got, want) in [(p.median, 35.0), (p.p90, 46.0), (p.p95, 48.0), (p.p99, 49.6), (p.mean, 32.0)] {
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
        assert_eq!(summarize(&[]), None);
        assert_eq!(summarize(&[7.0]).map(|p| (p.min, p.p99)), Some((7.0, 7.0)));
    }

    #[test]
    fn noise_is_told_from_calm() {
        let calm: Vec<f64> = (0..100).map(|i| 10.0 + f64::from(i % 7) * 0.05).collect();
        assert_eq!(noisy(&calm), None);
        let tail: Vec<f64> = (0..100).map(|i| if i % 10 == 0 { 20.0 } else { 10.0 }).collect();
        assert!(noisy(&tail).unwrap().contains("one run in twenty"));
        let trend: Vec<f64> = (0..100).map(|i| 10.0 + f64::from(i) * 0.02).collect();
        assert!(noisy(&trend).unwrap().contains("quarters"));
        assert_eq!(noisy(&tail[..10]), None);
    }
}

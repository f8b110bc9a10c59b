//! A fixed share of the values is clipped.

use super::{Levels, Magnitudes, Method, Options};

/// The magnitude that a given share of the values does not exceed.
pub struct Percentile;

impl Method for Percentile {
    fn name(&self) -> &'static str {
        "percentile"
    }

    fn doc(&self) -> &'static str {
        "the magnitude that a share of the values does not exceed (`percentile`, 99.99 % unless set)"
    }

    /// The upper border of the bin in which the quantile lies: never below the quantile, and less than 1/2048 of the
    /// largest magnitude above it. Zeros count as values, in bin 0.
    fn amax(&self, m: &Magnitudes, _: Levels, options: &Options) -> f32 {
        let need = (options.percentile / 100.0 * m.count as f64).ceil() as u64;
        let mut seen = m.count - m.non_zero;
        let bin = m.histogram.bins().iter().position(|n| {
            seen += n;
            seen >= need
        });
        bin.map_or(m.max, |bin| m.border(bin + 1))
    }
}

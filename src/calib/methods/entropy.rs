//! The threshold that keeps most information, made safe.

use super::divergence::{Divergence, EmptyBins};
use super::{Levels, Magnitudes, Method, Options};

/// The share of the non-zero values that may be clipped.
const MAX_CLIPPED: f64 = 0.001;

/// Kullback-Leibler search over thresholds that clip at most 0.1 % of the non-zero values.
///
/// The bound keeps the search from what it is known to fall for: where nearly everything is clipped into one bin,
/// both distributions are that bin and the divergence is 0 (two modes with a gap between them).
pub struct Entropy;

impl Method for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn doc(&self) -> &'static str {
        "the least Kullback-Leibler divergence among thresholds that clip at most 0.1 % of the non-zero values"
    }

    fn amax(&self, m: &Magnitudes, levels: Levels, _: &Options) -> f32 {
        let (bins, _) = Divergence::of(m).best(levels, EmptyBins::Half, MAX_CLIPPED);
        m.border(bins)
    }
}

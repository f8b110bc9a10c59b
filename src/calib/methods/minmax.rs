//! Nothing is clipped.

use super::{Levels, Magnitudes, Method, Options};

/// The largest magnitude seen.
pub struct MinMax;

impl Method for MinMax {
    fn name(&self) -> &'static str {
        "minmax"
    }

    fn doc(&self) -> &'static str {
        "the largest magnitude seen; clips nothing, but one outlier makes every step coarse"
    }

    fn amax(&self, m: &Magnitudes, _: Levels, _: &Options) -> f32 {
        m.max
    }
}

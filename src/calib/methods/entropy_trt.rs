//! The entropy search as NVIDIA's tools publish it.

use super::divergence::{Divergence, EmptyBins};
use super::{Levels, Magnitudes, Method, Options};

/// The search of pytorch-quantization and ModelOpt (`HistogramCalibrator`, method `entropy`), on our bins: bin 0
/// takes the count of bin 1, zeros are in neither, and every threshold is a candidate. For comparison; it does not
/// claim to give TensorRT's own bits.
pub struct EntropyTrt;

impl Method for EntropyTrt {
    fn name(&self) -> &'static str {
        "entropy-trt"
    }

    fn doc(&self) -> &'static str {
        "the least Kullback-Leibler divergence among all thresholds, as NVIDIA's tools search it; for comparison"
    }

    fn is_bounded(&self) -> bool {
        false
    }

    fn amax(&self, m: &Magnitudes, levels: Levels, _: &Options) -> f32 {
        let search = Divergence::of(&first_bin_replaced(m));
        m.border(search.best(levels, EmptyBins::Nothing, 1.0).0)
    }
}

fn first_bin_replaced<'a>(m: &Magnitudes) -> Magnitudes<'a> {
    let mut h = m.histogram.clone().into_owned();
    let cells = h.cells(h.exp());
    cells[0] = cells[1];
    Magnitudes::new(std::borrow::Cow::Owned(h), m.count, m.max)
}

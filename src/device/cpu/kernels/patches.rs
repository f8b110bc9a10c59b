//! Gathering the patches of a convolution: each output pixel's inputs as one row, in the order of the packed weights
//! (kernel row, kernel column, channel).

use crate::ir::ops::Geometry;
use std::ops::Range;

/// Writes the patches of output pixels `rows` of a channels-last image `x` to `out`, `stride` numbers apart; what
/// lies in the padding is `fill`.
pub fn gather<T: Copy>(
    x: &[T],
    channels: usize,
    g: &Geometry,
    rows: Range<usize>,
    fill: T,
    stride: usize,
    out: &mut [T],
) {
    let width = g.output[1];
    for (pixel, row) in rows.zip(out.chunks_mut(stride)) {
        let (oh, ow) = (pixel / width, pixel % width);
        let mut at = 0;
        for i in 0..g.kernel[0] {
            let h = g.source(0, oh, i);
            for j in 0..g.kernel[1] {
                let to = &mut row[at..at + channels];
                match (h, g.source(1, ow, j)) {
                    (Some(h), Some(w)) => {
                        let from = (h * g.input[1] + w) * channels;
                        to.copy_from_slice(&x[from..from + channels]);
                    }
                    _ => to.fill(fill),
                }
                at += channels;
            }
        }
    }
}

//! Pictures under a window of stride 2, cut into patches of 16 bytes: see `kernels/patches.cuh`.

use super::hopper::{Job, Order};
use crate::base::Tensor;

/// Bytes of a patch.
const PATCH: usize = 16;

/// How a job's input is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patches {
    /// Rows and columns of pixels of a patch.
    pub size: [usize; 2],
    /// Rows and columns of patches under a window: one more where the padding is odd, as the first patch then begins
    /// before it.
    pub under: [usize; 2],
}

impl Patches {
    /// The patches of this job, if its input can be cut so: few channels, stride 2.
    pub fn of(job: &Job) -> Option<Patches> {
        let w = &job.sizes.window;
        let size = [2 / job.element().clamp(1, 2), 2];
        let under = [0, 1].map(|i| (w.kernel[i] + w.begin[i] % size[i]).div_ceil(size[i]));
        let few = job.sizes.channels <= 4 && job.x.pitch == 4 && job.sizes.outputs <= 64;
        let whole = w.input[1].is_multiple_of(2) && under[1] <= 4;
        let plain = job.residual.is_none() && w.strides == [2, 2] && w.dilations == [1, 1];
        (few && whole && plain).then_some(Patches { size, under })
    }

    /// Bytes of a row of patches under a window, as instructions take them.
    pub fn block(&self) -> usize {
        (self.under[1] * PATCH).next_multiple_of(32)
    }

    /// Bytes of weights of an output channel.
    pub fn row(&self) -> usize {
        self.under[0] * self.block()
    }

    /// Rows of patches under so many rows of the output.
    pub fn rows(&self, outputs: usize) -> usize {
        (outputs.max(1) - 1) * (2 / self.size[0]) + self.under[0]
    }

    /// Rows and columns of pixels before the first window, as far as its first patch reaches.
    pub fn before(&self, job: &Job) -> [usize; 2] {
        [0, 1].map(|i| job.sizes.window.begin[i].next_multiple_of(self.size[i]))
    }

    /// Weights `[M, C, kh, kw]` in the order in which patches have their pixels.
    pub fn weights(&self, job: &Job, w: &Tensor, order: Order) -> Vec<u8> {
        let (window, height) = (&job.sizes.window, self.size[0]);
        let ([kh, kw], element) = (window.kernel, job.element());
        let odd = [window.begin[0] % height, window.begin[1] % 2];
        job.rows(w, self.row(), order, |i| {
            let (c, row, column) = (i / (kh * kw), i / kw % kh + odd[0], i % kw + odd[1]);
            let within = row % height * 8 + (column % 2 * 4 + c) * element;
            row / height * self.block() + column / 2 * PATCH + within
        })
    }
}

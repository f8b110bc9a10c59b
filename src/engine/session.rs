//! Running an engine.

use super::host::{self, Wish};
use super::{Batch, Engine};
use crate::base::codes::engine;
use crate::base::{Diagnostic, Result, Shape};
use crate::device::{Counter, Device, Executor, Phases, Tap};
use ndarray::{ArrayViewD, IxDyn};
use std::collections::VecDeque;
use std::time::Duration;

/// A loaded engine with memory and threads of its own. Several sessions over one engine share its weights and may
/// run at the same time.
pub struct Session {
    pub(super) executor: Box<dyn Executor>,
    pub(super) inputs: Vec<(String, Shape)>,
    outputs: Vec<(String, Shape)>,
    pub(super) pixels: Option<Shape>,
    pub(super) max_batch: usize,
    /// Most batches in flight, and the images of those that are.
    pub(super) room: usize,
    pub(super) pending: VecDeque<usize>,
}

impl Session {
    /// A session on a device. The engine must have been built for it.
    pub fn new(engine: &Engine, device: &dyn Device) -> Result<Self> {
        host::fits(engine, device)?;
        let ports = |p: &[crate::plan::Port]| p.iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
        Ok(Session {
            executor: device.load(&engine.program()?)?,
            inputs: ports(&engine.plan.inputs),
            outputs: ports(&engine.plan.outputs),
            pixels: engine.pixels().cloned(),
            max_batch: engine.plan.max_batch,
            room: 0,
            pending: VecDeque::new(),
        })
    }

    /// A session on the device of this machine that the engine was built for: the first GPU, or the CPU with all
    /// threads.
    pub fn on_host(engine: &Engine) -> Result<Self> {
        Session::new(engine, &*host::device(engine, &Wish::default())?)
    }

    /// Runs a batch: one f32 array `[n, ..]` per input, `n` the same for all and at most the engine's largest batch; or
    /// pictures, u8 `[n, H, W, C]` (see [`Batch`]). Returns a view `[n, ..]` per output, good until the next run.
    pub fn run<'a>(&mut self, batch: impl Into<Batch<'a>>) -> Result<Vec<ArrayViewD<'_, f32>>> {
        let n = self.fill(batch)?;
        self.step(n, None)?;
        Ok(self.all_outputs(n))
    }

    pub(super) fn all_outputs(&self, n: usize) -> Vec<ArrayViewD<'_, f32>> {
        (0..self.outputs.len()).map(|i| self.output(i, n)).collect()
    }

    /// The numbers of input `i` for `n` images, for callers that write in place.
    ///
    /// # Panics
    /// Where `i` or `n` is out of range, a mistake of the caller.
    pub fn input_mut(&mut self, i: usize, n: usize) -> &mut [f32] {
        assert!(n <= self.max_batch, "a batch of {n} images in a session of at most {}", self.max_batch);
        bytemuck::cast_slice_mut(self.executor.input(i, n))
    }

    /// The pixels of `n` pictures, row by row, for callers that write in place; `None` where the engine takes none. The
    /// next run reads them instead of the inputs.
    ///
    /// # Panics
    /// Where `n` is out of range.
    pub fn pixels_mut(&mut self, n: usize) -> Option<&mut [u8]> {
        assert!(n <= self.max_batch, "a batch of {n} images in a session of at most {}", self.max_batch);
        self.executor.pixels(n)
    }

    /// Runs the first `n` images of what was written last, inputs or pixels; a tap sees every step. Allocates nothing.
    ///
    /// # Errors
    /// `BAD_INPUT` unless `n` is between 1 and the largest batch.
    pub fn step(&mut self, n: usize, tap: Option<&mut dyn Tap>) -> Result<()> {
        self.fits(n)?;
        self.executor.run(n, tap)
    }

    /// The session as one that counts what runs write, where the device does that itself.
    pub fn counter(&mut self) -> Option<&mut dyn Counter> {
        self.executor.counter()
    }

    fn fits(&self, n: usize) -> Result<()> {
        match (1..=self.max_batch).contains(&n) {
            true => Ok(()),
            false => Err(Diagnostic::new(engine::BAD_INPUT, format!("a batch of {n} images was given"))
                .expected(format!("1 to {}", self.max_batch))),
        }
    }

    /// Output `i` of the last run.
    pub fn output(&self, i: usize, n: usize) -> ArrayViewD<'_, f32> {
        let mut dims = self.outputs[i].1.0.clone();
        dims[0] *= n;
        let data: &[f32] = bytemuck::cast_slice(self.executor.output(i, n));
        // the executor's bytes are the shape's by construction of the plan
        ArrayViewD::from_shape(IxDyn(&dims), data)
            .unwrap_or_else(|_| unreachable!("an output of another size"))
    }

    /// Output `i` of the last run, as numbers in a row.
    pub fn output_slice(&self, i: usize, n: usize) -> &[f32] {
        bytemuck::cast_slice(self.executor.output(i, n))
    }

    /// The time of one run of `n` images, as the device measures it.
    pub fn time(&mut self, n: usize) -> Result<Duration> {
        self.fits(n)?;
        self.executor.time(n)
    }

    /// The time of one run of `n` images, by its parts.
    pub fn phases(&mut self, n: usize) -> Result<Phases> {
        self.fits(n)?;
        self.executor.phases(n)
    }

    /// Runs the first `n` images and tells the tap how long each step takes, as well as the device can say.
    pub fn profile(&mut self, n: usize, tap: &mut dyn Tap) -> Result<()> {
        self.fits(n)?;
        self.executor.profile(n, tap)
    }

    /// The time of `runs` runs of `n` images, one behind the other, without copies from and to the host.
    pub fn time_resident(&mut self, n: usize, runs: usize) -> Result<Duration> {
        self.fits(n)?;
        self.executor.time_resident(n, runs)
    }

    /// Names and shapes (of one image) of the inputs.
    pub fn inputs(&self) -> &[(String, Shape)] {
        &self.inputs
    }

    /// Names and shapes (of one image) of the outputs.
    pub fn outputs(&self) -> &[(String, Shape)] {
        &self.outputs
    }

    /// The shape of one picture, `[1, H, W, C]`, where the engine takes pixels.
    pub fn pixels(&self) -> Option<&Shape> {
        self.pixels.as_ref()
    }

    /// Most images of a run.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }
}

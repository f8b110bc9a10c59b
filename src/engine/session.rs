//! Running an engine.

use super::Engine;
use super::host::{self, Wish};
use crate::base::codes::engine;
use crate::base::{Diagnostic, Result, Shape};
use crate::device::{Counter, Device, Executor, Phases, Tap};
use ndarray::{ArrayViewD, IxDyn};
use std::time::Duration;

/// A loaded engine with memory and threads of its own. Several sessions over one engine share its weights and may
/// run at the same time.
pub struct Session {
    executor: Box<dyn Executor>,
    inputs: Vec<(String, Shape)>,
    outputs: Vec<(String, Shape)>,
    max_batch: usize,
}

impl Session {
    /// A session on a device. The engine must have been built for it.
    pub fn new(engine: &Engine, device: &dyn Device) -> Result<Self> {
        let (built, here) = (&engine.plan.device, device.id());
        if (&built.kind, &built.arch) != (&here.kind, &here.arch) {
            return Err(Diagnostic::new(
                engine::WRONG_DEVICE,
                format!("the engine was built for {built}, this is {here}"),
            )
            .help("build it again here; `quantize inspect` says what it was built from"));
        }
        let ports = |p: &[crate::plan::Port]| p.iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
        Ok(Session {
            executor: device.load(&engine.program()?)?,
            inputs: ports(&engine.plan.inputs),
            outputs: ports(&engine.plan.outputs),
            max_batch: engine.plan.max_batch,
        })
    }

    /// A session on the device of this machine that the engine was built for: the first GPU, or the CPU with all
    /// threads.
    pub fn on_host(engine: &Engine) -> Result<Self> {
        Session::new(engine, &*host::device(engine, &Wish::default())?)
    }

    /// Runs a batch: one f32 array `[n, ..]` per input, `n` the same for all and at most the engine's largest batch.
    /// Returns a view `[n, ..]` per output, good until the next run.
    pub fn run(&mut self, inputs: &[ArrayViewD<f32>]) -> Result<Vec<ArrayViewD<'_, f32>>> {
        let n = self.fill(inputs)?;
        self.step(n, None)?;
        Ok((0..self.outputs.len()).map(|i| self.output(i, n)).collect())
    }

    /// Writes a batch into the session's inputs; returns its size.
    pub fn fill(&mut self, inputs: &[ArrayViewD<f32>]) -> Result<usize> {
        if inputs.len() != self.inputs.len() {
            let what = format!("{} inputs were given", inputs.len());
            return Err(
                Diagnostic::new(engine::BAD_INPUT, what).expected(format!("{} inputs", self.inputs.len()))
            );
        }
        let n = inputs.first().map_or(0, |x| x.shape().first().copied().unwrap_or(0));
        for (i, x) in inputs.iter().enumerate() {
            let (name, shape) = &self.inputs[i];
            if x.shape().first() != Some(&n)
                || x.shape().get(1..) != Some(&shape[1..])
                || n == 0
                || n > self.max_batch
            {
                let mut want = shape.to_string();
                want.replace_range(..2, &format!("[1..{}", self.max_batch));
                return Err(Diagnostic::new(
                    engine::BAD_INPUT,
                    format!("input {name} has shape {:?}", x.shape()),
                )
                .expected(want));
            }
            let to: &mut [f32] = bytemuck::cast_slice_mut(self.executor.input(i, n));
            match x.as_slice() {
                Some(from) => to.copy_from_slice(from),
                None => to.iter_mut().zip(x.iter()).for_each(|(to, from)| *to = *from),
            }
        }
        Ok(n)
    }

    /// The numbers of input `i` for `n` images, for callers that write in place.
    ///
    /// # Panics
    /// Where `i` or `n` is out of range, a mistake of the caller.
    pub fn input_mut(&mut self, i: usize, n: usize) -> &mut [f32] {
        assert!(n <= self.max_batch, "a batch of {n} images in a session of at most {}", self.max_batch);
        bytemuck::cast_slice_mut(self.executor.input(i, n))
    }

    /// Runs the first `n` images of what the inputs hold; a tap sees every step. Allocates nothing.
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

    /// Most images of a run.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }
}

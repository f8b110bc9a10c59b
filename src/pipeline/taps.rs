//! Values seen through taps: which step writes which value, and its numbers as reals in the order of its shape.

use crate::base::quant::QuantParams;
use crate::base::{DType, Shape};
use crate::device::{Layout, Operand, Tap};
use crate::plan::{BufferId, Plan, Step};
use half::f16;
use std::collections::HashMap;

/// Where a plan writes each value first: by (step, output).
pub struct Writers(HashMap<(usize, usize), BufferId>);

impl Writers {
    /// The writers of a plan. Conversions write nothing new.
    pub fn of(plan: &Plan) -> Self {
        let nodes = plan.steps.iter().enumerate().filter(|(_, s)| s.problem.op().is_some());
        let outputs = nodes.flat_map(|(i, s)| s.outputs.iter().enumerate().map(move |(o, &b)| ((i, o), b)));
        Writers(outputs.collect())
    }

    /// The buffer that this output of this step writes, if it is a node's.
    pub fn buffer(&self, step: usize, output: usize) -> Option<BufferId> {
        self.0.get(&(step, output)).copied()
    }
}

/// The channel of element `i` of a value is `i / inner % channels`; one channel where it has no channel axis.
pub fn channels(shape: &Shape, layout: Layout) -> (usize, usize) {
    match (shape[..].len(), layout) {
        (4, Layout::ChannelsLast) => (shape[1], 1),
        (4, Layout::Plain) => (shape[1], shape[2] * shape[3]),
        (2 | 3, Layout::Plain) => (shape[shape.rank() - 1].max(1), 1), // features are last
        _ => (1, 1),
    }
}

/// One image of a stored value as reals, in the order of its shape.
pub fn reals(operand: &Operand, quant: Option<QuantParams>, bytes: &[u8]) -> Vec<f32> {
    let at = |i: usize| operand.layout.place(&operand.shape, i);
    let n = operand.shape.numel();
    match (operand.dtype, quant) {
        (DType::F32, _) => {
            let v: &[f32] = bytemuck::cast_slice(bytes);
            (0..n).map(|i| v[at(i)]).collect()
        }
        (DType::F16, _) => {
            let v: &[f16] = bytemuck::cast_slice(bytes);
            (0..n).map(|i| v[at(i)].to_f32()).collect()
        }
        (DType::U8, Some(q)) => (0..n).map(|i| q.dequantize(bytes[at(i)].into())).collect(),
        (DType::I8, Some(q)) => (0..n).map(|i| q.dequantize((bytes[at(i)] as i8).into())).collect(),
        _ => Vec::new(),
    }
}

/// Collects every value of one image as reals, by name.
pub struct Collect<'p> {
    plan: &'p Plan,
    writers: Writers,
    /// The values seen.
    pub values: HashMap<&'p str, Vec<f32>>,
}

impl<'p> Collect<'p> {
    /// A collector for runs of this plan.
    pub fn new(plan: &'p Plan) -> Self {
        Collect { plan, writers: Writers::of(plan), values: HashMap::new() }
    }

    /// Adds an input of the plan.
    pub fn input(&mut self, i: usize, values: &[f32]) {
        let name = &self.plan.buffer(self.plan.inputs[i].buffer).value;
        self.values.insert(name, values.to_vec());
    }
}

impl Tap for Collect<'_> {
    fn wants(&self, step: usize, output: usize) -> bool {
        self.writers.buffer(step, output).is_some()
    }

    fn seen(&mut self, step: usize, output: usize, bytes: &[u8]) {
        let Some(id) = self.writers.buffer(step, output) else { return };
        let b = self.plan.buffer(id);
        self.values.insert(&b.value, reals(&b.operand, b.quant, &bytes[..b.operand.bytes()]));
    }
}

/// The shortest time of every step over some runs.
pub struct Profile {
    /// Microseconds, by step.
    pub micros: Vec<f64>,
}

impl Profile {
    /// A profile of this plan.
    pub fn new(plan: &Plan) -> Self {
        Profile { micros: vec![f64::INFINITY; plan.steps.len()] }
    }

    /// The step's time, where it ran.
    pub fn of(&self, step: usize) -> Option<f64> {
        self.micros.get(step).copied().filter(|t| t.is_finite())
    }
}

impl Tap for Profile {
    fn wants(&self, _: usize, _: usize) -> bool {
        false
    }

    fn seen(&mut self, _: usize, _: usize, _: &[u8]) {}

    fn timed(&mut self, step: usize, time: std::time::Duration) {
        self.micros[step] = self.micros[step].min(time.as_secs_f64() * 1e6);
    }
}

/// The steps that compute nodes, with their numbers.
pub fn nodes(plan: &Plan) -> impl Iterator<Item = (usize, &Step)> {
    plan.steps.iter().enumerate().filter(|(_, s)| s.problem.op().is_some())
}

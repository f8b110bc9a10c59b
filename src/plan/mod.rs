//! From a graph with precisions to steps over buffers.
//!
//! [`lower()`] turns every node into a step (a problem, scales, constants) and puts a conversion wherever a reader
//! wants another form than the writer gives; [`views`] finds the operators that need not be computed, as their outputs
//! can lie where their inputs are; [`pixels`] adds a second way in; [`pairs`] finds what may be one step instead of two,
//! and [`in_place`] what may be written over an input; [`memory`] places the buffers in one arena; [`check`] proves the
//! result against the graph and trusts nothing that was said before. Tactics are chosen in between, by the tuner.

pub mod check;
pub mod in_place;
pub mod layouts;
pub mod lower;
pub mod memory;
pub mod pairs;
pub mod pixels;
pub mod views;

pub use lower::{Lowered, lower, wants_int8};
pub use pixels::Entry;

use crate::base::quant::QuantParams;
use crate::base::{DType, Shape};
use crate::device::{DeviceId, Numerics, Operand, Problem, run_order};
use crate::ir::Precision;
use crate::tune::Choice;
use crate::typed_id;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

typed_id!(
    /// A buffer of a plan.
    BufferId, "b");

/// A value in one form, and where it lives.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Buffer {
    /// The name of the value it holds.
    pub value: String,
    /// Type, shape and layout of one image.
    pub operand: Operand,
    /// Its scale, where it is 8-bit.
    pub quant: Option<QuantParams>,
    /// Bytes from the start of the arena, for the largest batch.
    pub offset: usize,
    /// The buffer that it is a part of, if it has no memory of its own.
    pub within: Option<Within>,
    /// The steps between which it is alive: the first writes it (or is 0 for an input), the last reads it.
    pub life: (usize, usize),
    /// Is it nowhere in memory, as the step that reads it computes it too?
    pub absent: bool,
}

/// A part of a buffer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Within {
    /// The whole.
    pub buffer: BufferId,
    /// Bytes from the start of an image of the whole to that of the part.
    pub at: usize,
}

/// A step: a node of the graph, or a conversion.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The node's name; a conversion has that of the value it converts.
    pub name: String,
    /// What is computed.
    pub problem: Problem,
    /// With which scales.
    pub numerics: Numerics,
    /// How, with what else was tried.
    pub choice: Choice,
    /// What it reads.
    pub inputs: Vec<BufferId>,
    /// What it writes.
    pub outputs: Vec<BufferId>,
    /// The step that is computed with this one, whose output only this one reads: the tactic is one of both. It may be a
    /// view that is computed with another in turn: then it is that one.
    pub with: Option<usize>,
    /// Packed constants: ranges of the engine's weights section.
    pub constants: Vec<Range<usize>>,
    /// What the node computes in, and why; `None` for a conversion.
    pub precision: Option<Precision>,
    /// The ONNX nodes it came from.
    pub origin: Vec<String>,
    /// Multiplications with additions of one image.
    pub macs: u64,
}

impl Step {
    /// Is this a node that multiplies: one of those that coverage counts?
    pub fn multiplies(&self) -> bool {
        self.macs > 0
    }

    /// Does it compute in 8 bits?
    pub fn is_int8(&self) -> bool {
        self.precision.as_ref().is_some_and(|p| p.int8)
    }

    /// Does it multiply in TF32?
    pub fn is_tf32(&self) -> bool {
        self.numerics == Numerics::Tf32
    }

    /// Is it a node in floats that reads or writes F16?
    pub fn is_half(&self) -> bool {
        let mut operands = self.problem.inputs.iter().chain(&self.problem.outputs);
        !self.is_int8() && operands.any(|o| o.dtype == DType::F16)
    }
}

/// An input or output of the engine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The shape of one image, axis 0 being 1.
    pub shape: Shape,
    /// Where it lives, as f32 in row-major order.
    pub buffer: BufferId,
}

/// What an engine runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The device it was made for.
    pub device: DeviceId,
    /// Most images of a run.
    pub max_batch: usize,
    /// In order.
    pub steps: Vec<Step>,
    /// What the steps read and write.
    pub buffers: Vec<Buffer>,
    /// What the caller gives.
    pub inputs: Vec<Port>,
    /// What the caller gets.
    pub outputs: Vec<Port>,
    /// Where pixels may be given instead.
    pub entry: Option<Entry>,
    /// Bytes of the arena.
    pub arena: usize,
}

impl Plan {
    /// A buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// Does it store floats as F16?
    pub fn has_halves(&self) -> bool {
        self.steps.iter().any(Step::is_half)
    }

    /// The steps of a run that begins at this entry, or with floats, in order.
    pub fn run_order<'p>(&'p self, entry: Option<&'p Entry>) -> impl Iterator<Item = &'p Step> {
        run_order(&self.steps, entry.map(|e| (&e.step, e.instead))).map(|(_, s)| s)
    }

    /// Bytes from one image of a buffer to the next: those of the whole that it is a part of.
    pub fn stride(&self, id: BufferId) -> usize {
        stride(&self.buffers, id)
    }

    /// Bytes that all buffers would take if none shared memory: what the arena is to be compared with.
    pub fn buffers_sum(&self) -> usize {
        let kept = self.buffers.iter().filter(|b| !b.absent);
        kept.map(|b| b.operand.extent() * self.max_batch).sum()
    }

    /// 8-bit nodes and multiplications, as shares of all nodes that multiply.
    pub fn coverage(&self) -> (f64, f64) {
        let share = |of: &dyn Fn(&Step) -> u64| {
            let all: u64 = self.steps.iter().map(of).sum();
            let int8: u64 = self.steps.iter().filter(|s| s.is_int8()).map(of).sum();
            if all == 0 { 0.0 } else { int8 as f64 / all as f64 }
        };
        (share(&|s| u64::from(s.multiplies())), share(&|s| s.macs))
    }
}

/// Bytes from one image of a buffer to the next. Parts of parts come down to one whole in at most as many steps as there
/// are buffers, whatever a file says.
pub(crate) fn stride(buffers: &[Buffer], id: BufferId) -> usize {
    let mut b = &buffers[id.index()];
    for _ in 0..buffers.len() {
        match b.within {
            Some(w) => b = &buffers[w.buffer.index()],
            None => break,
        }
    }
    b.operand.extent()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan for {} batch {} arena {} bytes", self.device, self.max_batch, self.arena)?;
        for s in &self.steps {
            let list = |ids: &[BufferId]| {
                ids.iter()
                    .map(|b| format!("{}@{}", self.buffer(*b).value, self.buffer(*b).offset))
                    .collect::<Vec<_>>()
            };
            writeln!(
                f,
                "  {} [{}] {} -> {}",
                s.name,
                s.choice.tactic,
                list(&s.inputs).join(" "),
                list(&s.outputs).join(" ")
            )?;
            writeln!(f, "    {}", s.problem)?;
        }
        Ok(())
    }
}

//! Two operators in one step. What the first writes only the second reads, so that no memory need hold it: a convolution
//! with the pooling behind it, a depthwise convolution with the products of its channels, the mean of an image with the
//! products of its channels.

use super::{Layout, Numerics, Operand, Problem, Work};
use crate::base::Shape;
use crate::ir::Op;
use serde::{Deserialize, Serialize};

/// What a pair computes. Its inputs are those of the first operator and then those of the second but for its input 0, which
/// is what the first writes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The operator that is computed first.
    pub first: Op,
    /// How many of the inputs are its own.
    pub inputs: usize,
    /// What it writes, in the form in which it would be stored.
    pub between: Operand,
    /// The shape in which the second reads it. Another one than the first's is the same numbers in the same order.
    pub read: Shape,
    /// The operator that reads it.
    pub second: Op,
}

impl Problem {
    /// Both problems as one, where each is an operator with one output and the second may read the first's as its input 0:
    /// as it is, or in another shape where that is the same bytes.
    pub fn pair(first: &Problem, second: &Problem) -> Option<Problem> {
        let ([between], [read, others @ ..]) = (&first.outputs[..], &second.inputs[..]) else { return None };
        let (a, b) = (first.op()?, second.op()?);
        let ordered = between.layout == Layout::Plain && between.pitch.is_none();
        let same = between.shape == read.shape || ordered && between.bytes() == read.bytes();
        let alike = Operand { shape: read.shape.clone(), ..between.clone() } == *read;
        if !same || !alike || second.outputs.len() != 1 {
            return None;
        }
        let between = Operand { pitch: None, ..between.clone() };
        let pair = Pair {
            first: a.clone(),
            inputs: first.inputs.len(),
            between,
            read: read.shape.clone(),
            second: b.clone(),
        };
        let inputs = first.inputs.iter().chain(others).cloned().collect();
        Some(Problem { work: Work::Pair(Box::new(pair)), inputs, outputs: second.outputs.clone() })
    }

    /// The operator that writes the outputs: the second of a pair.
    pub fn last_op(&self) -> Option<&Op> {
        match &self.work {
            Work::Pair(pair) => Some(&pair.second),
            _ => self.op(),
        }
    }

    /// The two problems of a pair.
    pub fn halves(&self) -> Option<(Problem, Problem)> {
        let Work::Pair(pair) = &self.work else { return None };
        let (own, others) = self.inputs.split_at_checked(pair.inputs)?;
        let read = Operand { shape: pair.read.clone(), ..pair.between.clone() };
        let problem = |op: &Op, inputs: Vec<Operand>, outputs: Vec<Operand>| Problem {
            work: Work::Op(op.clone()),
            inputs,
            outputs,
        };
        let first = problem(&pair.first, own.to_vec(), vec![pair.between.clone()]);
        let second = problem(&pair.second, [&[read], others].concat(), self.outputs.clone());
        Some((first, second))
    }
}

impl Numerics {
    /// The numerics of the two problems of a pair.
    pub fn halves(&self) -> Option<(&Numerics, &Numerics)> {
        match self {
            Numerics::Pair(both) => Some((&both.0, &both.1)),
            _ => None,
        }
    }
}

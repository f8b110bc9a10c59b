//! QuantizeLinear and DequantizeLinear are read as quantization of values, and are no nodes of the graph:
//!
//! - `x → Q → DQ → y` on an activation: readers of y read x, and x is stored with Q's parameters.
//! - `constant → DQ` (or `constant → Q → DQ`): a float constant that remembers its scales, so that quantizing it again
//!   gives the integers it came from.
//!
//! Rounding is all that is left out: where a pair also cuts the negative side off, as it does where a quantizer has
//! dropped a ReLU, a Clip takes its place.
//!
//! What does not fit this (a DQ with other parameters than its Q, other operators between them) stays a node.

use super::build::{Builder, Failure, Outcome};
use super::draft::Draft;
use super::slots::Slot;
use crate::base::codes::model::QUANTIZATION;
use crate::base::quant::{QuantParams, Scale};
use crate::base::{DType, Diagnostic, Tensor};
use crate::ir::ops::cast::number_of;
use crate::ir::{Attr, Attrs, Fact, Graph, Node, Op, Role, Value, ValueId};

/// What a QuantizeLinear over an activation writes.
#[derive(Clone, Debug)]
pub(super) struct Quantized {
    /// What it reads.
    source: ValueId,
    /// Scale and zero point as the file has them, of this type.
    scale: f32,
    zero_point: i64,
    dtype: DType,
    /// The node, in case somebody needs it.
    pub node: Draft,
}

impl Quantized {
    /// Type and shape of what it writes.
    pub(super) fn fact(&self, graph: &Graph) -> Fact {
        Fact { dtype: self.dtype, shape: graph.value(self.source).fact.shape.clone() }
    }

    /// The parameters in our terms: S8 is symmetric, so that a shifted S8 becomes U8, which holds the same numbers.
    fn params(&self) -> Outcome<QuantParams> {
        let scale = usable(self.scale)?;
        let (dtype, zero_point) = match (self.dtype, self.zero_point as i32) {
            (DType::I8, 0) => (DType::I8, 0),
            (DType::I8, z) => (DType::U8, z + 128),
            (_, z) => (DType::U8, z),
        };
        Ok(QuantParams { dtype, scale, zero_point })
    }
}

/// An error about the form of a pair.
pub(super) fn wrong(what: impl Into<String>) -> Failure {
    Failure::Error(Diagnostic::new(QUANTIZATION, what))
}

/// A scale of the file, which must be a step.
pub(super) fn usable(scale: f32) -> Outcome<Scale> {
    Scale::new(scale).ok_or_else(|| wrong(format!("its scale is {scale}, which is no step")))
}

impl Builder<'_> {
    /// Imports a QuantizeLinear: of a constant it is computed; of an activation it is remembered until somebody
    /// reads what it writes.
    pub(super) fn quantize(&mut self, mut d: Draft) -> Outcome<()> {
        let zero = self.optional_constant(&d, 2)?;
        let stated = d.attrs.0.get("output_dtype").cloned();
        let dtype = match (&zero, stated) {
            (Some(z), _) => z.dtype(),
            (None, Some(Attr::Int(n))) if n == number_of(DType::I8) => DType::I8,
            (None, Some(Attr::Int(n))) if ![0, number_of(DType::U8)].contains(&n) => {
                return Err(wrong(format!("it quantizes to {}", super::tensor::element_name(n))));
            }
            _ => DType::U8,
        };
        if !matches!(dtype, DType::I8 | DType::U8) {
            return Err(wrong("it quantizes to more than 8 bits"));
        }
        d.attrs.0.insert("output_dtype".into(), Attr::Int(number_of(dtype)));
        let (Some(x), Some(y)) = (d.inputs.first().cloned(), d.outputs.first().cloned()) else {
            return self.operator(d);
        };
        let Some(scale) = self.optional_constant(&d, 1)? else { return self.operator(d) };
        if self.constant(&x)?.is_some() {
            return self.operator(d);
        }
        if scale.numel() != 1 || zero.as_ref().is_some_and(|z| z.numel() != 1) {
            return Err(wrong(format!(
                "the activation `{x}` has {} scales, where one is supported",
                scale.numel()
            )));
        }
        let source = self.value(&x)?;
        let zero_point = zero.map_or(0, |z| z.to_i64()[0]);
        let scale = scale.to_f32()[0];
        usable(scale)?;
        self.set(y, Slot::Quantized(Box::new(Quantized { source, scale, zero_point, dtype, node: d })));
        Ok(())
    }

    /// Imports a DequantizeLinear.
    pub(super) fn dequantize(&mut self, d: Draft) -> Outcome<()> {
        let (Some(x), Some(y)) = (d.inputs.first().cloned(), d.outputs.first().cloned()) else {
            return self.operator(d);
        };
        match self.slot(&x)?.clone() {
            Slot::Constant { tensor, .. } => {
                let weights = self.stored(&d, &tensor)?;
                self.operator(d)?;
                self.remember_weights(&y, weights);
                Ok(())
            }
            Slot::Quantized(q) if self.undoes(&d, &q)? => self.take_in(*q, x, y),
            Slot::Quantized(_) => {
                let why = "QuantizeLinear and DequantizeLinear have different parameters and stay in float";
                self.notes.add(why, d.name.clone());
                self.operator(d)
            }
            _ => self.operator(d),
        }
    }

    /// Takes a pair in: readers of `y` read what was quantized, which is stored with the pair's parameters.
    fn take_in(&mut self, q: Quantized, x: String, y: String) -> Outcome<()> {
        let params = q.params()?;
        let source = match self.clips(q.source, params) {
            true => self.add_clip(&q, params, &y)?,
            false => q.source,
        };
        let value = self.graph.value_mut(source);
        value.quant = Some(params);
        for name in [&x, &y] {
            if !value.folded.contains(name) && value.name != *name {
                value.folded.push(name.clone());
            }
        }
        self.set(x, Slot::Quantized(Box::new(Quantized { source, ..q })));
        self.set(y, Slot::Computed(source));
        Ok(())
    }

    /// Does storing this value cut its negative side off? Quantizers leave a ReLU or Clip out of the model where a
    /// range from 0 does its work, so that the pair cannot go without something in its place.
    fn clips(&self, source: ValueId, params: QuantParams) -> bool {
        let from_zero = params.dtype == DType::U8 && params.zero_point == 0;
        from_zero && !self.graph.inputs.contains(&source) && !self.is_non_negative(source, 0)
    }

    /// Is it certain that a value is never negative?
    fn is_non_negative(&self, id: ValueId, depth: usize) -> bool {
        let Some(n) = self.nodes.iter().rev().find(|n| n.outputs.contains(&id)) else { return false };
        let inputs = || depth < 6 && n.inputs.iter().all(|&i| self.is_non_negative(i, depth + 1));
        match (&n.op, n.op.role()) {
            (Op::Unary(u), _) => u.f.is_non_negative(),
            (Op::Softmax(s), _) => !s.log,
            (_, Role::Move | Role::Average | Role::Concat | Role::Combine) => inputs(),
            _ => false,
        }
    }

    /// Adds what the range of a pair does to its source, as a Clip that writes `y`.
    fn add_clip(&mut self, q: &Quantized, params: QuantParams, y: &str) -> Outcome<ValueId> {
        let bounds = [("min", 0), ("max", 255)].map(|(name, i)| (name, Attr::Float(params.dequantize(i))));
        let attrs = bounds.into_iter().fold(Attrs::new(), |attrs, (name, b)| attrs.with(name, b));
        let op = Op::parse("Clip", attrs).map_err(Failure::Unsupported)?;
        let fact = self.graph.value(q.source).fact.clone();
        let id = self.graph.add_value(Value::new(y, fact));
        let name = self.drafter.unique(format!("{}_clip", q.node.name));
        self.notes.add(
            "an activation function was left to the range of a QuantizeLinear, and is a Clip now",
            &q.node.name,
        );
        self.nodes.push(Node::new(name, op, vec![q.source], vec![id]));
        Ok(id)
    }

    /// Does this DequantizeLinear give back what was quantized, and may the source be stored so?
    fn undoes(&mut self, d: &Draft, q: &Quantized) -> Outcome<bool> {
        let (Some(scale), zero) = (self.optional_constant(d, 1)?, self.optional_constant(d, 2)?) else {
            return Ok(false);
        };
        let params = q.params()?;
        let source = self.graph.value(q.source);
        Ok(scale.numel() == 1
            && scale.to_f32()[0] == q.scale
            && zero.map_or(0, |z| z.to_i64()[0]) == q.zero_point
            && scale.dtype() == source.fact.dtype
            && source.quant.is_none_or(|other| other == params))
    }

    /// The constant of a node's input, if it has that input.
    pub(super) fn optional_constant(&mut self, d: &Draft, i: usize) -> Outcome<Option<Tensor>> {
        match d.inputs.get(i).filter(|n| !n.is_empty()).cloned() {
            None => Ok(None),
            Some(name) => match self.constant(&name)? {
                Some(t) => Ok(Some(t)),
                None => {
                    Err(Failure::Unsupported(format!("input {i} must be a constant, `{name}` is computed")))
                }
            },
        }
    }
}

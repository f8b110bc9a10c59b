//! QuantizeLinear and DequantizeLinear are read as quantization of values, and are no nodes of the graph:
//!
//! - `x → Q → DQ → y` on an activation: readers of y read x, and x is stored with Q's parameters.
//! - `constant → DQ` (or `constant → Q → DQ`): a float constant that remembers its scales, so that quantizing it again
//!   gives the integers it came from.
//!
//! What does not fit this (a DQ with other parameters than its Q, other operators between them) stays a node.

use super::build::{Builder, Failure, Outcome};
use super::draft::Draft;
use super::slots::Slot;
use crate::base::codes::model::QUANTIZATION;
use crate::base::quant::{QuantParams, Scale};
use crate::base::{DType, Diagnostic, Shape, Tensor};
use crate::ir::ops::cast::number_of;
use crate::ir::{Array, Attr, ChannelScales, Fact, Graph, Node, Op, Role, ValueId};

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

/// How a constant was stored in the file.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// The axis that the scales run along; `None` where there is one for the whole tensor.
    axis: Option<usize>,
    scales: Vec<f32>,
    /// Are the zero points those of S8 around 0 (or of U8 around 128)?
    symmetric: bool,
    /// Is there a -128, which weights in [-127, 127] do not have?
    has_lowest: bool,
}

impl Weights {
    /// After an operator that only moves the numbers: the scales, along the axis they run along now.
    pub(super) fn moved(&self, op: &Op, x: &Tensor, y: &Tensor) -> Option<Weights> {
        if op.role() != Role::Move || x.numel() != y.numel() {
            return None;
        }
        let Some(axis) = self.axis else { return Some(self.clone()) };
        // move the number of each element's channel instead of the element, and look where it went
        let from = x.shape();
        let channels = Array::int(from.clone(), (0..x.numel()).map(|i| index_along(from, axis, i)).collect());
        let to = op.eval(&[&channels]).ok()?.pop()?.ints();
        let runs_along = |a: &usize| {
            let at = |(i, &c): (usize, &i64)| c == index_along(y.shape(), *a, i);
            y.shape()[*a] == self.scales.len() && to.iter().enumerate().all(at)
        };
        let axis = (0..y.shape().rank()).find(runs_along)?;
        Some(Weights { axis: Some(axis), ..self.clone() })
    }
}

/// The index along `axis` of element number `i`.
fn index_along(shape: &Shape, axis: usize, i: usize) -> i64 {
    let inner: usize = shape[axis + 1..].iter().product();
    (i / inner.max(1) % shape[axis].max(1)) as i64
}

fn wrong(what: impl Into<String>) -> Failure {
    Failure::Error(Diagnostic::new(QUANTIZATION, what))
}

fn usable(scale: f32) -> Outcome<Scale> {
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
            return Err(wrong(format!("it quantizes to {dtype}")));
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
            Slot::Quantized(q) if self.undoes(&d, &q)? => {
                let value = self.graph.value_mut(q.source);
                value.quant = Some(q.params()?);
                for name in
                    [x, y.clone()].into_iter().filter(|n| !value.folded.contains(n)).collect::<Vec<_>>()
                {
                    value.folded.push(name);
                }
                self.set(y, Slot::Computed(q.source));
                Ok(())
            }
            Slot::Quantized(_) => {
                let why = "QuantizeLinear and DequantizeLinear have different parameters and stay in float";
                self.notes.add(why, d.name.clone());
                self.operator(d)
            }
            _ => self.operator(d),
        }
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

    /// How the constant input of a DequantizeLinear is stored; `None` for what is no 8-bit integer (a bias).
    fn stored(&mut self, d: &Draft, x: &Tensor) -> Outcome<Option<Weights>> {
        let (Some(scale), zero) = (self.optional_constant(d, 1)?, self.optional_constant(d, 2)?) else {
            return Ok(None);
        };
        let middle = match x.dtype() {
            DType::I8 => 0,
            DType::U8 => 128,
            _ => return Ok(None),
        };
        let axis = match (scale.numel(), d.attrs.0.get("axis")) {
            (1, _) => None,
            (_, Some(Attr::Int(a))) => x.shape().axis(*a),
            _ => x.shape().axis(1),
        };
        let zeros = zero.map_or_else(|| vec![0], |z| z.to_i64());
        Ok(Some(Weights {
            axis,
            scales: scale.to_f32().into_owned(),
            symmetric: zeros.iter().all(|&z| z == middle),
            has_lowest: x.to_i64().contains(&(middle - 128)),
        }))
    }

    /// The constant of a node's input, if it has that input.
    fn optional_constant(&mut self, d: &Draft, i: usize) -> Outcome<Option<Tensor>> {
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

    /// Gives the weights of nodes that multiply the scales they were stored with.
    pub(super) fn assign_channel_scales(&mut self) -> Outcome<()> {
        let nodes = std::mem::take(&mut self.nodes);
        for n in &nodes {
            let Some(&id) = n.inputs.get(1) else { continue };
            let Some(w) = self.weights.get(&id).cloned() else { continue };
            let Some(axis) = channel_axis(n, &self.graph) else { continue };
            let name = self.graph.value(id).name.clone();
            let channels = self.graph.value(id).fact.shape[axis];
            if !w.symmetric {
                self.notes.add("weights have a zero point, so their scales are chosen anew", name);
                continue;
            }
            if w.axis.is_some_and(|a| a != axis) {
                self.notes
                    .add("weights have scales along an axis that is not the output's, chosen anew", name);
                continue;
            }
            if w.has_lowest {
                self.notes.add("weights hold -128, which becomes -127", name);
            }
            // a channel of zeros may have the scale 0: every step represents it
            let step = |&s: &f32| if s == 0.0 { Ok(Scale::symmetric(0.0)) } else { usable(s) };
            let scales = w.scales.iter().map(step).collect::<Outcome<Vec<_>>>()?;
            let scales = if w.axis.is_none() { vec![scales[0]; channels] } else { scales };
            self.graph.value_mut(id).channels = Some(ChannelScales { axis, scales });
        }
        self.nodes = nodes;
        Ok(())
    }
}

/// The axis of a node's weight (input 1) that its output channels run along.
fn channel_axis(n: &Node, graph: &Graph) -> Option<usize> {
    let rank = graph.value(n.inputs[1]).fact.shape.rank();
    let axis = match (&n.op, n.op.role()) {
        (_, Role::Multiply { channel_axis }) => channel_axis,
        (Op::Gemm(g), _) => usize::from(!g.trans_b),
        (_, Role::Product) => rank.checked_sub(1)?,
        _ => return None,
    };
    (axis < rank).then_some(axis)
}

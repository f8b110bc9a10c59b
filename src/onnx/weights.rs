//! Constants that a model stores in 8 bits: as floats that remember their scales.

use super::build::{Builder, Outcome};
use super::draft::Draft;
use super::qdq::usable;
use crate::base::quant::Scale;
use crate::base::{DType, Shape, Tensor};
use crate::ir::{Array, Attr, ChannelScales, Graph, Node, Op, Role};

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

impl Builder<'_> {
    /// How the constant input of a DequantizeLinear is stored; `None` for what is no 8-bit integer (a bias).
    pub(super) fn stored(&mut self, d: &Draft, x: &Tensor) -> Outcome<Option<Weights>> {
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

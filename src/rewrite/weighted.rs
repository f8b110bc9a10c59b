//! Convolutions and linear layers: what rules change of them.

use super::{Context, Decline, blocked};
use crate::base::{Shape, Tensor};
use crate::ir::array::{Array, broadcast_strides};
use crate::ir::ops::Fused;
use crate::ir::{Node, NodeId, Op, Patch, ValueId};

/// A convolution or linear layer.
pub(crate) struct Weighted<'c> {
    pub id: NodeId,
    pub node: &'c Node,
    /// What is fused into it already.
    pub fused: Fused,
    /// Its bias, if it has one.
    pub bias: Option<ValueId>,
    /// The axis of its output that the channels run along.
    pub channel_axis: usize,
}

impl Context<'_> {
    /// The convolution or linear layer with this id; declines where it is something else.
    pub(crate) fn weighted(&self, id: NodeId) -> Result<Weighted<'_>, Decline> {
        let node = self.node(id);
        let rank = self.value(node.outputs[0]).fact.shape.rank();
        let (fused, channel_axis) = match &node.op {
            Op::Conv(conv) => (conv.fused, 1),
            Op::Linear(linear) => (linear.fused, rank - 1),
            _ => return Err(Decline::Nothing),
        };
        let has_bias = fused.extra_inputs(node.inputs.len()).0;
        let bias = has_bias.then(|| node.inputs[2]);
        Ok(Weighted { id, node, fused, bias, channel_axis })
    }

    /// The convolution or linear layer that writes `v`.
    pub(crate) fn weighted_before(&self, v: ValueId) -> Result<Weighted<'_>, Decline> {
        self.weighted(self.producer(v)?)
    }
}

/// `op` with something else fused into it; declines for operators that fuse nothing.
pub(crate) fn with_fused(op: &Op, fused: Fused) -> Result<Op, Decline> {
    let mut op = op.clone();
    match &mut op {
        Op::Conv(o) => o.fused = fused,
        Op::Linear(o) => o.fused = fused,
        Op::Binary(o) => o.fused = fused,
        _ => return Err(Decline::Nothing),
    }
    Ok(op)
}

/// The factor and the shift of every channel.
pub(crate) type Affine = [Vec<f64>; 2];

impl Weighted<'_> {
    /// A patch that folds `y * factor + shift`, computed per channel by `last`, into the weights and the bias: in f64,
    /// rounded once. An activation of `last` comes along.
    pub fn absorb(&self, c: &Context, last: NodeId, [factor, shift]: Affine) -> Result<Patch, Decline> {
        let y = self.node.outputs[0];
        let activation = c.node(last).op.fused().activation;
        if self.fused.applies() {
            return blocked(format!("{} has an activation before it", self.node.name));
        }
        c.may_vanish(y)?;
        let scales = factor.iter().any(|&f| f != 1.0);
        if scales && self.fused.residual {
            return blocked(format!("{} adds a residual before it", self.node.name));
        }
        let mut patch = Patch::new(c);
        let mut inputs = self.node.inputs.clone();
        if scales {
            inputs[1] = self.scaled_weight(c, &mut patch, &factor)?;
        }
        if self.bias.is_some() || shift.iter().any(|&s| s != 0.0) {
            let bias = self.new_bias(c, &mut patch, &factor, &shift)?;
            match self.bias {
                Some(_) => inputs[2] = bias,
                None => inputs.insert(2, bias),
            }
        }
        let op = with_fused(&self.node.op, Fused { activation, ..self.fused })?;
        c.fuse_in(&mut patch, self.id, &[self.id, last], op, inputs);
        Ok(patch)
    }

    fn scaled_weight(&self, c: &Context, patch: &mut Patch, factor: &[f64]) -> Result<ValueId, Decline> {
        let old = self.node.inputs[1];
        let w = c.constant(self.node, 1)?;
        c.may_change(old)?;
        if !w.dtype().is_float() {
            return blocked("the weights are integers");
        }
        let scaled = w.map_rows(w.numel() / factor.len().max(1), |row, w| w * factor[row]);
        let name = c.constant_name(Some(old), self.node, "weight");
        Ok(patch.constant(name, finite(scaled)?))
    }

    fn new_bias(
        &self,
        c: &Context,
        patch: &mut Patch,
        factor: &[f64],
        shift: &[f64],
    ) -> Result<ValueId, Decline> {
        let old = match self.bias {
            Some(b) => {
                c.may_change(b)?;
                c.constant(self.node, 2)?.to_f64()
            }
            None => vec![0.0; shift.len()],
        };
        let v: Vec<f64> = (0..shift.len()).map(|i| old[i] * factor[i] + shift[i]).collect();
        let like = c.constant(self.node, 1)?;
        let name = c.constant_name(self.bias, self.node, "bias");
        Ok(patch.constant(name, rounded(&[shift.len()].into(), v, like)?))
    }
}

/// Numbers as a tensor of `like`'s type; refuses NaN and infinity.
pub(crate) fn rounded(shape: &Shape, v: Vec<f64>, like: &Tensor) -> Result<Tensor, Decline> {
    finite(Array::real(shape.clone(), v).to_tensor(like.dtype()))
}

fn finite(t: Tensor) -> Result<Tensor, Decline> {
    let finite = match t.as_slice::<f32>() {
        Some(values) => values.iter().all(|x| x.is_finite()),
        None => t.to_f64().iter().all(|x| x.is_finite()),
    };
    match finite {
        true => Ok(t),
        false => blocked("a folded constant would not be finite"),
    }
}

/// The numbers of `t`, broadcast to `out`, one per index of `axis`; `None` where they differ along another axis or
/// `t` is larger than `out`.
pub(crate) fn per_channel(t: &Tensor, out: &Shape, axis: usize) -> Option<Vec<f64>> {
    if t.shape().broadcast(out).as_ref() != Some(out) {
        return None;
    }
    let strides = broadcast_strides(t.shape(), out);
    let constant = |a: usize| strides[a] == 0 || out[a] == 1;
    if (0..out.rank()).any(|a| a != axis && !constant(a)) {
        return None;
    }
    let v = t.to_f64();
    Some((0..out[axis]).map(|i| v[i * strides[axis]]).collect())
}

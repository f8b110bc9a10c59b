//! A sum with the result of a convolution or linear layer becomes part of it: the other operand is its residual. Of
//! two candidates the later is taken. The fused node stands where the sum stood, so the residual is ready. The sums
//! of a transformer's residual stream, which LayerNormalization reads, stay alone: see `quant::policy`.

use crate::base::quant::Activation;
use crate::ir::ops::{BinaryFn, Fused};
use crate::ir::{NodeId, Op, Patch, ValueId};
use crate::rewrite::weighted::with_fused;
use crate::rewrite::{Context, Decline, Outcome, Rule, blocked, require};

/// `Add(Conv(x), y) -> Conv(x) + y fused`
pub struct Residual;

impl Rule for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn doc(&self) -> &'static str {
        "Add(Conv(x), y) -> Conv(x) + y fused"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let Op::Binary(add) = &node.op else { return Err(Decline::Nothing) };
        require(add.f == BinaryFn::Add && node.inputs[0] != node.inputs[1])?;
        require(node.inputs.iter().all(|&v| c.value(v).constant.is_none()))?;
        let mut sides = [0, 1].map(|i| (node.inputs[i], node.inputs[1 - i]));
        let place = |v: ValueId| c.producer(v).ok().and_then(|p| c.order().iter().position(|&n| n == p));
        sides.sort_by_key(|&(main, _)| std::cmp::Reverse(place(main)));
        let mut why = Decline::Nothing;
        for (main, other) in sides {
            match fused(c, at, main, other, add.fused.activation) {
                Ok(patch) => return Ok(patch.into()),
                Err(Decline::Nothing) => {}
                Err(reason) if why == Decline::Nothing => why = reason,
                Err(_) => {}
            }
        }
        Err(why)
    }
}

fn fused(
    c: &Context,
    at: NodeId,
    main: ValueId,
    other: ValueId,
    activation: Activation,
) -> Result<Patch, Decline> {
    let w = c.weighted_before(main)?;
    if w.fused.residual {
        return blocked(format!("{} has a residual already", w.node.name));
    }
    if w.fused.applies() {
        return blocked(format!("there is an activation between {} and the sum", w.node.name));
    }
    if c.value(main).fact != c.value(other).fact {
        return blocked(format!("the operands differ in shape: {}", c.value(other).fact.shape));
    }
    c.may_vanish(main)?;
    // an 8-bit node reads its residual in 8 bits; the stream that transformers add to through all layers needs more
    if c.consumers(c.output(at)?).iter().any(|&n| matches!(c.node(n).op, Op::LayerNorm(_))) {
        return blocked("LayerNormalization reads the sum, whose operand would be rounded to 8 bits");
    }
    let op = with_fused(&w.node.op, Fused { residual: true, function: None, activation })?;
    let mut inputs = w.node.inputs.clone();
    inputs.push(other);
    Ok(c.fuse(w.id, &[w.id, at], op, inputs))
}

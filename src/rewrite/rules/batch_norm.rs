//! Batch normalization that folds into nothing before it is a depthwise 1x1 convolution, which has an 8-bit kernel;
//! where the input is no image it is a product and a sum.

use super::batch_norm_fold::affine;
use crate::base::Shape;
use crate::ir::ops::{Binary, BinaryFn, Conv, Fused, Window};
use crate::ir::{Node, NodeId, Patch, Value};
use crate::rewrite::weighted::rounded;
use crate::rewrite::{Context, Outcome, Rule};

/// `BatchNormalization(x) -> depthwise 1x1 Conv(x), or x * factor + shift`
pub struct BatchNormAlone;

impl Rule for BatchNormAlone {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn doc(&self) -> &'static str {
        "BatchNormalization(x) -> depthwise 1x1 Conv(x), or x * factor + shift"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let [factor, shift] = affine(c, node)?;
        let x = &c.value(node.inputs[0]).fact;
        let (n, like) = (x.shape[1], c.constant(node, 1)?);
        let mut patch = Patch::new(c);
        let spatial = x.shape.rank() == 4;
        let (factors, shifts): (Shape, Shape) = match spatial {
            true => ([n, 1, 1, 1].into(), [n].into()),
            false => (beside(n, x.shape.rank()), beside(n, x.shape.rank())),
        };
        let factor = rounded(&factors, factor, like)?;
        let shift = rounded(&shifts, shift, like)?;
        let factor = patch.constant(c.constant_name(None, node, "weight"), factor);
        let shift = patch.constant(c.constant_name(None, node, "bias"), shift);
        if spatial {
            let op = Conv {
                window: Window { kernel: [0, 0], ..Window::new([1, 1], [1, 1]) },
                groups: n,
                fused: Fused::default(),
            };
            c.fuse_in(&mut patch, at, &[at], op, vec![node.inputs[0], factor, shift]);
            return Ok(patch.into());
        }
        let product = Value::new(format!("{}.product", c.value(node.outputs[0]).name), x.clone());
        let product = patch.value(product);
        let name = format!("{}.product", node.name);
        let first =
            Node::new(name, Binary::new(BinaryFn::Mul).into(), vec![node.inputs[0], factor], vec![product]);
        patch.add(Node { origin: node.origin.clone(), ..first });
        c.fuse_in(&mut patch, at, &[at], Binary::new(BinaryFn::Add), vec![product, shift]);
        Ok(patch.into())
    }
}

/// The shape of one number per channel beside an input of this rank: `[n, 1, ..]`.
fn beside(n: usize, rank: usize) -> Shape {
    let mut dims = vec![1; rank.saturating_sub(1)];
    dims[0] = n;
    Shape(dims)
}

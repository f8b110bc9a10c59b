//! Bias correction: rounding the weights of a channel shifts the mean of its sums, as activations after a ReLU are not
//! 0 on average. The shift is known from the means of the input's channels, and is taken out of the bias.
//!
//! Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2 (with means
//! from calibration samples).

use super::weights;
use crate::base::Tensor;
use crate::ir::ops::Geometry;
use crate::ir::{Graph, Node, NodeId, Op, Value, ValueId};
use rayon::prelude::*;

/// Corrects the bias of every 8-bit convolution and linear layer with constant weights and bias whose input has `means`,
/// one for each channel, in the input's units. Weights that a Q/DQ model has rounded itself lose nothing.
pub fn correct_bias(g: &mut Graph, means: impl Fn(&Value) -> Vec<f64>) {
    let nodes: Vec<NodeId> = g.nodes().filter(|(_, n)| n.is_int8()).map(|(id, _)| id).collect();
    let shifts = nodes.into_iter().filter_map(|id| Some((id, shifts(g, g.node(id), &means)?)));
    let shifts: Vec<(NodeId, Vec<f64>)> = shifts.collect();
    shifts.iter().for_each(|(id, shifts)| shift(g, *id, shifts));
}

/// What the mean of each output channel loses by the rounding of the weights.
fn shifts(g: &Graph, node: &Node, means: impl Fn(&Value) -> Vec<f64>) -> Option<Vec<f64>> {
    let (x, w) = (g.value(*node.inputs.first()?), g.value(*node.inputs.get(1)?));
    let (exact, scales) = (w.constant.as_ref()?, w.channels.as_ref()?);
    let (has_bias, _) = node.op.fused().extra_inputs(node.inputs.len());
    if has_bias && g.constant_input(node, 2).is_none() {
        return None; // a bias that is computed
    }
    let means = means(x);
    let taps = match &node.op {
        Op::Conv(c) if means.len() == x.fact.shape[1] => {
            reach(&c.geometry(&x.fact.shape, &w.fact.shape).ok()?)
        }
        Op::Linear(_) if means.len() == w.fact.shape[1] => vec![1.0],
        _ => return None,
    };
    let (outputs, inputs) = (w.fact.shape[0], w.fact.shape[1]);
    let groups = means.len() / inputs.max(1);
    let rounded = weights::quantize(exact, scales);
    let (exact, rounded) = (exact.to_f32(), rounded.as_slice::<i8>()?);
    let each = inputs * taps.len();
    let lost = |o: usize| {
        let group = o / (outputs / groups).max(1);
        let scale = f64::from(scales.scales[o].get());
        let weights = exact[o * each..].iter().zip(&rounded[o * each..]);
        let under = means[group * inputs..][..inputs].iter().flat_map(|m| taps.iter().map(move |t| m * t));
        weights.zip(under).map(|((&w, &q), mean)| (f64::from(w) - scale * f64::from(q)) * mean).sum()
    };
    Some((0..outputs).into_par_iter().map(lost).collect())
}

/// For each tap of a window, the share of output pixels for which it does not lie in the padding.
fn reach(g: &Geometry) -> Vec<f64> {
    let axis = |a: usize, tap: usize| {
        let inside = |o: &usize| {
            let at = o * g.strides[a] + tap * g.dilations[a];
            (g.begin[a]..g.begin[a] + g.input[a]).contains(&at)
        };
        (0..g.output[a]).filter(inside).count() as f64 / g.output[a].max(1) as f64
    };
    let line = |i: usize| (0..g.kernel[1]).map(move |j| axis(0, i) * axis(1, j));
    (0..g.kernel[0]).flat_map(line).collect()
}

/// Adds to the node's bias, in a constant of its own.
fn shift(g: &mut Graph, id: NodeId, shifts: &[f64]) {
    let node = g.node(id);
    let (has_bias, _) = node.op.fused().extra_inputs(node.inputs.len());
    let before = has_bias.then(|| g.constant_input(node, 2).map(Tensor::to_f64)).flatten();
    let before = before.unwrap_or_else(|| vec![0.0; shifts.len()]);
    let bias: Vec<f32> = before.iter().zip(shifts).map(|(b, s)| (b + s) as f32).collect();
    let name = match has_bias {
        true => format!("{} corrected for {}", g.value(node.inputs[2]).name, node.name),
        false => format!("bias of {}", node.name),
    };
    let bias: ValueId = g.add_value(Value::constant(name, Tensor::new([shifts.len()], &bias)));
    let inputs = &mut g.node_mut(id).inputs;
    match has_bias {
        true => inputs[2] = bias,
        false => inputs.insert(2, bias),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::precision::{Precision, Reason};
    use crate::quant;

    /// The biases of the graph's nodes after correction for inputs with these means.
    fn corrected(text: &str, means: &[f64]) -> Vec<Vec<f32>> {
        let mut g = Graph::parse(text).unwrap();
        let nodes: Vec<NodeId> = g.nodes().map(|(id, _)| id).collect();
        for &id in &nodes {
            g.node_mut(id).precision = Some(Precision { int8: true, reason: Reason::Rule("test".into()) });
        }
        let none = vec![None; g.value_count()];
        quant::annotate(&mut g, &none);
        correct_bias(&mut g, |v| if v.name == "x" { means.to_vec() } else { Vec::new() });
        let bias = |&id: &NodeId| g.constant_input(g.node(id), 2).map(|t| t.to_f32().to_vec());
        nodes.iter().filter_map(bias).collect()
    }

    fn near(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(&g, w)| (f64::from(g) - w).abs() < 1e-7), "{got:?} {want:?}");
    }

    #[test]
    fn a_linear_layer_by_hand() {
        // scale 0.5 / 127: 0.25 becomes 64 (half to even) steps, 0.1 becomes 25; the second row is exact
        let text = "graph g\ninput %x: f32[1,3]\nconst %w: f32[2,3] = [0.5,0.25,0.1,127,0,-3]\n\
                    const %b: f32[2] = [1,2]\n%y: f32[1,2] = Linear(%x, %w, %b)  # n\noutput %y\n";
        let step = 0.5 / 127.0;
        let shift = (0.25 - 64.0 * step) * 2.0 + (0.1 - 25.0 * step) * -3.0;
        near(&corrected(text, &[1.0, 2.0, -3.0])[0], &[1.0 + shift, 2.0]);
        assert_eq!(corrected(text, &[1.0, 2.0]), [[1.0, 2.0]], "means of other channels");
    }

    #[test]
    fn taps_in_the_padding_count_less() {
        // two groups of one channel, three pixels in a row: the outer taps lie in the padding for one output of three
        let text = "graph g\ninput %x: f32[1,2,1,3]\nconst %w: f32[2,1,1,3] = [0.5,0.25,0.1,127,0,-3]\n\
                    %y: f32[1,2,1,3] = Conv(%x, %w) {group=2, pads=[0,1,0,1]}  # n\noutput %y\n";
        let step = 0.5 / 127.0;
        let shift = ((0.25 - 64.0 * step) + (0.1 - 25.0 * step) * 2.0 / 3.0) * 4.0;
        near(&corrected(text, &[4.0, 5.0])[0], &[shift, 0.0]);
    }
}

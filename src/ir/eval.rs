//! The oracle of graphs: every node by its operator's plain loops, floats in f64 and integers in i64.

use super::array::Array;
use super::attrs::Check;
use super::graph::{Graph, ValueId};

/// Computes the graph's outputs for these inputs, one per input of the graph. Quantization parameters on values are
/// not applied: this is what a float graph means.
///
/// # Errors
/// Where the inputs do not fit, or an operator cannot be computed (an index out of range); names the node.
pub fn evaluate(graph: &Graph, inputs: &[Array]) -> Check<Vec<Array>> {
    let all = evaluate_all(graph, inputs)?;
    let output =
        |&v: &ValueId| all[v.index()].clone().ok_or(format!("{} is never written", graph.value(v).name));
    graph.outputs.iter().map(output).collect()
}

/// Like [`evaluate`], but gives every value, in the order of the ids; `None` where a value is not in use.
pub fn evaluate_all(graph: &Graph, inputs: &[Array]) -> Check<Vec<Option<Array>>> {
    if inputs.len() != graph.inputs.len() {
        return Err(format!("{} inputs are given where {} are expected", inputs.len(), graph.inputs.len()));
    }
    let mut values: Vec<Option<Array>> = vec![None; graph.value_count()];
    for v in graph.live_values() {
        values[v.index()] = graph.value(v).constant.as_ref().map(Array::of);
    }
    for (&v, given) in graph.inputs.iter().zip(inputs) {
        let value = graph.value(v);
        if given.shape != value.fact.shape {
            return Err(format!("input {} is {}, not {}", value.name, given.shape, value.fact.shape));
        }
        values[v.index()] = Some(given.clone());
    }
    for (_, node) in graph.nodes() {
        let read = node.inputs.iter().map(|v| values[v.index()].as_ref());
        let read: Option<Vec<&Array>> = read.collect();
        let read = read.ok_or_else(|| format!("node {}: an input is never written", node.name))?;
        let written = node.op.eval(&read).map_err(|e| format!("node {}: {e}", node.name))?;
        for (v, array) in node.outputs.iter().zip(written) {
            values[v.index()] = Some(array);
        }
    }
    Ok(values)
}

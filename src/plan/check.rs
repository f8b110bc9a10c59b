//! The checker: proves a plan against the graph it was made from and trusts nothing that the planner said.
//!
//! 1. Every buffer a step reads is an input or was written by an earlier step, and its bytes were not overwritten
//!    since.
//! 2. A step's outputs overlap none of its inputs.
//! 3. Every buffer lies inside the arena, on a cache line.
//! 4. A step's problem states the form of the buffers it reads and writes.
//! 5. Every node of the graph is computed by one step, in the graph's order, from the values it reads.
//! 6. A buffer of 8-bit numbers has a scale of that type, and the graph's where the graph has one.
//! 7. Every output of the graph is written, as itself.

use super::{BufferId, Plan};
use crate::ir::{Graph, Node};

/// Checks everything; returns one sentence per violation.
pub fn check(plan: &Plan, g: &Graph) -> Result<(), Vec<String>> {
    let mut bad = Vec::new();
    forms(plan, g, &mut bad);
    contents(plan, &mut bad);
    nodes(plan, g, &mut bad);
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

fn range(plan: &Plan, b: BufferId) -> std::ops::Range<usize> {
    let buffer = plan.buffer(b);
    buffer.offset..buffer.offset + buffer.operand.bytes() * plan.max_batch
}

fn forms(plan: &Plan, g: &Graph, bad: &mut Vec<String>) {
    for (i, b) in plan.buffers.iter().enumerate() {
        let r = range(plan, BufferId::from(i));
        if r.end > plan.arena || !b.offset.is_multiple_of(64) {
            bad.push(format!("buffer {i} of {} at {r:?} in an arena of {}", b.value, plan.arena));
        }
        if b.operand.dtype.is_int8() != b.quant.is_some()
            || b.quant.is_some_and(|q| q.dtype != b.operand.dtype)
        {
            bad.push(format!("buffer {i} of {} is {} with {:?}", b.value, b.operand.dtype, b.quant));
        }
        let of_graph = g.find_value(&b.value).and_then(|v| g.value(v).quant);
        if let (Some(q), Some(want)) = (b.quant, of_graph)
            && q != want
        {
            bad.push(format!("buffer {i} of {} has {q} where the graph has {want}", b.value));
        }
    }
    for s in &plan.steps {
        let activations: Vec<_> = s.problem.activations().collect();
        let inputs = s.inputs.iter().map(|&b| &plan.buffer(b).operand);
        let outputs = s.outputs.iter().map(|&b| &plan.buffer(b).operand);
        if !inputs.eq(activations) || !outputs.eq(s.problem.outputs.iter()) {
            bad.push(format!("step {} states other forms than its buffers have", s.name));
        }
    }
}

/// Replays the plan: which buffer's contents each part of the arena holds.
fn contents(plan: &Plan, bad: &mut Vec<String>) {
    let mut valid: Vec<BufferId> = plan.inputs.iter().map(|p| p.buffer).collect();
    for s in &plan.steps {
        for b in &s.inputs {
            if !valid.contains(b) {
                bad.push(format!(
                    "step {} reads {}, whose bytes are not there",
                    s.name,
                    plan.buffer(*b).value
                ));
            }
        }
        for out in &s.outputs {
            let r = range(plan, *out);
            let clash = |b: &BufferId| {
                let o = range(plan, *b);
                o.start < r.end && r.start < o.end
            };
            if s.inputs.iter().any(clash) || s.outputs.iter().any(|o| o != out && clash(o)) {
                bad.push(format!("step {} writes over its own operands", s.name));
            }
            valid.retain(|b| !clash(b));
            valid.push(*out);
        }
    }
    for p in &plan.outputs {
        if !valid.contains(&p.buffer) {
            bad.push(format!("output {} is gone at the end", p.name));
        }
    }
}

fn nodes(plan: &Plan, g: &Graph, bad: &mut Vec<String>) {
    let mut steps = plan.steps.iter().filter(|s| s.problem.op().is_some());
    for (_, n) in g.nodes() {
        let Some(s) = steps.next() else {
            bad.push(format!("node {} has no step", n.name));
            continue;
        };
        if s.problem.op() != Some(&n.op) || s.name != n.name {
            bad.push(format!("step {} stands where node {} should", s.name, n.name));
        }
        let names = |ids: &[BufferId]| ids.iter().map(|b| plan.buffer(*b).value.as_str()).collect::<Vec<_>>();
        if names(&s.inputs) != activations(g, n) {
            bad.push(format!(
                "step {} reads {:?} where the node reads {:?}",
                s.name,
                names(&s.inputs),
                activations(g, n)
            ));
        }
        let outputs: Vec<_> = n.outputs.iter().map(|v| g.value(*v).name.as_str()).collect();
        if names(&s.outputs) != outputs {
            bad.push(format!(
                "step {} writes {:?} where the node writes {outputs:?}",
                s.name,
                names(&s.outputs)
            ));
        }
    }
    if let Some(s) = steps.next() {
        bad.push(format!("step {} computes no node", s.name));
    }
    for (p, v) in plan.outputs.iter().zip(&g.outputs) {
        if plan.buffer(p.buffer).value != g.value(*v).name {
            bad.push(format!("output {} is {}", p.name, plan.buffer(p.buffer).value));
        }
    }
}

fn activations<'g>(g: &'g Graph, n: &Node) -> Vec<&'g str> {
    n.inputs.iter().filter(|v| g.value(**v).constant.is_none()).map(|v| g.value(*v).name.as_str()).collect()
}

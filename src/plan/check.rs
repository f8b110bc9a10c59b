//! The checker: proves a plan against the graph it was made from and trusts nothing that the planner said.
//!
//! 1. Every buffer a step reads is an input or was written by an earlier step, and its bytes were not overwritten
//!    since.
//!    What a step computes together with it is read when it runs, and what lies between is read by nobody else. If that
//!    is a view of what the other writes, it has the same elements at the same places.
//! 2. A step's outputs overlap none of its inputs, but for one that it meets element by element, whose place and form it
//!    may have; or unless it is a view: then every element of its outputs is, at the same address, the element of its
//!    inputs that the operator moves there.
//! 3. Every buffer lies inside the arena, on a cache line or within the buffer that it is a part of.
//! 4. A step's problem states the form of the buffers it reads and writes.
//! 5. Every node of the graph is computed by one step, in the graph's order, from the values it reads.
//! 6. A buffer of 8-bit numbers has a scale of that type, and the graph's where the graph has one. Any other has the type
//!    that the graph gives its value, or F16 for F32.
//! 7. Every output of the graph is written, as itself.
//! 8. All of this holds of a run that begins with pixels too, whose first step writes what the step that it stands for
//!    writes, or the input.

use super::{BufferId, Entry, Plan, Step};
use crate::base::DType;
use crate::device::moved::{input_and_place, origins};
use crate::device::{Numerics, Tactic, Work};
use crate::ir::{Graph, Node};

/// Checks everything; returns one sentence per violation.
pub fn check(plan: &Plan, g: &Graph) -> Result<(), Vec<String>> {
    let mut bad = Vec::new();
    forms(plan, g, &mut bad);
    contents(plan, None, &mut bad);
    if let Some(e) = &plan.entry {
        entry(plan, e, &mut bad);
        contents(plan, Some(e), &mut bad);
    }
    nodes(plan, g, &mut bad);
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

fn range(plan: &Plan, b: BufferId) -> std::ops::Range<usize> {
    let buffer = plan.buffer(b);
    if buffer.absent {
        return 0..0;
    }
    let last = plan.stride(b) * plan.max_batch.saturating_sub(1);
    buffer.offset..buffer.offset + last + buffer.operand.span()
}

/// Do two buffers share bytes? Rows at the same distance that lie beside each other do not.
fn overlap(plan: &Plan, a: BufferId, b: BufferId) -> bool {
    let (ra, rb) = (range(plan, a), range(plan, b));
    if ra.is_empty() || rb.is_empty() || ra.start >= rb.end || rb.start >= ra.end {
        return false;
    }
    let row = |id: BufferId| {
        let o = &plan.buffer(id).operand;
        let size = o.dtype.size();
        let pitch = o.pitch? * size;
        plan.stride(id).is_multiple_of(pitch).then_some((pitch, o.row() * size))
    };
    match (row(a), row(b)) {
        (Some((pitch, wide)), Some((other, beside))) if pitch == other => {
            // columns from a's first, modulo the pitch
            let at = (rb.start + pitch - ra.start % pitch) % pitch;
            at < wide || at + beside > pitch
        }
        _ => true,
    }
}

fn forms(plan: &Plan, g: &Graph, bad: &mut Vec<String>) {
    for (i, b) in plan.buffers.iter().enumerate() {
        let r = range(plan, BufferId::from(i));
        let placed = match b.within {
            _ if b.absent => true,
            None => b.offset.is_multiple_of(64),
            Some(w) => {
                let inside = w.at + b.operand.span() <= plan.buffer(w.buffer).operand.span();
                inside && b.offset == plan.buffer(w.buffer).offset + w.at
            }
        };
        if r.end > plan.arena || !placed {
            bad.push(format!("buffer {i} of {} at {r:?} in an arena of {}", b.value, plan.arena));
        }
        if b.operand.dtype.is_int8() != b.quant.is_some()
            || b.quant.is_some_and(|q| q.dtype != b.operand.dtype)
        {
            bad.push(format!("buffer {i} of {} is {} with {:?}", b.value, b.operand.dtype, b.quant));
        }
        let of_graph = g.find_value(&b.value).map(|v| g.value(v));
        let (stored, states) = (b.operand.dtype, of_graph.map_or(b.operand.dtype, |v| v.fact.dtype));
        if b.quant.is_none() && stored != states && (stored, states) != (DType::F16, DType::F32) {
            bad.push(format!("buffer {i} of {} is {stored} where the graph has {states}", b.value));
        }
        if let (Some(q), Some(want)) = (b.quant, of_graph.and_then(|v| v.quant))
            && q != want
        {
            bad.push(format!("buffer {i} of {} has {q} where the graph has {want}", b.value));
        }
    }
    for s in plan.steps.iter().chain(plan.entry.iter().map(|e| &e.step)) {
        let activations: Vec<_> = s.problem.activations().collect();
        let inputs = s.inputs.iter().map(|&b| &plan.buffer(b).operand);
        let outputs = s.outputs.iter().map(|&b| &plan.buffer(b).operand);
        if !inputs.eq(activations) || !outputs.eq(s.problem.outputs.iter()) {
            bad.push(format!("step {} states other forms than its buffers have", s.name));
        }
    }
}

/// Do the pixels become what the steps after them read?
fn entry(plan: &Plan, e: &Entry, bad: &mut Vec<String>) {
    let inputs: Vec<BufferId> = plan.inputs.iter().map(|p| p.buffer).collect();
    let fits = match e.instead.map(|i| plan.steps.get(i)) {
        None => e.step.outputs == inputs,
        Some(Some(s)) => {
            s.problem.work == Work::Reformat && s.inputs == inputs && s.outputs == e.step.outputs
        }
        Some(None) => false,
    };
    if !fits || e.step.inputs != [e.port.buffer] || e.step.problem.work != Work::Pixels {
        bad.push(format!("the pixels of {} do not become what the first step writes", e.port.name));
    }
}

/// Replays a run: which buffer's contents each part of the arena holds.
fn contents(plan: &Plan, entry: Option<&Entry>, bad: &mut Vec<String>) {
    let ports = entry.map_or(&plan.inputs[..], |e| std::slice::from_ref(&e.port));
    let mut valid: Vec<BufferId> = ports.iter().map(|p| p.buffer).collect();
    for s in plan.run_order(entry) {
        let absent = |b: &BufferId| plan.buffer(*b).absent;
        if s.choice.tactic != Tactic::joined() && plan.computed(s).2.iter().chain(&s.outputs).any(absent) {
            bad.push(format!("step {} reads or writes what is in no memory", s.name));
        }
        if s.choice.tactic == Tactic::joined() {
            continue; // what it reads must be there when the step runs that computes it
        }
        if s.with.is_some_and(|i| !is_pair(plan, i, s)) {
            bad.push(format!("step {} computes no step before it", s.name));
        }
        for b in plan.computed(s).2.iter() {
            if !valid.contains(b) {
                bad.push(format!(
                    "step {} reads {}, whose bytes are not there",
                    s.name,
                    plan.buffer(*b).value
                ));
            }
        }
        if s.choice.tactic == Tactic::view() {
            if let Err(why) = is_view(plan, s) {
                bad.push(format!("step {} is no view: {why}", s.name));
            }
            valid.extend(&s.outputs);
            continue;
        }
        for out in &s.outputs {
            let clash = |b: &BufferId| overlap(plan, *b, *out);
            if plan.computed(s).2.iter().any(|b| clash(b) && !is_over(plan, s, *b, *out))
                || s.outputs.iter().any(|o| o != out && clash(o))
            {
                bad.push(format!("step {} writes over its own operands", s.name));
            }
            valid.retain(|b| !clash(b));
            valid.push(*out);
        }
    }
    for p in &plan.outputs {
        if !valid.contains(&p.buffer) || plan.buffer(p.buffer).absent {
            bad.push(format!("output {} is gone at the end", p.name));
        }
    }
}

/// Does an output lie exactly where an input does that the step meets element by element, and reads once?
fn is_over(plan: &Plan, s: &Step, input: BufferId, output: BufferId) -> bool {
    let (problem, _, inputs) = plan.computed(s);
    let met = problem.meets().iter().any(|&i| inputs.get(i) == Some(&input));
    let once = inputs.iter().filter(|&&b| b == input).count() == 1;
    let (a, b) = (plan.buffer(input), plan.buffer(output));
    let same = a.offset == b.offset && plan.stride(input) == plan.stride(output);
    met && once && same && a.operand.lies_as(&b.operand)
}

/// Can step `before` be computed with `s`, which alone reads what it writes? Or is it a view, and can the one before it?
fn is_pair(plan: &Plan, before: usize, s: &Step) -> bool {
    let read = |i: usize, s: &Step| {
        let absent = s.inputs.first().is_some_and(|&b| plan.buffer(b).absent);
        let joined = |a: &&Step| a.choice.tactic == Tactic::joined() && a.outputs[..] == s.inputs[..1];
        plan.steps.get(i).filter(|_| absent).filter(joined)
    };
    let through =
        |a: &Step, i: usize| is_view(plan, a).is_ok() && read(i, a).is_some_and(|first| first.with.is_none());
    let reached = read(before, s).is_some_and(|a| a.with.is_none_or(|i| through(a, i)));
    reached && plan.computed(s).0.halves().is_some()
}

/// Is every element of the step's outputs the one that the operator moves there, at the same address, in every image?
fn is_view(plan: &Plan, s: &Step) -> Result<(), &'static str> {
    let p = &s.problem;
    if p.inputs.iter().any(|o| o.constant) {
        return Err("what it moves depends on constants");
    }
    if !matches!(s.numerics, Numerics::Float | Numerics::Integers) {
        return Err("it computes");
    }
    let quant = |b: &BufferId| plan.buffer(*b).quant;
    if s.inputs.iter().any(|b| quant(b) != quant(&s.outputs[0])) {
        return Err("scales differ");
    }
    if s.inputs.iter().chain(&s.outputs).any(|&b| plan.stride(b) != plan.stride(s.outputs[0])) {
        return Err("images lie apart");
    }
    let address = |b: BufferId, i: usize| {
        let b = plan.buffer(b);
        b.offset + b.operand.spread(i) * b.operand.dtype.size()
    };
    let all = origins(p, &[]).ok_or("it cannot be evaluated")?;
    for (&out, origins) in s.outputs.iter().zip(all) {
        let moved = |(i, &origin): (usize, &u32)| {
            input_and_place(origin).is_some_and(|(n, from)| address(s.inputs[n], from) == address(out, i))
        };
        if !origins.iter().enumerate().all(moved) {
            return Err("an output does not lie where the input is");
        }
    }
    Ok(())
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

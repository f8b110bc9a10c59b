//! Tensors that share a scale: what an 8-bit node only moves, and what it joins unless the ranges are too unlike.

use super::coding::Coding;
use crate::base::quant::Range;
use crate::ir::ops::Role;
use crate::ir::{Graph, ValueId};
use std::collections::BTreeMap;

/// Concat gives its inputs one scale unless their ranges differ by more than this; then it requantizes.
pub const CONCAT_RATIO: f32 = 8.0;

/// Gives the members of each group one range (the widest) and one coding. `ranges` and `codings` are by value.
/// Values that a Q/DQ model gave a scale are not in `ranges` and keep theirs.
pub fn unify(g: &Graph, codings: &mut [Option<Coding>], ranges: &mut [Option<Range>]) {
    let mut parent = joined(g, |inputs| alike(inputs, codings, ranges));
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for v in 0..parent.len() {
        groups.entry(find(&mut parent, v)).or_default().push(v);
    }
    for members in groups.into_values().filter(|members| members.len() > 1) {
        let widest = members
            .iter()
            .filter_map(|&v| ranges[v])
            .reduce(|a, b| Range { lo: a.lo.min(b.lo), hi: a.hi.max(b.hi) });
        let coding = members.iter().filter_map(|&v| codings[v]).min(); // signed, if any is
        for v in members {
            if ranges[v].is_some() {
                (ranges[v], codings[v]) = (widest, coding);
            }
        }
    }
}

/// For each value, a number that is the same for all values that may share its scale.
pub fn relatives(g: &Graph) -> Vec<usize> {
    let mut parent = joined(g, |_| true);
    (0..parent.len()).map(|v| find(&mut parent, v)).collect()
}

/// The groups as a forest; `concat` says whether the inputs of a Concat join it.
fn joined(g: &Graph, concat: impl Fn(&[ValueId]) -> bool) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..g.value_count()).collect();
    for (_, n) in g.nodes().filter(|(_, n)| n.is_int8()) {
        match n.op.role() {
            Role::Move => {
                n.inputs.iter().chain(&n.outputs).for_each(|&v| join(&mut parent, v, n.outputs[0]));
            }
            Role::Concat if concat(&n.inputs) => {
                n.inputs.iter().for_each(|&v| join(&mut parent, v, n.outputs[0]));
            }
            _ => {}
        }
    }
    parent
}

fn alike(inputs: &[ValueId], codings: &[Option<Coding>], ranges: &[Option<Range>]) -> bool {
    let coding = codings[inputs[0].index()];
    let widths: Vec<f32> = inputs.iter().filter_map(|v| ranges[v.index()]).map(Range::amax).collect();
    let (lo, hi) = widths.iter().fold((f32::INFINITY, 0f32), |(lo, hi), &w| (lo.min(w), hi.max(w)));
    widths.len() == inputs.len()
        && hi <= lo * CONCAT_RATIO
        && inputs.iter().all(|v| codings[v.index()] == coding)
}

fn find(parent: &mut [usize], mut v: usize) -> usize {
    while parent[v] != v {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    v
}

fn join(parent: &mut [usize], a: ValueId, b: ValueId) {
    let (a, b) = (find(parent, a.index()), find(parent, b.index()));
    parent[a.max(b)] = a.min(b);
}

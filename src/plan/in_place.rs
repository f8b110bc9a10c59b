//! Outputs that lie where an input lies. A sum is written over one of the tensors that are added, where nobody reads that
//! tensor later: a residual needs no memory beside the result, and what is written was just read.

use super::lower::{Draft, Lowered};
use super::memory::whole;
use super::{BufferId, Within, pairs};
use crate::device::{Operand, Problem};

/// Lets the output of every draft that `may` (by its problem and number) write over its inputs lie where one of them lies
/// that is read for the last time. Pairs are joined already; buffers have no places in the arena yet.
pub fn overwrite(l: &mut Lowered, may: impl Fn(&Problem, usize) -> bool) {
    for i in 0..l.drafts.len() {
        let computes = l.drafts[i].computes();
        let input = input(l, i).filter(|_| computes && may(&pairs::computed(l, i).problem, i));
        if let Some(input) = input {
            let output = l.drafts[i].outputs[0];
            l.buffers[output.index()].within = Some(Within { buffer: input, at: 0 });
        }
    }
}

/// The input that the output of a draft may lie on.
fn input(l: &Lowered, i: usize) -> Option<BufferId> {
    let output = *l.drafts[i].outputs.first()?;
    if l.is_port(output) || l.buffers[output.index()].within.is_some() {
        return None;
    }
    let inputs = pairs::reads(l, &l.drafts[i]);
    let once = |b: BufferId| inputs.iter().filter(|&&other| other == b).count() == 1;
    let fits = |b: BufferId| once(b) && form(l, b).lies_as(form(l, output)) && is_done(l, b, i);
    let met = pairs::computed(l, i).problem.meets();
    met.into_iter().filter_map(|n| inputs.get(n).copied()).find(|&b| fits(b))
}

/// Does a buffer fill its memory, and is all that lies there read by nobody after draft `i`?
fn is_done(l: &Lowered, b: BufferId, i: usize) -> bool {
    let (memory, at) = whole(&l.buffers, b.index());
    let fills = at == 0 && form(l, BufferId::from(memory)).lies_as(form(l, b));
    let mut there = (0..l.buffers.len()).filter(|&other| whole(&l.buffers, other).0 == memory);
    let later = |b: BufferId| l.drafts[i + 1..].iter().any(|d| touches(l, d, b));
    fills && there.all(|b| !l.is_port(b.into()) && !later(b.into()))
}

fn form(l: &Lowered, b: BufferId) -> &Operand {
    &l.buffers[b.index()].operand
}

/// Does a draft read or write a buffer?
fn touches(l: &Lowered, d: &Draft, b: BufferId) -> bool {
    d.outputs.contains(&b) || pairs::reads(l, d).contains(&b)
}

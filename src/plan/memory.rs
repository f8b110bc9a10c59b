//! Places in the arena: buffers whose lives do not overlap share bytes. Parts of a buffer lie within it and live as its
//! life.
//!
//! Greedy by size (Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020): the largest
//! buffer first, each at the lowest offset where it meets no buffer that is alive at the same time.

use super::lower::Lowered;
use super::{Buffer, pairs};

/// Buffers start on a cache line.
const ALIGN: usize = 64;

/// Sets the life and the offset of every buffer, for batches of up to `max_batch`. Returns the size of the arena.
pub fn place(l: &mut Lowered, max_batch: usize) -> usize {
    lives(l);
    let size = |b: &Buffer| (b.operand.extent() * max_batch).next_multiple_of(ALIGN).max(ALIGN);
    let mut order: Vec<usize> =
        (0..l.buffers.len()).filter(|&i| l.buffers[i].within.is_none() && !l.buffers[i].absent).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(size(&l.buffers[i])), i));
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for i in order {
        let (life, need) = (l.buffers[i].life, size(&l.buffers[i]));
        let mut taken: Vec<(usize, usize)> = (placed.iter())
            .filter(|&&j| overlap(l.buffers[j].life, life) && !are_ways(l, i, j))
            .map(|&j| &l.buffers[j])
            .map(|b| (b.offset, b.offset + size(b)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + need <= from {
                break;
            }
            at = at.max(to);
        }
        l.buffers[i].offset = at;
        end = end.max(at + need);
        placed.push(i);
    }
    for i in 0..l.buffers.len() {
        let (whole, at) = whole(&l.buffers, i);
        l.buffers[i].offset = l.buffers[whole].offset + at;
    }
    end
}

/// Are these the pixels and the floats of the same input, of which a run reads one? Not where the pixels become the floats.
fn are_ways(l: &Lowered, i: usize, j: usize) -> bool {
    let Some(entry) = l.entry.as_ref().filter(|e| e.instead.is_some()) else { return false };
    let (pixels, is) = (entry.port.buffer.index(), |b: usize| l.inputs.iter().any(|p| p.buffer.index() == b));
    i == pixels && is(j) || j == pixels && is(i)
}

/// The buffer with memory of its own that holds buffer `i`, and where in an image of it.
pub(super) fn whole(buffers: &[Buffer], mut i: usize) -> (usize, usize) {
    let mut at = 0;
    while let Some(w) = buffers[i].within {
        (i, at) = (w.buffer.index(), at + w.at);
    }
    (i, at)
}

/// Are both alive during some step?
pub fn overlap(a: (usize, usize), b: (usize, usize)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// From the step that writes a buffer to the last that reads it; inputs from the start, outputs to the end.
fn lives(l: &mut Lowered) {
    let end = l.drafts.len();
    for (i, d) in l.drafts.iter().enumerate() {
        d.outputs.iter().for_each(|b| l.buffers[b.index()].life = (i, i));
        pairs::reads(l, d).iter().for_each(|b| l.buffers[b.index()].life.1 = i);
    }
    // the caller fills inputs before step 0 and may read outputs after the last; an input keeps its bytes for a
    // second run by the same way in only if nobody else writes them, so it lives to the end as well
    for p in l.inputs.iter().chain(l.entry.iter().map(|e| &e.port)) {
        l.buffers[p.buffer.index()].life = (0, end);
    }
    for p in &l.outputs {
        l.buffers[p.buffer.index()].life.1 = end;
    }
    for i in 0..l.buffers.len() {
        let (whole, _) = whole(&l.buffers, i);
        let (part, life) = (l.buffers[i].life, &mut l.buffers[whole].life);
        *life = (life.0.min(part.0), life.1.max(part.1));
    }
}

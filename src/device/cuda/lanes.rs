//! Branches of a network that may be computed beside one another: which steps must wait for which, by the bytes that they
//! read and write, and on which of a few queues each goes.
//!
//! Nothing is known here of a graph's edges. A step waits for an earlier one if one of the two writes what the other reads
//! or writes; that covers what flows between them as well as memory that is used again.

use crate::device::{Bound, Operand, Slot};
use std::ops::Range;

/// Most queues.
const MOST: usize = 4;

/// A step's place among the queues.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Its queue.
    pub lane: usize,
    /// The steps on other queues that it must wait for, and that nothing before it on its own has waited for.
    pub after: Vec<usize>,
    /// Does it begin a queue, or go on from elsewhere than the step before it on its own?
    pub apart: bool,
}

/// What a step touches in the arena, in runs of so many images.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    reads: Vec<Range<usize>>,
    writes: Vec<Range<usize>>,
}

impl Touched {
    /// What this step touches.
    pub fn of(step: &Bound, images: usize) -> Touched {
        let range = |(slot, o): (&Slot, &Operand)| bytes(slot, o, images);
        Touched {
            reads: step.inputs.iter().zip(step.problem.activations()).map(range).collect(),
            writes: step.outputs.iter().zip(&step.problem.outputs).map(range).collect(),
        }
    }

    /// Whoever reads these bytes, and writes none.
    pub fn reading(bytes: Range<usize>) -> Touched {
        Touched { reads: vec![bytes], writes: vec![] }
    }

    /// Must one of two steps be done before the other begins?
    pub fn clashes(&self, other: &Touched) -> bool {
        let meet = |a: &[Range<usize>], b: &[Range<usize>]| {
            a.iter().any(|a| b.iter().any(|b| a.start < b.end && b.start < a.end))
        };
        meet(&self.writes, &other.writes)
            || meet(&self.writes, &other.reads)
            || meet(&self.reads, &other.writes)
    }
}

/// Where so many images of an operand lie. A kernel may write the room after a row.
pub fn bytes(slot: &Slot, o: &Operand, images: usize) -> Range<usize> {
    slot.offset..slot.offset + slot.stride * images.saturating_sub(1) + o.extent()
}

/// The places of steps that are run in this order. Those of one queue follow one another; of a step that could go on where
/// several end, the first queue is taken.
pub fn places(steps: &[Touched]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::with_capacity(steps.len());
    // for each step, all that is done when it begins
    let mut before: Vec<Vec<bool>> = Vec::with_capacity(steps.len());
    let mut ends: Vec<usize> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let (mut done, mut needed) = (vec![false; i], Vec::new());
        for j in (0..i).rev() {
            if !done[j] && step.clashes(&steps[j]) {
                needed.push(j);
                follow(&mut done, j, &before);
            }
        }
        let goes_on = ends.iter().position(|end| needed.contains(end));
        // a queue whose last step is done by then is as good as a new one
        let free = || ends.iter().position(|&end| done[end]);
        let lane = match goes_on.or_else(free) {
            Some(lane) => lane,
            None if ends.len() < MOST => ends.len(),
            None => 0,
        };
        if let Some(&end) = ends.get(lane) {
            follow(&mut done, end, &before);
        }
        needed.retain(|j| places[*j].lane != lane);
        let apart = goes_on.is_none() || !needed.is_empty();
        places.push(Place { lane, after: needed, apart });
        before.push(done);
        match ends.get_mut(lane) {
            Some(end) => *end = i,
            None => ends.push(i),
        }
    }
    places
}

/// Step `j` is done, and all that was when it began.
fn follow(done: &mut [bool], j: usize, before: &[Vec<bool>]) {
    done[j] = true;
    before[j].iter().enumerate().for_each(|(k, was)| done[k] |= was);
}

/// The last steps of the queues but the first, which it must wait for at the end.
pub fn ends(places: &[Place]) -> Vec<usize> {
    let lanes = places.iter().map(|p| p.lane + 1).max().unwrap_or(0);
    (1..lanes).filter_map(|lane| places.iter().rposition(|p| p.lane == lane)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::SplitMix64;

    fn step(reads: &[usize], writes: &[usize]) -> Touched {
        let bytes = |of: &[usize]| of.iter().map(|&b| b * 10..b * 10 + 10).collect();
        Touched { reads: bytes(reads), writes: bytes(writes) }
    }

    /// A chain is one queue; a branch that joins again is another.
    #[test]
    fn branches_get_queues_of_their_own() {
        let chain = places(&[step(&[0], &[1]), step(&[1], &[2]), step(&[2], &[0])]);
        assert!(chain.iter().all(|p| p.lane == 0 && p.after.is_empty()));
        assert!(chain[0].apart && !chain[1].apart);
        // 0 -> 1 -> 2 -> 5 beside 1 -> 3, joined in 4
        let block =
            [step(&[0], &[1]), step(&[1], &[2]), step(&[2], &[5]), step(&[1], &[3]), step(&[5, 3], &[4])];
        let found = places(&block);
        assert_eq!(found.iter().map(|p| p.lane).collect::<Vec<_>>(), [0, 0, 0, 1, 0]);
        assert_eq!(
            found.iter().map(|p| p.after.clone()).collect::<Vec<_>>(),
            [vec![], vec![], vec![], vec![0], vec![3]]
        );
        assert_eq!(ends(&found), [3]);
        // the branch writes over what the other still reads: it waits
        let reused =
            [step(&[0], &[1]), step(&[1], &[2]), step(&[2], &[5]), step(&[1], &[2]), step(&[5, 2], &[4])];
        assert!(places(&reused).iter().all(|p| p.lane == 0));
    }

    /// Whatever the steps touch: of two that clash, the later one begins when the earlier one is done.
    #[test]
    fn what_clashes_is_in_order() {
        let mut random = SplitMix64::new(5);
        for _ in 0..300 {
            let mut some =
                |most: usize| (0..1 + random.below(most)).map(|_| random.below(8)).collect::<Vec<_>>();
            let steps: Vec<Touched> = (0..20).map(|_| step(&some(2), &some(1))).collect();
            let found = places(&steps);
            for i in 0..steps.len() {
                let (mut done, mut todo) = (vec![false; i], vec![i]);
                while let Some(at) = todo.pop() {
                    let own = (0..at).rev().find(|&j| found[j].lane == found[at].lane);
                    for j in own.into_iter().chain(found[at].after.iter().copied()) {
                        if !std::mem::replace(&mut done[j], true) {
                            todo.push(j);
                        }
                    }
                }
                assert!((0..i).all(|j| done[j] || !steps[i].clashes(&steps[j])), "{found:?}");
            }
        }
    }
}

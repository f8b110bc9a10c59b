//! Two nodes in one step ([`Pair`](crate::device::Pair)), where a device has a kernel for both and it is the faster way: a
//! convolution with the pooling behind it, a depthwise convolution with the products of its channels. What lies between
//! is in no memory. In the plan the first step stays, computes nothing, and the second says that it computes both.

use super::lower::{Draft, Lowered};
use super::{BufferId, Plan, Step, Within};
use crate::base::Tensor;
use crate::device::{Numerics, Problem};
use std::borrow::Cow;

/// What a step computes: a problem with its scales and constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Computed<'l> {
    pub problem: Cow<'l, Problem>,
    pub numerics: Cow<'l, Numerics>,
    pub tensors: Cow<'l, [Tensor]>,
}

impl<'l> Computed<'l> {
    /// What a draft computes alone.
    pub fn of(d: &'l Draft) -> Self {
        Computed {
            problem: Cow::Borrowed(&d.problem),
            numerics: Cow::Borrowed(&d.numerics),
            tensors: Cow::Borrowed(&d.tensors),
        }
    }
}

/// The pairs of drafts that could be one step: the second alone reads what the first writes, as its input 0.
pub fn candidates(l: &Lowered) -> Vec<(usize, usize)> {
    let alone = |b: BufferId| {
        let part = |w: Option<Within>| w.is_some_and(|w| w.buffer == b);
        !l.is_port(b) && l.buffers[b.index()].within.is_none() && !l.buffers.iter().any(|o| part(o.within))
    };
    let second = |(i, first): (usize, &Draft)| {
        let &[between] = &first.outputs[..] else { return None };
        let mut readers = (l.drafts.iter().enumerate())
            .flat_map(|(i, d)| d.inputs.iter().enumerate().map(move |(k, &b)| (i, k, b)))
            .filter(|&(_, _, b)| b == between);
        let (j, place, _) = readers.next().filter(|_| alone(between))?;
        let both = !first.view && !l.drafts[j].view && place == 0 && readers.next().is_none();
        both.then_some((i, j))
    };
    l.drafts.iter().enumerate().filter_map(second).collect()
}

/// What draft `i` computes, with the one that is joined to it.
pub fn computed(l: &Lowered, i: usize) -> Computed<'_> {
    let d = &l.drafts[i];
    d.with.and_then(|first| pair(l, first, i)).unwrap_or_else(|| Computed::of(d))
}

/// What two drafts compute as one.
pub fn pair(l: &Lowered, first: usize, second: usize) -> Option<Computed<'_>> {
    let (a, b) = (&l.drafts[first], &l.drafts[second]);
    let problem = Problem::pair(&a.problem, &b.problem)?;
    let numerics = Numerics::Pair(Box::new((a.numerics.clone(), b.numerics.clone())));
    Some(Computed {
        problem: Cow::Owned(problem),
        numerics: Cow::Owned(numerics),
        tensors: Cow::Owned([&a.tensors[..], &b.tensors].concat()),
    })
}

/// What a draft reads, with the one that is joined to it.
pub fn reads(l: &Lowered, d: &Draft) -> Vec<BufferId> {
    match d.with {
        Some(first) => [&l.drafts[first].inputs[..], &d.inputs[1..]].concat(),
        None if d.joined => vec![],
        None => d.inputs.clone(),
    }
}

/// Makes two drafts one step.
pub fn join(l: &mut Lowered, first: usize, second: usize) {
    l.drafts[second].with = Some(first);
    l.drafts[first].joined = true;
    let between = l.drafts[first].outputs[0];
    l.buffers[between.index()].absent = true;
}

impl Plan {
    /// What a step computes, with the step that is joined to it, and what it reads for that.
    pub fn computed<'p>(&'p self, s: &'p Step) -> (Cow<'p, Problem>, Cow<'p, Numerics>, Cow<'p, [BufferId]>) {
        let both = s.with.and_then(|i| {
            let first = self.steps.get(i)?;
            let problem = Problem::pair(&first.problem, &s.problem)?;
            let numerics = Numerics::Pair(Box::new((first.numerics.clone(), s.numerics.clone())));
            let inputs = [&first.inputs[..], s.inputs.get(1..)?].concat();
            Some((Cow::Owned(problem), Cow::Owned(numerics), Cow::Owned(inputs)))
        });
        let alone = || (Cow::Borrowed(&s.problem), Cow::Borrowed(&s.numerics), Cow::Borrowed(&s.inputs[..]));
        both.unwrap_or_else(alone)
    }
}

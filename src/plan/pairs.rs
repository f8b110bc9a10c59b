//! Two nodes in one step ([`Pair`](crate::device::Pair)), where a device has a kernel for both and it is the faster way: a
//! convolution with the pooling behind it, a depthwise convolution with the products of its channels, the mean of an image
//! with the products of its channels. What lies between is in no memory. In the plan the first step stays, computes
//! nothing, and the second says that it computes both. So does a view that lies between them (a Flatten): it says that it
//! is computed with the first, and the second with it.

use super::lower::{Draft, Lowered};
use super::{BufferId, Plan, Step};
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

/// The pairs of drafts that could be one step: the second alone reads what the first writes, as its input 0, or a view of
/// it.
pub fn candidates(l: &Lowered) -> Vec<(usize, usize)> {
    let second = |(i, first): (usize, &Draft)| {
        let next = reader(l, i).filter(|_| !first.view)?;
        let second = if l.drafts[next].view { reader(l, next)? } else { next };
        (!l.drafts[second].view).then_some((i, second))
    };
    l.drafts.iter().enumerate().filter_map(second).collect()
}

/// The draft that alone reads what draft `i` writes, as its input 0. Nothing but views of this chain lie where that lies.
fn reader(l: &Lowered, i: usize) -> Option<usize> {
    let d = &l.drafts[i];
    let &[written] = &d.outputs[..] else { return None };
    let mut readers = (l.drafts.iter().enumerate())
        .flat_map(|(j, d)| d.inputs.iter().enumerate().map(move |(k, &b)| (j, k, b)))
        .filter(|&(_, _, b)| b == written);
    let (j, place, _) = readers.next()?;
    let view = |d: &Draft, of: BufferId, b: BufferId| d.view && d.inputs == [of] && d.outputs == [b];
    let whole = |b: BufferId| l.buffers[b.index()].within.map(|w| w.buffer);
    let mut parts = (0..l.buffers.len()).map(BufferId::from).filter(|&b| whole(b) == Some(written));
    let own = whole(written).is_none_or(|of| view(d, of, written))
        && parts.all(|part| view(&l.drafts[j], written, part));
    let alone = place == 0 && readers.next().is_none() && !l.is_port(written);
    (own && alone).then_some(j)
}

/// The draft that is computed with one: that which writes what it reads, or reads through a view.
fn first(l: &Lowered, d: &Draft) -> Option<usize> {
    let before = d.with?;
    Some(l.drafts[before].with.unwrap_or(before))
}

/// What draft `i` computes, with the one that is joined to it.
pub fn computed(l: &Lowered, i: usize) -> Computed<'_> {
    let d = &l.drafts[i];
    first(l, d).and_then(|first| pair(l, first, i)).unwrap_or_else(|| Computed::of(d))
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
    match first(l, d) {
        _ if d.joined => vec![],
        Some(first) => [&l.drafts[first].inputs[..], &d.inputs[1..]].concat(),
        None => d.inputs.clone(),
    }
}

/// Makes two drafts one step, with the view between them where there is one.
pub fn join(l: &mut Lowered, first: usize, second: usize) {
    let mut reader = second;
    while reader != first {
        let Some(writer) = writer(l, reader) else { return };
        l.drafts[reader].with = Some(writer);
        l.drafts[writer].joined = true;
        let between = &mut l.buffers[l.drafts[reader].inputs[0].index()];
        (between.absent, between.within) = (true, None);
        reader = writer;
    }
}

/// The draft that writes what draft `i` reads as its input 0.
fn writer(l: &Lowered, i: usize) -> Option<usize> {
    let read = l.drafts[i].inputs.first()?;
    l.drafts.iter().position(|d| d.outputs.contains(read))
}

impl Plan {
    /// What a step computes, with the step that is joined to it, and what it reads for that.
    pub fn computed<'p>(&'p self, s: &'p Step) -> (Cow<'p, Problem>, Cow<'p, Numerics>, Cow<'p, [BufferId]>) {
        let with = |s: &Step| self.steps.get(s.with?);
        let both = with(s).and_then(|before| {
            let first = with(before).unwrap_or(before); // through a view
            let problem = Problem::pair(&first.problem, &s.problem)?;
            let numerics = Numerics::Pair(Box::new((first.numerics.clone(), s.numerics.clone())));
            let inputs = [&first.inputs[..], s.inputs.get(1..)?].concat();
            Some((Cow::Owned(problem), Cow::Owned(numerics), Cow::Owned(inputs)))
        });
        let alone = || (Cow::Borrowed(&s.problem), Cow::Borrowed(&s.numerics), Cow::Borrowed(&s.inputs[..]));
        both.unwrap_or_else(alone)
    }
}

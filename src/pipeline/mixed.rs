//! Engines in which INT8 and FP16 compete layer by layer.
//!
//! Both engines of a model are built first, all that can be in INT8 and nothing; their tactics' times say what each node
//! costs in either, and conversions where the two meet are timed as they are met. The cheapest choice of all together is a
//! minimum cut. Of the three engines the one whose runs are shortest is taken, so that none is slower than the FP16 engine. The
//! timing cache remembers which.

use super::build::Building;
use crate::base::cut::{Cut, NEVER};
use crate::base::{DType, Digest, Monitor, Result};
use crate::device::{Device, Numerics, Operand, Problem, Work};
use crate::engine::{Engine, Session};
use crate::ir::{Graph, Node, NodeId, Precision, Reason, ValueId};
use crate::plan::{Plan, Step};
use crate::tune::{Choice, Tuner};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Runs of an engine that are timed, and how often: the shortest counts.
const RUNS: usize = 20;
const ROUNDS: usize = 5;

/// Builds the fastest engine of a graph with scales, and says which nodes it moved to float.
pub fn build(b: &Building, g: Graph, tuner: &mut Tuner, monitor: &dyn Monitor) -> Result<(Engine, Graph)> {
    let int8: HashSet<NodeId> = g.nodes().filter(|(_, n)| may_move(n)).map(|(id, _)| id).collect();
    if int8.is_empty() {
        return Ok((b.engine(&g, tuner, "build FP16 engine", monitor)?, g));
    }
    let whole = b.engine(&g, tuner, "build INT8 engine", monitor)?;
    let half_graph = b.graph(|id| int8.contains(&id).then_some(FASTER));
    let half = b.engine(&half_graph, tuner, "build FP16 engine", monitor)?;
    let moved = Costs::of(&g, [&whole.plan, &half.plan], b.device).moved(tuner)?;
    let mut all = vec![(whole, g), (half, half_graph)];
    if !moved.is_empty() && moved.len() < int8.len() {
        let graph = b.graph(|id| moved.contains(&id).then_some(FASTER));
        let mixed = b.engine(&graph, tuner, "build mixed engine", monitor)?;
        all.push((mixed, graph));
    }
    let plans: Vec<String> = all.iter().map(|(e, _)| e.plan.to_string()).collect();
    let what = Digest::of_parts(plans.iter().map(String::as_bytes));
    let names = &["int8", "fp16", "mixed"][..all.len()];
    let best = tuner.fastest(names, what, |i| time(&all[i].0, b.device))?;
    tracing::info!("the {} engine is the fastest", names[best]);
    Ok(all.swap_remove(best))
}

/// May a node be in float: is it in INT8, and not because a rule says so?
fn may_move(n: &Node) -> bool {
    let ruled = |p: &Precision| matches!(p.reason, Reason::Rule(_));
    n.is_int8() && !n.precision.as_ref().is_some_and(ruled)
}

/// Why a node is in float here.
const FASTER: Precision = Precision { int8: false, reason: Reason::FasterInFloat };

/// The time of a run at the largest batch.
fn time(engine: &Engine, device: &dyn Device) -> Result<Duration> {
    let mut session = Session::new(engine, device)?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        best = best.min(session.time_resident(engine.plan.max_batch, RUNS)?);
    }
    Ok(best)
}

/// What nodes cost in INT8 and in FP16 (of two that are one step, the second has the time of both, so that a choice
/// between them is a guess: the engines' own times decide in the end), and how the values between them are stored in either.
struct Costs<'g> {
    g: &'g Graph,
    device: &'g dyn Device,
    plans: [&'g Plan; 2],
    nodes: Vec<(NodeId, [u64; 2])>,
    /// Times of conversions, from INT8 and to it, as far as they are known: what is not costs nothing.
    known: HashMap<(ValueId, bool), u64>,
}

impl<'g> Costs<'g> {
    fn of(g: &'g Graph, plans: [&'g Plan; 2], device: &'g dyn Device) -> Self {
        // plans have a step for every node, in the order of the graph
        let times = plans.map(|p| p.steps.iter().filter(|s| s.problem.op().is_some()).map(nanos));
        let [int8, half] = times;
        let both = g.nodes().map(|(id, _)| id).zip(int8.zip(half).map(|(a, b)| [a, b]));
        Costs { g, device, plans, nodes: both.collect(), known: HashMap::new() }
    }

    /// The nodes that are better in float. A conversion is timed when a choice first makes it; a choice that makes none but
    /// timed ones is the best of all, as others were thought cheaper than they can be.
    fn moved(&mut self, tuner: &mut Tuner) -> Result<HashSet<NodeId>> {
        loop {
            let int8 = self.cheapest();
            let met: Vec<_> = self.met(&int8).into_iter().filter(|c| !self.known.contains_key(c)).collect();
            if met.is_empty() {
                let moved = self.g.nodes().filter(|(id, n)| n.is_int8() && !int8.contains(id));
                return Ok(moved.map(|(id, _)| id).collect());
            }
            for (v, back) in met {
                let time = self.conversion(v, back, tuner)?;
                self.known.insert((v, back), time);
            }
        }
    }

    /// The nodes that are in INT8 in the choice that costs least by what is known.
    fn cheapest(&self) -> HashSet<NodeId> {
        let place: HashMap<NodeId, usize> = self.nodes.iter().enumerate().map(|(i, n)| (n.0, i)).collect();
        let mut cut = Cut::of(self.nodes.len());
        for (i, (id, [int8, half])) in self.nodes.iter().enumerate() {
            let n = self.g.node(*id);
            let int8 = if n.is_int8() { *int8 } else { NEVER };
            let half = if n.is_int8() && !may_move(n) { NEVER } else { *half };
            cut.costs(i, int8, half);
        }
        for (writer, v, readers) in self.values() {
            let readers = || readers.iter().map(|r| place[r]);
            let cost = |back: bool| self.known.get(&(v, back)).copied().unwrap_or(0);
            // paid once, if any reader is on the other side
            let any_float = cut.add();
            cut.parted(place[&writer], any_float, cost(false));
            readers().for_each(|r| cut.parted(any_float, r, NEVER));
            let any_int8 = cut.add();
            cut.parted(any_int8, place[&writer], cost(true));
            readers().for_each(|r| cut.parted(r, any_int8, NEVER));
        }
        let left = cut.left();
        self.nodes.iter().enumerate().filter(|(i, _)| left[*i]).map(|(_, n)| n.0).collect()
    }

    /// Each value between nodes: its writer, itself, its readers.
    fn values(&self) -> impl Iterator<Item = (NodeId, ValueId, Vec<NodeId>)> {
        self.g.nodes().flat_map(|(id, n)| n.outputs.iter().map(move |&v| (id, v))).map(|(id, v)| {
            let readers = self.g.nodes().filter(|(_, n)| n.inputs.contains(&v)).map(|(id, _)| id);
            (id, v, readers.collect())
        })
    }

    /// The conversions that a choice makes: of which value, and whether to INT8.
    fn met(&self, int8: &HashSet<NodeId>) -> Vec<(ValueId, bool)> {
        let both = self.values().flat_map(|(writer, v, readers)| {
            let back = !int8.contains(&writer);
            readers.iter().any(|r| int8.contains(r) == back).then_some((v, back))
        });
        both.collect()
    }

    /// The time of a conversion; none is needed of what an INT8 node writes as floats by itself.
    fn conversion(&self, v: ValueId, back: bool, tuner: &mut Tuner) -> Result<u64> {
        let value = self.g.value(v);
        let buffer = |plan: &'g Plan, is: fn(DType) -> bool| -> Option<&'g Operand> {
            let mut all = plan.buffers.iter().filter(|b| b.value == value.name).map(|b| &b.operand);
            all.find(|o| is(o.dtype))
        };
        let of_int8 = buffer(self.plans[0], DType::is_int8);
        let (Some(q), Some(a), Some(b)) = (value.quant, of_int8, buffer(self.plans[1], DType::is_float))
        else {
            return Ok(0);
        };
        let (from, to, numerics) = match back {
            false => (a, b, Numerics::rescale(&[q], None)),
            true => (b, a, Numerics::Quantize(q)),
        };
        let stored = |o: &Operand| vec![self.device.stored(Operand { pitch: None, ..o.clone() })];
        let problem = Problem { work: Work::Reformat, inputs: stored(from), outputs: stored(to) };
        let choice = tuner.best(&problem, &numerics, &[])?;
        Ok(time_of(&choice))
    }
}

fn nanos(s: &Step) -> u64 {
    time_of(&s.choice)
}

/// The time of what was chosen: nothing for what computes nothing.
fn time_of(choice: &Choice) -> u64 {
    choice.nanos().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Floats;
    use crate::device::interp::Interp;
    use crate::testing::quantized::{build_in, constant, quantize, sample};
    use crate::tune::{Candidate, TimingCache, Verdict};

    const SECOND: u64 = 1_000_000_000;

    /// Three convolutions in a row, in INT8 where they may be, and which of them are moved if they take so long in INT8 and
    /// in FP16. Conversions are timed on the oracle: far less than a second, and more than a nanosecond.
    fn moved(times: [[u64; 2]; 3]) -> Vec<String> {
        let conv = |to: &str, from: &str| format!("%{to}: f32[1,4,6,6] = Conv(%{from}, %w)  # {to}\n");
        let text = "graph g\ninput %x: f32[1,4,6,6]\n".to_string() + &constant("w", &[4, 4, 1, 1], 0.2);
        let text = text + &conv("a", "x") + &conv("b", "a") + &conv("c", "b") + "output %c\n";
        let mut g = Graph::parse(&text).unwrap();
        let samples = (0..2).map(|seed| sample(&g, seed)).collect::<Vec<_>>();
        quantize(&mut g, &crate::quant::Settings::default(), &samples);
        let int8 = build_in(&g, &Interp, 1, Floats::F16).unwrap();
        let mut float = g.clone();
        let ids: Vec<NodeId> = g.nodes().map(|(id, _)| id).collect();
        ids.iter().for_each(|id| float.node_mut(*id).precision = Some(FASTER));
        let half = build_in(&float, &Interp, 1, Floats::F16).unwrap();
        let timed = |engine: Engine, which: usize| {
            let mut plan = engine.plan;
            for s in plan.steps.iter_mut().filter(|s| s.problem.op().is_some()) {
                let at = ["a", "b", "c"].iter().position(|n| *n == s.name).unwrap();
                let verdict = Verdict::Time(times[at][which]);
                s.choice.candidates = vec![Candidate { tactic: s.choice.tactic.clone(), verdict }];
            }
            plan
        };
        let plans = [timed(int8, 0), timed(half, 1)];
        let mut tuner = Tuner::new(&Interp, TimingCache::default(), None);
        let moved = Costs::of(&g, [&plans[0], &plans[1]], &Interp).moved(&mut tuner).unwrap();
        let mut names: Vec<String> = moved.into_iter().map(|id| g.node(id).name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn nodes_go_where_they_are_cheapest_with_conversions() {
        let (fast, slow) = (SECOND, 10 * SECOND);
        assert_eq!(moved([[fast, slow]; 3]), [""; 0]);
        assert_eq!(moved([[slow, fast]; 3]), ["a", "b", "c"]);
        assert_eq!(moved([[fast, slow], [slow, fast], [fast, slow]]), ["b"]);
        // one nanosecond is no reason to convert to and fro
        assert_eq!(moved([[fast, slow], [fast + 1, fast], [fast, slow]]), [""; 0]);
        // nor to convert back for one
        assert_eq!(moved([[slow, fast], [fast, fast + 1], [slow, fast]]), ["a", "b", "c"]);
    }
}

//! Runs the rules over a graph until nothing changes, and keeps the record.

use super::{Context, Decline, Edit, Rule};
use crate::base::codes::model;
use crate::base::{Diagnostic, Result};
use crate::ir::{Graph, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often the whole table runs at most, beside once per node. Real networks need three or four rounds; more than
/// this is two rules that undo each other.
const ROUNDS: usize = 64;

/// What the rules did to a graph, for the report.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// What was done, in order, then what is blocked in the final graph.
    pub rows: Vec<Entry>,
}

/// What one rule did at one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The rule's name.
    pub rule: String,
    /// The name of the node where its pattern ends.
    pub node: String,
    /// What came of it.
    pub outcome: Verdict,
}

/// What came of a rule at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was rewritten.
    Done,
    /// It cannot be; the reason.
    Blocked(String),
}

impl Record {
    /// How often each rule was applied, by name.
    pub fn done(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for e in self.rows.iter().filter(|e| e.outcome == Verdict::Done) {
            *counts.entry(e.rule.as_str()).or_default() += 1;
        }
        counts
    }

    /// What is blocked: rule, node and reason.
    pub fn blocked(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.rows.iter().filter_map(|e| match &e.outcome {
            Verdict::Blocked(why) => Some((e.rule.as_str(), e.node.as_str(), why.as_str())),
            Verdict::Done => None,
        })
    }

    fn push(&mut self, rule: &str, node: &str, outcome: Verdict) {
        self.rows.push(Entry { rule: rule.into(), node: node.into(), outcome });
    }
}

/// Applies the rules, each to every node, round after round until a round changes nothing. Every other round goes
/// through the nodes from the end, so that what spreads backwards (dead code) needs no round per node. What is blocked
/// in the last round is on record; what was blocked earlier and done later is not.
///
/// # Errors
/// Mistakes of a rule, by its name: a patch that the graph refuses, a graph that the verifier refuses (asked after
/// every rule in debug builds, and at the end always), rules that never come to rest.
pub fn run(graph: &mut Graph, rules: &[&dyn Rule]) -> Result<Record> {
    let mut record = Record::default();
    let rounds = ROUNDS + graph.order().len();
    for round in 0..rounds {
        let before = record.rows.len();
        let mut blocked = Vec::new();
        for rule in rules {
            let changed = sweep(graph, *rule, round % 2 == 1, &mut record, &mut blocked)?;
            if changed && cfg!(debug_assertions) {
                verify(graph, rule.name())?;
            }
        }
        if record.rows.len() == before {
            record.rows.extend(blocked);
            verify(graph, "the last one")?;
            return Ok(record);
        }
    }
    let last = record.rows.last().map_or("", |e| e.rule.as_str());
    Err(mistake(last, format!("the graph still changes after {rounds} rounds")))
}

/// One rule at every node. Nodes that it adds are seen in the next round.
fn sweep(
    graph: &mut Graph,
    rule: &dyn Rule,
    backwards: bool,
    record: &mut Record,
    blocked: &mut Vec<Entry>,
) -> Result<bool> {
    let mut nodes: Vec<NodeId> = graph.order().to_vec();
    let first_blocked = blocked.len();
    if backwards {
        nodes.reverse();
    }
    let mut at = nodes.iter().copied().peekable();
    let mut changed = false;
    while at.peek().is_some() {
        let context = Context::new(graph);
        let Some((node, edit)) = next_edit(&context, rule, &mut at, blocked) else { break };
        let name = graph.node(node).name.clone();
        tracing::debug!(rule = rule.name(), node = %name, "rewritten");
        match edit {
            Edit::Patch(patch) => graph.apply(patch).map_err(|e| mistake(rule.name(), e))?,
            Edit::Quantize(value, params) => graph.value_mut(value).quant = Some(params),
        }
        record.push(rule.name(), &name, Verdict::Done);
        changed = true;
    }
    if backwards {
        blocked[first_blocked..].reverse(); // on record in the order of the nodes
    }
    Ok(changed)
}

/// The next node where the rule has something to do.
fn next_edit(
    c: &Context,
    rule: &dyn Rule,
    at: &mut impl Iterator<Item = NodeId>,
    blocked: &mut Vec<Entry>,
) -> Option<(NodeId, Edit)> {
    for id in at {
        if !c.is_live(id) {
            continue;
        }
        match rule.apply(c, id) {
            Ok(edit) => return Some((id, edit)),
            Err(Decline::Nothing) => {}
            Err(Decline::Blocked(reason)) => {
                let node = c.node(id).name.clone();
                tracing::debug!(rule = rule.name(), %node, %reason, "blocked");
                blocked.push(Entry { rule: rule.name().into(), node, outcome: Verdict::Blocked(reason) });
            }
        }
    }
    None
}

fn verify(graph: &Graph, rule: &str) -> Result<()> {
    graph.verify().map_err(|bad| {
        bad.into_iter().take(5).fold(mistake(rule, "the graph is no longer valid"), |d, line| d.detail(line))
    })
}

fn mistake(rule: &str, what: impl std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::new(model::REWRITE, format!("rewrite rule {rule}: {what}"))
        .help("this is a mistake in quantize, not in the model; please report it with the model")
}

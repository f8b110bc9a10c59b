//! The order in which nodes are imported, and what makes a graph none: names defined twice or never, cycles.

use super::proto::{GraphProto, NodeProto};
use super::tensor::malformed;
use crate::base::nearest::nearest;
use crate::base::{Diagnostic, Place, Result};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// The nodes that the graph's outputs need, each after those it reads from, otherwise in the file's order.
pub(super) fn order(graph: &GraphProto) -> Result<Vec<usize>> {
    let producers = producers(graph)?;
    let needs = needs(graph, &producers)?;
    let sorted = sort(&needs).map_err(|cycle| in_a_cycle(graph, &cycle))?;

    let mut wanted: Vec<bool> = vec![false; graph.node.len()];
    let outputs = graph.output.iter().filter_map(|o| producers.get(o.name.as_str()).copied().flatten());
    outputs.for_each(|i| wanted[i] = true);
    for &i in sorted.iter().rev() {
        if wanted[i] {
            needs[i].iter().for_each(|&j| wanted[j] = true);
        }
    }
    Ok(sorted.into_iter().filter(|&i| wanted[i]).collect())
}

/// For each defined name, the node that writes it; `None` for inputs and initializers.
fn producers(graph: &GraphProto) -> Result<HashMap<&str, Option<usize>>> {
    let mut by: HashMap<&str, Option<usize>> = HashMap::new();
    let twice = |what: &str, name: &str| Err(malformed(format!("{what} `{name}` is defined twice")));
    let mut seen = HashSet::new();
    for t in &graph.initializer {
        if !seen.insert(t.name.as_str()) {
            return twice("initializer", &t.name);
        }
        by.insert(&t.name, None);
    }
    seen.clear();
    for v in &graph.input {
        if !seen.insert(v.name.as_str()) {
            return twice("input", &v.name);
        }
        by.insert(&v.name, None); // an initializer of the same name is the input's default value
    }
    for (i, n) in graph.node.iter().enumerate() {
        for o in n.output.iter().filter(|o| !o.is_empty()) {
            if by.insert(o, Some(i)).is_some() {
                return twice("value", o).map_err(|e: Box<Diagnostic>| e.at(place(n, i)));
            }
        }
    }
    Ok(by)
}

/// For each node, the nodes it reads from.
fn needs(graph: &GraphProto, producers: &HashMap<&str, Option<usize>>) -> Result<Vec<Vec<usize>>> {
    let find = |name: &str| {
        producers.get(name).copied().ok_or_else(|| {
            let near = nearest(name, producers.keys().copied());
            let e = malformed(format!("nothing defines the value `{name}`"));
            near.map_or(e.clone(), |near| e.help(format!("there is a value `{near}`")))
        })
    };
    for o in &graph.output {
        find(&o.name).map_err(|e| e.at(Place::Named(format!("output {} of the graph", o.name))))?;
    }
    (graph.node.iter().enumerate())
        .map(|(i, n)| {
            let read = n.input.iter().filter(|name| !name.is_empty());
            let of = read.map(|name| find(name)).collect::<Result<Vec<_>>>();
            Ok(of.map_err(|e| e.at(place(n, i)))?.into_iter().flatten().collect())
        })
        .collect()
}

/// Kahn's algorithm, always taking the first node of the file that is ready. The error is a cycle.
fn sort(needs: &[Vec<usize>]) -> std::result::Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (i, needed) in needs.iter().enumerate() {
        needed.iter().for_each(|&j| readers[j].push(i));
    }
    let mut ready: BinaryHeap<_> = (0..needs.len()).filter(|&i| missing[i] == 0).map(Reverse).collect();
    let mut sorted = Vec::with_capacity(needs.len());
    while let Some(Reverse(i)) = ready.pop() {
        sorted.push(i);
        for &r in &readers[i] {
            missing[r] -= 1;
            if missing[r] == 0 {
                ready.push(Reverse(r));
            }
        }
    }
    match (0..needs.len()).find(|&i| missing[i] > 0) {
        None => Ok(sorted),
        Some(first) => Err(cycle(needs, &missing, first)),
    }
}

/// A cycle among the nodes that never became ready: each of them reads from another one, so walking back must come
/// round.
fn cycle(needs: &[Vec<usize>], missing: &[usize], first: usize) -> Vec<usize> {
    let (mut path, mut at) = (Vec::new(), first);
    let mut step = vec![None; needs.len()];
    while step[at].is_none() {
        step[at] = Some(path.len());
        path.push(at);
        at = needs[at].iter().copied().find(|&j| missing[j] > 0).unwrap_or(at);
    }
    let start = step[at].unwrap_or(0);
    let mut cycle = path.split_off(start);
    cycle.reverse();
    cycle
}

fn in_a_cycle(graph: &GraphProto, cycle: &[usize]) -> Box<Diagnostic> {
    let e = malformed(format!("{} nodes read from each other in a cycle", cycle.len()));
    cycle.iter().take(10).fold(e, |e, &i| e.detail(label(&graph.node[i], i)))
}

/// A node as messages name it: `conv1 (Conv)`, or its place in the file where it has no name.
fn label(n: &NodeProto, index: usize) -> String {
    match n.name.as_str() {
        "" => format!("#{index} ({})", n.op_type),
        name => format!("{name} ({})", n.op_type),
    }
}

/// The place of a node that has no unique name yet.
pub(super) fn place(n: &NodeProto, index: usize) -> Place {
    Place::Named(format!("node {}", label(n, index)))
}

/// The place of a node.
pub(super) fn place_of(name: &str, kind: &str) -> Place {
    Place::Named(format!("node {name} ({kind})"))
}

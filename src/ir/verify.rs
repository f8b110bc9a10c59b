//! The verifier. What must hold of every graph, after import and after every rewrite:
//!
//! 1. Every value a node reads is an input, a constant, or written by an earlier node.
//! 2. A value is written by one node at most, and never if it is an input or a constant.
//! 3. Every output of the graph is an input, a constant, or written.
//! 4. The values a node writes have the type and shape that its operator infers from what it reads.
//! 5. Names of live values are unique; so are names of nodes.
//! 6. A constant has the type and shape its value states.
//! 7. Axis 0 of every input is 1 (one image).
//! 8. Channel scales are as many as the weight has channels.

use super::graph::{Graph, Node};
use std::collections::HashSet;

impl Graph {
    /// Checks every invariant; returns one sentence per violation.
    pub fn verify(&self) -> Result<(), Vec<String>> {
        let mut bad = Vec::new();
        let mut defined: Vec<bool> = self.values.iter().map(|v| v.constant.is_some()).collect();
        for &v in &self.inputs {
            if std::mem::replace(&mut defined[v.index()], true) {
                bad.push(format!("input {} is defined twice", self.value(v).name));
            }
            if self.value(v).fact.shape.first() != Some(&1) {
                bad.push(format!(
                    "input {} has shape {}, not one image",
                    self.value(v).name,
                    self.value(v).fact.shape
                ));
            }
        }
        for (_, n) in self.nodes() {
            self.verify_node(n, &mut defined, &mut bad);
        }
        for (v, name) in self.outputs.iter().zip(&self.output_names) {
            if !defined[v.index()] {
                bad.push(format!("output {name} is never written"));
            }
        }
        self.verify_values(&mut bad);
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }

    fn verify_node(&self, n: &Node, defined: &mut [bool], bad: &mut Vec<String>) {
        for &v in &n.inputs {
            if !defined[v.index()] {
                bad.push(format!("node {} reads {} before it is written", n.name, self.value(v).name));
            }
        }
        for &v in &n.outputs {
            if std::mem::replace(&mut defined[v.index()], true) {
                bad.push(format!("node {} writes {}, which is defined already", n.name, self.value(v).name));
            }
        }
        match n.op.infer(&self.input_facts(n)) {
            Err(e) => bad.push(format!("node {}: {e}", n.name)),
            Ok(facts) => {
                let stated: Vec<_> = n.outputs.iter().map(|&v| self.value(v).fact.clone()).collect();
                if facts != stated {
                    bad.push(format!("node {} gives {facts:?}, its values say {stated:?}", n.name));
                }
            }
        }
    }

    fn verify_values(&self, bad: &mut Vec<String>) {
        let mut names = HashSet::new();
        for v in self.live_values() {
            let v = self.value(v);
            if !names.insert(&v.name) {
                bad.push(format!("two values are named {}", v.name));
            }
            if let Some(c) = &v.constant
                && (c.dtype(), c.shape()) != (v.fact.dtype, &v.fact.shape)
            {
                bad.push(format!("constant {} is {}{}", v.name, c.dtype(), c.shape()));
            }
            if let Some(ch) = &v.channels
                && v.fact.shape.get(ch.axis) != Some(&ch.scales.len())
            {
                bad.push(format!("{} has {} channel scales for {}", v.name, ch.scales.len(), v.fact.shape));
            }
        }
        let mut nodes = HashSet::new();
        for (_, n) in self.nodes() {
            if !nodes.insert(&n.name) {
                bad.push(format!("two nodes are named {}", n.name));
            }
        }
    }
}

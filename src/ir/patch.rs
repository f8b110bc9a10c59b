//! The only way to change a graph's structure: what goes, what comes, what stands in for what.

use super::graph::{Fact, Graph, Node, NodeId, Value, ValueId};
use crate::base::Tensor;

/// A change of a graph, built by a rewrite rule and applied whole.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    remove: Vec<NodeId>,
    add: Vec<Node>,
    values: Vec<Value>,
    first_new: usize,
    replace: Vec<(ValueId, ValueId)>,
}

impl Patch {
    /// An empty patch of `graph`.
    pub fn new(graph: &Graph) -> Self {
        Patch { first_new: graph.value_count(), ..Patch::default() }
    }

    /// Removes a node.
    pub fn remove(&mut self, node: NodeId) -> &mut Self {
        self.remove.push(node);
        self
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: impl Into<String>, t: Tensor) -> ValueId {
        self.value(Value::constant(name, t))
    }

    /// Adds a value for a new node to write.
    pub fn value(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId::from(self.first_new + self.values.len() - 1)
    }

    /// Adds a node. The new nodes stand, in this order, where the last removed one stood.
    pub fn add(&mut self, node: Node) -> &mut Self {
        self.add.push(node);
        self
    }

    /// Lets every reader of `old` read `new` instead.
    pub fn replace(&mut self, old: ValueId, new: ValueId) -> &mut Self {
        self.replace.push((old, new));
        self
    }
}

impl Graph {
    /// Applies a patch. A value that is replaced, or written by a new node instead of an old one, keeps its type and
    /// shape; anything else is an error of the rule that built the patch, and leaves the graph as it was.
    ///
    /// Names of values that vanish are remembered by the value that took their place ([`Value::folded`]), and names
    /// of removed nodes by the first new node ([`Node::origin`]).
    pub fn apply(&mut self, patch: Patch) -> Result<(), String> {
        self.check(&patch)?;
        let at = patch.remove.iter().filter_map(|n| self.order.iter().position(|o| o == n)).max();
        let at = at.map_or(self.order.len(), |i| i + 1);
        self.values.extend(patch.values);

        let vanished: Vec<ValueId> = (patch.remove.iter())
            .flat_map(|n| self.nodes[n.index()].outputs.clone())
            .filter(|v| !patch.add.iter().any(|n| n.outputs.contains(v)))
            .collect();
        self.remember(&vanished, &patch.add, &patch.replace);

        let new: Vec<NodeId> = (0..patch.add.len()).map(|i| NodeId::from(self.nodes.len() + i)).collect();
        self.nodes.extend(patch.add);
        self.order.splice(at..at, new);
        self.order.retain(|n| !patch.remove.contains(n));
        for (old, new) in patch.replace {
            self.redirect(old, new);
        }
        Ok(())
    }

    fn check(&self, patch: &Patch) -> Result<(), String> {
        let fact = |v: ValueId| -> Result<&Fact, String> {
            let new = v.index().checked_sub(patch.first_new).and_then(|i| patch.values.get(i));
            new.or(self.values.get(v.index())).map(|v| &v.fact).ok_or_else(|| format!("{v} does not exist"))
        };
        if patch.first_new != self.value_count() {
            return Err("the patch was built for another state of the graph".into());
        }
        for (old, new) in &patch.replace {
            let (a, b) = (fact(*old)?, fact(*new)?);
            if a != b {
                return Err(format!("{old} is {}{} and {new} is {}{}", a.dtype, a.shape, b.dtype, b.shape));
            }
        }
        for n in &patch.add {
            let facts = n.inputs.iter().map(|&v| fact(v).cloned()).collect::<Result<Vec<_>, _>>()?;
            let inferred = n.op.infer(&facts).map_err(|e| format!("new node {}: {e}", n.name))?;
            let stated = n.outputs.iter().map(|&v| fact(v).cloned()).collect::<Result<Vec<_>, _>>()?;
            if inferred != stated {
                return Err(format!("new node {} gives {inferred:?}, its values say {stated:?}", n.name));
            }
        }
        Ok(())
    }

    /// Hands the names of values that are gone to those that took their place.
    fn remember(&mut self, vanished: &[ValueId], added: &[Node], replace: &[(ValueId, ValueId)]) {
        let fallback = added.last().and_then(|n| n.outputs.first().copied());
        for &v in vanished {
            let target = replace.iter().find(|(old, _)| *old == v).map(|(_, new)| *new).or(fallback);
            let Some(t) = target.filter(|&t| t != v && self.values[t.index()].constant.is_none()) else {
                continue;
            };
            let mut names = std::mem::take(&mut self.values[v.index()].folded);
            names.push(self.values[v.index()].name.clone());
            self.values[t.index()].folded.extend(names);
        }
    }

    fn redirect(&mut self, old: ValueId, new: ValueId) {
        for id in &self.order {
            for v in self.nodes[id.index()].inputs.iter_mut().filter(|v| **v == old) {
                *v = new;
            }
        }
        for v in self.outputs.iter_mut().filter(|v| **v == old) {
            *v = new;
        }
    }
}

//! What rules ask about a graph: who writes a value, who reads it, may it vanish.

use super::{Decline, Edit, Outcome, blocked};
use crate::base::Tensor;
use crate::ir::{Graph, Node, NodeId, Op, Patch, ValueId};
use std::ops::Deref;

/// A graph with its producers and consumers, which are computed once per change. Reads as the graph itself.
pub struct Context<'g> {
    graph: &'g Graph,
    producers: Vec<Option<NodeId>>,
    consumers: Vec<Vec<NodeId>>,
}

impl Deref for Context<'_> {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        self.graph
    }
}

impl<'g> Context<'g> {
    /// The context of a graph as it is now.
    pub fn new(graph: &'g Graph) -> Self {
        Context { producers: graph.producers(), consumers: graph.consumers(), graph }
    }

    /// Is the node still in the graph?
    pub fn is_live(&self, id: NodeId) -> bool {
        let written = self.node(id).outputs.first();
        written.is_some_and(|v| self.producers[v.index()] == Some(id))
    }

    /// The node that writes `v`; declines where it is an input or a constant.
    pub fn producer(&self, v: ValueId) -> Result<NodeId, Decline> {
        self.producers[v.index()].ok_or(Decline::Nothing)
    }

    /// The nodes that read `v`, in order.
    pub fn consumers(&self, v: ValueId) -> &[NodeId] {
        &self.consumers[v.index()]
    }

    /// Is `v` an output of the graph?
    pub fn is_output(&self, v: ValueId) -> bool {
        self.outputs.contains(&v)
    }

    /// The single output of a node.
    pub fn output(&self, id: NodeId) -> Result<ValueId, Decline> {
        match self.node(id).outputs[..] {
            [v] => Ok(v),
            _ => Err(Decline::Nothing),
        }
    }

    /// The constant that input `i` of a node is.
    pub fn constant(&self, node: &Node, i: usize) -> Result<&Tensor, Decline> {
        self.graph.constant_input(node, i).ok_or(Decline::Nothing)
    }

    /// The operands of a node with two inputs of which exactly one is constant: the other's position and the
    /// constant's.
    pub fn with_constant(&self, node: &Node) -> Result<[usize; 2], Decline> {
        let constant = |i: usize| self.constant_input(node, i).is_some();
        match (node.inputs.len(), constant(0), constant(1)) {
            (2, false, true) => Ok([0, 1]),
            (2, true, false) => Ok([1, 0]),
            _ => Err(Decline::Nothing),
        }
    }

    /// Declines unless `v` may vanish into a node that reads it: nobody else reads it, it is no output of the graph,
    /// and it has no scale of its own that the fused node would no longer round to.
    pub fn may_vanish(&self, v: ValueId) -> Result<(), Decline> {
        let value = self.value(v);
        if self.is_output(v) {
            return blocked(format!("{} is an output of the graph", value.name));
        }
        if self.consumers(v).len() > 1 {
            return blocked(format!("{} has {} readers", value.name, self.consumers(v).len()));
        }
        if value.quant.is_some() {
            return blocked(format!("the tensor between, {}, has a scale of its own", value.name));
        }
        Ok(())
    }

    /// Declines where a constant has scales of its own, which fit its present numbers only.
    pub fn may_change(&self, constant: ValueId) -> Result<(), Decline> {
        let v = self.value(constant);
        match v.channels.is_some() || v.quant.is_some() {
            true => blocked(format!("the constant {} has scales of its own", v.name)),
            false => Ok(()),
        }
    }

    /// A patch in which `op` over `inputs` stands for all of `nodes`, with the name of `main`, and writes what the
    /// last of them wrote.
    pub fn fuse(&self, main: NodeId, nodes: &[NodeId], op: impl Into<Op>, inputs: Vec<ValueId>) -> Patch {
        let mut patch = Patch::new(self);
        self.fuse_in(&mut patch, main, nodes, op, inputs);
        patch
    }

    /// Like [`Context::fuse`], in a patch that has new constants already.
    pub fn fuse_in(
        &self,
        patch: &mut Patch,
        main: NodeId,
        nodes: &[NodeId],
        op: impl Into<Op>,
        inputs: Vec<ValueId>,
    ) {
        nodes.iter().for_each(|&n| {
            patch.remove(n);
        });
        let outputs = self.node(nodes[nodes.len() - 1]).outputs.clone();
        let node = Node::new(self.node(main).name.clone(), op.into(), inputs, outputs);
        patch.add(Node { origin: self.origins(nodes), ..node });
    }

    /// The names of all ONNX nodes that these came from, in order, each once.
    pub fn origins(&self, nodes: &[NodeId]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in nodes.iter().flat_map(|&n| &self.node(n).origin) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Removes node `at`, whose output equals value `x`. An output of the graph stays under its id: the node before
    /// then writes it in place of `x`, if it may.
    pub fn bypass(&self, at: NodeId, x: ValueId) -> Outcome {
        let y = self.output(at)?;
        let (from, to) = (self.value(x), self.value(y));
        if to.quant.is_some() && to.quant != from.quant {
            return blocked(format!("{} has a scale of its own", to.name));
        }
        if self.is_output(y) {
            let before = self.producer(x)?;
            if from.quant != to.quant {
                return blocked(format!("{} has a scale of its own", from.name));
            }
            if self.is_output(x) || self.consumers(x).len() > 1 || self.node(before).outputs.len() > 1 {
                return Err(Decline::Nothing);
            }
            let n = self.node(before);
            return Ok(self.fuse(before, &[before, at], n.op.clone(), n.inputs.clone()).into());
        }
        let mut patch = Patch::new(self);
        patch.remove(at).replace(y, x);
        Ok(Edit::Patch(patch))
    }

    /// A patch in which `op`, reading what `first` reads, writes what `second` writes. `first` goes too where `second`
    /// alone reads it.
    pub fn merge_moves(&self, first: NodeId, second: NodeId, op: impl Into<Op>) -> Outcome {
        let between = self.output(first)?;
        if self.value(between).quant.is_some()
            && self.value(between).quant != self.value(self.output(second)?).quant
        {
            return blocked(format!(
                "the tensor between, {}, has a scale of its own",
                self.value(between).name
            ));
        }
        let inputs = self.node(first).inputs.clone();
        if self.consumers(between).len() == 1 && !self.is_output(between) {
            return Ok(self.fuse(first, &[first, second], op, inputs).into());
        }
        Ok(self.fuse(second, &[second], op, inputs).into())
    }

    /// A name for a new constant: `old`'s own where only the nodes of the pattern read it (it vanishes), else made of
    /// the node's and a role, `conv1.bias`.
    pub fn constant_name(&self, old: Option<ValueId>, node: &Node, role: &str) -> String {
        if let Some(v) = old.filter(|&v| self.consumers(v).len() == 1 && !self.is_output(v)) {
            return self.value(v).name.clone();
        }
        let base = format!("{}.{role}", node.name);
        let taken = |name: &str| self.find_value(name).is_some();
        let numbered = (2..).map(|i| format!("{base}.{i}"));
        std::iter::once(base.clone()).chain(numbered).find(|n| !taken(n)).unwrap_or(base)
    }
}

//! Graph, nodes, values.

use super::ops::Op;
use super::precision::Precision;
use crate::base::quant::{QuantParams, Scale};
use crate::base::{DType, Shape, Tensor};
use crate::typed_id;

typed_id!(
    /// A node of a graph.
    NodeId, "n");
typed_id!(
    /// A value of a graph.
    ValueId, "v");

/// What is known of a value before it is computed: type and shape (of one image).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Fact {
    pub dtype: DType,
    pub shape: Shape,
}

impl Fact {
    /// An F32 value of this shape.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Fact { dtype: DType::F32, shape: shape.into() }
    }
}

/// Scales of a constant weight, one per output channel.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelScales {
    /// The axis of the weight that the channels run along.
    pub axis: usize,
    /// One scale per channel.
    pub scales: Vec<Scale>,
}

/// An edge of the graph: what one node writes and others read, or a constant, or an input.
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    /// The ONNX name of the value it carries.
    pub name: String,
    /// Type and shape.
    pub fact: Fact,
    /// The numbers, where they are known at build time.
    pub constant: Option<Tensor>,
    /// How the value is stored where it is stored in 8 bits: calibrated, or read from Q/DQ nodes.
    pub quant: Option<QuantParams>,
    /// Scales of a constant weight, where they are decided (Q/DQ models) or chosen.
    pub channels: Option<ChannelScales>,
    /// Names of values that were folded into this one: a fused convolution's value carries its ReLU's name and
    /// remembers the convolution's.
    pub folded: Vec<String>,
}

impl Value {
    /// A value that a node will write.
    pub fn new(name: impl Into<String>, fact: Fact) -> Self {
        Value { name: name.into(), fact, constant: None, quant: None, channels: None, folded: Vec::new() }
    }

    /// A constant.
    pub fn constant(name: impl Into<String>, t: Tensor) -> Self {
        let fact = Fact { dtype: t.dtype(), shape: t.shape().clone() };
        Value { constant: Some(t), ..Value::new(name, fact) }
    }
}

/// An operator applied to values.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Its name: that of the ONNX node it came from, or of the main one where several were fused.
    pub name: String,
    /// The operator with its attributes.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it writes.
    pub outputs: Vec<ValueId>,
    /// Names of all the ONNX nodes it came from.
    pub origin: Vec<String>,
    /// What it computes in, once planned.
    pub precision: Option<Precision>,
}

impl Node {
    /// A node that came from the ONNX node of the same name.
    pub fn new(name: impl Into<String>, op: Op, inputs: Vec<ValueId>, outputs: Vec<ValueId>) -> Self {
        let name = name.into();
        Node { origin: vec![name.clone()], name, op, inputs, outputs, precision: None }
    }

    /// Does it compute in 8 bits? False until it is planned.
    pub fn is_int8(&self) -> bool {
        self.precision.as_ref().is_some_and(|p| p.int8)
    }
}

/// A network: nodes in topological order over values. Describes one image.
///
/// Nodes and values keep their ids for the life of the graph; removed nodes merely leave the order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// The model's name.
    pub name: String,
    pub(super) nodes: Vec<Node>,
    pub(super) order: Vec<NodeId>,
    pub(super) values: Vec<Value>,
    /// What the caller provides.
    pub inputs: Vec<ValueId>,
    /// What the caller gets.
    pub outputs: Vec<ValueId>,
    /// The outputs' names for the caller, which a rewrite never changes.
    pub output_names: Vec<String>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// Adds a value.
    pub fn add_value(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId::from(self.values.len() - 1)
    }

    /// Adds an input of the graph.
    pub fn add_input(&mut self, name: &str, fact: Fact) -> ValueId {
        let id = self.add_value(Value::new(name, fact));
        self.inputs.push(id);
        id
    }

    /// Makes `value` an output of the graph, under its own name.
    pub fn add_output(&mut self, value: ValueId) {
        self.output_names.push(self.value(value).name.clone());
        self.outputs.push(value);
    }

    /// Adds a node at the end of the order.
    pub fn add_node(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        let id = NodeId::from(self.nodes.len() - 1);
        self.order.push(id);
        id
    }

    /// The nodes, in topological order.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// The nodes with their ids, in topological order.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.order.iter().map(|&id| (id, &self.nodes[id.index()]))
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// A node, to change its precision or attributes. Its inputs and outputs change by a [`super::Patch`] alone.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// A value, to set its quantization.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.index()]
    }

    /// Number of values ever made; ids are below it.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// The values in use: inputs first, then in the order in which nodes read and write them.
    pub fn live_values(&self) -> Vec<ValueId> {
        let mut seen = vec![false; self.values.len()];
        let of_nodes = self.nodes().flat_map(|(_, n)| n.inputs.iter().chain(&n.outputs));
        let all = self.inputs.iter().chain(of_nodes).chain(&self.outputs);
        all.copied().filter(|v| !std::mem::replace(&mut seen[v.index()], true)).collect()
    }

    /// The live value of this name.
    pub fn find_value(&self, name: &str) -> Option<ValueId> {
        self.live_values().into_iter().find(|&v| self.value(v).name == name)
    }

    /// For each value, the node that writes it.
    pub fn producers(&self) -> Vec<Option<NodeId>> {
        let mut p = vec![None; self.values.len()];
        for (id, n) in self.nodes() {
            n.outputs.iter().for_each(|v| p[v.index()] = Some(id));
        }
        p
    }

    /// For each value, the nodes that read it, in order; a node that reads it twice stands there twice.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut c = vec![Vec::new(); self.values.len()];
        for (id, n) in self.nodes() {
            n.inputs.iter().for_each(|v| c[v.index()].push(id));
        }
        c
    }

    /// Type and shape of a node's inputs.
    pub fn input_facts(&self, node: &Node) -> Vec<Fact> {
        node.inputs.iter().map(|&v| self.value(v).fact.clone()).collect()
    }

    /// The constant of a node's input `i`, if it has one.
    pub fn constant_input(&self, node: &Node, i: usize) -> Option<&Tensor> {
        self.value(*node.inputs.get(i)?).constant.as_ref()
    }

    /// Multiplications and additions of a node, for one image.
    pub fn macs(&self, node: &Node) -> u64 {
        let facts = self.input_facts(node);
        node.op.macs(&facts, &self.value(node.outputs[0]).fact)
    }

    /// A graph of one node alone: its activations are inputs, all its outputs are outputs.
    pub fn only(&self, id: NodeId) -> Graph {
        let mut g = Graph::new(self.node(id).name.clone());
        let mut node = self.node(id).clone();
        let mut known: Vec<(ValueId, ValueId)> = Vec::new();
        for v in node.inputs.iter_mut().chain(&mut node.outputs) {
            let new = match known.iter().find(|(old, _)| old == v) {
                Some((_, new)) => *new,
                None => g.add_value(Value { folded: Vec::new(), ..self.value(*v).clone() }),
            };
            known.push((*v, new));
            *v = new;
        }
        for &v in &node.inputs {
            if g.value(v).constant.is_none() && !g.inputs.contains(&v) {
                g.inputs.push(v);
            }
        }
        for &v in &node.outputs {
            g.add_output(v);
        }
        g.add_node(node);
        g
    }
}

//! Building the graph, node by node.

use super::attrs::tame;
use super::chain::is_chain;
use super::dialect;
use super::draft::{Draft, Drafter};
use super::external::ExternalData;
use super::fold::{self, Budget};
use super::notes::Notes;
use super::order::{place, place_of};
use super::proto::{GraphProto, NodeProto, TensorProto};
use super::slots::Slot;
use super::tensor::{self, malformed};
use super::weights::Weights;
use crate::base::codes::model::{SHAPES_CLASH, UNSUPPORTED};
use crate::base::{Diagnostic, Result, Tensor};
use crate::ir::ops::{self, Row};
use crate::ir::{Attr, Attrs, Fact, Graph, Node, Op, Value, ValueId};
use std::collections::{HashMap, HashSet};

/// Why a node could not be imported.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something about it is not supported; the reason. All of these are reported together.
    Unsupported(String),
    /// It does not fit what it reads; the reason.
    Clash(String),
    /// It reads from a node that failed, so nothing is known of it.
    Consequence,
    /// Something else.
    Error(Box<Diagnostic>),
}

impl From<Box<Diagnostic>> for Failure {
    fn from(e: Box<Diagnostic>) -> Self {
        Failure::Error(e)
    }
}

/// The result of one step for one node.
pub(super) type Outcome<T> = std::result::Result<T, Failure>;

/// The graph so far.
pub(super) struct Builder<'a> {
    pub graph: Graph,
    pub(super) drafter: Drafter,
    pub(super) external: ExternalData,
    pub notes: Notes,
    /// Number of nodes computed at import.
    pub folded: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) slots: HashMap<String, Slot>,
    pub(super) initializers: HashMap<&'a str, &'a TensorProto>,
    /// Names that are read by something.
    read: HashSet<&'a str>,
    /// Names that are written by nodes.
    pub(super) written: HashSet<&'a str>,
    /// How many names were made up.
    pub(super) made: usize,
    pub(super) budget: Budget,
    /// How constants of the graph were stored, for those that came through DequantizeLinear.
    pub(super) weights: HashMap<ValueId, Weights>,
    unsupported: Vec<String>,
    first_error: Option<Box<Diagnostic>>,
}

impl<'a> Builder<'a> {
    /// A graph with inputs and no nodes.
    pub(super) fn new(
        file: &'a GraphProto,
        inputs: Vec<(&str, Fact)>,
        drafter: Drafter,
        external: ExternalData,
        fold_limit: u64,
    ) -> Self {
        let mut graph = Graph::new(file.name.clone());
        let slot =
            |(name, fact): (&str, Fact)| (name.to_string(), Slot::Computed(graph.add_input(name, fact)));
        let slots = inputs.into_iter().map(slot).collect();
        let of_nodes = file.node.iter().flat_map(|n| &n.input);
        let read = of_nodes.chain(file.output.iter().map(|o| &o.name)).map(String::as_str).collect();
        let written = file.node.iter().flat_map(|n| &n.output).map(String::as_str).collect();
        Builder {
            graph,
            drafter,
            external,
            notes: Notes::default(),
            folded: 0,
            nodes: Vec::new(),
            slots,
            initializers: file.initializer.iter().map(|t| (t.name.as_str(), t)).collect(),
            read,
            written,
            made: 0,
            budget: Budget::new(fold_limit),
            weights: HashMap::new(),
            unsupported: Vec::new(),
            first_error: None,
        }
    }

    /// Imports node number `index` of the file.
    pub(super) fn import_node(&mut self, n: &NodeProto, index: usize) -> Result<()> {
        let draft = self.drafter.draft(n, index, &mut self.external);
        self.add(draft.map_err(|e| e.at(place(n, index)))?);
        Ok(())
    }

    /// Imports a node. A failure is kept, and what the node would have written is unknown from then on.
    fn add(&mut self, d: Draft) {
        let Err(failure) = self.try_add(d.clone()) else { return };
        for o in d.outputs.iter().filter(|o| !o.is_empty()) {
            self.slots.insert(o.clone(), Slot::Unknown);
        }
        match failure {
            Failure::Unsupported(why) => self.unsupported.push(format!("{}: {}: {why}", d.name, d.shown)),
            Failure::Consequence => {}
            Failure::Clash(why) => {
                let e = self.clash(&d, &why);
                self.first_error.get_or_insert(e);
            }
            Failure::Error(e) => {
                self.first_error.get_or_insert(e.at(place_of(&d.name, &d.kind)));
            }
        }
    }

    fn try_add(&mut self, mut d: Draft) -> Outcome<()> {
        if let Some(why) = d.refused.take() {
            return Err(Failure::Unsupported(why));
        }
        let shape = d.inputs.first().and_then(|x| self.known_fact(x)).map(|f| f.shape);
        dialect::modernize(&mut d, shape.as_ref()).map_err(Failure::Unsupported)?;
        match d.kind.as_str() {
            "Constant" => self.constant_node(d),
            "QuantizeLinear" => self.quantize(d),
            "DequantizeLinear" => self.dequantize(d),
            kind if is_chain(kind) => self.chain(d),
            _ => self.operator(d),
        }
    }

    /// Imports a node of any operator of the table: computes it now if it reads only constants, else adds it to the
    /// graph.
    pub(super) fn operator(&mut self, mut d: Draft) -> Outcome<()> {
        let unsupported = Failure::Unsupported;
        let row = ops::row(&d.kind).ok_or_else(|| unsupported("the operator is not supported".into()))?;
        let values = self.take_parameters(&mut d, row)?;
        let attrs = Attrs(std::mem::take(&mut d.attrs.0).into_iter().map(|(k, a)| (k, tame(a))).collect());
        let op = Op::parse(&d.kind, attrs).map_err(unsupported)?;
        let facts = values.iter().map(|v| self.fact(v)).collect::<Outcome<Vec<_>>>()?;
        let out = self.infer(&op, &facts)?;
        self.refuse_extra_outputs(&d, out.len())?;
        match self.compute(&op, &values, &facts, &out)? {
            Some(tensors) => self.define_constants(&d, &op, &values, tensors),
            None => self.add_node(d, op, &values, out)?,
        }
        Ok(())
    }

    /// Moves inputs that are parameters of the operator into its attributes; returns the other inputs.
    fn take_parameters(&mut self, d: &mut Draft, row: &Row) -> Outcome<Vec<String>> {
        let mut values = Vec::with_capacity(d.inputs.len());
        let mut hole = None;
        for (i, name) in std::mem::take(&mut d.inputs).into_iter().enumerate() {
            let name = name.as_str();
            let parameter = (row.parameters)(&d.kind).iter().find(|p| p.0 == i).map(|p| p.1);
            match (parameter, name, hole) {
                (Some(_), "", _) => {}
                (Some(p), _, _) => {
                    let tensor = self.constant(name)?.ok_or_else(|| {
                        Failure::Unsupported(format!(
                            "input {i} (`{p}`) must be a constant, `{name}` is computed"
                        ))
                    })?;
                    if d.attrs.0.insert(p.to_string(), Attr::Tensor(tensor)).is_some() {
                        return Err(malformed(format!("`{p}` is both an input and an attribute")).into());
                    }
                }
                (None, "", _) => hole = Some(i),
                (None, _, Some(hole)) => {
                    return Err(Failure::Unsupported(format!(
                        "input {hole} is absent, but input {i} is not"
                    )));
                }
                (None, _, None) => values.push(name.to_string()),
            }
        }
        Ok(values)
    }

    /// What the operator infers, of sizes that can be.
    fn infer(&self, op: &Op, inputs: &[Fact]) -> Outcome<Vec<Fact>> {
        let out = op.infer(inputs).map_err(Failure::Clash)?;
        match out.iter().find(|f| !tensor::is_sane(&f.shape)) {
            Some(f) => Err(Failure::Clash(format!("the result {} is of an absurd size", f.shape))),
            None => Ok(out),
        }
    }

    fn refuse_extra_outputs(&self, d: &Draft, known: usize) -> Outcome<()> {
        let mut extra = d.outputs.iter().enumerate().skip(known);
        match extra.find(|(_, o)| !o.is_empty() && self.read.contains(o.as_str())) {
            Some((i, o)) => Err(Failure::Unsupported(format!("its output {i} (`{o}`) is used"))),
            None => Ok(()),
        }
    }

    /// The results, where they depend on constants alone.
    fn compute(
        &mut self,
        op: &Op,
        values: &[String],
        facts: &[Fact],
        out: &[Fact],
    ) -> Outcome<Option<Vec<Tensor>>> {
        if let (true, [x]) = (fold::reads_only_the_shape(op), facts) {
            return fold::of_shape(op, x, out).map(Some);
        }
        let constants = values.iter().map(|v| self.constant(v)).collect::<Outcome<Option<Vec<_>>>>()?;
        match constants {
            Some(tensors) => fold::of_constants(op, &tensors, out, &mut self.budget).map(Some),
            None => Ok(None),
        }
    }

    fn define_constants(&mut self, d: &Draft, op: &Op, values: &[String], tensors: Vec<Tensor>) {
        self.folded += 1;
        for (name, tensor) in d.outputs.iter().zip(tensors).filter(|(name, _)| !name.is_empty()) {
            let weights = match (values, values.first().and_then(|v| self.slots.get(v))) {
                ([_], Some(Slot::Constant { tensor: x, weights: Some(w), .. })) => w.moved(op, x, &tensor),
                _ => None,
            };
            self.slots.insert(name.to_string(), Slot::Constant { tensor, weights, value: None });
        }
    }

    /// Notes how a constant was stored in the file.
    pub(super) fn remember_weights(&mut self, name: &str, stored: Option<Weights>) {
        if let Some(Slot::Constant { weights, .. }) = self.slots.get_mut(name) {
            *weights = stored;
        }
    }

    fn add_node(&mut self, d: Draft, op: Op, values: &[String], out: Vec<Fact>) -> Outcome<()> {
        let inputs = values.iter().map(|v| self.value(v)).collect::<Outcome<Vec<_>>>()?;
        let mut outputs = Vec::with_capacity(out.len());
        for (i, fact) in out.into_iter().enumerate() {
            let id = match d.outputs.get(i).filter(|name| !name.is_empty()) {
                Some(name) => {
                    let id = self.graph.add_value(Value::new(name, fact));
                    self.slots.insert(name.clone(), Slot::Computed(id));
                    id
                }
                None => {
                    let name = self.new_value_name(&d.name);
                    self.graph.add_value(Value::new(name, fact))
                }
            };
            outputs.push(id);
        }
        self.nodes.push(Node::new(d.name, op, inputs, outputs));
        Ok(())
    }

    fn constant_node(&mut self, d: Draft) -> Outcome<()> {
        let mut attrs = d.attrs;
        let forms = ["value", "value_float", "value_floats", "value_int", "value_ints"];
        let (Some(name), Some(form)) = (d.outputs.first(), forms.iter().find(|f| attrs.0.contains_key(**f)))
        else {
            return Err(Failure::Unsupported("it holds no numbers".into()));
        };
        let tensor = attrs.tensor(form).map_err(Failure::Unsupported)?;
        let tensor = tensor.ok_or_else(|| Failure::Unsupported("it holds no numbers".into()))?;
        self.budget.earn(tensor.numel());
        self.slots.insert(name.to_string(), Slot::Constant { tensor, weights: None, value: None });
        Ok(())
    }

    fn clash(&self, d: &Draft, why: &str) -> Box<Diagnostic> {
        let e = Diagnostic::new(SHAPES_CLASH, format!("{} {why}", d.kind)).at(place_of(&d.name, &d.kind));
        d.inputs.iter().filter(|i| !i.is_empty()).fold(e, |e, name| match self.known_fact(name) {
            Some(f) => e.detail(format!("input `{name}`: {}{}", f.dtype, f.shape)),
            None => e.detail(format!("input `{name}`")),
        })
    }

    /// The error of the import so far: all that is not supported, or else the first other failure.
    pub(super) fn error(&mut self) -> Result<()> {
        let unsupported = std::mem::take(&mut self.unsupported);
        match (unsupported.len(), self.first_error.take()) {
            (0, None) => Ok(()),
            (0, Some(e)) => Err(e),
            (n, _) => {
                let s = if n == 1 { "node of the model is" } else { "nodes of the model are" };
                let e = Diagnostic::new(UNSUPPORTED, format!("{n} {s} not supported"));
                Err(unsupported.into_iter().fold(e, |e, line| e.detail(line)).help(
                    "`quantize list operators` prints what is supported; `quantize explain Q0202` says more",
                ))
            }
        }
    }
}

/// What is done once, at the end.
impl Builder<'_> {
    /// Sets the outputs, gives weights their scales, and puts the nodes that the outputs need into the graph.
    pub(super) fn finish(&mut self, file: &GraphProto) -> Outcome<()> {
        for o in &file.output {
            let id = self.value(&o.name)?;
            self.graph.outputs.push(id);
            self.graph.output_names.push(o.name.clone());
        }
        self.assign_channel_scales()?;
        let mut wanted: HashSet<ValueId> = self.graph.outputs.iter().copied().collect();
        let mut live = Vec::with_capacity(self.nodes.len());
        for n in std::mem::take(&mut self.nodes).into_iter().rev() {
            if n.outputs.iter().any(|o| wanted.contains(o)) {
                wanted.extend(&n.inputs);
                live.push(n);
            }
        }
        for n in live.into_iter().rev() {
            self.graph.add_node(n);
        }
        Ok(())
    }
}

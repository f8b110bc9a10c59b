//! Nodes to steps, with conversions where forms meet.

use super::layouts::{Wish, preferred, wish_of};
use super::pixels::EntryDraft;
use super::{Buffer, BufferId, Port};
use crate::base::codes::{engine, machine};
use crate::base::quant::{Epilogue, QuantParams};
use crate::base::{DType, Diagnostic, Place, Result, Shape, Tensor};
use crate::device::{Floats, Layout, Numerics, Operand, Problem, Work};
use crate::ir::ops::{BinaryFn, Role};
use crate::ir::{Array, Graph, Node, Op, Precision, ValueId};
use crate::quant::weights;

/// A step before its tactic is chosen.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields of `Step`, and the constants themselves
pub struct Draft {
    pub name: String,
    pub problem: Problem,
    pub numerics: Numerics,
    pub tensors: Vec<Tensor>,
    pub inputs: Vec<BufferId>,
    pub outputs: Vec<BufferId>,
    pub precision: Option<Precision>,
    pub origin: Vec<String>,
    pub macs: u64,
    /// Are its outputs where its inputs are, so that nothing is computed?
    pub view: bool,
    /// Is it computed by a later draft, together with that one?
    pub joined: bool,
    /// The draft that is computed with this one.
    pub with: Option<usize>,
}

impl Draft {
    /// Does its step compute anything?
    pub fn computes(&self) -> bool {
        !self.view && !self.joined
    }
}

/// A graph lowered: steps without tactics, buffers without places.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Lowered {
    pub drafts: Vec<Draft>,
    pub buffers: Vec<Buffer>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub entry: Option<EntryDraft>,
}

impl Lowered {
    /// Is it the caller's: an input, an output, pixels?
    pub fn is_port(&self, b: BufferId) -> bool {
        let entry = self.entry.iter().map(|e| &e.port);
        self.inputs.iter().chain(&self.outputs).chain(entry).any(|p| p.buffer == b)
    }
}

/// A value in some form.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Form {
    dtype: DType,
    layout: Layout,
    quant: Option<QuantParams>,
}

/// Lowers a graph whose nodes have precisions and whose values have what scales they need. What is F32 in the graph and
/// not in 8 bits is stored and multiplied as `floats`; inputs and outputs of the graph are F32 in any case.
pub fn lower(g: &Graph, floats: Floats) -> Result<Lowered> {
    let mut l = Lowering {
        g,
        floats,
        preferred: preferred(g),
        wants_int8: wants_int8(g),
        forms: vec![Vec::new(); g.value_count()],
        out: Lowered::default(),
    };
    for &v in &g.inputs {
        let value = g.value(v);
        f32_only("input", v, g)?;
        let b = l.buffer(v, Form { dtype: DType::F32, layout: Layout::Plain, quant: None });
        l.out.inputs.push(Port { name: value.name.clone(), shape: value.fact.shape.clone(), buffer: b });
    }
    for (_, n) in g.nodes() {
        l.node(n).map_err(|e| e.at(Place::Named(format!("node {} ({})", n.name, n.op.kind()))))?;
    }
    for (&v, name) in g.outputs.iter().zip(&g.output_names) {
        f32_only("output", v, g)?;
        let dtype = DType::F32;
        let buffer = l.want(v, Form { dtype, layout: Layout::Plain, quant: None })?;
        l.out.outputs.push(Port { name: name.clone(), shape: g.value(v).fact.shape.clone(), buffer });
    }
    Ok(l.out)
}

/// Engines take and give f32, and what they give was computed from what they took.
fn f32_only(role: &str, v: ValueId, g: &Graph) -> Result<()> {
    let value = g.value(v);
    let what = match (&value.constant, value.fact.dtype) {
        (None, DType::F32) => return Ok(()),
        (None, dtype) => format!("{role} {} is {dtype}", value.name),
        (Some(_), _) => format!("{role} {} does not depend on any input", value.name),
    };
    Err(Diagnostic::new(engine::NOT_F32, what).expected(format!("{role}s of type f32 that are computed")))
}

/// Are these reals as graphs have them: F32, or F16 where it stands for F32?
fn real(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16)
}

/// Is the constant input `i` of a float node stored as activations are: weights, matrices, and what becomes a part of the
/// output as it is? Parameters (biases, statistics, scales) stay what they are.
pub fn stored_alike(op: &Op, i: usize) -> bool {
    match op.role() {
        Role::Multiply { .. } => i == 1,
        Role::Product => i < 2,
        _ => moves(op) || matches!(op, Op::Where(_)),
    }
}

/// Does the operator move numbers, so that they have one type before and after?
fn moves(op: &Op) -> bool {
    matches!(op.role(), Role::Move | Role::Concat) || matches!(op, Op::Pad(_))
}

/// For each value: does a node that computes in 8 bits read it, and is it no output of the graph?
pub fn wants_int8(g: &Graph) -> Vec<bool> {
    let mut wants = vec![false; g.value_count()];
    for (_, n) in g.nodes().filter(|(_, n)| n.is_int8()) {
        n.inputs.iter().for_each(|v| wants[v.index()] = true);
    }
    g.outputs.iter().for_each(|v| wants[v.index()] = false);
    wants
}

struct Lowering<'g> {
    g: &'g Graph,
    /// How F32 is stored between nodes, and multiplied.
    floats: Floats,
    preferred: Vec<Layout>,
    wants_int8: Vec<bool>,
    forms: Vec<Vec<(Form, BufferId)>>,
    out: Lowered,
}

impl Lowering<'_> {
    fn shape(&self, v: ValueId) -> &Shape {
        &self.g.value(v).fact.shape
    }

    fn canonical(&self, v: ValueId, form: Form) -> Form {
        Form { layout: form.layout.canonical(self.shape(v)), ..form }
    }

    /// A new buffer for a value in a form.
    fn buffer(&mut self, v: ValueId, form: Form) -> BufferId {
        let form = self.canonical(v, form);
        let operand = Operand::new(form.dtype, self.shape(v).clone(), form.layout);
        let value = self.g.value(v).name.clone();
        self.out.buffers.push(Buffer {
            value,
            operand,
            quant: form.quant,
            offset: 0,
            within: None,
            life: (0, 0),
            absent: false,
        });
        let id = BufferId::from(self.out.buffers.len() - 1);
        self.forms[v.index()].push((form, id));
        id
    }

    /// The buffer that holds a value in this form; a conversion from another form if there is none yet.
    fn want(&mut self, v: ValueId, form: Form) -> Result<BufferId> {
        let form = self.canonical(v, form);
        if let Some((_, b)) = self.forms[v.index()].iter().find(|(f, _)| *f == form) {
            return Ok(*b);
        }
        let missing = || {
            Diagnostic::new(
                machine::INTERNAL,
                format!("{} is read before it is written", self.g.value(v).name),
            )
        };
        // the form it was first written in: converting from a conversion would round twice
        let (from, source) = self.forms[v.index()].first().copied().ok_or_else(missing)?;
        let numerics = match (from.quant, form.quant) {
            (None, None) if from.dtype == form.dtype || real(from.dtype) && real(form.dtype) => {
                Numerics::Float
            }
            (None, Some(q)) if real(from.dtype) => Numerics::Quantize(q),
            (Some(a), Some(b)) if a == b => Numerics::Integers,
            (Some(a), to) if to.is_some() || real(form.dtype) => Numerics::rescale(&[a], to),
            _ => {
                let what =
                    format!("{} is {} where {} is wanted", self.g.value(v).name, from.dtype, form.dtype);
                return Err(Diagnostic::new(machine::INTERNAL, what));
            }
        };
        let target = self.buffer(v, form);
        let problem = Problem {
            work: Work::Reformat,
            inputs: vec![self.out.buffers[source.index()].operand.clone()],
            outputs: vec![self.out.buffers[target.index()].operand.clone()],
        };
        self.out.drafts.push(Draft {
            name: self.g.value(v).name.clone(),
            problem,
            numerics,
            tensors: Vec::new(),
            inputs: vec![source],
            outputs: vec![target],
            precision: None,
            origin: Vec::new(),
            macs: 0,
            view: false,
            joined: false,
            with: None,
        });
        Ok(target)
    }

    /// The layouts in which a node reads its inputs and writes its outputs.
    fn layouts(&self, n: &Node) -> (Vec<Layout>, Layout) {
        let written = |v: &ValueId| self.forms[v.index()].first().map_or(Layout::Plain, |(f, _)| f.layout);
        let out = n.outputs[0];
        let as_they_come: Vec<Layout> = n.inputs.iter().map(written).collect();
        match wish_of(self.g, n) {
            Wish::ChannelsLast => (vec![Layout::ChannelsLast; n.inputs.len()], Layout::ChannelsLast),
            Wish::Plain => (vec![Layout::Plain; n.inputs.len()], Layout::Plain),
            Wish::Any => (as_they_come, self.preferred[out.index()]),
            Wish::Same => {
                let full = n
                    .inputs
                    .iter()
                    .filter(|v| self.g.value(**v).constant.is_none() && self.shape(**v) == self.shape(out));
                let layout = full.map(written).next().unwrap_or(Layout::Plain);
                // broadcast operands are canonically plain; constants of the full shape are row-major
                let constant = n
                    .inputs
                    .iter()
                    .any(|v| self.g.value(*v).constant.is_some() && self.shape(*v) == self.shape(out));
                let layout = if constant { Layout::Plain } else { layout };
                (vec![layout; n.inputs.len()], layout)
            }
        }
    }

    fn node(&mut self, n: &Node) -> Result<()> {
        let (layouts, out_layout) = self.layouts(n);
        let int8 = n.is_int8();
        let mut inputs = Vec::new();
        let mut operands = Vec::new();
        let mut tensors = Vec::new();
        for (i, &v) in n.inputs.iter().enumerate() {
            let value = self.g.value(v);
            if value.constant.is_some() {
                // an 8-bit node's bias is in its epilogue
                if let Some(t) = self.constant(n, i)? {
                    operands.push(Operand::constant(t.dtype(), t.shape().clone()));
                    tensors.push(t);
                } else {
                    operands.push(Operand::constant(value.fact.dtype, value.fact.shape.clone()));
                    tensors.push(Tensor::zeros(value.fact.dtype, value.fact.shape.clone()));
                }
                continue;
            }
            let quant = if int8 { Some(self.params(v)?) } else { None };
            let dtype = quant.map_or(self.stored(value.fact.dtype), |q| q.dtype);
            let b = self.want(v, Form { dtype, layout: layouts[i], quant })?;
            inputs.push(b);
            operands.push(self.out.buffers[b.index()].operand.clone());
        }
        let numerics = match (int8, self.floats, n.op.role()) {
            (true, ..) => self.numerics(n, &inputs)?,
            (false, Floats::Tf32, Role::Multiply { .. }) => Numerics::Tf32,
            (false, ..) => Numerics::Float,
        };
        let outputs: Vec<BufferId> = (n.outputs.iter())
            .map(|&v| {
                let quant = if int8 { self.written(n, v) } else { None };
                let dtype = quant.map_or(self.float_written(n, v), |q| q.dtype);
                self.buffer(v, Form { dtype, layout: out_layout, quant })
            })
            .collect();
        let out_operands = outputs.iter().map(|b| self.out.buffers[b.index()].operand.clone()).collect();
        self.out.drafts.push(Draft {
            name: n.name.clone(),
            problem: Problem { work: Work::Op(n.op.clone()), inputs: operands, outputs: out_operands },
            numerics,
            tensors,
            inputs,
            outputs,
            precision: n.precision.clone(),
            origin: n.origin.clone(),
            macs: self.g.macs(n),
            view: false,
            joined: false,
            with: None,
        });
        Ok(())
    }

    /// The constant input `i` as the kernel gets it: s8 for the weight of an 8-bit node, as it is otherwise.
    fn constant(&self, n: &Node, i: usize) -> Result<Option<Tensor>> {
        let value = self.g.value(n.inputs[i]);
        let Some(t) = &value.constant else { return Ok(None) };
        if !n.is_int8() {
            return Ok(Some(match stored_alike(&n.op, i) {
                true => Array::of(t).to_tensor(self.stored(t.dtype())),
                false => t.clone(),
            }));
        }
        match (n.op.role(), i) {
            (Role::Multiply { .. }, 1) => {
                let channels = value.channels.as_ref();
                let missing =
                    || Diagnostic::new(machine::INTERNAL, format!("weight {} has no scales", value.name));
                Ok(Some(weights::quantize(t, channels.ok_or_else(missing)?)))
            }
            _ => Ok(None),
        }
    }

    /// How numbers of this type are stored between nodes.
    fn stored(&self, dtype: DType) -> DType {
        if dtype == DType::F32 { self.floats.stored() } else { dtype }
    }

    /// How a node writes a value that is not in 8 bits. What only the caller reads is written as the caller wants it, if
    /// the node computes; what only moves has one type.
    fn float_written(&self, n: &Node, v: ValueId) -> DType {
        let dtype = self.g.value(v).fact.dtype;
        let last = self.g.outputs.contains(&v) && !self.g.nodes().any(|(_, n)| n.inputs.contains(&v));
        if last && !moves(&n.op) { dtype } else { self.stored(dtype) }
    }

    fn params(&self, v: ValueId) -> Result<QuantParams> {
        let value = self.g.value(v);
        value
            .quant
            .ok_or_else(|| Diagnostic::new(machine::INTERNAL, format!("value {} has no scale", value.name)))
    }

    /// How an 8-bit node writes a value: in 8 bits where an 8-bit reader wants it, else in floats.
    fn written(&self, n: &Node, v: ValueId) -> Option<QuantParams> {
        match n.op.role() {
            Role::Move => self.g.value(n.inputs[0]).quant,
            Role::Concat | Role::Table => self.g.value(v).quant,
            _ => self.g.value(v).quant.filter(|_| self.wants_int8[v.index()]),
        }
    }

    fn numerics(&self, n: &Node, inputs: &[BufferId]) -> Result<Numerics> {
        let quant = |i: usize| -> Result<QuantParams> {
            let b = inputs.get(i).map(|b| &self.out.buffers[b.index()]);
            b.and_then(|b| b.quant)
                .ok_or_else(|| Diagnostic::new(machine::INTERNAL, format!("input {i} has no scale")))
        };
        let y = self.written(n, n.outputs[0]);
        let activation = n.op.fused().activation;
        Ok(match (n.op.role(), &n.op) {
            (Role::Multiply { .. }, _) => {
                let (has_bias, residual) = n.op.fused().extra_inputs(n.inputs.len());
                let weight = self.g.value(n.inputs[1]);
                let scales = weight.channels.as_ref().map(|c| c.scales.clone()).unwrap_or_default();
                let bias = match has_bias {
                    true => self.g.constant_input(n, 2).map(|t| t.to_f32().into_owned()).unwrap_or_default(),
                    false => vec![0.0; scales.len()],
                };
                let r = residual.map(|_| quant(1)).transpose()?;
                let x = quant(0)?;
                let after = n.op.fused().after();
                let epilogue = Epilogue::new(x.scale, &scales, &bias, r, after, y);
                Numerics::Multiply { zero_point: x.zero_point, epilogue }
            }
            (Role::Average, _) => Numerics::average(quant(0)?, y),
            (Role::Combine, Op::Binary(b)) if b.f == BinaryFn::Mul => {
                Numerics::mul(quant(0)?, quant(1)?, y, activation)
            }
            (Role::Combine, _) => Numerics::add(quant(0)?, quant(1)?, y, activation),
            (Role::Table, Op::Unary(u)) => {
                let y = y.ok_or_else(|| Diagnostic::new(machine::INTERNAL, "a table writes 8 bits"))?;
                Numerics::table(&u.f, quant(0)?, y)
            }
            (Role::Concat, _) => {
                let scales = (0..inputs.len()).map(quant).collect::<Result<Vec<_>>>()?;
                match scales.iter().all(|s| Some(*s) == y) {
                    true => Numerics::Integers,
                    false => Numerics::rescale(&scales, y),
                }
            }
            // what it pads with is a real 0, which is not the integer 0 here
            (_, Op::Pad(_)) if quant(0)?.zero_point != 0 => Numerics::rescale(&[quant(0)?], y),
            _ => Numerics::Integers,
        })
    }
}

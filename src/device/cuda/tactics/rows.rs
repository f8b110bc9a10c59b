//! Softmax, LayerNormalization, GroupNormalization and InstanceNormalization: some threads share a row.

use super::values::{self, Kind};
use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing};
use crate::base::{Result, Shape};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Axis, Text, joined};
use crate::device::{Operand, Problem};
use crate::ir::Op;
use crate::ir::array::broadcast_strides;

/// The family.
pub struct Rows;

impl Family for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn doc(&self) -> &'static str {
        "Softmax, LogSoftmax, LayerNormalization, GroupNormalization and InstanceNormalization"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        match along(p).filter(|_| floats(p) && countable(p)) {
            Some(_) if matches!(p.op(), Some(Op::Softmax(_))) => vec!["softmax".into()],
            Some(_) => vec!["normalize".into()],
            None => vec![],
        }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let along = along(p).ok_or_else(|| missing(p))?;
        let kind = Kind::of(p.inputs.iter().map(|o| o.dtype));
        let text = values::numbers(Text::default().parameters(p), kind)
            .define("LOWEST", "-(N)__int_as_float(0x7f800000)")
            .define("X0(k)", values::read(p.inputs[0].dtype, "x0[x0_member(k)]"))
            .define("STORED(t)", values::write(p.outputs[0].dtype, "t"));
        let text = Split::of(&p.inputs[0], &along).text(text, "x0");
        let text = Split::of(&p.outputs[0], &along).text(text, "y0");
        let text = match p.op() {
            Some(Op::Softmax(s)) => {
                let text = text.define("SOFTMAX", 1);
                if s.log { text.define("LOGARITHM", 1) } else { text }
            }
            Some(Op::LayerNorm(n)) => layer(text.number("EPSILON", n.epsilon), p, &along),
            Some(Op::GroupNorm(n)) => groups(text.number("EPSILON", n.epsilon), p, n.groups),
            _ => return Err(missing(p)),
        };
        let text = text.raw(include_str!("../kernels/fold.cuh"));
        Ok(text.raw(include_str!("../kernels/rows.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let along = along(spec.problem).ok_or_else(|| missing(spec.problem))?;
        let threads = Split::of(&spec.problem.inputs[0], &along).threads();
        Ok(vec![Launch::images("rows", threads, BLOCK, at, Args::default().operands(at).constants(at))])
    }
}

/// Are all operands reals, and none of them in 8 bits?
pub fn floats(p: &Problem) -> bool {
    p.inputs.iter().chain(&p.outputs).all(|o| o.dtype.is_float())
}

/// An operand as rows: the axes from row to row, and those within one.
#[derive(Clone, Debug)]
pub struct Split {
    rows: Vec<Axis>,
    members: Vec<Axis>,
}

impl Split {
    /// The rows of an operand that lie along some axes of its shape, in the order of the shape.
    pub fn of(o: &Operand, along: &Along) -> Split {
        let axes = along.axes(o);
        let of = |within: bool| axes.iter().filter(|a| a.1 == within).map(|a| a.0).collect();
        Split { rows: of(false), members: of(true) }
    }

    /// Rows.
    pub fn count(&self) -> usize {
        self.rows.iter().map(|a| a.count).product()
    }

    /// Elements of a row.
    pub fn members(&self) -> usize {
        self.members.iter().map(|a| a.count).product()
    }

    /// Threads that share a row: one where there are many rows whose members lie apart, as neighbouring threads then
    /// read neighbours; a warp or a block where a row is long.
    pub fn width(&self) -> usize {
        let apart = joined(&self.members).last().is_some_and(|a| a.stride != 1);
        match self.members() {
            0..=4 => 1,
            _ if apart && self.count() >= 512 => 1,
            5..=512 => 32,
            _ => BLOCK as usize,
        }
    }

    /// All threads.
    pub fn threads(&self) -> usize {
        self.count() * self.width()
    }

    /// `NAME_row(i)`, `NAME_member(k)`; of the input, `ROWS`, `MEMBERS` and `WIDTH` too.
    pub fn text(&self, text: Text, name: &str) -> Text {
        let text =
            text.walk(&format!("{name}_row"), &self.rows).walk(&format!("{name}_member"), &self.members);
        match name {
            "x0" => {
                text.defines(&[("ROWS", self.count()), ("MEMBERS", self.members()), ("WIDTH", self.width())])
            }
            _ => text,
        }
    }
}

/// Which axes a row lies along.
#[derive(Clone, Debug)]
pub enum Along {
    /// Those marked.
    Axes(Vec<bool>),
    /// The channels of a group, and all axes after them.
    Groups(usize),
}

impl Along {
    /// The axes of an operand, and whether a row lies along each.
    fn axes(&self, o: &Operand) -> Vec<(Axis, bool)> {
        let (mut axes, strides) = (Vec::new(), o.strides());
        for (a, (&count, stride)) in o.shape.iter().zip(strides).enumerate() {
            match self {
                Along::Axes(along) => axes.push((Axis { count, stride }, along[a])),
                Along::Groups(groups) if a == 1 => {
                    let each = count / groups;
                    axes.push((Axis { count: *groups, stride: stride * each }, false));
                    axes.push((Axis { count: each, stride }, true));
                }
                Along::Groups(_) => axes.push((Axis { count, stride }, a > 1)),
            }
        }
        axes
    }
}

/// What the rows of the problem lie along.
fn along(p: &Problem) -> Option<Along> {
    let x = &p.inputs[0].shape;
    let from = |first: usize, end: usize| Along::Axes((0..x.rank()).map(|a| a >= first && a < end).collect());
    Some(match p.op()? {
        Op::Softmax(s) => {
            let axis = x.axis(s.axis)?;
            from(axis, if s.flatten { x.rank() } else { axis + 1 })
        }
        Op::LayerNorm(n) => from(x.axis(n.axis)?, x.rank()),
        Op::GroupNorm(n) => Along::Groups(n.groups.unwrap_or(x[1]).max(1)),
        _ => return None,
    })
}

/// Scale and bias of each member of a row.
fn layer(text: Text, p: &Problem, along: &Along) -> Text {
    let Along::Axes(within) = along else { return text };
    let row = Shape(p.inputs[0].shape.iter().zip(within).filter(|a| *a.1).map(|a| *a.0).collect());
    let parameter = |text: Text, i: usize| {
        let strides = broadcast_strides(&p.inputs[i].shape, &row);
        let axes: Vec<Axis> =
            row.iter().zip(strides).map(|(&count, stride)| Axis { count, stride }).collect();
        text.walk(&format!("x{i}_at"), &axes)
    };
    let text = parameter(text, 1).define("SCALE(row, k)", values::read(p.inputs[1].dtype, "x1[x1_at(k)]"));
    match p.inputs.len() {
        3 => parameter(text, 2).define("BIAS(row, k)", values::read(p.inputs[2].dtype, "x2[x2_at(k)]")),
        _ => text.define("BIAS(row, k)", "0"),
    }
}

/// Scale and bias of each channel, or of each group.
fn groups(text: Text, p: &Problem, groups: Option<usize>) -> Text {
    let x = &p.inputs[0].shape;
    let (channels, area) = (x[1], x[2..].iter().product::<usize>().max(1));
    let each = channels / groups.unwrap_or(channels).max(1);
    let at = |i: usize| {
        let (count, dtype) = (p.inputs[i].shape.numel(), p.inputs[i].dtype);
        let channel = format!("(row % {}u * {each}u + k / {area}u)", channels / each.max(1));
        values::read(dtype, &format!("x{i}[{channel} * {count}u / {channels}u]"))
    };
    text.define("SCALE(row, k)", at(1)).define("BIAS(row, k)", at(2))
}

//! What is to be computed, as pure data: the unit of tuning and of conformance tests.

use super::pair::Pair;
use crate::base::{DType, Shape};
use crate::ir::{Attrs, Fact, Op};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How a tensor's axes lie in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Layout {
    /// Row-major in the order of the shape.
    Plain,
    /// `[1, C, H, W]` stored as `[1, H, W, C]`.
    ChannelsLast,
}

impl Layout {
    /// The layout, or `Plain` where both are the same bytes.
    pub fn canonical(self, shape: &Shape) -> Layout {
        match shape[..] {
            [_, c, h, w] if c > 1 && h * w > 1 => self,
            _ => Layout::Plain,
        }
    }

    /// Where element `i` (row-major in the order of the shape) lies in memory.
    #[inline]
    pub fn place(self, shape: &Shape, i: usize) -> usize {
        match (self, &shape[..]) {
            (Layout::ChannelsLast, &[_, c, h, w]) => {
                let (n, rest) = (i / (c * h * w), i % (c * h * w));
                (n * h * w + rest % (h * w)) * c + rest / (h * w)
            }
            _ => i,
        }
    }
}

/// An input or output of a problem: one image of it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Operand {
    /// Element type as stored.
    pub dtype: DType,
    /// Shape in the order of the operator, whatever the layout.
    pub shape: Shape,
    /// Order in memory.
    pub layout: Layout,
    /// Elements from one row to the next, where rows lie apart: the tensor is a part of a wider one. A row is the axis
    /// whose elements are neighbours: the channels of a channels-last image.
    pub pitch: Option<usize>,
    /// Known at build time: weights, biases.
    pub constant: bool,
}

impl Operand {
    /// An operand that a step computes or reads.
    pub fn new(dtype: DType, shape: Shape, layout: Layout) -> Self {
        let layout = layout.canonical(&shape);
        Operand { dtype, shape, layout, pitch: None, constant: false }
    }

    /// A constant, row-major.
    pub fn constant(dtype: DType, shape: Shape) -> Self {
        Operand { dtype, shape, layout: Layout::Plain, pitch: None, constant: true }
    }

    /// Bytes of the numbers of one image.
    pub fn bytes(&self) -> usize {
        self.shape.numel() * self.dtype.size()
    }

    /// Do both lie alike in memory, whatever their numbers mean?
    pub fn lies_as(&self, other: &Operand) -> bool {
        let form = |o: &Operand| (o.dtype.size(), o.layout, o.pitch);
        form(self) == form(other) && self.shape == other.shape
    }

    /// Elements of a row.
    pub fn row(&self) -> usize {
        match (self.layout, &self.shape[..]) {
            (Layout::ChannelsLast, &[_, c, _, _]) => c,
            (_, shape) => shape.last().copied().unwrap_or(1),
        }
    }

    /// Bytes from the first number of an image to the last, gaps between rows included.
    pub fn span(&self) -> usize {
        match (self.pitch, self.shape.numel()) {
            (None, _) | (_, 0) => self.bytes(),
            (Some(pitch), n) => (n / self.row() - 1)
                .saturating_mul(pitch)
                .saturating_add(self.row())
                .saturating_mul(self.dtype.size()),
        }
    }

    /// Bytes from one image to the next where images follow one another: those of the last row's gap too.
    pub fn extent(&self) -> usize {
        match (self.pitch, self.row()) {
            (Some(pitch), row) if row > 0 => {
                (self.shape.numel() / row).saturating_mul(pitch).saturating_mul(self.dtype.size())
            }
            _ => self.bytes(),
        }
    }

    /// The axes of the shape in the order of memory: neighbours of the last lie side by side.
    pub fn order(&self) -> Vec<usize> {
        match (self.layout, self.shape.rank()) {
            (Layout::ChannelsLast, 4) => vec![0, 2, 3, 1],
            (_, rank) => (0..rank).collect(),
        }
    }

    /// For each axis of the shape, how many elements apart its neighbours lie in memory.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![0; self.shape.rank()];
        let mut next = 1;
        for (i, &axis) in self.order().iter().rev().enumerate() {
            strides[axis] = next;
            next *= self.shape[axis];
            if i == 0 {
                next = self.pitch.unwrap_or(next);
            }
        }
        strides
    }

    /// Where element `i` (row-major in the order of the shape) lies, in elements from the first.
    #[inline]
    pub fn place(&self, i: usize) -> usize {
        self.spread(self.layout.place(&self.shape, i))
    }

    /// Where the element lies that would be at `i` if rows did not lie apart.
    #[inline]
    pub fn spread(&self, i: usize) -> usize {
        self.pitch.map_or(i, |pitch| i / self.row() * pitch + i % self.row())
    }

    /// The pieces of an image without gaps: where each begins in memory, in bytes from the image's first, and how
    /// long all are.
    pub fn pieces(&self) -> (impl Iterator<Item = usize> + use<>, usize) {
        let (bytes, size) = (self.bytes(), self.dtype.size());
        let (piece, pitch) = match self.pitch {
            Some(pitch) => (self.row() * size, pitch * size),
            None => (bytes, bytes),
        };
        ((0..bytes.checked_div(piece).unwrap_or(0)).map(move |i| i * pitch), piece)
    }
}

/// An operator, or a conversion between forms.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Work {
    /// The operator.
    Op(Op),
    /// The same numbers in another type, scale or layout.
    Reformat,
    /// The pixels of a picture, as what a model reads.
    Pixels,
    /// Two operators, one behind the other.
    Pair(Box<Pair>),
}

/// A unit of computation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// What is computed.
    pub work: Work,
    /// From what.
    pub inputs: Vec<Operand>,
    /// Into what.
    pub outputs: Vec<Operand>,
}

impl Problem {
    /// The operator, unless this is a conversion.
    pub fn op(&self) -> Option<&Op> {
        match &self.work {
            Work::Op(op) => Some(op),
            Work::Reformat | Work::Pixels | Work::Pair(_) => None,
        }
    }

    /// `Conv`, `Add`, `Reformat`.
    pub fn kind(&self) -> &'static str {
        match &self.work {
            Work::Op(op) => op.kind(),
            Work::Reformat => "Reformat",
            Work::Pixels => "Pixels",
            Work::Pair(_) => "Pair",
        }
    }

    /// Is input 0 stored in 8 bits?
    pub fn is_int8(&self) -> bool {
        self.inputs.first().is_some_and(|i| i.dtype.is_int8())
    }

    /// Multiplications with additions of one image.
    pub fn macs(&self) -> u64 {
        if let Some((first, second)) = self.halves() {
            return first.macs() + second.macs();
        }
        let fact = |o: &Operand| Fact { dtype: o.dtype, shape: o.shape.clone() };
        let inputs: Vec<Fact> = self.inputs.iter().map(fact).collect();
        self.op().map_or(0, |op| op.macs(&inputs, &fact(&self.outputs[0])))
    }

    /// The inputs that are not constant.
    pub fn activations(&self) -> impl Iterator<Item = &Operand> {
        self.inputs.iter().filter(|i| !i.constant)
    }

    /// Do the rows of an operand lie apart?
    pub fn has_gaps(&self) -> bool {
        self.inputs.iter().chain(&self.outputs).any(|o| o.pitch.is_some())
    }

    /// Do all operands that are no constants have this layout (where it makes a difference)?
    pub fn is_stored(&self, layout: Layout) -> bool {
        self.activations().chain(&self.outputs).all(|o| o.layout == layout.canonical(&o.shape))
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let constant = if self.constant { "const " } else { "" };
        let layout = if self.layout == Layout::ChannelsLast { ":nhwc" } else { "" };
        write!(f, "{constant}{}{}{layout}", self.dtype, self.shape)?;
        self.pitch.map_or(Ok(()), |pitch| write!(f, " of rows {pitch} apart"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((first, second)) = self.halves() {
            return write!(f, "{first}, then {second}");
        }
        let list = |v: &[Operand]| v.iter().map(Operand::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{}", self.kind())?;
        match self.op().map(Op::attrs).filter(|a| *a != Attrs::new()) {
            Some(attrs) => write!(f, "{attrs}")?,
            None => write!(f, "{{}}")?,
        }
        write!(f, " {} -> {}", list(&self.inputs), list(&self.outputs))
    }
}

/// A named way to compute a problem: a family of kernels and its parameters, `igemm/avx512-vnni`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tactic {
    /// The family: a row of the device's table.
    pub family: String,
    /// Its parameters.
    pub variant: String,
}

impl Tactic {
    /// Nothing is computed: the outputs lie where the inputs are, parts of one buffer.
    pub fn view() -> Self {
        Tactic::new("view", "in-place")
    }

    /// Nothing is computed: a later step computes this one too.
    pub fn joined() -> Self {
        Tactic::new("joined", "with-reader")
    }

    /// Does a step with this tactic compute nothing?
    pub fn is_idle(&self) -> bool {
        *self == Tactic::view() || *self == Tactic::joined()
    }

    /// The tactic of this family and variant.
    pub fn new(family: &str, variant: &str) -> Self {
        Tactic { family: family.into(), variant: variant.into() }
    }
}

impl fmt::Display for Tactic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family, self.variant)
    }
}

impl FromStr for Tactic {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (family, variant) = s.split_once('/').ok_or(format!("`{s}` is no tactic (family/variant)"))?;
        Ok(Tactic::new(family, variant))
    }
}

impl From<Tactic> for String {
    fn from(t: Tactic) -> String {
        t.to_string()
    }
}

impl TryFrom<String> for Tactic {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

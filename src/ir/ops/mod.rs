//! Operators: one file each, one row each in the table below.
//!
//! An operator's file says everything about it that no device decides: its attributes (under their ONNX names), the
//! shape of its result, its meaning as plain loops over [`Array`]s, and what quantization may do with it
//! ([`Role`]). The loops are the definition that every kernel is judged by: f64 for floats, exact integers for
//! quantized tensors.
//!
//! Inputs that ONNX passes as tensors but that are parameters in truth (the shape of a Reshape, the bounds of a
//! Clip) are attributes here: [`Operator::PARAMETERS`] says which, and the importer moves them.

use super::array::Array;
use super::attrs::{Attrs, Check};
use super::graph::Fact;
use std::fmt;

pub mod binary;
pub mod conv;
pub mod fused;
pub mod gemm;
pub mod linear;
pub mod matmul;
pub mod pool;
pub mod reshape;
pub mod unary;
pub mod window;

pub use binary::{Binary, BinaryFn};
pub use conv::Conv;
pub use fused::Fused;
pub use gemm::Gemm;
pub use linear::Linear;
pub use matmul::MatMul;
pub use pool::{Pool, PoolFn};
pub use reshape::Reshape;
pub use unary::{Unary, UnaryFn};
pub use window::{Geometry, Pads, Window};

/// What quantization may do with an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Multiplies input 0 by the constant input 1 and adds up: i32 accumulators, one weight scale for each index of
    /// the weight's `channel_axis`.
    Multiply {
        /// The axis of the weight that output channels run along.
        channel_axis: usize,
    },
    /// Multiplies two activations (attention): float.
    Product,
    /// Moves numbers or takes their maximum, so that it commutes with quantization: inputs and output share a scale.
    Move,
    /// Joins tensors: inputs and output share a scale where their ranges are alike.
    Concat,
    /// Averages: an exact integer sum and one multiplication; the output has its own scale.
    Average,
    /// Adds or multiplies two tensors of the same shape, each with its own scale.
    Combine,
    /// A function of each element alone: a table of 256 entries.
    Table,
    /// Only float.
    Float,
}

/// One operator: its attributes are the type's fields.
pub trait Operator: Clone + PartialEq + fmt::Debug + Send + Sync + Sized {
    /// The ONNX operator types that this type stands for; the first is the usual one.
    const KINDS: &'static [&'static str];
    /// Inputs that are parameters: position and the attribute's name. Must be constant at import.
    const PARAMETERS: &'static [(usize, &'static str)] = &[];

    /// The operator of this kind with these attributes, which are taken; what is left is unknown to it.
    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self>;
    /// Its kind: the ONNX operator type.
    fn kind(&self) -> &'static str;
    /// Its attributes, as [`Operator::parse`] takes them. Defaults are left out.
    fn attrs(&self) -> Attrs;
    /// Types and shapes of its outputs.
    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>>;
    /// Its meaning. Inputs fit what [`Operator::infer`] accepted.
    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>>;
    /// What quantization may do with it.
    fn role(&self) -> Role;
    /// Multiplications with additions, for one image.
    fn macs(&self, _inputs: &[Fact], _output: &Fact) -> u64 {
        0
    }
    /// What is fused into it.
    fn fused(&self) -> Fused {
        Fused::default()
    }
}

/// Makes the enum of operators and hands every call on. A row: the variant, which is also the type.
macro_rules! operators {
    ($($(#[doc = $doc:literal])* $op:ident,)*) => {
        /// Every operator.
        #[derive(Clone, PartialEq, Debug)]
        pub enum Op {
            $($(#[doc = $doc])* $op($op),)*
        }

        /// A row of the table of operators.
        pub struct Row {
            /// The ONNX operator types it stands for.
            pub kinds: &'static [&'static str],
            /// Inputs that are parameters.
            pub parameters: &'static [(usize, &'static str)],
            /// One line about it.
            pub doc: &'static str,
            parse: fn(&str, &mut Attrs) -> Check<Op>,
        }

        /// The table of operators.
        pub static OPERATORS: &[Row] = &[$(Row {
            kinds: <$op as Operator>::KINDS,
            parameters: <$op as Operator>::PARAMETERS,
            doc: concat!($($doc,)*),
            parse: |kind, attrs| <$op as Operator>::parse(kind, attrs).map(Op::$op),
        },)*];

        impl Op {
            /// Its kind: the ONNX operator type.
            pub fn kind(&self) -> &'static str {
                match self { $(Op::$op(o) => o.kind(),)* }
            }
            /// Its attributes.
            pub fn attrs(&self) -> Attrs {
                match self { $(Op::$op(o) => o.attrs(),)* }
            }
            /// Types and shapes of its outputs, or why there are none.
            pub fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
                match self { $(Op::$op(o) => o.infer(inputs),)* }
            }
            /// Its meaning, in plain loops.
            pub fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
                match self { $(Op::$op(o) => o.eval(inputs),)* }
            }
            /// What quantization may do with it.
            pub fn role(&self) -> Role {
                match self { $(Op::$op(o) => o.role(),)* }
            }
            /// Multiplications with additions, for one image.
            pub fn macs(&self, inputs: &[Fact], output: &Fact) -> u64 {
                match self { $(Op::$op(o) => o.macs(inputs, output),)* }
            }
            /// What is fused into it.
            pub fn fused(&self) -> Fused {
                match self { $(Op::$op(o) => o.fused(),)* }
            }
        }

        $(impl From<$op> for Op {
            fn from(o: $op) -> Op {
                Op::$op(o)
            }
        })*
    };
}

operators! {
    /// convolution over height and width, grouped or not; fuses bias, residual and activation
    Conv,
    /// product with a constant matrix, the normal form of Gemm and MatMul; fuses like Conv
    Linear,
    /// general matrix product with optional transposition and addend
    Gemm,
    /// product of the last two axes, broadcast over the others
    MatMul,
    /// functions of one number, element by element
    Unary,
    /// functions of two numbers, element by element, with broadcasting
    Binary,
    /// maximum or average over windows or whole images
    Pool,
    /// the same numbers in another shape
    Reshape,
}

impl Op {
    /// The operator of an ONNX operator type, with its attributes.
    pub fn parse(kind: &str, mut attrs: Attrs) -> Check<Op> {
        let row = row(kind).ok_or_else(|| format!("operator {kind} is not supported"))?;
        let op = (row.parse)(kind, &mut attrs)?;
        match attrs.left()[..] {
            [] => Ok(op),
            [one] => Err(format!("attribute `{one}` of {kind} is not supported")),
            ref many => Err(format!("attributes {} of {kind} are not supported", many.join(", "))),
        }
    }
}

/// The row of an ONNX operator type.
pub fn row(kind: &str) -> Option<&'static Row> {
    OPERATORS.iter().find(|r| r.kinds.contains(&kind))
}

/// Checks the number of inputs.
pub(crate) fn arity(inputs: &[Fact], range: std::ops::RangeInclusive<usize>) -> Check<()> {
    let n = inputs.len();
    match range.contains(&n) {
        true => Ok(()),
        false if range.start() == range.end() => {
            Err(format!("has {n} inputs where {} are expected", range.start()))
        }
        false => Err(format!("has {n} inputs where {} to {} are expected", range.start(), range.end())),
    }
}

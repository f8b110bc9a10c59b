//! Operators: one file each, one row each in the table below.
//!
//! An operator's file says everything about it that no device decides: its attributes (under their ONNX names), the
//! shape of its result, its meaning as plain loops over [`Array`]s, and what quantization may do with it
//! ([`Role`]). The loops are the definition that every kernel is judged by: f64 for floats, exact integers for
//! quantized tensors.
//!
//! Inputs that ONNX passes as tensors but that are parameters in truth (the shape of a Reshape, the bounds of a
//! Clip) are attributes here: [`Operator::parameters`] says which, and the importer moves them.
//!
//! The variadic `Sum`, `Mean`, `Max` and `Min` of ONNX have no form of their own: the importer writes them as chains
//! of two-operand [`Binary`] functions.

use super::array::Array;
use super::attrs::{Attrs, Check};
use super::graph::Fact;
use crate::base::Shape;
use std::fmt;

pub mod argmax;
mod axes;
pub mod batch_norm;
pub mod binary;
pub mod blocks;
pub mod cast;
pub mod concat;
pub mod conv;
pub mod formula;
pub mod fused;
pub mod gather;
pub mod gemm;
pub mod generate;
pub mod group_norm;
pub mod identity;
pub mod layer_norm;
pub mod linear;
pub mod lrn;
pub mod matmul;
pub mod pad;
pub mod pool;
pub mod quantize;
pub mod reduce;
pub mod repeat;
pub mod reshape;
pub mod resize;
pub mod select;
pub mod shape_of;
pub mod slice;
pub mod softmax;
pub mod split;
pub mod transpose;
pub mod unary;
pub mod window;
mod wire;

pub use argmax::ArgMax;
pub use batch_norm::BatchNorm;
pub use binary::{Binary, BinaryFn};
pub use blocks::Blocks;
pub use cast::Cast;
pub use concat::Concat;
pub use conv::Conv;
pub use fused::Fused;
pub use gather::Gather;
pub use gemm::Gemm;
pub use generate::Generate;
pub use group_norm::GroupNorm;
pub use identity::Identity;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lrn::Lrn;
pub use matmul::MatMul;
pub use pad::{Pad, PadMode};
pub use pool::{Pool, PoolFn};
pub use quantize::Quantize;
pub use reduce::{Reduce, ReduceFn};
pub use repeat::Repeat;
pub use reshape::Reshape;
pub use resize::Resize;
pub use select::Where;
pub use shape_of::ShapeOf;
pub use slice::Slice;
pub use softmax::Softmax;
pub use split::{Parts, Split};
pub use transpose::Transpose;
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
    /// Inputs of this kind that are parameters: position and the attribute's name. Must be constant at import.
    fn parameters(_kind: &str) -> &'static [(usize, &'static str)] {
        &[]
    }

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
            /// Inputs of this kind that are parameters.
            pub parameters: fn(&str) -> &'static [(usize, &'static str)],
            /// One line about it.
            pub doc: &'static str,
            parse: fn(&str, &mut Attrs) -> Check<Op>,
        }

        /// The table of operators.
        pub static OPERATORS: &[Row] = &[$(Row {
            kinds: <$op as Operator>::KINDS,
            parameters: <$op as Operator>::parameters,
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
            /// Types and shapes of its outputs, or why there are none. Shapes that no tensor can have are refused,
            /// read or written.
            pub fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
                inputs.iter().try_for_each(bounded)?;
                let outputs = match self { $(Op::$op(o) => o.infer(inputs),)* }?;
                outputs.iter().try_for_each(bounded)?;
                Ok(outputs)
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
    /// the same numbers with the axes in another order
    Transpose,
    /// tensors one after the other along an axis
    Concat,
    /// parts of a tensor along an axis
    Split,
    /// every step-th index from a start to before an end
    Slice,
    /// the entries of an axis that indices choose
    Gather,
    /// the same numbers again and again
    Repeat,
    /// more at the ends of the axes: a constant, reflection, edge or wrapping
    Pad,
    /// its input as it is; Dropout after training
    Identity,
    /// images of another size, by the nearest element or linearly
    Resize,
    /// blocks of pixels to channels and back
    Blocks,
    /// exponentials divided by their sum along an axis, or the logarithm
    Softmax,
    /// rows to mean 0 and variance 1
    LayerNorm,
    /// groups of channels to mean 0 and variance 1
    GroupNorm,
    /// a factor and a shift per channel
    BatchNorm,
    /// local response normalization over neighbouring channels
    Lrn,
    /// mean, sum, extremes or norms over axes
    Reduce,
    /// where along an axis the extreme stands
    ArgMax,
    /// to another element type
    Cast,
    /// of two tensors, the element that a condition chooses
    Where,
    /// the sizes of a value's axes, or their product
    ShapeOf,
    /// tensors out of parameters alone: one number everywhere, or a range
    Generate,
    /// reals to 8-bit integers and back, per tensor or per index of an axis
    Quantize,
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

/// Refuses shapes that no tensor can have. Axes of size 0 do not excuse the others, so that strides never overflow.
fn bounded(fact: &Fact) -> Check<()> {
    let stretched = Shape(fact.shape.iter().map(|&d| d.max(1)).collect());
    stretched.checked_numel().map(drop).ok_or_else(|| format!("a tensor of {} is too large", fact.shape))
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

//! The graph: nodes, values, operators; how it changes, how it is verified.
//!
//! A graph describes **one image**: axis 0 of every input is 1, and a batch is the graph repeated, so that an
//! image's result cannot depend on the batch it rides in. Shapes are fixed numbers by the time a graph exists.
//! Weights are values with a constant; quantization parameters sit on values, never in nodes of their own.

pub mod array;
pub mod attrs;
pub mod eval;
#[cfg(any(test, feature = "testing"))]
pub mod r#gen;
pub mod graph;
pub mod ops;
pub mod parse;
pub mod patch;
pub mod precision;
pub mod print;
pub mod verify;

pub use array::{Array, Data};
pub use attrs::{Attr, Attrs};
pub use eval::{evaluate, evaluate_all};
pub use graph::{ChannelScales, Fact, Graph, Node, NodeId, Value, ValueId};
pub use ops::{Op, Role};
pub use patch::Patch;
pub use precision::{Precision, Reason};

#[cfg(test)]
mod tests;

//! Quantization policy: which nodes compute in 8 bits and why, how each tensor is coded, which tensors share a scale,
//! the scales of weights. Pure functions over the graph; no device is asked, so that every device gets one plan.
//!
//! ```text
//! codings  : which activations are worth a scale, and how each would be stored (s8, u8, u8 with a zero point)
//! decide   : Node::precision for every node, each with its reason
//! unify    : one range for tensors that must share a scale
//! annotate : Value::quant from the ranges, Value::channels from the weights
//! correct_bias : biases without the shift that rounded weights make
//! ```

pub mod annotate;
pub mod bias;
pub mod coding;
pub mod groups;
pub mod policy;
pub mod weights;

pub use annotate::annotate;
pub use bias::correct_bias;
pub use coding::{Coding, codings};
pub use groups::{relatives, unify};
pub use policy::{Pattern, Rule, decide};

/// What the configuration says about precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// May tensors that cannot be negative be stored unsigned? If not, all are s8, as in TensorRT.
    pub unsigned: bool,
    /// May nodes compute in 8 bits at all, unless a rule says otherwise?
    pub int8: bool,
    /// Rules in order; of those that match a node, the last wins.
    pub rules: Vec<Rule>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { unsigned: true, int8: true, rules: Vec::new() }
    }
}

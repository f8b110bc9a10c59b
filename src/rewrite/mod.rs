//! Rewrites of the float graph: constants folded, operators brought to their normal forms, chains fused into the
//! nodes that an engine computes.
//!
//! A [`Rule`] looks at one node, the *last* of its pattern, and back from there. It answers with an [`Edit`], with a
//! reason why a pattern that is there cannot be rewritten, or with nothing. The rules stand in one table, [`RULES`],
//! in the order in which they run; [`run`] repeats the table until nothing changes. Every rule keeps what the graph
//! computes, up to the rounding of folded constants, which are computed in f64 and rounded once.
//!
//! Two conventions hold for every fusion: the new node has the name of its main node (the convolution, the matrix
//! product) and the origins of all of them, and it writes the last value of the pattern, so that the names in caches
//! and reports are those of tensors that an engine stores.

mod context;
mod driver;
mod pattern;
mod rules;
#[cfg(test)]
mod tests;
mod weighted;

pub use context::Context;
pub use driver::{Entry, Record, Verdict, run};
pub use rules::RULES;

use crate::base::quant::QuantParams;
use crate::ir::{NodeId, Patch, ValueId};

/// A rewrite rule. Its text tests are in `tests/data/rewrites/NAME.qg`.
pub trait Rule: Sync {
    /// Its name: `transpose-pair`.
    fn name(&self) -> &'static str;

    /// What it does, as `before -> after`.
    fn doc(&self) -> &'static str;

    /// What it makes of the pattern that ends at node `at`.
    fn apply(&self, c: &Context, at: NodeId) -> Outcome;
}

/// What a rule makes of a node: an edit, or why there is none.
pub type Outcome = Result<Edit, Decline>;

/// A change that a rule asks for.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Other nodes.
    Patch(Patch),
    /// The quantization of a value, taken over from another.
    Quantize(ValueId, QuantParams),
}

impl From<Patch> for Edit {
    fn from(p: Patch) -> Self {
        Edit::Patch(p)
    }
}

/// Why a rule leaves a node alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decline {
    /// Its pattern does not end here.
    Nothing,
    /// Its pattern ends here, but the rewrite would be wrong or is not supported; the reason, for the report.
    Blocked(String),
}

/// A refusal with its reason.
pub(crate) fn blocked<T>(reason: impl Into<String>) -> Result<T, Decline> {
    Err(Decline::Blocked(reason.into()))
}

/// Goes on where the pattern fits so far.
pub(crate) fn require(fits: bool) -> Result<(), Decline> {
    if fits { Ok(()) } else { Err(Decline::Nothing) }
}

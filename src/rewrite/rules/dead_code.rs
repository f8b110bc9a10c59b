//! Removes nodes whose results nobody reads.

use crate::ir::{NodeId, Patch};
use crate::rewrite::{Context, Outcome, Rule, require};

/// `unread nodes -> nothing`
pub struct DeadCode;

impl Rule for DeadCode {
    fn name(&self) -> &'static str {
        "dead-code"
    }

    fn doc(&self) -> &'static str {
        "unread nodes -> nothing"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        require(node.outputs.iter().all(|&v| c.consumers(v).is_empty() && !c.is_output(v)))?;
        let mut patch = Patch::new(c);
        patch.remove(at);
        Ok(patch.into())
    }
}

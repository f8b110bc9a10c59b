//! `Identity`, and `Dropout`, which is one once training is over.

use super::{Operator, Role, arity};
use crate::ir::array::Array;
use crate::ir::attrs::{Attrs, Check};
use crate::ir::graph::Fact;

/// Its input as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity;

impl Operator for Identity {
    const KINDS: &'static [&'static str] = &["Identity", "Dropout"];

    /// Since opset 12 the ratio and the mode of Dropout are inputs. Its second output, the mask, is not supported.
    fn parameters(kind: &str) -> &'static [(usize, &'static str)] {
        if kind == "Dropout" { &[(1, "ratio"), (2, "training_mode")] } else { &[] }
    }

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        if kind == "Dropout" {
            attrs.float("ratio")?;
            attrs.int("seed")?;
            if attrs.flag("training_mode", false)? {
                return Err("training_mode is set; export the model for inference".into());
            }
        }
        Ok(Identity)
    }

    fn kind(&self) -> &'static str {
        "Identity"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(inputs.to_vec())
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        Ok(vec![inputs[0].clone()])
    }

    fn role(&self) -> Role {
        Role::Move
    }
}

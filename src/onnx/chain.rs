//! Operators of any number of inputs, as chains of operators of two: `Sum(a, b, c)` is `Add(Add(a, b), c)`.

use super::build::{Builder, Failure, Outcome};
use super::draft::Draft;
use super::slots::Slot;
use crate::ir::{Array, Attrs};

/// The operator, and the one of two inputs that it repeats.
static CHAINS: &[(&str, &str)] = &[("Sum", "Add"), ("Mean", "Add"), ("Max", "Max"), ("Min", "Min")];

/// Is this an operator of any number of inputs?
pub(super) fn is_chain(kind: &str) -> bool {
    CHAINS.iter().any(|c| c.0 == kind)
}

impl Builder<'_> {
    /// Imports an operator of any number of inputs.
    pub(super) fn chain(&mut self, d: Draft) -> Outcome<()> {
        if d.inputs.is_empty() || d.outputs.is_empty() {
            return Err(Failure::Clash("has no inputs, or no output".into()));
        }
        let step = CHAINS.iter().find(|c| c.0 == d.kind).map_or("", |c| c.1);
        let mut steps = Vec::new();
        let mut inputs = d.inputs.clone().into_iter();
        let mut sum = inputs.next().unwrap_or_default();
        for next in inputs {
            let out = self.new_value_name(&d.outputs[0]);
            steps.push((step, vec![sum, next], out.clone()));
            sum = out;
        }
        if d.kind == "Mean" {
            let dtype = self.fact(&d.inputs[0])?.dtype;
            let name = self.new_value_name(&d.outputs[0]);
            let tensor = Array::real([], vec![d.inputs.len() as f64]).to_tensor(dtype);
            self.set(name.clone(), Slot::Constant { tensor, weights: None, value: None });
            steps.push(("Div", vec![sum, name], String::new()));
        }
        if steps.is_empty() {
            steps.push(("Identity", d.inputs.clone(), String::new()));
        }
        let last = steps.len() - 1;
        // the last step has the node's own name and output
        for (i, (kind, inputs, out)) in steps.into_iter().enumerate() {
            let (name, outputs) = match i == last {
                true => (d.name.clone(), d.outputs.clone()),
                false => (self.drafter.unique(format!("{}_{i}", d.name)), vec![out]),
            };
            self.operator(Draft {
                name,
                kind: kind.into(),
                inputs,
                outputs,
                attrs: Attrs::new(),
                ..d.clone()
            })?;
        }
        Ok(())
    }
}

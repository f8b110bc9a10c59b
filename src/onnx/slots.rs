//! What the names of a file stand for while its graph is built.

use super::build::{Builder, Failure, Outcome};
use super::qdq::Quantized;
use super::tensor;
use super::weights::Weights;
use crate::base::Tensor;
use crate::ir::{Fact, Value, ValueId};

/// What a name of the file stands for.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// An input of the graph, or what a node writes.
    Computed(ValueId),
    /// Numbers known now, with the scales they were stored with; and the graph's value, once a node reads them.
    Constant { tensor: Tensor, weights: Option<Weights>, value: Option<ValueId> },
    /// What a QuantizeLinear writes: no value of the graph, unless something but a DequantizeLinear reads it.
    Quantized(Box<Quantized>),
    /// What a node that failed would have written.
    Unknown,
}

impl<'a> Builder<'a> {
    /// What a name stands for. Initializers are read when first asked for.
    pub(super) fn slot(&mut self, name: &str) -> Outcome<&mut Slot> {
        if !self.slots.contains_key(name) {
            let t = self.initializers.get(name).ok_or(Failure::Consequence)?;
            let tensor = tensor::read(t, name, &mut self.external)?;
            self.budget.earn(tensor.numel());
            self.slots.insert(name.to_string(), Slot::Constant { tensor, weights: None, value: None });
        }
        match self.slots.get_mut(name) {
            None | Some(Slot::Unknown) => Err(Failure::Consequence),
            Some(slot) => Ok(slot),
        }
    }

    /// Lets a name stand for something.
    pub(super) fn set(&mut self, name: String, slot: Slot) {
        self.slots.insert(name, slot);
    }

    /// A name for a value that the file does not have, made of one that it has.
    pub(super) fn new_value_name(&mut self, of: &str) -> String {
        loop {
            self.made += 1;
            let name = format!("{of}:{}", self.made);
            let in_file =
                self.initializers.contains_key(name.as_str()) || self.written.contains(name.as_str());
            if !in_file && !self.slots.contains_key(&name) {
                return name;
            }
        }
    }

    /// The numbers a name stands for, where they are known.
    pub(super) fn constant(&mut self, name: &str) -> Outcome<Option<Tensor>> {
        match self.slot(name)? {
            Slot::Constant { tensor, .. } => Ok(Some(tensor.clone())),
            _ => Ok(None),
        }
    }

    /// Type and shape of what a name stands for.
    pub(super) fn fact(&mut self, name: &str) -> Outcome<Fact> {
        match self.slot(name)? {
            Slot::Constant { tensor, .. } => {
                Ok(Fact { dtype: tensor.dtype(), shape: tensor.shape().clone() })
            }
            _ => {
                let id = self.value(name)?;
                Ok(self.graph.value(id).fact.clone())
            }
        }
    }

    /// As [`Builder::fact`], of what is known without doing anything for it.
    pub(super) fn known_fact(&self, name: &str) -> Option<Fact> {
        match self.slots.get(name) {
            Some(Slot::Computed(id)) => Some(self.graph.value(*id).fact.clone()),
            Some(Slot::Constant { tensor, .. }) => {
                Some(Fact { dtype: tensor.dtype(), shape: tensor.shape().clone() })
            }
            Some(Slot::Quantized(q)) => Some(q.fact(&self.graph)),
            _ => None,
        }
    }

    /// The graph's value of a name: a constant becomes one when first read, and so does what a QuantizeLinear writes.
    pub(super) fn value(&mut self, name: &str) -> Outcome<ValueId> {
        match self.slot(name)?.clone() {
            Slot::Computed(id) | Slot::Constant { value: Some(id), .. } => Ok(id),
            Slot::Constant { tensor, weights, value: None } => {
                let id = self.graph.add_value(Value::constant(name, tensor.clone()));
                if let Some(w) = &weights {
                    self.weights.insert(id, w.clone());
                }
                self.slots.insert(name.to_string(), Slot::Constant { tensor, weights, value: Some(id) });
                Ok(id)
            }
            Slot::Quantized(q) => {
                self.operator(q.node)?;
                self.value(name)
            }
            Slot::Unknown => Err(Failure::Consequence),
        }
    }
}

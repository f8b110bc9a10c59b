//! What a step is on the GPU: its machine code, its constants, its launches.

use super::driver::{Context, Function, Memory, Module};
use super::family;
use super::tactics::{Family, Launch, Place, Places, Spec};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use crate::device::{Bound, Slot};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// A step ready to be launched; one that computes nothing has no family.
pub struct Step {
    /// What it was made of.
    pub bound: Bound,
    /// `None` where nothing is computed.
    pub family: Option<&'static dyn Family>,
    /// Its number among the modules.
    pub module: usize,
    /// Places of its constants: from the first of all until they are on the GPU, then addresses.
    pub constants: Vec<u64>,
    /// Its kernels, by name and shared memory, as far as they were needed.
    pub functions: HashMap<(&'static str, u32), Function>,
}

impl Step {
    /// Loads the code, and finds places for the constants.
    pub fn new(
        context: &Arc<Context>,
        bound: &Bound,
        code: &mut Code,
        store: &mut Constants,
    ) -> Result<Step> {
        let mut step = Step {
            bound: bound.clone(),
            family: None,
            module: 0,
            constants: Vec::new(),
            functions: HashMap::new(),
        };
        if bound.tactic.is_idle() {
            return Ok(step);
        }
        step.family = Some(family(&bound.tactic)?);
        let [cubin, constants @ ..] = &bound.packed[..] else {
            let what = format!("the engine holds no code for {}", bound.problem);
            return Err(Diagnostic::new(machine::INTERNAL, what));
        };
        step.module = code.module(context, cubin)?;
        step.constants = constants.iter().map(|c| store.place(c)).collect();
        step.bound.packed.clear(); // on the GPU now
        Ok(step)
    }

    /// An error, with the step that it is of.
    pub fn blamed(&self, e: Box<Diagnostic>) -> Box<Diagnostic> {
        let (name, tactic) = (&self.bound.name, &self.bound.tactic);
        e.detail(format!("in step {name}, {} by {tactic}", self.bound.problem))
    }

    /// The launches for so many images.
    pub fn launches(&self, context: &Context, arena: &Memory, images: usize) -> Result<Vec<Launch>> {
        let Some(family) = self.family else { return Ok(Vec::new()) };
        let at = Places {
            images: images as u32,
            inputs: self.bound.inputs.iter().map(|s| place(arena, s)).collect(),
            outputs: self.bound.outputs.iter().map(|s| place(arena, s)).collect(),
            constants: self.constants.clone(),
        };
        family.launches(&Spec::of(&self.bound, &context.gpu), &at)
    }
}

/// Where on the GPU a slot is.
pub fn place(arena: &Memory, slot: &Slot) -> Place {
    Place { address: arena.address() + slot.offset as u64, stride: slot.stride as u64 }
}

/// Modules, each loaded once.
#[derive(Default)]
pub struct Code {
    /// In the order in which they were loaded.
    pub modules: Vec<Module>,
    known: HashMap<Bytes, usize>,
}

impl Code {
    fn module(&mut self, context: &Arc<Context>, cubin: &Bytes) -> Result<usize> {
        if let Some(&i) = self.known.get(cubin) {
            return Ok(i);
        }
        self.modules.push(Module::load(context, cubin)?);
        self.known.insert(cubin.clone(), self.modules.len() - 1);
        Ok(self.modules.len() - 1)
    }
}

/// Constants of several steps, one after the other. What steps share is there once: the copies of a step that is tried
/// read the same weights, as a network does in every run.
#[derive(Default)]
pub struct Constants {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Places of what is there, by where it lies on the host.
    known: HashMap<(usize, usize), u64>,
}

/// Constants begin where wide loads and tensor maps may.
const ALIGN: usize = 256;

impl Constants {
    /// The place of a constant from the first byte of all. The constants must be alive together.
    fn place(&mut self, constant: &[u8]) -> u64 {
        let place = || {
            let at = self.bytes.len().next_multiple_of(ALIGN);
            self.bytes.resize(at, 0);
            self.bytes.extend(constant);
            at as u64
        };
        *self.known.entry((constant.as_ptr() as usize, constant.len())).or_insert_with(place)
    }
}

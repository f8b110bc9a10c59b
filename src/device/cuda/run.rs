//! The executor: an arena and constants on the GPU, a stream, a graph of kernels for each number of images.

use super::driver::{Context, Event, Function, Graph, Memory, Module, Pinned, Stream};
use super::tactics::{Family, Launch, Place, Places, Spec};
use super::{Cuda, family};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use crate::device::{Bound, Executor, Program, Slot, Tactic, Tap, packed};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A loaded program.
pub struct Run {
    // graphs and the stream go first: what they use must outlive them
    graphs: HashMap<usize, Graph>,
    stream: Stream,
    clock: [Event; 2],
    steps: Vec<Step>,
    /// Machine code and constants, which the steps point into.
    modules: Vec<Module>,
    _constants: Memory,
    arena: Memory,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    context: Arc<Context>,
}

/// A step ready to be launched; a view has no family.
struct Step {
    bound: Bound,
    family: Option<&'static dyn Family>,
    module: usize,
    constants: Vec<u64>,
    functions: HashMap<(&'static str, u32), Function>,
}

/// An input or output with its copy on the host.
struct Port {
    slot: Slot,
    host: Pinned,
}

impl Port {
    fn new(context: &Arc<Context>, slot: Slot, program: &Program) -> Result<Port> {
        let bytes = (slot.stride * program.max_batch).min(program.arena - slot.offset);
        Ok(Port { slot, host: Pinned::zeroed(context, bytes)? })
    }

    /// Bytes of so many images.
    fn bytes(&self, images: usize) -> usize {
        (self.slot.stride * images).min(self.host.len())
    }
}

impl Run {
    /// Loads a program: code, constants, arena.
    ///
    /// # Errors
    /// `NO_MEMORY` with the sizes; whatever the driver refuses.
    pub fn new(device: &Cuda, program: &Program) -> Result<Self> {
        let context = device.context()?.clone();
        let mut code = Code::default();
        let mut store = Constants::default();
        let mut steps = Vec::with_capacity(program.steps.len());
        for bound in &program.steps {
            steps.push(Step::new(&context, bound, &mut code, &mut store)?);
        }
        let constants = Memory::of(&context, &store.bytes)?;
        for step in &mut steps {
            step.constants.iter_mut().for_each(|at| *at += constants.address());
        }
        let ports = |slots: &[Slot]| -> Result<Vec<Port>> {
            slots.iter().map(|&slot| Port::new(&context, slot, program)).collect()
        };
        Ok(Run {
            graphs: HashMap::new(),
            stream: Stream::new(&context)?,
            clock: [Event::new(&context)?, Event::new(&context)?],
            steps,
            modules: code.modules,
            _constants: constants,
            arena: Memory::zeroed(&context, program.arena)?,
            inputs: ports(&program.inputs)?,
            outputs: ports(&program.outputs)?,
            context,
        })
    }

    /// Queues the kernels of a step.
    fn queue(&self, step: &Step, images: usize) -> Result<()> {
        for launch in step.launches(&self.context, &self.arena, images)? {
            let Launch { kernel, shape, mut args } = launch;
            let Some(f) = step.functions.get(&(kernel, shape.shared)) else {
                return Err(Diagnostic::new(machine::INTERNAL, format!("kernel {kernel} was not loaded")));
            };
            // SAFETY: a family's parameters are those of its kernel, which the conformance suite holds it to; all
            // addresses are within the arena and the constants, which live as long as the stream.
            unsafe { self.stream.launch(*f, &shape, &mut args.pointers()) }?;
        }
        Ok(())
    }

    /// Queues all steps as one graph, recorded when a number of images first comes.
    fn compute(&mut self, images: usize) -> Result<()> {
        self.context.bind()?;
        if !self.graphs.contains_key(&images) {
            self.load_functions(images)?;
            let all = || self.steps.iter().try_for_each(|s| self.queue(s, images));
            let graph = self.stream.capture(all)?;
            self.graphs.insert(images, graph);
        }
        match self.graphs.get(&images) {
            Some(graph) => self.stream.run(graph),
            None => Ok(()),
        }
    }

    /// Finds the kernels that so many images need.
    fn load_functions(&mut self, images: usize) -> Result<()> {
        for step in &mut self.steps {
            for launch in step.launches(&self.context, &self.arena, images)? {
                let key = (launch.kernel, launch.shape.shared);
                if !step.functions.contains_key(&key) {
                    let f = self.modules[step.module].function(key.0, key.1)?;
                    step.functions.insert(key, f);
                }
            }
        }
        Ok(())
    }

    /// Queues the copies of all inputs.
    fn upload(&self, images: usize) -> Result<()> {
        for port in &self.inputs {
            // SAFETY: the port and the arena live as long as the stream, and a run waits before it returns.
            unsafe { self.stream.upload(&port.host, port.bytes(images), &self.arena, port.slot.offset) }?;
        }
        Ok(())
    }

    /// Queues the copies of all outputs and waits.
    fn download(&mut self, images: usize) -> Result<()> {
        for port in &mut self.outputs {
            let len = port.bytes(images);
            // SAFETY: as above.
            unsafe { self.stream.download(&self.arena, port.slot.offset, &mut port.host, len) }?;
        }
        self.stream.wait()
    }

    /// One step after the other, each seen by the tap before the next.
    fn watched(&mut self, images: usize, tap: &mut dyn Tap) -> Result<()> {
        self.load_functions(images)?;
        for (i, step) in self.steps.iter().enumerate() {
            self.stream.mark(&self.clock[0])?;
            self.queue(step, images)?;
            self.stream.mark(&self.clock[1])?;
            self.stream.wait().map_err(|e| e.detail(format!("in step {i}, {}", step.bound.problem)))?;
            tap.timed(i, self.clock[1].since(&self.clock[0])?);
            for (o, (slot, operand)) in step.bound.outputs.iter().zip(&step.bound.problem.outputs).enumerate()
            {
                let last = slot.stride * (images - 1) + operand.span();
                let mut bytes = vec![0; last];
                self.arena.read(slot.offset, &mut bytes)?;
                tap.seen(i, o, &packed(&bytes, &Slot { offset: 0, ..*slot }, operand, images));
            }
        }
        Ok(())
    }
}

impl Step {
    fn new(context: &Arc<Context>, bound: &Bound, code: &mut Code, store: &mut Constants) -> Result<Step> {
        let mut step = Step {
            bound: bound.clone(),
            family: None,
            module: 0,
            constants: Vec::new(),
            functions: HashMap::new(),
        };
        if bound.tactic == Tactic::view() {
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

    /// The launches for so many images.
    fn launches(&self, context: &Context, arena: &Memory, images: usize) -> Result<Vec<Launch>> {
        let Some(family) = self.family else { return Ok(Vec::new()) };
        let place = |s: &Slot| Place { address: arena.address() + s.offset as u64, stride: s.stride as u64 };
        let at = Places {
            images: images as u32,
            inputs: self.bound.inputs.iter().map(place).collect(),
            outputs: self.bound.outputs.iter().map(place).collect(),
            constants: self.constants.clone(),
        };
        family.launches(&Spec::of(&self.bound, &context.gpu), &at)
    }
}

/// Modules, each loaded once.
#[derive(Default)]
struct Code {
    modules: Vec<Module>,
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

/// Constants of all steps, one after the other.
#[derive(Default)]
struct Constants {
    bytes: Vec<u8>,
}

/// Constants begin where wide loads and tensor maps may.
const ALIGN: usize = 256;

impl Constants {
    /// Adds a constant; its place from the first byte of all.
    fn place(&mut self, constant: &[u8]) -> u64 {
        let at = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(at, 0);
        self.bytes.extend(constant);
        at as u64
    }
}

impl Executor for Run {
    fn input(&mut self, i: usize, images: usize) -> &mut [u8] {
        let bytes = self.inputs[i].bytes(images);
        &mut self.inputs[i].host[..bytes]
    }

    fn run(&mut self, images: usize, tap: Option<&mut dyn Tap>) -> Result<()> {
        self.context.bind()?;
        self.upload(images)?;
        match tap {
            Some(tap) => self.watched(images, tap)?,
            None => self.compute(images)?,
        }
        self.download(images)
    }

    fn output(&self, i: usize, images: usize) -> &[u8] {
        &self.outputs[i].host[..self.outputs[i].bytes(images)]
    }

    fn poison(&mut self, byte: u8) {
        for port in &self.outputs {
            // a failure shows in the check that this is for
            let _ = self.arena.fill(port.slot.offset, port.bytes(1), byte);
        }
    }

    /// On the GPU: without the copies from and to the host.
    fn time(&mut self, images: usize) -> Result<Duration> {
        self.context.bind()?;
        self.upload(images)?;
        self.stream.mark(&self.clock[0])?;
        self.compute(images)?;
        self.stream.mark(&self.clock[1])?;
        self.download(images)?;
        self.clock[1].since(&self.clock[0])
    }
}

//! The executor: an arena and constants on the GPU, a stream, a graph of kernels for each number of images.

use super::driver::{Context, Event, Function, Graph, Memory, Module, Pinned, Stream};
use super::tactics::{Args, Family, Launch, Place, Places, Spec};
use super::{Cuda, family};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use crate::device::{Bound, Counter, Executor, Phases, Program, Slot, Tactic, Tap, packed};
use bytes::Bytes;
use statistics::Statistics;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub mod statistics;

/// A loaded program.
pub struct Run {
    // graphs and the stream go first: what they use must outlive them
    graphs: HashMap<(Range<usize>, usize), Graph>,
    statistics: Option<Statistics>,
    stream: Stream,
    clock: [Event; 4],
    steps: Vec<Step>,
    /// Steps of the program; those after them were added.
    ours: usize,
    /// Machine code and constants, which the steps point into.
    code: Code,
    constants: Vec<Memory>,
    arena: Memory,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    max_batch: usize,
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
        let ports = |slots: &[Slot]| -> Result<Vec<Port>> {
            slots.iter().map(|&slot| Port::new(&context, slot, program)).collect()
        };
        let event = || Event::new(&context);
        let mut run = Run {
            graphs: HashMap::new(),
            statistics: None,
            stream: Stream::new(&context)?,
            clock: [event()?, event()?, event()?, event()?],
            steps: Vec::new(),
            ours: program.steps.len(),
            code: Code::default(),
            constants: Vec::new(),
            arena: Memory::zeroed(&context, program.arena)?,
            inputs: ports(&program.inputs)?,
            outputs: ports(&program.outputs)?,
            max_batch: program.max_batch,
            context,
        };
        run.add(&program.steps)?;
        Ok(run)
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

    /// Queues steps as one graph, recorded when they are first run with a number of images.
    fn compute(&mut self, steps: Range<usize>, images: usize) -> Result<()> {
        let key = (steps, images);
        if !self.graphs.contains_key(&key) {
            self.load_functions(key.0.clone(), images)?;
            let all = || self.steps[key.0.clone()].iter().try_for_each(|s| self.queue(s, images));
            let graph = self.stream.capture(all)?;
            self.graphs.insert(key.clone(), graph);
        }
        match self.graphs.get(&key) {
            Some(graph) => self.stream.run(graph),
            None => Ok(()),
        }
    }

    /// Finds the kernels that steps need for so many images.
    fn load_functions(&mut self, steps: Range<usize>, images: usize) -> Result<()> {
        for step in &mut self.steps[steps] {
            for launch in step.launches(&self.context, &self.arena, images)? {
                let key = (launch.kernel, launch.shape.shared);
                if !step.functions.contains_key(&key) {
                    let f = self.code.modules[step.module].function(key.0, key.1)?;
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

    /// Queues the copies of all outputs.
    fn queue_download(&mut self, images: usize) -> Result<()> {
        for port in &mut self.outputs {
            let len = port.bytes(images);
            // SAFETY: as above.
            unsafe { self.stream.download(&self.arena, port.slot.offset, &mut port.host, len) }?;
        }
        Ok(())
    }

    /// One step after the other, each seen by the tap before the next.
    fn watched(&mut self, images: usize, tap: &mut dyn Tap) -> Result<()> {
        self.load_functions(0..self.ours, images)?;
        for (i, step) in self.steps[..self.ours].iter().enumerate() {
            self.stream.mark(&self.clock[0])?;
            self.queue(step, images)?;
            self.stream.mark(&self.clock[1])?;
            self.stream.wait().map_err(|e| e.detail(format!("in step {i}, {}", step.bound.problem)))?;
            tap.timed(i, self.clock[1].since(&self.clock[0])?);
            let outputs = step.bound.outputs.iter().zip(&step.bound.problem.outputs).enumerate();
            for (o, (slot, operand)) in outputs {
                if !tap.wants(i, o) {
                    continue;
                }
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
fn place(arena: &Memory, slot: &Slot) -> Place {
    Place { address: arena.address() + slot.offset as u64, stride: slot.stride as u64 }
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

/// Constants of several steps, one after the other. What steps share is there once: the copies of a step that is tried
/// read the same weights, as a network does in every run.
#[derive(Default)]
struct Constants {
    bytes: Vec<u8>,
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
            None => self.compute(0..self.ours, images)?,
        }
        self.queue_download(images)?;
        self.stream.wait()
    }

    fn output(&self, i: usize, images: usize) -> &[u8] {
        &self.outputs[i].host[..self.outputs[i].bytes(images)]
    }

    fn counter(&mut self) -> Option<&mut dyn Counter> {
        Some(self)
    }

    /// From the inputs on the host to the outputs on the host.
    fn time(&mut self, images: usize) -> Result<Duration> {
        self.phases(images).map(|p| p.total())
    }

    fn phases(&mut self, images: usize) -> Result<Phases> {
        self.context.bind()?;
        self.stream.mark(&self.clock[0])?;
        self.upload(images)?;
        self.stream.mark(&self.clock[1])?;
        self.compute(0..self.ours, images)?;
        self.stream.mark(&self.clock[2])?;
        self.queue_download(images)?;
        self.stream.mark(&self.clock[3])?;
        self.stream.wait()?;
        let [a, b, c, d] = &self.clock;
        Ok(Phases { upload: b.since(a)?, compute: c.since(b)?, download: d.since(c)? })
    }

    fn time_resident(&mut self, images: usize, runs: usize) -> Result<Duration> {
        self.context.bind()?;
        self.compute(0..self.ours, images)?; // records the graph
        self.stream.mark(&self.clock[0])?;
        (0..runs).try_for_each(|_| self.compute(0..self.ours, images))?;
        self.stream.mark(&self.clock[1])?;
        self.stream.wait()?;
        self.clock[1].since(&self.clock[0])
    }

    fn add(&mut self, steps: &[Bound]) -> Result<Range<usize>> {
        let mut store = Constants::default();
        let load = |s: &Bound| Step::new(&self.context, s, &mut self.code, &mut store);
        let mut more = steps.iter().map(load).collect::<Result<Vec<_>>>()?;
        let constants = Memory::of(&self.context, &store.bytes)?;
        let places = more.iter_mut().flat_map(|s| &mut s.constants);
        places.for_each(|at| *at += constants.address());
        self.constants.push(constants);
        let first = self.steps.len();
        self.steps.extend(more);
        Ok(first..self.steps.len())
    }

    fn try_steps(&mut self, steps: Range<usize>, images: usize) -> Result<Duration> {
        self.context.bind()?;
        self.stream.mark(&self.clock[0])?;
        self.compute(steps, images)?;
        self.stream.mark(&self.clock[1])?;
        self.stream.wait()?;
        self.clock[1].since(&self.clock[0])
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.arena.write(at, bytes)
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<()> {
        self.arena.read(at, bytes)
    }
}

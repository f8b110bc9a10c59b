//! The executor: an arena and constants on the GPU, a stream, a graph of kernels for each number of images.

use super::Cuda;
use super::driver::{Context, Event, Graph, Memory, Pinned, Stream};
use super::flight::{Flights, Part};
use super::lanes::{self, Touched};
use super::step::{Code, Constants, Step};
use super::tactics::{Args, Launch, Place};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use crate::device::{Bound, Counter, Entry, Executor, Phases, Program, Slot, Source, Tap, packed, run_order};
use statistics::Statistics;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub mod statistics;

/// The variable that says `always` or `never`, where branches shall not be raced.
const BRANCHES: &str = "QUANTIZE_BRANCHES";
/// How often a graph with branches is timed beside one without.
const RACES: usize = 5;
/// How often a step is run in a row where its time is measured.
const REPEATS: u32 = 20;

/// A loaded program.
pub struct Run {
    // graphs and the stream go first: what they use must outlive them
    graphs: HashMap<Recorded, Graph>,
    statistics: Option<Statistics>,
    stream: Stream,
    /// Queues for branches, made when a graph first has any.
    beside: Vec<Stream>,
    clock: [Event; 4],
    steps: Vec<Step>,
    /// Steps of the program; those after them were added.
    ours: usize,
    entry: Option<Entry<Step>>,
    pixels: Option<Port>,
    /// Were pixels written last?
    by_pixels: bool,
    /// Machine code and constants, which the steps point into.
    code: Code,
    constants: Vec<Memory>,
    arena: Memory,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    flights: Option<Flights>,
    /// The batch in flight that was waited for last, if no run came after it.
    landed: Option<usize>,
    max_batch: usize,
    context: Arc<Context>,
}

/// What a graph is a recording of.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Recorded {
    steps: Range<usize>,
    by_pixels: bool,
    images: usize,
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

    /// The same as a part of a batch in flight.
    fn part(&self, number: usize, images: usize) -> Part {
        Part { number, slot: self.slot, bytes: self.bytes(images), most: self.host.len() }
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
            beside: Vec::new(),
            clock: [event()?, event()?, event()?, event()?],
            steps: Vec::new(),
            ours: program.steps.len(),
            entry: None,
            pixels: None,
            by_pixels: false,
            code: Code::default(),
            constants: Vec::new(),
            arena: Memory::zeroed(&context, program.arena)?,
            inputs: ports(&program.inputs)?,
            outputs: ports(&program.outputs)?,
            flights: None,
            landed: None,
            max_batch: program.max_batch,
            context,
        };
        run.add(&program.steps)?;
        if let Some(e) = &program.entry {
            run.pixels = Some(Port::new(&run.context, e.input, program)?);
            let step = run.load(std::slice::from_ref(&e.step))?.pop();
            run.entry = step.map(|step| Entry { step, instead: e.instead, input: e.input });
        }
        Ok(run)
    }

    /// Steps with their code and constants on the GPU.
    fn load(&mut self, steps: &[Bound]) -> Result<Vec<Step>> {
        let mut store = Constants::default();
        let load = |s: &Bound| Step::new(&self.context, s, &mut self.code, &mut store);
        let mut loaded = steps.iter().map(load).collect::<Result<Vec<_>>>()?;
        let constants = Memory::of(&self.context, &store.bytes)?;
        let places = loaded.iter_mut().flat_map(|s| &mut s.constants);
        places.for_each(|at| *at += constants.address());
        self.constants.push(constants);
        Ok(loaded)
    }

    /// A fault of a run whose steps were queued as one graph, with what can be said of where it was.
    fn suspected(&self, e: Box<Diagnostic>, images: usize) -> Box<Diagnostic> {
        let steps = || run_order(&self.steps[..self.ours], self.entry()).map(|(_, s)| s);
        let one_by_one = |s: &Step| self.queue(s, images).and_then(|()| self.stream.wait()).is_err();
        match self.stream.wait() {
            // the GPU still works: the step is found by trying each
            Ok(()) => match steps().find(|s| one_by_one(s)) {
                Some(step) => step.blamed(e),
                None => e.detail("no step fails alone: the fault may pass"),
            },
            Err(_) => {
                let names = steps().filter(|s| s.family.is_some()).map(|s| s.bound.name.as_str());
                let names: Vec<&str> = names.collect();
                let (first, last) = (names.first().unwrap_or(&""), names.last().unwrap_or(&""));
                let which = format!("in one of {} steps, from {first} to {last}", names.len());
                e.detail(which).help("run `quantize bench ENGINE --profile`, which runs step by step and names the one that fails")
            }
        }
    }

    /// Queues the kernels of a step.
    fn queue(&self, step: &Step, images: usize) -> Result<()> {
        self.queue_on(&self.stream, step, images, true)
    }

    /// Queues the kernels of a step on some stream; the first may start while what is before it there still runs, if it
    /// is `chained`.
    fn queue_on(&self, stream: &Stream, step: &Step, images: usize, chained: bool) -> Result<()> {
        let mut chained = chained;
        for launch in step.launches(&self.context, &self.arena, images)? {
            let Launch { kernel, mut shape, mut args } = launch;
            shape.chained &= std::mem::replace(&mut chained, true);
            let Some(f) = step.functions.get(&(kernel, shape.shared)) else {
                return Err(Diagnostic::new(machine::INTERNAL, format!("kernel {kernel} was not loaded")));
            };
            // SAFETY: a family's parameters are those of its kernel, which the conformance suite holds it to; all
            // addresses are within the arena and the constants, which live as long as the stream.
            unsafe { stream.launch(*f, &shape, &mut args.pointers()) }.map_err(|e| step.blamed(e))?;
        }
        Ok(())
    }

    /// Queues steps as one graph, recorded when they are first run with a number of images.
    fn compute(&mut self, steps: Range<usize>, images: usize) -> Result<()> {
        let by_pixels = self.by_pixels && steps == (0..self.ours);
        let key = Recorded { steps, by_pixels, images };
        if !self.graphs.contains_key(&key) {
            self.load_functions(key.steps.clone(), images)?;
            let graph = self.record(&key)?;
            self.graphs.insert(key.clone(), graph);
        }
        match self.graphs.get(&key) {
            Some(graph) => self.stream.run(graph),
            None => Ok(()),
        }
    }

    /// A graph of steps: one behind the other or, for a whole run where that is faster, branches beside one another.
    fn record(&mut self, what: &Recorded) -> Result<Graph> {
        let steps = self.steps_of(what);
        let one = self.stream.capture(|| steps.iter().try_for_each(|s| self.queue(s, what.images)))?;
        let touched: Vec<Touched> = steps.iter().map(|s| Touched::of(&s.bound, what.images)).collect();
        let places = lanes::places(&touched);
        let more = places.iter().map(|p| p.lane).max().unwrap_or(0);
        let asked = std::env::var(BRANCHES).unwrap_or_default();
        if more == 0 || what.steps != (0..self.ours) || asked == "never" {
            return Ok(one);
        }
        while self.beside.len() < more {
            self.beside.push(Stream::new(&self.context)?);
        }
        let several = self.record_lanes(&self.steps_of(what), &places, what.images)?;
        if asked == "always" {
            return Ok(several);
        }
        let [a, b] = self.race([&one, &several])?;
        tracing::debug!(images = what.images, lanes = more + 1, one = ?a, several = ?b, "branches");
        Ok(if b < a { several } else { one })
    }

    /// The steps of a recording, in order; views launch nothing.
    fn steps_of(&self, what: &Recorded) -> Vec<&Step> {
        let entry = self.entry().filter(|_| what.by_pixels);
        let all = run_order(&self.steps[what.steps.clone()], entry).map(|(_, s)| s);
        all.filter(|s| s.family.is_some()).collect()
    }

    /// A graph whose branches are queued beside one another.
    fn record_lanes(&self, steps: &[&Step], places: &[lanes::Place], images: usize) -> Result<Graph> {
        let marks = steps.iter().map(|_| Event::new(&self.context)).collect::<Result<Vec<_>>>()?;
        let lane = |i: usize| if i == 0 { &self.stream } else { &self.beside[i - 1] };
        self.stream.capture(|| {
            for ((step, place), mark) in steps.iter().zip(places).zip(&marks) {
                let stream = lane(place.lane);
                place.after.iter().try_for_each(|&j| stream.wait_for(&marks[j]))?;
                self.queue_on(stream, step, images, !place.apart)?;
                stream.mark(mark)?;
            }
            lanes::ends(places).into_iter().try_for_each(|j| self.stream.wait_for(&marks[j]))
        })
    }

    /// The shortest times of two graphs, in turns. They compute the same of what is in the arena.
    fn race(&self, graphs: [&Graph; 2]) -> Result<[Duration; 2]> {
        let clock = [Event::new(&self.context)?, Event::new(&self.context)?];
        let mut best = [Duration::MAX; 2];
        for _ in 0..RACES {
            for (graph, best) in graphs.iter().zip(&mut best) {
                self.stream.mark(&clock[0])?;
                self.stream.run(graph)?;
                self.stream.mark(&clock[1])?;
                self.stream.wait()?;
                *best = (*best).min(clock[1].since(&clock[0])?);
            }
        }
        Ok(best)
    }

    /// Finds the kernels that steps need for so many images.
    fn load_functions(&mut self, steps: Range<usize>, images: usize) -> Result<()> {
        for step in self.steps[steps].iter_mut().chain(self.entry.iter_mut().map(|e| &mut e.step)) {
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

    /// Queues the copies of what a run reads.
    fn upload(&self, images: usize) -> Result<()> {
        let pixels = self.pixels.iter().filter(|_| self.by_pixels);
        for port in pixels.chain(self.inputs.iter().filter(|_| !self.by_pixels)) {
            // SAFETY: the port and the arena live as long as the stream, and a run waits before it returns.
            unsafe { self.stream.upload(&port.host[..port.bytes(images)], &self.arena, port.slot.offset) }?;
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

    /// The way in that the next run takes, where it is not the first.
    fn entry(&self) -> Option<(&Step, Option<usize>)> {
        self.entry.as_ref().filter(|_| self.by_pixels).map(Entry::way)
    }

    /// One step after the other, each seen by the tap before the next.
    fn watched(&mut self, images: usize, tap: &mut dyn Tap) -> Result<()> {
        self.load_functions(0..self.ours, images)?;
        for (i, step) in run_order(&self.steps[..self.ours], self.entry()) {
            self.stream.mark(&self.clock[0])?;
            self.queue(step, images)?;
            self.stream.mark(&self.clock[1])?;
            self.stream.wait().map_err(|e| step.blamed(e))?;
            let Some(i) = i else { continue };
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

impl Drop for Run {
    /// Nothing is given back that is still computed with: a batch may be on its way when an error ends the use.
    fn drop(&mut self) {
        let _ = self.stream.wait();
    }
}

impl Executor for Run {
    fn input(&mut self, i: usize, images: usize) -> &mut [u8] {
        self.by_pixels = false;
        let bytes = self.inputs[i].bytes(images);
        &mut self.inputs[i].host[..bytes]
    }

    fn pixels(&mut self, images: usize) -> Option<&mut [u8]> {
        let port = self.pixels.as_mut()?;
        self.by_pixels = true;
        let bytes = port.bytes(images);
        Some(&mut port.host[..bytes])
    }

    fn run(&mut self, images: usize, tap: Option<&mut dyn Tap>) -> Result<()> {
        self.context.bind()?;
        self.landed = None;
        self.upload(images)?;
        match tap {
            Some(tap) => self.watched(images, tap)?,
            None => self.compute(0..self.ours, images)?,
        }
        self.queue_download(images)?;
        self.stream.wait().map_err(|e| self.suspected(e, images))
    }

    fn counter(&mut self) -> Option<&mut dyn Counter> {
        Some(self)
    }

    fn in_flight(&mut self, batches: usize) -> Result<usize> {
        let outputs: Vec<usize> = self.outputs.iter().map(|p| p.host.len()).collect();
        let batches = batches.max(1);
        self.flights = Some(Flights::new(&self.context, batches, self.inputs.len() + 1, &outputs)?);
        self.landed = None;
        Ok(batches)
    }

    fn submit(&mut self, batch: Source, images: usize) -> Result<()> {
        if self.flights.as_ref().is_none_or(Flights::full) {
            return Err(Diagnostic::new(machine::INTERNAL, "there is no room for another batch in flight"));
        }
        self.context.bind()?;
        self.by_pixels = matches!(batch, Source::Pixels(_));
        let inputs: Vec<(Part, &[u8])> = match batch {
            Source::Inputs(all) => {
                let parts = self.inputs.iter().enumerate().map(|(i, p)| p.part(i, images));
                parts.zip(all.iter().copied()).collect()
            }
            Source::Pixels(x) => self.pixels.iter().map(|p| (p.part(self.inputs.len(), images), x)).collect(),
        };
        let outputs: Vec<Part> = self.outputs.iter().enumerate().map(|(i, p)| p.part(i, images)).collect();
        if let Some(flights) = &mut self.flights {
            flights.begin(&self.context, &self.stream, &self.arena, &inputs)?;
        }
        self.compute(0..self.ours, images)?;
        match &mut self.flights {
            Some(flights) => flights.end(&self.stream, &self.arena, &outputs),
            None => Ok(()),
        }
    }

    fn wait(&mut self) -> Result<Phases> {
        self.context.bind()?;
        let done = self.flights.as_mut().map(Flights::wait).transpose();
        let done = done.map_err(|e| self.suspected(e, 1))?.flatten();
        self.landed = done.map(|(at, _)| at);
        Ok(done.map(|(_, phases)| phases).unwrap_or_default())
    }

    fn output(&self, i: usize, images: usize) -> &[u8] {
        let bytes = self.outputs[i].bytes(images);
        match (&self.flights, self.landed) {
            (Some(flights), Some(at)) => &flights.output(at, i)[..bytes],
            _ => &self.outputs[i].host[..bytes],
        }
    }

    /// From the inputs on the host to the outputs on the host.
    fn time(&mut self, images: usize) -> Result<Duration> {
        self.phases(images).map(|p| p.total())
    }

    fn phases(&mut self, images: usize) -> Result<Phases> {
        self.context.bind()?;
        self.landed = None;
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

    /// Each step so many times in a row, in a graph behind another such graph: what is measured holds no gap between
    /// launches. A step that is repeated takes as long each time, whatever numbers it finds where it writes over its input.
    fn profile(&mut self, images: usize, tap: &mut dyn Tap) -> Result<()> {
        self.context.bind()?;
        self.landed = None;
        self.load_functions(0..self.ours, images)?;
        self.upload(images)?;
        for (i, step) in run_order(&self.steps[..self.ours], self.entry()) {
            let mut time = Duration::ZERO;
            if step.family.is_some() {
                let graph =
                    self.stream.capture(|| (0..REPEATS).try_for_each(|_| self.queue(step, images)))?;
                self.stream.run(&graph)?;
                self.stream.mark(&self.clock[0])?;
                self.stream.run(&graph)?;
                self.stream.mark(&self.clock[1])?;
                self.stream.wait().map_err(|e| step.blamed(e))?;
                time = self.clock[1].since(&self.clock[0])? / REPEATS;
            }
            if let Some(i) = i {
                tap.timed(i, time);
            }
        }
        Ok(())
    }

    fn add(&mut self, steps: &[Bound]) -> Result<Range<usize>> {
        let more = self.load(steps)?;
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

//! Counting on the GPU: kernels for each step that writes something watched, in the graph of a run, beside the steps that
//! follow: counting waits for memory where those compute. What is counted stays on the GPU until somebody asks.

mod form;
mod queues;

use super::{Args, Event, Graph, Memory, Pinned, Place, Run, Slot};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use crate::device::counter::{BEGUN, BINS, Counter, Counts, GROUPS, Port, Seen, Watched};
use crate::device::cuda::compiler::{self, Source};
use crate::device::cuda::driver::{Context, Function, Module, Shape};
use crate::device::cuda::lanes::{self, Touched};
use crate::device::cuda::probe::Arch;
use crate::device::cuda::step::place;
use crate::device::cuda::text::Text;
use form::Form;
use queues::{Beside, Staging};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Threads of a block, blocks that a multiprocessor has room for, and those that it gets: more are no faster, and what is
/// computed beside them wants room, too.
const THREADS: usize = 256;
const BLOCKS: usize = 3;
const BLOCKS_BESIDE: usize = 2;
/// Steps of an item, the piece of an image that a block takes at a time.
const STEPS: usize = 4;
/// Bytes of each thread's values that are on their way to shared memory: those of a step.
const FETCHED: usize = 64;
/// The most vectors of columns that the threads of a block share.
const MOST_LANES: usize = 32;
/// Threads that add up slots, and the bins that are theirs.
const GATHERERS: usize = 512;
const PART: usize = 128;
/// Words of a group before its bins, and up to its channels.
const HEAD: usize = 3;
const CHANNELS: usize = HEAD + 2 * BINS;
/// What the kernel adds to the exponent of a range.
const LEAST_EXPONENT: i32 = -148;

const KERNELS: [&str; 6] = ["columns_4", "columns_1", "rows_4", "rows_1", "settle", "gather"];
/// Places of those behind the ones that count.
const SETTLE: usize = 4;
const GATHER: usize = 5;

/// The machine code for an architecture.
pub fn code(arch: Arch) -> Result<Arc<Vec<u8>>> {
    compiler::cubin(&source(), arch)
}

fn source() -> Source {
    let text = Text::default().raw(include_str!("../kernels/lanes.cuh"));
    let text = text.defines(&[("BINS", BINS), ("GROUPS", GROUPS), ("THREADS", THREADS), ("BLOCKS", BLOCKS)]);
    let text =
        text.defines(&[("STEPS", STEPS), ("FETCHED", FETCHED), ("GATHERERS", GATHERERS), ("PART", PART)]);
    text.raw(include_str!("../kernels/statistics.cu")).source()
}

/// What is watched, and what was counted.
pub struct Statistics {
    graphs: HashMap<usize, Graph>,
    kernels: Vec<Function>,
    _module: Module,
    watched: Vec<Kept>,
    /// Groups of everything watched.
    groups: Memory,
    /// Where each group's images begin in the list of images, the list, and for everything watched what was seen of each.
    lists: Memory,
    inputs: Staging,
    beside: Beside,
    /// Batches in turns: the first of those that were begun, and how many there are.
    turns: [Turn; BEGUN],
    first: usize,
    begun: usize,
    /// Of each block the ranges of its bins; its bins.
    ranges: Memory,
    slots: Memory,
    /// Images counted in each group.
    images: [u64; GROUPS],
    max_batch: usize,
}

/// A batch on its way.
struct Turn {
    /// The lists before the run: nothing was seen yet. And what was seen.
    lists: Pinned,
    seen: Pinned,
    images: usize,
    done: Event,
}

/// Something watched: how it lies, and where its groups are.
struct Kept {
    watched: Watched,
    form: Form,
    at: usize,
}

impl Kept {
    /// What was counted in a group of so many images.
    fn counts(&self, words: &[u64], group: usize, images: u64) -> Counts {
        let (form, n) = (self.form, self.watched.operand.shape.numel() as u64);
        let words = &words[self.at + group * form.words()..][..form.words()];
        let half = |i: usize| (words[i] as u32, (words[i] >> 32) as u32);
        let ((most, least), ranges) = (half(1), half(2));
        let (max, min) = (number(most, f32::NEG_INFINITY), number_below(least, f32::INFINITY));
        let side = |range: u32, first: usize| {
            let mut bins = Box::new([0; BINS]);
            bins.copy_from_slice(&words[first..first + BINS]);
            (range as i32 + LEAST_EXPONENT, bins)
        };
        let (high, rest) = words[CHANNELS..].split_at(form.channels);
        let (low, amax) = rest.split_at(form.channels);
        let sum = |(&high, &low): (&u64, &u64)| (i128::from(high as i64) << 32) + i128::from(low);
        let amax: &[u32] = bytemuck::cast_slice(amax);
        let count = images * n - words[0];
        Counts {
            count,
            zeros: count - words[HEAD..CHANNELS].iter().sum::<u64>(), // all others are in bins
            non_finite: words[0],
            min,
            max,
            sides: [
                (max > 0.0).then(|| side(ranges.0, HEAD)),
                (min < 0.0).then(|| side(ranges.1, HEAD + BINS)),
            ],
            amax: amax[..form.channels].iter().map(|&bits| f32::from_bits(bits)).collect(),
            sums: high.iter().zip(low).map(sum).collect(),
        }
    }
}

/// The kernel's parameter.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct View {
    x: u64,
    stride: u64,
    groups: u64,
    group: u64,
    table: u64,
    seen: u64,
    ranges: u64,
    slots: u64,
    images: u32,
    blocks: u32,
    rows: u32,
    cols: u32,
    pitch: u32,
    channels: u32,
    rows_a_channel: u32,
    lanes: u32,
    strips: u32,
    unused: u32,
}

/// What is seen of an image, as the kernel writes it.
type Mark = [u32; 2];

impl Statistics {
    /// Counts of `what`, in batches of at most `max_batch` images, whose inputs have so many bytes.
    fn new(
        context: &Arc<Context>,
        what: &[Watched],
        max_batch: usize,
        inputs: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let module = Module::load(context, &code(context.gpu.arch)?)?;
        let kernels =
            (0..KERNELS.len()).map(|k| module.function(KERNELS[k], shared(k))).collect::<Result<_>>()?;
        let mut words = 0;
        let mut keep = |w: &Watched| {
            let (form, at) = (Form::of(w), words);
            words += form.words() * GROUPS;
            Kept { watched: w.clone(), form, at }
        };
        let watched: Vec<Kept> = what.iter().map(&mut keep).collect();
        let marks = size_of::<Mark>() * watched.len() * max_batch;
        let lists = size_of::<u32>() * (GROUPS + 1 + max_batch) + marks;
        let blocks = most_blocks(context).max(max_batch);
        let turn = || -> Result<Turn> {
            let (lists, seen) = (Pinned::zeroed(context, lists)?, Pinned::zeroed(context, marks)?);
            Ok(Turn { lists, seen, images: 0, done: Event::new(context)? })
        };
        Ok(Statistics {
            graphs: HashMap::new(),
            kernels,
            _module: module,
            groups: Memory::zeroed(context, size_of::<u64>() * words)?,
            lists: Memory::zeroed(context, lists)?,
            inputs: Staging::new(context, inputs)?,
            beside: Beside::new(context, watched.len())?,
            turns: [turn()?, turn()?],
            first: 0,
            begun: 0,
            ranges: Memory::zeroed(context, 2 * size_of::<u32>() * blocks)?,
            slots: Memory::zeroed(context, 2 * size_of::<u32>() * BINS * blocks)?,
            images: [0; GROUPS],
            watched,
            max_batch,
        })
    }

    /// The turn of the next batch, in which its images are listed by their groups.
    fn list(&mut self, groups: &[usize]) -> usize {
        let turn = (self.first + self.begun) % BEGUN;
        let list: &mut [u32] = bytemuck::cast_slice_mut(&mut self.turns[turn].lists);
        let mut at = 0;
        for group in 0..GROUPS {
            list[group] = at as u32;
            for image in (0..groups.len()).filter(|&i| groups[i] == group) {
                list[GROUPS + 1 + at] = image as u32;
                at += 1;
            }
        }
        list[GROUPS] = at as u32;
        turn
    }

    /// The bytes of the lists before what was seen.
    fn listed(&self) -> usize {
        size_of::<u32>() * (GROUPS + 1 + self.max_batch)
    }

    /// What is watched of this tensor, with its place in the list.
    fn of(&self, port: Port) -> impl Iterator<Item = (usize, &Kept)> {
        let matches =
            move |(_, k): &(usize, &Kept)| k.watched.port == port && k.watched.operand.shape.numel() > 0;
        self.watched.iter().enumerate().filter(matches)
    }

    /// Queues the kernels for something watched that lies here.
    fn queue(&self, context: &Context, (i, kept): (usize, &Kept), at: Place, images: usize) -> Result<()> {
        let (kernel, view) = self.view(context, i, kept, at, images);
        let [groups, signs, parts] = [GROUPS, 2, BINS / PART].map(|n| n as u32);
        let launches = [
            (kernel, [view.blocks, 1, 1], THREADS),
            (SETTLE, [groups, signs, 1], GATHERERS),
            (GATHER, [groups, signs, parts], GATHERERS),
        ];
        for (kernel, grid, block) in launches {
            // the first waits for the step that wrote, too, which is on another queue
            let (block, shared, chained) = (block as u32, shared(kernel), kernel >= SETTLE);
            let shape = Shape { grid, block, shared, cluster: 1, chained };
            let mut args = Args::default().with(view);
            // SAFETY: all kernels take a view, whose addresses are those of memory that lives as long as the stream.
            unsafe { self.beside.stream.launch(self.kernels[kernel], &shape, &mut args.pointers()) }?;
        }
        Ok(())
    }

    /// Which kernel counts something, and what it is told.
    fn view(&self, context: &Context, i: usize, kept: &Kept, at: Place, images: usize) -> (usize, View) {
        let aligned = at.address.is_multiple_of(16) && (images == 1 || at.stride.is_multiple_of(16));
        let (form, split) = (kept.form, kept.form.split(aligned));
        let blocks = (split.items * images).min(most_blocks(context)).max(images);
        let word = size_of::<u64>() as u64;
        let view = View {
            x: at.address,
            stride: at.stride,
            groups: self.groups.address() + kept.at as u64 * word,
            group: form.words() as u64 * word,
            table: self.lists.address(),
            seen: self.lists.address() + (self.listed() + size_of::<Mark>() * i * self.max_batch) as u64,
            ranges: self.ranges.address(),
            slots: self.slots.address(),
            images: images as u32,
            blocks: blocks as u32,
            rows: form.rows as u32,
            cols: form.cols as u32,
            pitch: form.pitch as u32,
            channels: form.channels as u32,
            rows_a_channel: form.rows_a_channel as u32,
            lanes: split.lanes as u32,
            strips: split.strips as u32,
            unused: 0,
        };
        let kernel = match (form.columns, split.vector) {
            (true, 4) => 0,
            (true, _) => 1,
            (false, 4) => 2,
            (false, _) => 3,
        };
        (kernel, view)
    }

    /// What a batch that is done has seen.
    fn seen(&self, turn: &Turn) -> Vec<Seen> {
        let all: &[Mark] = bytemuck::cast_slice(&turn.seen);
        let of = |&[amax, odd]: &Mark| Seen { amax: f32::from_bits(amax), finite: odd == 0 };
        all.chunks_exact(self.max_batch).flat_map(|each| each[..turn.images].iter().map(of)).collect()
    }

    /// Nothing was counted.
    fn clear(&mut self) -> Result<()> {
        self.images = [0; GROUPS];
        self.groups.clear()
    }
}

/// Dynamic shared memory of a kernel.
fn shared(kernel: usize) -> u32 {
    if kernel < SETTLE { (FETCHED * THREADS) as u32 } else { 0 }
}

/// Most blocks that count at once, but for one for each image.
fn most_blocks(context: &Context) -> usize {
    BLOCKS_BESIDE * context.gpu.multiprocessors
}

/// The number of a key of the kernel's, in the order of numbers; `nothing` where there is none.
fn number(key: u32, nothing: f32) -> f32 {
    match key {
        0 => nothing,
        k if k >> 31 == 1 => f32::from_bits(k & !(1 << 31)),
        k => f32::from_bits(!k),
    }
}

/// Likewise of an inverted key.
fn number_below(key: u32, nothing: f32) -> f32 {
    if key == 0 { nothing } else { number(!key, nothing) }
}

impl Run {
    /// Queues a run that counts, behind the one before it; waits until its inputs are on the GPU.
    fn counted(&mut self, s: &mut Statistics, groups: &[usize]) -> Result<()> {
        if s.begun == BEGUN {
            return Err(Diagnostic::new(machine::INTERNAL, "there is no room for another batch to count"));
        }
        let images = groups.len();
        (self.by_pixels, self.landed) = (false, None);
        let turn = s.list(groups);
        self.stage(&s.inputs, images)?;
        // SAFETY: both live as long as the stream, and nobody writes the turn's lists before it is done.
        unsafe { self.stream.upload(&s.turns[turn].lists, &s.lists, 0) }?;
        self.record_counted(s, images)?;
        if let Some(graph) = s.graphs.get(&images) {
            self.stream.run(graph)?;
        }
        let listed = s.listed();
        let t = &mut s.turns[turn];
        let seen = t.seen.len();
        // SAFETY: both live as long as the stream, and whoever reads what was seen waits first.
        unsafe { self.stream.download(&s.lists, listed, &mut t.seen, seen) }?;
        self.stream.mark(&t.done)?;
        t.images = images;
        groups.iter().for_each(|&g| s.images[g] += 1);
        s.begun += 1;
        s.inputs.arrived.wait()
    }

    /// Makes the graph of a run of so many images, where there is none.
    fn record_counted(&mut self, s: &mut Statistics, images: usize) -> Result<()> {
        if !s.graphs.contains_key(&images) {
            self.load_functions(0..self.ours, images)?;
            let graph = self.stream.capture(|| self.queue_counted(s, images))?;
            self.stream.prepare(&graph)?;
            s.graphs.insert(images, graph);
        }
        Ok(())
    }

    /// Queues the way of the inputs into the arena, beside what is computed until they are there.
    fn stage(&self, to: &Staging, images: usize) -> Result<()> {
        to.up.wait_for(&to.free)?;
        for (port, place) in self.inputs.iter().zip(&to.places) {
            // SAFETY: all live as long as the streams; the host's side is written after `arrived` alone.
            unsafe { to.up.upload(&port.host[..port.bytes(images)], place, 0) }?;
        }
        to.up.mark(&to.arrived)?;
        self.stream.wait_for(&to.arrived)?;
        for (port, place) in self.inputs.iter().zip(&to.places) {
            // SAFETY: as above; what reads the arena is queued behind.
            unsafe { self.stream.copy(place, 0, &self.arena, port.slot.offset, port.bytes(images)) }?;
        }
        self.stream.mark(&to.free)
    }

    /// Queues all steps, and beside them what counts their outputs: before a step that writes where something is still
    /// counted, that is waited for.
    fn queue_counted(&self, s: &Statistics, images: usize) -> Result<()> {
        let mut counted: Vec<(usize, Touched)> = Vec::new();
        let count = |counted: &mut Vec<_>, port, slot: &Slot| -> Result<()> {
            for (i, kept) in s.of(port) {
                self.stream.mark(&s.beside.written[i])?;
                s.beside.stream.wait_for(&s.beside.written[i])?;
                s.queue(&self.context, (i, kept), place(&self.arena, slot), images)?;
                s.beside.stream.mark(&s.beside.counted[i])?;
                counted.push((i, Touched::reading(lanes::bytes(slot, &kept.watched.operand, images))));
            }
            Ok(())
        };
        for (i, port) in self.inputs.iter().enumerate() {
            count(&mut counted, Port::Input(i), &port.slot)?;
        }
        for (i, step) in self.steps[..self.ours].iter().enumerate() {
            let touched = Touched::of(&step.bound, images);
            // views write nothing
            let clashes = |(_, c): &(usize, Touched)| step.family.is_some() && touched.clashes(c);
            let last = counted.iter().rposition(clashes);
            // whatever was counted before is done then, too
            if let Some((w, _)) = last.and_then(|last| counted.drain(..=last).next_back()) {
                self.stream.wait_for(&s.beside.counted[w])?;
            }
            self.queue_on(&self.stream, step, images, last.is_none())?;
            for (o, slot) in step.bound.outputs.iter().enumerate() {
                count(&mut counted, Port::Output(i, o), slot)?;
            }
        }
        counted.last().map_or(Ok(()), |&(w, _)| self.stream.wait_for(&s.beside.counted[w]))
    }
}

fn nothing_begun() -> Box<Diagnostic> {
    Diagnostic::new(machine::INTERNAL, "a batch was to be counted, and none was begun")
}

fn nothing_watched() -> Box<Diagnostic> {
    Diagnostic::new(machine::INTERNAL, "a run was to count, and nothing is watched")
}

impl Counter for Run {
    fn watch(&mut self, what: &[Watched], images: usize) -> Result<()> {
        self.context.bind()?;
        self.stream.wait()?; // what was watched before may still be counted
        let inputs = self.inputs.iter().map(|p| p.host.len());
        let mut statistics = Statistics::new(&self.context, what, self.max_batch, inputs)?;
        self.record_counted(&mut statistics, images.clamp(1, self.max_batch))?;
        self.statistics = Some(statistics);
        self.stream.wait()
    }

    fn begin(&mut self, groups: &[usize]) -> Result<()> {
        self.context.bind()?;
        let mut statistics = self.statistics.take().ok_or_else(nothing_watched)?;
        let begun = self.counted(&mut statistics, groups);
        self.statistics = Some(statistics);
        begun
    }

    fn end(&mut self) -> Result<Vec<Seen>> {
        let s = self.statistics.as_mut().filter(|s| s.begun > 0).ok_or_else(nothing_begun)?;
        let turn = s.first;
        (s.first, s.begun) = ((turn + 1) % BEGUN, s.begun - 1);
        let (done, images) = (s.turns[turn].done.wait(), s.turns[turn].images);
        done.map_err(|e| self.suspected(e, images))?;
        Ok(self.statistics.as_ref().map(|s| s.seen(&s.turns[turn])).unwrap_or_default())
    }

    fn take(&mut self) -> Result<Vec<[Counts; GROUPS]>> {
        let s = self.statistics.as_mut().ok_or_else(nothing_watched)?;
        self.stream.wait()?;
        let mut words = vec![0u64; s.groups.len() / size_of::<u64>()];
        s.groups.read(0, bytemuck::cast_slice_mut(&mut words))?;
        let images = s.images;
        let of = |kept: &Kept| std::array::from_fn(|group| kept.counts(&words, group, images[group]));
        let counts = s.watched.par_iter().map(of).collect();
        s.clear()?;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_order_of_numbers() {
        // as the kernel makes them
        let key = |x: f32| if x.to_bits() >> 31 == 1 { !x.to_bits() } else { x.to_bits() | 1 << 31 };
        for x in [f32::MIN, -1.5, -f32::MIN_POSITIVE, 0.0, 1e-40, 2.0, f32::MAX] {
            assert_eq!((number(key(x), 7.0), number_below(!key(x), 7.0)), (x, x));
        }
        assert_eq!((number(0, 7.0), number_below(0, 7.0)), (7.0, 7.0));
    }
}

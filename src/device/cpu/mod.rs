//! The CPU: kernels in Rust, the instruction set chosen at run time, a pool of threads per executor.
//!
//! Spatial tensors are stored channels-last. A [`Family`] is one way to compute a kind of problem; [`FAMILIES`] is
//! the table, tried in order. A kernel cuts an image into tasks that write disjoint parts of its outputs.

pub mod affinity;
mod apart;
mod bound;
mod ceilings;
pub mod isa;
pub mod kernels;
pub mod pool;
mod run;
pub mod simd;

pub use affinity::{Cpus, Pin};
pub use isa::Isa;
pub use kernels::{FAMILIES, peak};

#[cfg(doc)]
use super::Operand;
use super::{Bound, Ceilings, Device, DeviceId, Executor, Numerics, Problem, Program, Slot, Tactic};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result, Tensor};
use bytemuck::Pod;
use bytes::Bytes;
use std::marker::PhantomData;
use std::time::Duration;

/// How threads share the images of a batch. The results are the same, to the bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All threads on one step of all images after the other: an image is done as soon as can be.
    Latency,
    /// An image a thread: no thread waits for another until the batch is done.
    Throughput,
    /// Of batches of several images, with one for each thread, the faster of both, as the first runs measure it; else
    /// latency.
    #[default]
    Auto,
}

/// A CPU with an instruction set and a number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// The instruction set that kernels may use; it must be [`Isa::available`].
    pub isa: Isa,
    /// Workers of each executor.
    pub threads: usize,
    /// The CPUs that they stay on; `None`: the system places them.
    pub cpus: Option<Cpus>,
    /// How they share a batch.
    pub mode: Mode,
}

impl Cpu {
    /// This machine: its best instruction set, all its threads.
    pub fn host() -> Self {
        Cpu { isa: Isa::best(), threads: crate::base::machine::threads(), cpus: None, mode: Mode::Auto }
    }

    /// The CPU with this instruction set and so many threads; `None` means the machine's.
    pub fn new(isa: Option<Isa>, threads: Option<usize>) -> Result<Self> {
        let host = Cpu::host();
        let isa = isa.unwrap_or(host.isa);
        if !isa.available() {
            let has: Vec<_> = Isa::ALL.into_iter().filter(|i| i.available()).map(Isa::name).collect();
            return Err(Diagnostic::new(machine::NO_DEVICE, format!("this CPU cannot run `{isa}` code"))
                .expected(format!("one of {}", has.join(", ")))
                .help("leave `cpu.isa` at `auto` to take the best"));
        }
        Ok(Cpu { isa, threads: threads.unwrap_or(host.threads).max(1), ..host })
    }

    /// The same with its threads where they are wished.
    ///
    /// # Errors
    /// Those of [`Cpus::wished`].
    pub fn pinned(self, pin: &Pin) -> Result<Self> {
        Ok(Cpu { cpus: Cpus::wished(pin, self.threads)?, ..self })
    }
}

/// One way to compute a kind of problem.
pub trait Family: Sync {
    /// Its name in tactics.
    fn name(&self) -> &'static str;
    /// One line about it.
    fn doc(&self) -> &'static str;
    /// Its variants for this problem on this instruction set, the most promising first; none if it cannot.
    fn variants(&self, problem: &Problem, isa: Isa) -> Vec<&'static str>;
    /// Can it write rows that lie apart ([`Operand::pitch`])? Nothing reads such rows.
    fn writes_rows_apart(&self, _problem: &Problem) -> bool {
        false
    }
    /// Do its kernels compute some numbers of the output twice? Then that cannot lie over what they read.
    fn computes_twice(&self, _problem: &Problem) -> bool {
        false
    }
    /// Products that its kernels do in a cycle of a core, at most.
    fn products_per_cycle(&self, problem: &Problem, isa: Isa) -> f64 {
        bound::products(isa, problem.is_int8())
    }
    /// Constants in the form its kernel reads; row-major as they are, unless a family says otherwise.
    fn pack(&self, _problem: &Problem, _variant: &str, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        Ok(tensors.iter().map(|t| t.bytes().to_vec()).collect())
    }
    /// The kernel of a step.
    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>>;
}

/// A step ready to run. One image is cut into tasks; tasks write disjoint parts of the outputs.
pub trait Kernel: Send + Sync {
    /// Tasks of one image.
    fn tasks(&self) -> usize {
        1
    }
    /// Bytes of scratch memory a task needs.
    fn scratch(&self) -> usize {
        0
    }
    /// Are there more constants than numbers of an image? All images then pass by one task after the other, and its constants
    /// stay near; else all tasks of an image run before those of the next.
    fn is_heavy(&self) -> bool {
        false
    }
    /// Runs one task of one image.
    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]);
}

/// The operands of a step in the arena.
pub struct Io<'a> {
    arena: *mut u8,
    len: usize,
    inputs: &'a [Place],
    outputs: &'a [Place],
    life: PhantomData<&'a mut [u8]>,
}

/// A block of numbers in a tensor: rows one below the other, channels side by side.
#[derive(Clone, Copy)]
pub struct Block {
    /// The element of the output that is the first of the block.
    pub at: usize,
    /// The first channel's place among a kernel's constants.
    pub channel: usize,
    /// Channels.
    pub channels: usize,
}

impl Block {
    /// The element after the last, of so many rows.
    fn end(&self, pitch: usize, rows: usize) -> usize {
        self.at + rows.saturating_sub(1) * pitch + self.channels
    }
}

/// The variants of a family for a problem, whose rows may lie apart.
fn offered(f: &dyn Family, p: &Problem, isa: Isa) -> Vec<&'static str> {
    let reads = p.inputs.iter().any(|o| o.pitch.is_some());
    match p.has_gaps() && (reads || !f.writes_rows_apart(p)) {
        true => vec![],
        false => f.variants(p, isa),
    }
}

/// Where an operand's images are, and the bytes that one reaches over: a slot may leave a gap after each.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: Slot,
    bytes: usize,
}

impl Place {
    /// All of so many bytes, for one image.
    fn whole(bytes: usize) -> Self {
        Place { slot: Slot { offset: 0, stride: 0 }, bytes }
    }

    /// The first byte of an image in an arena of `len` bytes.
    fn at(&self, image: usize, len: usize) -> usize {
        let at = self.slot.offset + self.slot.stride * image;
        assert!(
            at.checked_add(self.bytes).is_some_and(|end| end <= len),
            "an operand ends outside the arena"
        );
        at
    }
}

// SAFETY: tasks of one step read inputs and write disjoint parts of outputs; a checked plan keeps the slots of a
// step's inputs and outputs apart, but for a residual that the output lies over exactly: of that, a task reads what it
// writes later, and no reference to it is made.
unsafe impl Sync for Io<'_> {}

impl<'a> Io<'a> {
    /// Memory of a task's own as the output of a kernel whose results the task reads itself.
    fn of_scratch(memory: &'a mut [u8], outputs: &'a [Place; 1]) -> Self {
        Io { arena: memory.as_mut_ptr(), len: memory.len(), inputs: &[], outputs, life: PhantomData }
    }
}

impl Io<'_> {
    /// Input `i` of an image.
    pub fn input<T: Pod>(&self, i: usize, image: usize) -> &[T] {
        let place = self.inputs[i];
        let at = place.at(image, self.len);
        // SAFETY: in bounds by `at`; nobody writes inputs that are read so during a step (see `Sync`).
        let bytes = unsafe { std::slice::from_raw_parts(self.arena.add(at), place.bytes) };
        bytemuck::cast_slice(bytes)
    }

    /// Elements `range` of output `i` of an image.
    ///
    /// # Safety
    /// No two tasks of a step may ask for overlapping ranges.
    #[allow(clippy::mut_from_ref)] // disjoint parts for concurrent tasks: the contract above
    pub unsafe fn output<T: Pod>(&self, i: usize, image: usize, range: std::ops::Range<usize>) -> &mut [T] {
        let place = self.outputs[i];
        let (start, end) = (range.start * size_of::<T>(), range.end * size_of::<T>());
        let at = place.at(image, self.len) + start;
        assert!(start <= end && end <= place.bytes);
        // SAFETY: in bounds by the lines above, exclusive by the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.arena.add(at), end - start) };
        bytemuck::cast_slice_mut(bytes)
    }

    /// The numbers of input `i` from the block's first on, for kernels that read rows `pitch` numbers apart.
    ///
    /// # Panics
    /// If the block does not lie within the input.
    #[inline(always)]
    pub fn rows<T: Pod>(&self, i: usize, image: usize, pitch: usize, block: Block, rows: usize) -> *const T {
        let place = self.inputs[i];
        assert!(block.end(pitch, rows) * size_of::<T>() <= place.bytes);
        let at = place.at(image, self.len) + block.at * size_of::<T>();
        // SAFETY: within the arena by `at` and the assertion.
        unsafe { self.arena.add(at).cast::<T>().cast_const() }
    }

    /// The numbers of output `i` from the block's first on. Writing through the pointer asks for what
    /// [`Io::output`] asks for.
    ///
    /// # Panics
    /// If the block does not lie within the output.
    #[inline(always)]
    pub fn rows_mut<T: Pod>(
        &self,
        i: usize,
        image: usize,
        pitch: usize,
        block: Block,
        rows: usize,
    ) -> *mut T {
        let place = self.outputs[i];
        assert!(block.end(pitch, rows) * size_of::<T>() <= place.bytes);
        let at = place.at(image, self.len) + block.at * size_of::<T>();
        // SAFETY: within the arena by `at` and the assertion.
        unsafe { self.arena.add(at).cast() }
    }

    /// All of output `i` of an image, for kernels of one task.
    ///
    /// # Safety
    /// As for [`Io::output`].
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn whole_output<T: Pod>(&self, i: usize, image: usize) -> &mut [T] {
        let n = self.outputs[i].bytes / size_of::<T>();
        // SAFETY: the caller's promise.
        unsafe { self.output(i, image, 0..n) }
    }
}

impl Device for Cpu {
    fn id(&self) -> DeviceId {
        DeviceId { kind: "cpu".into(), arch: self.isa.name().into(), width: self.threads }
    }

    fn tactics(&self, p: &Problem, _: &Numerics) -> Vec<Tactic> {
        let of = |f: &&dyn Family| -> Vec<Tactic> {
            offered(*f, p, self.isa).into_iter().map(|v| Tactic::new(f.name(), v)).collect()
        };
        FAMILIES.iter().flat_map(of).collect()
    }

    fn pack(&self, p: &Problem, _: &Numerics, t: &Tactic, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        family(t)?.pack(p, &t.variant, tensors)
    }

    fn least_time(&self, p: &Problem, t: &Tactic, images: usize) -> Duration {
        let one = family(t).map_or(Duration::ZERO, |f| bound::least(f, p, &t.variant, self.threads));
        one * images as u32
    }

    fn ceilings(&self) -> Result<Ceilings> {
        Ok(ceilings::measure(self.isa, self.threads))
    }

    /// Over a residual, which kernels read through pointers alone ([`Io::rows`]).
    fn in_place(&self, problem: &Problem, tactic: &Tactic) -> bool {
        let residual = problem.last_op().is_some_and(|op| op.fused().residual);
        residual && family(tactic).is_ok_and(|f| !f.computes_twice(problem))
    }

    fn load(&self, program: &Program) -> Result<Box<dyn Executor>> {
        Ok(Box::new(run::Run::new(self, program)?))
    }
}

fn family(t: &Tactic) -> Result<&'static dyn Family> {
    FAMILIES.iter().copied().find(|f| f.name() == t.family).ok_or_else(|| {
        Diagnostic::new(machine::NO_DEVICE, format!("this build of quantize has no CPU kernels called `{t}`"))
            .help("the engine was built by another version: build it again")
    })
}

/// A packed constant as numbers; the engine file aligns it to 64 bytes.
pub(crate) fn constant<T: Pod>(packed: &[Bytes], i: usize) -> Result<Constant<T>> {
    let bytes = packed.get(i).cloned().unwrap_or_default();
    match bytemuck::try_cast_slice::<u8, T>(&bytes) {
        Ok(_) => Ok(Constant(bytes, PhantomData)),
        Err(_) => Err(Diagnostic::new(machine::INTERNAL, "a packed constant is misaligned or cut")),
    }
}

/// Packed numbers over shared bytes.
pub(crate) struct Constant<T>(Bytes, PhantomData<T>);

impl<T: Pod> std::ops::Deref for Constant<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.0) // `constant` tried it
    }
}

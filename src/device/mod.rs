//! Devices: what can compute a [`Problem`], by which [`Tactic`]s, and how a [`Program`] of them runs.
//!
//! A plan lowers every node to a problem: pure data, printable, the key of the timing cache. A device lists the
//! tactics it has for a problem, packs constants for one, and turns a whole program into an [`Executor`] with an
//! arena of its own. [`interp`] is the oracle: slow, plain and right. [`cpu`] is fast. Nothing above this room knows
//! which is which, and the devices never see one another.

pub mod counter;
pub mod cpu;
pub mod cuda;
mod in_place;
pub mod interp;
pub mod moved;
pub mod numerics;
pub mod pair;
pub mod problem;

pub use counter::Counter;
pub use numerics::{Floats, Numerics, PixelTables};
pub use pair::Pair;
pub use problem::{Layout, Operand, Problem, Tactic, Work};

use crate::base::codes::machine;
use crate::base::{Diagnostic, Result, Tensor};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// Something that computes.
pub trait Device: Send + Sync {
    /// Which one, and everything about it that the best tactic may depend on. Part of the timing cache's key.
    fn id(&self) -> DeviceId;
    /// The tactics it has for this problem, in the order in which they should be tried. None: it cannot.
    fn tactics(&self, problem: &Problem, numerics: &Numerics) -> Vec<Tactic>;
    /// What a step with this tactic needs to run: constants in the form that it wants and, where kernels are made for
    /// their problem, machine code. `tensors` are the problem's constant inputs, in order.
    fn pack(&self, p: &Problem, n: &Numerics, t: &Tactic, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>>;
    /// May a step with this tactic write its output over an input that it meets element by element ([`Problem::meets`])?
    fn in_place(&self, _problem: &Problem, _tactic: &Tactic) -> bool {
        false
    }
    /// The form in which a tensor that a step writes is best stored here: with room between rows, where kernels want
    /// rows to begin at certain multiples.
    fn stored(&self, operand: Operand) -> Operand {
        operand
    }
    /// Is the room between the rows of a tensor of this form its own: what [`Device::stored`] asks for? Such room may be
    /// overwritten, any other holds somebody else's numbers.
    fn owns_gaps(&self, operand: &Operand) -> bool {
        operand.pitch.is_some() && self.stored(Operand { pitch: None, ..operand.clone() }) == *operand
    }
    /// Does it have kernels for these floats?
    fn computes(&self, floats: Floats) -> bool {
        floats == Floats::F32
    }
    /// Can a tensor of this form begin so many bytes from where the device would have it begin?
    fn reaches(&self, _part: &Operand, _at: usize) -> bool {
        true
    }
    /// How steps of so many bytes an image are tried for an engine of this largest batch.
    fn trial(&self, _bytes: usize, _max_batch: usize) -> Trial {
        Trial { images: 1, copies: 1 }
    }
    /// What will be asked for soon: the device may compile it, all beside one another.
    fn warm(&self, _wanted: &[(&Problem, &Numerics)]) {}
    /// No run of this tactic on so many images is shorter: a bound that holds whatever else the machine does.
    fn least_time(&self, _problem: &Problem, _tactic: &Tactic, _images: usize) -> Duration {
        Duration::ZERO
    }
    /// What it does at most, as short loops measure it now.
    fn ceilings(&self) -> Result<Ceilings> {
        Ok(Ceilings::default())
    }
    /// A program made ready to run, with an arena.
    fn load(&self, program: &Program) -> Result<Box<dyn Executor>>;
}

/// How a step is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trial {
    /// Images of a run.
    pub images: usize,
    /// Places for its operands, taken in turns, so that no run finds in a cache what a network would not.
    pub copies: usize,
}

/// What a device does at most in a second, where it was measured: operations, of which a multiplication with an addition
/// is two, and bytes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Ceilings {
    /// On 8-bit numbers.
    pub int8: Option<f64>,
    /// On half floats, where they have products of their own.
    pub half: Option<f64>,
    /// On f32.
    pub float: Option<f64>,
    /// Read from memory and written to it.
    pub bytes: Option<f64>,
}

/// A device's name: `cpu/avx512-vnni x2`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
pub struct DeviceId {
    /// `cpu`, `cuda`, `interp`.
    pub kind: String,
    /// Instruction set or architecture.
    pub arch: String,
    /// Threads, or streams.
    pub width: usize,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} x{}", self.kind, self.arch, self.width)
    }
}

/// A value's place in the arena: `stride` bytes for each image, from `offset`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Slot {
    /// Bytes from the start of the arena.
    pub offset: usize,
    /// Bytes from one image to the next.
    pub stride: usize,
}

impl Slot {
    /// The bytes that `images` images take.
    pub fn range(&self, images: usize) -> std::ops::Range<usize> {
        self.offset..self.offset + self.stride * images
    }
}

/// The numbers of so many images of an operand, without the gaps between rows and images: what a [`Tap`] sees.
pub fn packed<'a>(arena: &'a [u8], slot: &Slot, o: &Operand, images: usize) -> Cow<'a, [u8]> {
    if o.pitch.is_none() && (slot.stride == o.bytes() || images == 1) {
        return Cow::Borrowed(&arena[slot.offset..][..o.bytes() * images]);
    }
    let mut all = Vec::with_capacity(o.bytes() * images);
    for image in 0..images {
        let (pieces, len) = o.pieces();
        pieces.for_each(|at| all.extend(&arena[slot.offset + slot.stride * image + at..][..len]));
    }
    Cow::Owned(all)
}

/// One step of a program: a problem, how it is solved, with which constants, from where to where.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What messages call it: the node's name.
    pub name: String,
    /// What is computed.
    pub problem: Problem,
    /// How.
    pub tactic: Tactic,
    /// With which scales.
    pub numerics: Numerics,
    /// The constants, as [`Device::pack`] gave them.
    pub packed: Vec<Bytes>,
    /// Places of the inputs that are not constant, in order.
    pub inputs: Vec<Slot>,
    /// Places of the outputs.
    pub outputs: Vec<Slot>,
}

/// Steps over one arena.
#[derive(Clone, Debug)]
pub struct Program {
    /// In order.
    pub steps: Vec<Bound>,
    /// Bytes of the arena.
    pub arena: usize,
    /// Most images a run may have; slots have room for so many.
    pub max_batch: usize,
    /// Where the caller's inputs go.
    pub inputs: Vec<Slot>,
    /// Where the caller's outputs are.
    pub outputs: Vec<Slot>,
    /// The way in for pixels, where there is one.
    pub entry: Option<Entry<Bound>>,
}

/// A second way into a program: pixels, where the first takes floats.
#[derive(Clone, Debug)]
pub struct Entry<S> {
    /// The step that reads the pixels.
    pub step: S,
    /// The step that it stands for; without one it comes before all, and makes the input of floats.
    pub instead: Option<usize>,
    /// Where the caller's pixels go.
    pub input: Slot,
}

impl<S> Entry<S> {
    /// Its step, and the one that it stands for.
    pub fn way(&self) -> (&S, Option<usize>) {
        (&self.step, self.instead)
    }
}

/// The steps of a run in order, each with its number: by the first way in, or by a second one that has a step of its
/// own, which stands for another or comes before all.
pub fn run_order<'s, S>(
    steps: &'s [S],
    way: Option<(&'s S, Option<usize>)>,
) -> impl Iterator<Item = (Option<usize>, &'s S)> {
    let first = way.filter(|(_, instead)| instead.is_none()).map(|(s, _)| (None, s));
    let of = move |(i, s)| match way {
        Some((other, Some(instead))) if instead == i => (Some(i), other),
        _ => (Some(i), s),
    };
    first.into_iter().chain(steps.iter().enumerate().map(of))
}

/// A loaded program. Its runs allocate nothing. A run reads what was written last: floats or pixels.
pub trait Executor: Send {
    /// The bytes of input `i`, for `images` images, to be written before a run.
    fn input(&mut self, i: usize, images: usize) -> &mut [u8];
    /// The pixels of `images` images, to be written before a run instead of the inputs, where the program takes pixels.
    fn pixels(&mut self, images: usize) -> Option<&mut [u8]>;
    /// Runs the first `images` images. `tap` sees every step's outputs right after the step.
    fn run(&mut self, images: usize, tap: Option<&mut dyn Tap>) -> Result<()>;
    /// Asks for room for so many batches in flight: begun, and not yet waited for. The answer is how many there may be;
    /// one where a batch is done as soon as it is begun.
    fn in_flight(&mut self, _batches: usize) -> Result<usize> {
        Ok(1)
    }
    /// Begins a batch that lies in the caller's memory, which is the caller's again when this returns. No more than
    /// there is room for.
    fn submit(&mut self, batch: Source, images: usize) -> Result<()> {
        match batch {
            Source::Inputs(all) => {
                all.iter().enumerate().for_each(|(i, x)| self.input(i, images).copy_from_slice(x));
            }
            Source::Pixels(x) => {
                let to = self.pixels(images).ok_or_else(no_pixels)?;
                to.copy_from_slice(x);
            }
        }
        self.run(images, None)
    }
    /// Waits for the batch that was begun first; the outputs are its from then on. The parts of its run, where the
    /// device measures them.
    fn wait(&mut self) -> Result<Phases> {
        Ok(Phases::default())
    }
    /// The same program as one that counts what it writes; none where the device leaves that to a tap.
    fn counter(&mut self) -> Option<&mut dyn Counter> {
        None
    }
    /// The bytes of output `i` of the last run, or of the last batch that was waited for.
    fn output(&self, i: usize, images: usize) -> &[u8];
    /// The time of one run, as the device itself measures it.
    fn time(&mut self, images: usize) -> Result<Duration> {
        let start = std::time::Instant::now();
        self.run(images, None)?;
        Ok(start.elapsed())
    }
    /// The time of one run, by its parts.
    fn phases(&mut self, images: usize) -> Result<Phases> {
        Ok(Phases { compute: self.time(images)?, ..Phases::default() })
    }
    /// The time of so many runs, one behind the other, on inputs that are where they are read, to outputs that stay
    /// where they are written.
    fn time_resident(&mut self, images: usize, runs: usize) -> Result<Duration> {
        (0..runs).map(|_| self.time(images)).sum()
    }
    /// Takes in more steps over the same arena, to be tried: no run takes them. Their numbers.
    fn add(&mut self, steps: &[Bound]) -> Result<Range<usize>>;
    /// Runs, and tells the tap how long each step takes, as well as the device can say.
    fn profile(&mut self, images: usize, tap: &mut dyn Tap) -> Result<()> {
        self.run(images, Some(tap))
    }
    /// The time of some steps, one after the other, as the device itself measures it.
    fn try_steps(&mut self, steps: Range<usize>, images: usize) -> Result<Duration>;
    /// Copies bytes into the arena.
    ///
    /// # Panics
    /// Where they do not fit; so for the next.
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()>;
    /// Copies bytes out of the arena.
    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<()>;
}

/// A batch in the caller's memory, the images one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The bytes of each input.
    Inputs(&'a [&'a [u8]]),
    /// Pixels.
    Pixels(&'a [u8]),
}

fn no_pixels() -> Box<Diagnostic> {
    Diagnostic::new(machine::INTERNAL, "pixels were given to a program that takes none")
}

/// The parts of a run. Where inputs and outputs need not be copied, there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Phases {
    /// Inputs from the host to the device.
    pub upload: Duration,
    /// The steps.
    pub compute: Duration,
    /// Outputs from the device to the host.
    pub download: Duration,
}

impl Phases {
    /// All of them.
    pub fn total(&self) -> Duration {
        self.upload + self.compute + self.download
    }
}

/// Sees what a run computes: the taps of calibration, of drift analysis, of profiles.
pub trait Tap {
    /// Does it want to see this output? What nobody looks at need not be copied from the device.
    fn wants(&self, _step: usize, _output: usize) -> bool {
        true
    }
    /// Output `output` of step `step` (not of one that a later step computes too), the images one after the other, in the form that the problem states but without
    /// gaps between rows.
    fn seen(&mut self, step: usize, output: usize, bytes: &[u8]);
    /// Step `step` took so long.
    fn timed(&mut self, _step: usize, _time: Duration) {}
}

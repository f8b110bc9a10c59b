//! Families of kernels: one file each, one row each in [`FAMILIES`].
//!
//! A family writes the source of a kernel for a problem (a file of `kernels/` under names that [`Text`] defines), packs
//! the constants that it reads, and says how it is launched for so many images. What it writes is compiled when the
//! tuner tries it, and travels in the engine file.

use super::compiler::Source;
use super::driver::Shape;
use super::probe::Gpu;
#[cfg(doc)]
use super::text::Text;
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result, Tensor};
use crate::device::{Bound, Numerics, Problem};
use bytemuck::Pod;

mod computed;
mod conv_pool;
mod conv_splitk;
mod conv_wgmma;
mod depthwise;
mod depthwise_conv;
mod depthwise_tma;
mod direct;
mod elementwise;
mod gather;
mod grouped;
pub(super) mod hopper;
mod igemm;
mod lrn;
mod moves;
mod multiply;
mod patches;
mod pixels;
mod pool;
mod pool_linear;
mod product;
mod reduce;
mod reformat;
mod resize;
mod rows;
mod values;

/// All families, in the order in which they are tried.
pub const FAMILIES: &[&dyn Family] = &[
    // Conv and Linear with constant weights
    &conv_wgmma::ConvWgmma,
    &conv_splitk::ConvSplitK,
    &depthwise_tma::DepthwiseTma,
    &igemm::Igemm,
    &grouped::Grouped,
    &direct::Direct,
    // two operators
    &conv_pool::ConvPool,
    &depthwise_conv::DepthwiseConv,
    &pool_linear::PoolLinear,
    // everything else
    &computed::Computed,
    &pool::Pooling,
    &elementwise::Elementwise,
    &reformat::Reformat,
    &pixels::Pixels,
    &moves::Moves,
    &product::Product,
    &rows::Rows,
    &reduce::Reduction,
    &lrn::Neighbours,
    &gather::Chosen,
    &resize::Interpolation,
];

/// What a kernel is made for.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a> {
    /// What is computed.
    pub problem: &'a Problem,
    /// With which scales.
    pub numerics: &'a Numerics,
    /// The variant of the family.
    pub variant: &'a str,
    /// The GPU: architecture, multiprocessors, shared memory.
    pub gpu: &'a Gpu,
}

impl<'a> Spec<'a> {
    /// The spec of a bound step.
    pub fn of(step: &'a Bound, gpu: &'a Gpu) -> Self {
        Spec { problem: &step.problem, numerics: &step.numerics, variant: &step.tactic.variant, gpu }
    }

    /// What is made of the specs of a pair's halves, if it is one.
    pub fn halves<T>(&self, make: impl FnOnce(&Spec, &Spec) -> T) -> Option<T> {
        let (problems, numerics) = (self.problem.halves()?, self.numerics.halves()?);
        let first = Spec { problem: &problems.0, numerics: numerics.0, ..*self };
        let second = Spec { problem: &problems.1, numerics: numerics.1, ..*self };
        Some(make(&first, &second))
    }
}

/// One way to compute a kind of problem.
pub trait Family: Sync {
    /// Its name in tactics.
    fn name(&self) -> &'static str;
    /// One line about it.
    fn doc(&self) -> &'static str;
    /// Its variants for this problem, the most promising first; none if it cannot. `spec.variant` is empty.
    fn variants(&self, spec: &Spec) -> Vec<String>;
    /// Products that a multiprocessor does in a cycle, at most; none where they are not what takes the time. A bound: the
    /// tuner does not time what cannot win.
    fn products_per_cycle(&self, _problem: &Problem) -> Option<f64> {
        None
    }
    /// The program.
    fn source(&self, spec: &Spec) -> Result<Source>;
    /// Constants in the form its kernel reads; row-major as they are, unless a family says otherwise.
    fn pack(&self, _spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        Ok(tensors.iter().map(|t| t.bytes().to_vec()).collect())
    }
    /// The launches of a step, one after the other.
    ///
    /// Operands may have a pitch ([`crate::device::Operand::pitch`]), and images may lie further apart than their bytes
    /// ([`Place::stride`]): a part of a Concat does. A family that cannot have that refuses here.
    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>>;
}

/// Where a step's operands are on the GPU.
#[derive(Clone, Debug)]
pub struct Places {
    /// Images of this run.
    pub images: u32,
    /// Inputs that are not constant, in order.
    pub inputs: Vec<Place>,
    /// Outputs.
    pub outputs: Vec<Place>,
    /// Addresses of what [`Family::pack`] made.
    pub constants: Vec<u64>,
}

impl Places {
    /// Do all images of all operands begin at multiples of so many bytes?
    pub fn aligned(&self, bytes: u64) -> bool {
        let begins = |p: &Place| {
            p.address.is_multiple_of(bytes) && (self.images == 1 || p.stride.is_multiple_of(bytes))
        };
        self.inputs.iter().chain(&self.outputs).all(begins)
    }
}

/// The images of an operand.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Address of the first.
    pub address: u64,
    /// Bytes from one to the next.
    pub stride: u64,
}

/// A kernel with its parameters.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The kernel's name in its module.
    pub kernel: &'static str,
    /// Blocks, threads, shared memory.
    pub shape: Shape,
    /// The parameters.
    pub args: Args,
}

impl Launch {
    /// A launch of `threads` threads in blocks of `block`, side by side.
    pub fn flat(kernel: &'static str, threads: u64, block: u32, args: Args) -> Launch {
        let blocks = threads.div_ceil(u64::from(block)).max(1) as u32;
        let shape = Shape { grid: [blocks, 1, 1], block, shared: 0, cluster: 1, chained: true };
        Launch { kernel, shape, args }
    }

    /// A launch of a thread for each of `count` elements of each image; the image's number is `blockIdx.y`.
    pub fn images(kernel: &'static str, count: usize, block: u32, at: &Places, args: Args) -> Launch {
        let mut launch = Launch::flat(kernel, count as u64, block, args);
        launch.shape.grid[1] = at.images;
        launch
    }
}

/// A kernel's parameters, in order.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// All of them, each at a multiple of its alignment.
    bytes: Vec<Line>,
    /// Where each begins.
    starts: Vec<usize>,
    used: usize,
}

/// As tensor maps want to lie.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Args {
    /// Adds a parameter.
    pub fn with<T: Pod>(mut self, value: T) -> Self {
        let at = self.used.next_multiple_of(align_of::<T>());
        self.used = at + size_of::<T>();
        self.bytes.resize(self.used.div_ceil(64), Line([0; 64]));
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.bytes);
        bytes[at..self.used].copy_from_slice(bytemuck::bytes_of(&value));
        self.starts.push(at);
        self
    }

    /// Adds an operand: its address, and the bytes from one image to the next.
    pub fn operand(self, place: Place) -> Self {
        self.with(place.address).with(place.stride)
    }

    /// Adds all operands, inputs before outputs.
    pub fn operands(self, at: &Places) -> Self {
        at.inputs.iter().chain(&at.outputs).fold(self, |args, place| args.operand(*place))
    }

    /// Adds addresses of constants.
    pub fn constants(self, at: &Places) -> Self {
        at.constants.iter().fold(self, |args, address| args.with(*address))
    }

    /// A pointer to each parameter, as the driver takes them.
    pub fn pointers(&mut self) -> Vec<*mut std::ffi::c_void> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.bytes);
        let start = bytes.as_mut_ptr();
        self.starts.iter().map(|&at| start.wrapping_add(at).cast()).collect()
    }
}

/// Can kernels count the elements of each operand, gaps included, in 32 bits?
fn countable(p: &Problem) -> bool {
    p.inputs.iter().chain(&p.outputs).all(|o| o.span() / o.dtype.size() <= i32::MAX as usize)
}

/// What a family answers that is asked for a problem it does not know.
fn missing(p: &Problem) -> Box<Diagnostic> {
    Diagnostic::new(machine::INTERNAL, format!("no kernel is made for {p}"))
}

/// Products in a cycle of kernels that multiply one by one: no multiprocessor has more lanes.
const ONE_BY_ONE: f64 = 128.0;
/// The same by `dp4a`, four products of 8 bits an instruction: half the lanes take it.
const BY_DP4A: f64 = 256.0;

/// So many threads in a block, where nothing speaks for another number.
pub const BLOCK: u32 = 256;

/// Floats as bytes.
pub fn bytes_of(v: &[f32]) -> Vec<u8> {
    bytemuck::cast_slice(v).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters lie as a C compiler lays them: each at a multiple of its size, tensor maps at 64.
    #[test]
    fn parameters_are_aligned() {
        let mut args = Args::default().with(1u32).with(2u64).with(3u8).with(Line([4; 64])).with(5u32);
        assert_eq!(args.starts, [0, 8, 16, 64, 128]);
        let pointers = args.pointers();
        assert_eq!(pointers[3] as usize % 64, 0);
        assert_eq!(pointers[4] as usize - pointers[0] as usize, 128);
    }

    #[test]
    fn families_have_names_of_their_own() {
        let mut names: Vec<_> = FAMILIES.iter().map(|f| f.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAMILIES.len());
        assert!(FAMILIES.iter().all(|f| f.doc().len() > 10));
    }
}

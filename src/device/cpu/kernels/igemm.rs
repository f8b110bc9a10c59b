//! Convolutions and products with constant matrices as an implicit GEMM: tiles read the image where it lies, or a copy
//! of a few lines with padding (padded f32 images are read in place, by [`edges`]); weights are packed in panels at
//! build time, and the epilogue is applied to each tile while it is in registers or in the nearest cache.

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
use super::amx;
use super::bands::{AtOnce, Bands, Taps, in_order};
use super::edges;
use super::epilogue::{Finish, FloatFinish, IntFinish, Target};
use super::tile::{F32, GROUP, Int8, MR, NR, Product, Reach};
use super::window::{Fill, Walk};
use crate::base::{DType, Result, Tensor};
use crate::device::cpu::simd::{Simd, with_simd};
use crate::device::cpu::{Block, Constant, Family, Io, Isa, Kernel, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use std::marker::PhantomData;
use std::ops::Range;

/// Bytes of a step of AMX along K.
pub const AMX_STEP: usize = 64;
/// Pixels that fill half a tile of AMX.
const SHORT: usize = 8;
/// The variant of AMX that reads copies of windows.
pub const IM2COL: &str = "amx-im2col";

/// The family.
pub struct Igemm;

impl Family for Igemm {
    fn name(&self) -> &'static str {
        "igemm"
    }

    fn doc(&self) -> &'static str {
        "Conv and Linear, f32 and 8-bit: pixels by packed weights, in tiles"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let fits = match p.op() {
            // one map a group would leave all lanes but one idle
            Some(Op::Conv(c)) => {
                let w = &p.inputs[1];
                w.constant && p.is_stored(Layout::ChannelsLast) && (c.groups == 1 || w.shape[0] > c.groups)
            }
            Some(Op::Linear(_)) => p.inputs[1].constant && p.is_stored(Layout::Plain),
            _ => false,
        };
        match (fits, p.is_int8(), isa) {
            (false, ..) => vec![],
            (_, false, _) if p.inputs[0].dtype != DType::F32 => vec![],
            (_, true, Isa::Amx) => {
                let walk = Walk::of(p);
                let mut all = vec![Isa::Amx.name(), Isa::Avx512Vnni.name()];
                // pixels that begin off the borders of cache lines are slow to load; tiles of strided windows end with
                // their line, half empty where it is short
                let short = walk.g.strides[1] > 1 && walk.g.output[1] <= SHORT;
                if Taps::has_whole_lines(&walk) && (short || !walk.inputs.is_multiple_of(AMX_STEP)) {
                    all.insert(0, IM2COL);
                }
                all
            }
            _ => vec![isa.min(Isa::Avx512Vnni).name()],
        }
    }

    fn writes_rows_apart(&self, p: &Problem) -> bool {
        p.op().is_some_and(|op| !op.fused().residual) // residuals are read at the places that are written
    }

    fn pack(&self, p: &Problem, variant: &str, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let walk = Walk::of(p);
        if p.is_int8() {
            let step = if [IM2COL, Isa::Amx.name()].contains(&variant) { AMX_STEP } else { GROUP };
            let taps = if variant == IM2COL { Taps::of_window(&walk) } else { Taps::of(&walk) };
            let w = tensors[0].as_slice::<i8>().unwrap_or_default();
            let each = (w.len() / walk.outputs.max(1)).max(1);
            let sums: Vec<i32> = w.chunks(each).map(|r| r.iter().map(|&w| i32::from(w)).sum()).collect();
            return Ok(vec![bytes(&panels::<Int8>(w, &walk, &taps, step)), bytes(&sums)]);
        }
        let w = tensors[0].as_slice::<f32>().unwrap_or_default();
        let rest = tensors[1..].iter().map(|t| t.bytes().to_vec());
        Ok(std::iter::once(bytes(&panels::<F32>(w, &walk, &Taps::of(&walk), 1))).chain(rest).collect())
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        #[cfg(all(target_arch = "x86_64", feature = "simd"))]
        if [IM2COL, Isa::Amx.name()].contains(&&*step.tactic.variant) {
            return amx::AmxGemm::load(step);
        }
        let walk = Walk::of(p);
        if p.is_int8() {
            let bands =
                Bands::new(walk, 1, GROUP, Fill::of(step), GROUP, constant::<i8>(&step.packed, 0)?.len());
            return Ok(with_simd!(isa, S => Box::new(Implicit::<S, Int8, _>::of(step, bands)?)));
        }
        let pitch = p.outputs[0].pitch.unwrap_or(walk.outputs);
        let finish = FloatFinish::of(step, walk.groups, walk.outputs)?;
        let panels: Constant<f32> = constant(&step.packed, 0)?;
        if edges::fits(&walk) {
            return Ok(with_simd!(isa, S => Box::new(edges::Edged::<S>::new(walk, pitch, panels, finish))));
        }
        let fill = Fill { number: vec![0; 4], flip: 0 };
        let bands = Bands::new(walk, GROUP, 1, fill, GROUP, panels.len() * GROUP);
        Ok(with_simd!(isa, S => Box::new(Implicit::<S, F32, _>::new(bands, pitch, panels, finish))))
    }
}

/// Weights `[outputs][depth][kh][kw]` as panels `[group][maps / NR][tap][len / PER_GROUP][NR][PER_GROUP]`; a tap has
/// whole steps of so many numbers.
fn panels<P: Product>(w: &[P::Weight], walk: &Walk, taps: &Taps, step: usize) -> Vec<P::Weight> {
    let (per, positions) = (P::PER_GROUP, walk.g.kernel[0] * walk.g.kernel[1]);
    let (depth, maps) = (walk.depth(), walk.maps());
    let groups = taps.len.next_multiple_of(step).div_ceil(per);
    let panel = taps.count() * groups * NR * per;
    let mut out = vec![bytemuck::Zeroable::zeroed(); walk.groups * Bands::panels_each(walk) * panel];
    for n in 0..walk.outputs {
        let (group, map) = (n / maps, n % maps);
        let first = (group * Bands::panels_each(walk) + map / NR) * panel;
        for position in 0..positions {
            for c in 0..depth {
                let (tap, k) = (position * depth / taps.len, position * depth % taps.len + c);
                let at = ((tap * groups + k / per) * NR + map % NR) * per + k % per;
                out[first + at] = w[(n * depth + c) * positions + position];
            }
        }
    }
    out
}

fn bytes<T: bytemuck::Pod>(v: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(v).to_vec()
}

/// The accumulators of a tile, of one register of channels or of two.
pub struct Sums<S: Simd> {
    one: [[S::I; 1]; MR],
    two: [[S::I; 2]; MR],
}

impl<S: Simd> Sums<S> {
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    pub unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Sums { one: [[S::splat(0)]; MR], two: [[S::splat(0); 2]; MR] } }
    }
}

/// A kernel that multiplies bands of pixels by panels.
pub trait Products: Send + Sync {
    /// The vectors that it is compiled for.
    type S: Simd;
    /// How its output is cut, and what it reads.
    fn bands(&self) -> &Bands;
    /// Tiles of the output lines `lines` by the panels `panels`; `base` is where the first line's input is.
    ///
    /// # Safety
    /// The CPU has the instruction set; the input of the lines lies at `base`, with the slack of the bands where it is no
    /// image; no other task has these lines and panels.
    unsafe fn multiply(
        &self,
        io: &Io,
        image: usize,
        lines: Range<usize>,
        panels: Range<usize>,
        base: *const u8,
    );
}

/// [`Products`] of 8 bits, made for a cut that somebody else decides.
pub trait Products8: Products + Sized + 'static {
    /// What it reads at once.
    const AT_ONCE: AtOnce;
    /// The kernel of this step.
    fn of(step: &Bound, bands: Bands) -> Result<Self>;
}

impl<P: Products> Kernel for P {
    fn tasks(&self) -> usize {
        self.bands().tasks()
    }

    fn scratch(&self) -> usize {
        self.bands().scratch()
    }

    fn is_heavy(&self) -> bool {
        self.bands().heavy
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let (lines, panels) = self.bands().task(task);
        let x = io.input::<u8>(0, image);
        // SAFETY: the family offers a variant where the CPU has it; the band's input holds what tiles read; tasks differ in
        // lines or panels.
        unsafe {
            let base = P::S::within(
                #[inline(always)]
                || self.bands().input(x, lines.clone(), scratch),
            );
            self.multiply(io, image, lines, panels, base);
        }
    }
}

/// The kernel of all instruction sets but AMX.
pub struct Implicit<S, P: Product, F> {
    bands: Bands,
    panels: Constant<P::Weight>,
    finish: F,
    /// Byte offsets of the taps of one group of channels.
    taps: Vec<usize>,
    /// Groups of a tap.
    groups: usize,
    /// Where the output pixels of a band start, in bytes from where the band does.
    rows: Vec<usize>,
    /// Numbers between output pixels.
    pitch: usize,
    simd: PhantomData<S>,
}

impl<S: Simd, P: Product, F: Finish<P>> Implicit<S, P, F> {
    /// A kernel with panels as [`panels`] leaves them. Groups of four bytes may end past the last line.
    fn new(bands: Bands, pitch: usize, panels: Constant<P::Weight>, finish: F) -> Self {
        let groups = Taps::of(&bands.walk).len.div_ceil(P::PER_GROUP);
        let (g, line, pixel) = (bands.walk.g, bands.line, bands.pixel);
        let row = |i| i / g.output[1] * g.strides[0] * line + i % g.output[1] * g.strides[1] * pixel;
        Implicit {
            taps: bands.taps(),
            rows: (0..bands.band * g.output[1]).map(row).collect(),
            pitch,
            simd: PhantomData,
            bands,
            panels,
            finish,
            groups,
        }
    }

    /// [`Products::multiply`].
    ///
    /// # Safety
    /// The same, inside of [`Simd::within`].
    #[inline(always)]
    unsafe fn tiles(&self, to: Target, lines: Range<usize>, panels: Range<usize>, base: *const u8) {
        let pixels = lines.len() * self.bands.walk.g.output[1];
        let tile_rows = pixels.div_ceil(pixels.div_ceil(P::rows::<S>()).max(1)).max(1);
        // SAFETY: the caller's promise.
        let mut sums = unsafe { Sums::<S>::new() };
        let tiles = (0..pixels).step_by(tile_rows).map(|first| first..(first + tile_rows).min(pixels));
        for (panel, tile) in
            in_order(panels.clone(), tiles, panels.len() * self.panel_len() * size_of::<P::Weight>())
        {
            // SAFETY: the caller's promise.
            unsafe { self.cell(to, lines.start, panel, tile, base, &mut sums) };
        }
    }

    /// Weights of a panel.
    fn panel_len(&self) -> usize {
        self.taps.len() * self.groups * NR * P::PER_GROUP
    }

    /// The pixels `pixels` of the band that begins with line `first` by one panel.
    ///
    /// # Safety
    /// As for [`Implicit::tiles`].
    #[inline(always)]
    unsafe fn cell(
        &self,
        to: Target,
        first: usize,
        panel: usize,
        pixels: Range<usize>,
        base: *const u8,
        sums: &mut Sums<S>,
    ) {
        let (walk, (group, map)) = (&self.bands.walk, self.bands.channels(panel));
        let weights = &self.panels[panel * self.panel_len()..][..self.panel_len()];
        let maps = NR.min(walk.maps() - map);
        let at = (first * walk.g.output[1] + pixels.start) * to.pitch + group * walk.maps() + map;
        let block = Block { at, channel: panel * NR, channels: maps };
        // SAFETY: the caller's promise.
        unsafe {
            let reach = Reach {
                base: base.add(group * walk.depth() * size_of::<P::In>()),
                taps: &self.taps,
                groups: self.groups,
                panel: weights.as_ptr().cast(),
                skip: 0,
                start: self.finish.start(block.channel),
            };
            product(&self.finish, to, reach, &self.rows[pixels], block, sums);
        }
    }
}

/// So many rows by a panel: `block` has its channels, of which `x` reads the first.
///
/// # Safety
/// As for [`Finish::tile`].
#[inline(always)]
pub unsafe fn product<S: Simd, P: Product, F: Finish<P>>(
    finish: &F,
    to: Target,
    x: Reach,
    rows: &[usize],
    block: Block,
    sums: &mut Sums<S>,
) {
    for c in (0..block.channels).step_by(2 * S::LANES) {
        let channels = (block.channels - c).min(2 * S::LANES);
        let block = Block { at: block.at + c, channel: block.channel + c, channels };
        // SAFETY: the caller's promise.
        unsafe {
            let x = Reach { panel: x.panel.add(c * GROUP), start: finish.start(block.channel), ..x };
            match channels > S::LANES {
                true => finish.tile::<S, 2>(to, x, rows, block, &mut sums.two),
                false => finish.tile::<S, 1>(to, x, rows, block, &mut sums.one),
            }
        }
    }
}

impl<S: Simd, P: Product, F: Finish<P>> Products for Implicit<S, P, F> {
    type S = S;

    fn bands(&self) -> &Bands {
        &self.bands
    }

    unsafe fn multiply(
        &self,
        io: &Io,
        image: usize,
        lines: Range<usize>,
        panels: Range<usize>,
        base: *const u8,
    ) {
        let to = Target { io, image, pitch: self.pitch };
        // SAFETY: the caller's promise.
        unsafe {
            S::within(
                #[inline(always)]
                || self.tiles(to, lines.clone(), panels.clone(), base),
            );
        }
    }
}

impl<S: Simd> Products8 for Implicit<S, Int8, IntFinish> {
    const AT_ONCE: AtOnce = AtOnce { step: GROUP, pixels: 0, panels: 1 };

    fn of(step: &Bound, bands: Bands) -> Result<Self> {
        let sums = constant::<i32>(&step.packed, 1)?;
        let finish = IntFinish::of(step, bands.walk.groups, &sums, Fill::of(step).flip.into())?;
        let pitch = step.problem.outputs[0].pitch.unwrap_or(bands.walk.outputs);
        Ok(Implicit::new(bands, pitch, constant(&step.packed, 0)?, finish))
    }
}

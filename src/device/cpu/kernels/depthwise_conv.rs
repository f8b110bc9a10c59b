//! A depthwise convolution in 8 bits and the 1x1 convolution of its channels in one step. A task copies the input of a
//! band of lines, as the depthwise convolution does alone; then it computes a few lines at a time and multiplies them
//! while they are in the nearest cache. Both halves are the kernels of their own families.

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
use super::amx::AmxGemm;
use super::bands::Bands;
use super::depthwise::{Depthwise, HALF, Interleaved};
use super::epilogue::IntFinish;
use super::igemm::{Igemm, Implicit, Products8};
use super::tile::Int8;
use super::window::Walk;
use crate::base::codes::machine;
use crate::base::quant::QuantParams;
use crate::base::{DType, Diagnostic, Result, Tensor};
#[cfg(all(target_arch = "x86_64", feature = "simd"))]
use crate::device::cpu::simd::{Avx2, Avx512, Vnni256};
use crate::device::cpu::simd::{Scalar, Simd};
use crate::device::cpu::{Family, Io, Isa, Kernel, Place};
use crate::device::{Bound, Numerics, Problem};
use crate::ir::Op;
use bytes::Bytes;

/// Tasks of an image, at least, unless whole tiles need more lines. More would copy more lines twice, which one thread pays for. All
/// panels are one task's, so one image may have too few tasks for many threads: the tuner times a pair on all of them,
/// and leaves the two steps apart where these are faster.
const TASKS: usize = 2;
/// Constants of each half: weights, and their sums.
const CONSTANTS: usize = 2;

/// A variant, and those of the two families that it is made of.
struct Way {
    name: &'static str,
    deep: &'static str,
    point: &'static str,
}

/// The variants, the most promising first.
const WAYS: &[Way] = {
    let (amx, vnni, avx2, scalar) = ("amx", "avx512-vnni", "avx2", "scalar");
    &[
        Way { name: "amx-256", deep: HALF, point: amx },
        Way { name: amx, deep: vnni, point: amx },
        Way { name: HALF, deep: HALF, point: vnni },
        Way { name: vnni, deep: vnni, point: vnni },
        Way { name: avx2, deep: avx2, point: avx2 },
        Way { name: scalar, deep: scalar, point: scalar },
    ]
};

/// The family.
pub struct DepthwiseConv;

impl Family for DepthwiseConv {
    fn name(&self) -> &'static str {
        "depthwise-conv"
    }

    fn doc(&self) -> &'static str {
        "Conv with as many groups as channels and the 1x1 Conv behind it, 8-bit: a few lines at a time"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let Some((first, second)) = p.halves().filter(|(first, second)| fits(first, second)) else {
            return vec![];
        };
        let (deep, point) = (Depthwise.variants(&first, isa), Igemm.variants(&second, isa));
        let has = |w: &&Way| deep.contains(&w.deep) && point.contains(&w.point);
        WAYS.iter().filter(has).map(|w| w.name).collect()
    }

    fn writes_rows_apart(&self, p: &Problem) -> bool {
        p.halves().is_some_and(|(_, second)| Igemm.writes_rows_apart(&second))
    }

    fn pack(&self, p: &Problem, variant: &str, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let (first, second) = p.halves().ok_or_else(|| refused(p))?;
        let way = WAYS.iter().find(|w| w.name == variant).ok_or_else(|| refused(p))?;
        let (own, others) = tensors.split_at(first.inputs.iter().filter(|o| o.constant).count());
        let mut packed = Depthwise.pack(&first, way.deep, own)?;
        packed.extend(Igemm.pack(&second, way.point, others)?);
        Ok(packed)
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        match &*step.tactic.variant {
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            "amx-256" => Both::<Vnni256, AmxGemm>::load(step),
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            "amx" => Both::<Avx512, AmxGemm>::load(step),
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            HALF => Both::<Vnni256, Implicit<Avx512, Int8, IntFinish>>::load(step),
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            "avx512-vnni" => Both::<Avx512, Implicit<Avx512, Int8, IntFinish>>::load(step),
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            "avx2" => Both::<Avx2, Implicit<Avx2, Int8, IntFinish>>::load(step),
            _ => Both::<Scalar, Implicit<Scalar, Int8, IntFinish>>::load(step),
        }
    }
}

/// Is this a depthwise convolution in 8 bits, and the 1x1 convolution of what it writes?
fn fits(first: &Problem, second: &Problem) -> bool {
    let (Some(Op::Conv(deep)), Some(Op::Conv(point))) = (first.op(), second.op()) else { return false };
    let whole = point.geometry(&second.inputs[0].shape, &second.inputs[1].shape).is_ok_and(|g| g.pointwise());
    first.is_int8()
        && second.is_int8()
        && first.outputs.first() == second.inputs.first()
        && !deep.fused.residual
        && point.groups == 1
        && whole
}

fn refused(p: &Problem) -> Box<Diagnostic> {
    Diagnostic::new(
        machine::INTERNAL,
        format!("{p} is no depthwise convolution with a 1x1 convolution behind it"),
    )
}

/// The steps of a pair's halves. What lies between is as the second reads it: unsigned, pixels `pitch` bytes apart.
fn halves(step: &Bound, pitch: usize) -> Result<(Bound, Bound)> {
    let both = step.problem.halves().zip(step.numerics.halves());
    let ((p, n), packed) =
        both.zip(step.packed.split_at_checked(CONSTANTS)).ok_or_else(|| refused(&step.problem))?;
    let half = |problem: Problem, numerics: &Numerics, packed: &[Bytes]| Bound {
        problem,
        numerics: numerics.clone(),
        packed: packed.to_vec(),
        ..step.clone()
    };
    let (mut first, mut second) = (half(p.0, n.0, packed.0), half(p.1, n.1, packed.1));
    first.problem.outputs[0].pitch = Some(pitch);
    if second.problem.inputs[0].dtype == DType::I8 {
        make_unsigned(&mut first, &mut second);
    }
    Ok((first, second))
}

/// Has s8 written as u8, x + 128, and read with a zero point as much higher. Nothing else changes, bounds of the type
/// less its zero point neither.
fn make_unsigned(first: &mut Bound, second: &mut Bound) {
    const OFFSET: i32 = 128;
    (first.problem.outputs[0].dtype, second.problem.inputs[0].dtype) = (DType::U8, DType::U8);
    if let Numerics::Multiply { epilogue, .. } = &mut first.numerics {
        let to_unsigned =
            |q: QuantParams| QuantParams { dtype: DType::U8, zero_point: q.zero_point + OFFSET, ..q };
        epilogue.out = epilogue.out.map(to_unsigned);
    }
    if let Numerics::Multiply { zero_point, .. } = &mut second.numerics {
        *zero_point += OFFSET;
    }
}

/// The kernel of both.
struct Both<D, P> {
    deep: Interleaved<D>,
    point: P,
    /// Bands of the second, which are few lines, of a task.
    bands: usize,
}

impl<D: Simd, P: Products8> Both<D, P> {
    fn load(step: &Bound) -> Result<Box<dyn Kernel>> {
        let channels = Walk::of(&step.problem.halves().ok_or_else(|| refused(&step.problem))?.1).inputs;
        let (first, second) = halves(step, channels.next_multiple_of(P::AT_ONCE.step))?;
        let deep = Interleaved::<D>::of(&first)?;
        let most = deep.band.min(deep.output()[0].div_ceil(TASKS));
        let weights = second.packed.first().map_or(0, Bytes::len);
        let cut = Bands::of_computed(&Walk::of(&second.problem), deep.output(), most, weights, P::AT_ONCE);
        let bands = (most / cut.band).max(1);
        Ok(Box::new(Both { deep, point: P::of(&second, cut)?, bands }))
    }

    /// The most lines of a task.
    fn lines(&self) -> usize {
        self.bands * self.point.bands().band
    }
}

impl<D: Simd, P: Products8> Kernel for Both<D, P> {
    fn tasks(&self) -> usize {
        self.point.bands().count().div_ceil(self.bands)
    }

    fn scratch(&self) -> usize {
        self.point.bands().scratch() + self.deep.copied(self.lines())
    }

    fn is_heavy(&self) -> bool {
        self.point.bands().heavy
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let cut = self.point.bands();
        let (between, copy) = scratch.split_at_mut(cut.scratch());
        let bands = task * self.bands..((task + 1) * self.bands).min(cut.count());
        let first = bands.start * cut.band;
        let lines = first..(first + self.lines()).min(self.deep.output()[0]);
        self.deep.copy(io.input(0, image), lines, copy);
        let place = [Place::whole(between.len())];
        for band in bands {
            let (lines, _) = cut.task(band);
            let own = Io::of_scratch(between, &place);
            // SAFETY: scratch memory is this task's.
            unsafe { self.deep.lines(&own, 0, [lines.start - first, 0], lines.len(), copy) };
            for span in 0..cut.spans() {
                let (lines, panels) = cut.task(span * cut.count() + band);
                // SAFETY: `variants` offers what the CPU has; the band's pixels are where they were just written, with room
                // behind them; tasks differ in lines.
                unsafe { self.point.multiply(io, image, lines, panels, between.as_ptr()) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Work;
    use crate::ir::ops::Conv;
    use crate::testing::problems::{self, Case};

    fn offers(p: &Problem) -> bool {
        !DepthwiseConv.variants(p, Isa::Scalar).is_empty()
    }

    /// The suite has such pairs, with residuals and without, of s8 and of u8 between the two.
    #[test]
    fn pairs_have_kernels() {
        let all: Vec<Case> = problems::all().into_iter().filter(|c| offers(&c.problem)).collect();
        let between = |c: &Case| c.problem.halves().map(|(first, _)| first.outputs[0].dtype);
        for dtype in [DType::U8, DType::I8] {
            for residual in [true, false] {
                let such = all
                    .iter()
                    .filter(|c| between(c) == Some(dtype) && residual != c.problem.meets().is_empty());
                assert!(such.count() >= 3, "{dtype}, residual: {residual}");
            }
        }
    }

    /// What it does not compute is left to the two families.
    #[test]
    fn other_pairs_are_refused() {
        let case = problems::all().into_iter().find(|c| offers(&c.problem) && c.problem.meets().is_empty());
        let (first, second) = case.and_then(|c| c.problem.halves()).unwrap();
        let pair = |change: fn(&mut Conv, &mut Conv)| {
            let (mut first, mut second) = (first.clone(), second.clone());
            if let (Work::Op(Op::Conv(a)), Work::Op(Op::Conv(b))) = (&mut first.work, &mut second.work) {
                change(a, b);
            }
            offers(&Problem::pair(&first, &second).unwrap())
        };
        assert!(pair(|_, _| {}));
        assert!(!pair(|a, _| a.fused.residual = true));
        assert!(!pair(|a, _| a.groups = 1));
        assert!(!pair(|_, b| b.groups = 2));
        assert!(!pair(|_, b| b.window.strides = [1, 2]));
    }
}

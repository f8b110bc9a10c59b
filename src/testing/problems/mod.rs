//! Problems to try on devices: edges first, then at random. The same list on every run.

mod convolutions;
mod elementwise;
mod halves;
mod moves;
mod pairs;
mod products;
mod rare;
mod rows;
mod windows;

use crate::base::quant::{QuantParams, Range, Scale};
use crate::base::random::SplitMix64;
use crate::base::{DType, Tensor};
use crate::device::{Layout, Numerics, Operand, Problem, Work};
use crate::ir::ops::{PoolFn, Role};
use crate::ir::{Array, Fact, Op};

/// Images of a case.
pub const IMAGES: usize = 3;

/// A problem with everything needed to run it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is computed.
    pub problem: Problem,
    /// With which scales.
    pub numerics: Numerics,
    /// The constant inputs, in order.
    pub constants: Vec<Tensor>,
    /// The other inputs, in order: the bytes of [`IMAGES`] images, one after the other, as they lie in memory.
    pub inputs: Vec<Vec<u8>>,
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut rng = Rng(SplitMix64::new(2026));
    let rng = &mut rng;
    let mut cases = [
        convolutions::cases(rng),
        products::cases(rng),
        windows::cases(rng),
        elementwise::cases(rng),
        moves::cases(rng),
        rows::cases(rng),
        rare::cases(rng),
        elementwise::pixels(rng, &[DType::U8, DType::I8, DType::F32]),
        pairs::cases(rng),
    ]
    .concat();
    cases.extend(cases.iter().filter_map(spread).collect::<Vec<_>>());
    cases.extend(cases.iter().filter_map(roomy).collect::<Vec<_>>());
    cases
}

/// Those with floats once more, with F16 between nodes as engines may have it, and conversions from and to it.
pub fn in_halves() -> Vec<Case> {
    let mut rng = Rng(SplitMix64::new(2027));
    let mut cases: Vec<Case> = all().iter().filter_map(halves::of).collect();
    cases.extend(elementwise::pixels(&mut rng, &[DType::F16]));
    cases.extend(cases.iter().filter_map(roomy).collect::<Vec<_>>());
    cases.extend(elementwise::conversions(&mut rng, &[DType::F32, DType::F16, DType::U8, DType::I8]));
    cases
}

/// Convolutions and products of f32 by constant weights, whose factors may be rounded to TF32.
pub fn in_tf32() -> Vec<Case> {
    let multiplies = |c: &Case| {
        let op = c.problem.op();
        let role = op.is_some_and(|op| matches!(op.role(), Role::Multiply { .. }));
        role && c.numerics == Numerics::Float && c.problem.inputs[1].constant
    };
    let cases = all().into_iter().filter(multiplies);
    cases.map(|c| Case { numerics: Numerics::Tf32, ..c }).collect()
}

/// A convolution, or what makes the first one's input, with room after each pixel of 8 bits or halves up to a multiple of 16
/// bytes (of 4 numbers, where there are no more), where that makes a difference: as GPUs store them.
fn roomy(case: &Case) -> Option<Case> {
    let mut case = case.clone();
    let p = &mut case.problem;
    let fits = matches!(p.work, Work::Pixels | Work::Pair(_) | Work::Op(Op::Conv(_))) && !p.has_gaps();
    let inputs = if p.work == Work::Pixels { &mut [][..] } else { &mut p.inputs[..] };
    let mut changed = false;
    for o in inputs.iter_mut().filter(|o| !o.constant).chain(&mut p.outputs) {
        let grain = if o.row() <= 4 { 4 } else { 16 / o.dtype.size() };
        let small = o.dtype.is_int8() || o.dtype == DType::F16;
        if o.layout == Layout::ChannelsLast && small && o.row() % grain != 0 {
            (o.pitch, changed) = (Some(o.row().next_multiple_of(grain)), true);
        }
    }
    (fits && changed).then_some(case)
}

/// The case with the rows of its output apart, as a part of a wider tensor, where that makes a difference and rows that
/// are read stay together.
fn spread(case: &Case) -> Option<Case> {
    let op = case.problem.last_op()?;
    let fits = matches!(op, Op::Conv(_)) || matches!(op, Op::Pool(p) if p.f == PoolFn::Max);
    let fits = fits && !op.fused().residual;
    let mut case = case.clone();
    let out = case.problem.outputs.first_mut()?;
    if !fits || out.layout != Layout::ChannelsLast {
        return None;
    }
    out.pitch = Some(out.row() + 1 + out.row() % 5);
    Some(case)
}

impl Case {
    /// The case of an operator whose output has this type and layout; `None` where the operator refuses the inputs.
    /// Constants that are not given are drawn.
    fn new(
        rng: &mut Rng,
        op: impl Into<Op>,
        inputs: Vec<Operand>,
        out: (DType, Layout),
        numerics: Numerics,
    ) -> Option<Case> {
        let op = op.into();
        let facts: Vec<Fact> =
            inputs.iter().map(|o| Fact { dtype: o.dtype, shape: o.shape.clone() }).collect();
        let outputs = op.infer(&facts).ok()?;
        let outputs = outputs.into_iter().map(|f| Operand::new(out.0, f.shape, out.1)).collect();
        Some(Case::of(rng, Problem { work: Work::Op(op), inputs, outputs }, numerics))
    }

    /// The case of a problem, with drawn constants and inputs.
    fn of(rng: &mut Rng, problem: Problem, numerics: Numerics) -> Case {
        let constants = problem.inputs.iter().filter(|o| o.constant).map(|o| rng.tensor(o)).collect();
        let inputs = (problem.activations())
            .map(|o| (0..IMAGES).flat_map(|_| rng.tensor(o).bytes().to_vec()).collect())
            .collect();
        Case { problem, numerics, constants, inputs }
    }
}

/// Channels-last f32, plain f32.
const NHWC_F32: (DType, Layout) = (DType::F32, Layout::ChannelsLast);
const F32: (DType, Layout) = (DType::F32, Layout::Plain);

/// A source of operands' numbers.
pub struct Rng(SplitMix64);

impl Rng {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// A real in [-2, 2), now and then 0 or an end.
    pub fn real(&mut self) -> f32 {
        match self.below(16) {
            0 => 0.0,
            1 => -2.0,
            _ => 2.0 * self.0.signed_unit(),
        }
    }

    /// Numbers for an operand. Weights are in [-127, 127], other integers anywhere, ends often.
    pub fn tensor(&mut self, o: &Operand) -> Tensor {
        let n = o.shape.numel();
        let ints = |rng: &mut Rng, ends: [u8; 2]| -> Vec<u8> {
            let each = (0..n).map(|_| match rng.below(12) {
                0 => ends[0],
                1 => ends[1],
                _ => rng.bits() as u8,
            });
            each.collect()
        };
        let s = o.shape.clone();
        match o.dtype {
            DType::F32 => Tensor::new(s, &(0..n).map(|_| self.real()).collect::<Vec<_>>()),
            DType::U8 => Tensor::new(s, &ints(self, [0, 255])),
            DType::I8 => {
                let lowest = if o.constant { -127i8 } else { -128 };
                let v = ints(self, [lowest as u8, 127]).into_iter().map(|b| (b as i8).max(lowest));
                Tensor::new(s, &v.collect::<Vec<_>>())
            }
            DType::Bool => {
                let bits: Vec<u8> = (0..n).map(|_| self.below(2) as u8).collect();
                Tensor::from_bytes(o.dtype, s.clone(), &bits).unwrap_or_else(|| Tensor::zeros(o.dtype, s))
            }
            DType::I32 => Tensor::new(s, &(0..n).map(|_| self.below(9) as i32 - 4).collect::<Vec<_>>()),
            DType::I64 => Tensor::new(s, &(0..n).map(|_| self.below(9) as i64 - 4).collect::<Vec<_>>()),
            dtype => Array::int(s, (0..n).map(|_| self.below(9) as i64 - 4).collect()).to_tensor(dtype),
        }
    }

    /// A scale around 0.05.
    pub fn scale(&mut self) -> Scale {
        Scale::symmetric(127.0 * (0.01 + self.below(1000) as f32 * 1e-4))
    }

    /// The quantization of an activation of this type: u8 with zero points at both ends and between.
    pub fn quant(&mut self, dtype: DType) -> QuantParams {
        let zero_point = if dtype == DType::U8 { self.pick(&[0, 0, 1, 77, 128, 254, 255]) } else { 0 };
        QuantParams { dtype, scale: self.scale(), zero_point }
    }

    /// The quantization of a result: `None` for F32.
    pub fn output(&mut self, dtype: DType) -> Option<QuantParams> {
        dtype.is_int8().then(|| self.quant(dtype))
    }
}

/// A u8 range for completeness of the generators' quantizations: scale from a range, as calibration makes it.
fn calibrated(lo: f32, hi: f32) -> QuantParams {
    QuantParams::unsigned(Range { lo, hi })
}

//! The suite that every device passes: each tactic of each problem against the oracle.
//!
//! 8-bit outputs, and F32 outputs of 8-bit nodes, are equal to the oracle's to the last bit; so is whatever only
//! moves. Other outputs in f32 and f16 are within [`tolerance`]. Nothing but the outputs is written: everything else in the
//! arena, gaps between images too, keeps its bytes; so do gaps between rows, but for the room that the device itself
//! wants there. An image's bits are the same alone and in a batch, apart from the next and beside it, and on any number
//! of threads.

use super::problems::{Case, IMAGES};
use crate::base::{DType, Tensor};
use crate::device::interp::{self, Interp};
use crate::device::{Bound, Device, Floats, Numerics, Operand, Program, Slot, Tactic, Work};
use crate::ir::Op;
use crate::ir::ops::{Binary, BinaryFn, Conv, Fused, Linear, ReduceFn};
use bytes::Bytes;
use half::f16;

/// What is where nothing was written.
const POISON: u8 = 0xa5;
/// Bytes between one thing and the next in the arena.
const GUARD: usize = 64;

/// What a device did with the problems.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs of one tactic on one problem.
    pub cases: usize,
    /// Problems for which there is no tactic.
    pub without_tactic: Vec<String>,
    /// What went wrong: problem, tactic, and how.
    pub failures: Vec<String>,
}

/// Tries every tactic of the first device on every case. `devices` differ in the number of threads alone, and their
/// bits must be equal.
pub fn run(devices: &[&dyn Device], cases: &[Case]) -> Summary {
    let mut summary = Summary::default();
    for case in cases {
        let tactics = devices[0].tactics(&case.problem, &case.numerics);
        if tactics.is_empty() {
            summary.without_tactic.push(case.problem.to_string());
        }
        let Some(oracle) = attempt(case, &Interp, &interp::plain()) else {
            summary.failures.push(format!("{}: the reference panicked", case.problem));
            continue;
        };
        for tactic in tactics {
            summary.cases += 1;
            let verdict = match &oracle {
                Ok(oracle) => check(case, devices, &tactic, oracle),
                Err(e) => Err(e.clone()),
            };
            if let Err(why) = verdict {
                summary.failures.push(format!("{} by {tactic}: {why}", case.problem));
            }
        }
    }
    summary
}

/// One tactic on one case.
fn check(case: &Case, devices: &[&dyn Device], tactic: &Tactic, oracle: &Images) -> Result<(), String> {
    let mut first: Option<Images> = None;
    for (d, device) in devices.iter().enumerate() {
        let images = attempt(case, *device, tactic).ok_or("panicked")??;
        match &first {
            Some(f) if *f != images => return Err(format!("other bits on device {d} ({})", device.id())),
            Some(_) => {}
            None => first = Some(images),
        }
    }
    let ours = first.unwrap_or_default();
    let bound = if exact(case, devices[0]) { None } else { Some(tolerance(case)?) };
    for (i, (got, want)) in ours.iter().zip(oracle).enumerate() {
        for (o, operand) in case.problem.outputs.iter().enumerate() {
            compare(operand, &got[o], &want[o], bound.as_ref().map(|b| &b[i][o][..]))
                .map_err(|e| format!("image {i}, output {o}, {e}"))?;
        }
    }
    Ok(())
}

/// For each image, for each output: its bytes.
type Images = Vec<Vec<Vec<u8>>>;

fn attempt(case: &Case, device: &dyn Device, tactic: &Tactic) -> Option<Result<Images, String>> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| execute(case, device, tactic))).ok()
}

/// Runs the case in one batch, and each image alone. The bytes of the outputs, or what else was written.
fn execute(case: &Case, device: &dyn Device, tactic: &Tactic) -> Result<Images, String> {
    let packed =
        device.pack(&case.problem, &case.numerics, tactic, &case.constants).map_err(|e| e.to_string())?;
    let packed: Vec<Bytes> = packed.iter().map(|p| aligned(p)).collect();
    let run = |place: &Placement, sets: &[&[usize]]| -> Result<Vec<Images>, String> {
        let program = place.program(case, tactic, packed.clone());
        let mut executor = device.load(&program).map_err(|e| e.to_string())?;
        let batch = |images: &&[usize]| -> Result<Images, String> {
            let before = place.fill(case, images);
            executor.input(0, 1).copy_from_slice(&before);
            executor.run(images.len(), None).map_err(|e| e.to_string())?;
            place.read(case, device, &before, executor.output(0, 1), images.len())
        };
        sets.iter().map(batch).collect()
    };
    let all: Vec<usize> = (0..IMAGES).collect();
    let alone = all.chunks(1);
    let sets: Vec<&[usize]> = std::iter::once(&all[..]).chain(alone).collect();
    let mut results = run(&Placement::of(case, Gaps::Apart), &sets)?;
    let alone = results.split_off(1).concat();
    let together = results.concat();
    if let Some(i) = (0..IMAGES).find(|&i| alone[i] != together[i]) {
        return Err(format!("image {i} has other bits alone than in a batch"));
    }
    // kernels that want whole lines may take such images for one matrix
    let whole = case.problem.activations().chain(&case.problem.outputs).all(|o| o.extent() % 16 == 0);
    if whole && run(&Placement::of(case, Gaps::None), &sets[..1])?.concat() != together {
        return Err("other bits where one image follows another".into());
    }
    for place in Placement::in_place(case).iter().filter(|_| device.in_place(&case.problem, tactic)) {
        if run(place, &sets[..1])?.concat() != together {
            return Err("other bits where the output lies over an input".into());
        }
    }
    Ok(together)
}

/// What is between one image and the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gaps {
    /// [`GUARD`] bytes and more.
    Apart,
    /// Nothing, as in an engine.
    None,
}

/// Where everything lies in the arena.
struct Placement {
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
    arena: usize,
}

impl Placement {
    fn of(case: &Case, gaps: Gaps) -> Self {
        let mut end = GUARD;
        let mut place = |o: &Operand| {
            let stride = match gaps {
                Gaps::Apart => o.span().next_multiple_of(GUARD) + GUARD,
                Gaps::None => o.extent(),
            };
            let slot = Slot { offset: end, stride };
            end = slot.range(IMAGES).end.next_multiple_of(GUARD) + GUARD;
            slot
        };
        let inputs = case.problem.activations().map(&mut place).collect();
        let outputs = case.problem.outputs.iter().map(&mut place).collect();
        Placement { inputs, outputs, arena: end }
    }

    /// Those where the output lies over an input that it meets element by element, for each such input.
    fn in_place(case: &Case) -> Vec<Self> {
        let over = |i: usize| {
            let input = case.problem.activations().nth(i)?;
            let mut place = Placement::of(case, Gaps::Apart);
            place.outputs[0] = place.inputs[i];
            input.lies_as(&case.problem.outputs[0]).then_some(place)
        };
        case.problem.meets().into_iter().filter_map(over).collect()
    }

    /// The case as a program of one step, whose input and output are the whole arena.
    fn program(&self, case: &Case, tactic: &Tactic, packed: Vec<Bytes>) -> Program {
        let whole = Slot { offset: 0, stride: self.arena };
        let step = Bound {
            name: String::new(),
            problem: case.problem.clone(),
            tactic: tactic.clone(),
            numerics: case.numerics.clone(),
            packed,
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        };
        Program {
            steps: vec![step],
            arena: self.arena,
            max_batch: IMAGES,
            inputs: vec![whole],
            outputs: vec![whole],
            entry: None,
        }
    }

    /// The arena before a run of these images.
    fn fill(&self, case: &Case, images: &[usize]) -> Vec<u8> {
        let mut arena = vec![POISON; self.arena];
        for ((slot, o), data) in self.inputs.iter().zip(case.problem.activations()).zip(&case.inputs) {
            for (at, &i) in images.iter().enumerate() {
                if o.dtype.is_float() {
                    // what lies between rows is no number
                    arena[slot.offset + at * slot.stride..][..o.span()].fill(0xff);
                }
                let image = &data[i * o.bytes()..(i + 1) * o.bytes()];
                let (pieces, len) = o.pieces();
                for (piece, from) in pieces.zip(image.chunks(len.max(1))) {
                    arena[slot.offset + at * slot.stride + piece..][..len].copy_from_slice(from);
                }
            }
        }
        arena
    }

    /// The outputs of `images` images, unless anything else changed.
    fn read(
        &self,
        case: &Case,
        device: &dyn Device,
        before: &[u8],
        after: &[u8],
        images: usize,
    ) -> Result<Images, String> {
        let mut rest = after.to_vec();
        let mut out = vec![Vec::new(); images];
        for (slot, o) in self.outputs.iter().zip(&case.problem.outputs) {
            let own = if device.owns_gaps(o) { o.pitch.unwrap_or(0) * o.dtype.size() } else { 0 };
            for (i, out) in out.iter_mut().enumerate() {
                let (pieces, len) = o.pieces();
                let mut numbers = Vec::with_capacity(o.bytes());
                for at in pieces.map(|at| slot.offset + i * slot.stride + at) {
                    numbers.extend(&after[at..at + len]);
                    let written = at..at + len.max(own);
                    rest[written.clone()].copy_from_slice(&before[written]);
                }
                out.push(numbers);
            }
        }
        match rest.iter().zip(before).position(|(a, b)| a != b) {
            Some(at) => Err(format!("byte {at} of the arena was written, which is no output")),
            None => Ok(out),
        }
    }
}

/// Bytes at an address that is a multiple of 64, as the engine file has them.
fn aligned(bytes: &[u8]) -> Bytes {
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C, align(64))]
    struct Line([u8; 64]);
    struct Owner(Vec<Line>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(64)];
    bytemuck::cast_slice_mut(&mut lines)[..bytes.len()].copy_from_slice(bytes);
    Bytes::from_owner(Owner(lines)).slice(..bytes.len())
}

/// Must the outputs be equal to the oracle's to the last bit? Halves must be, where a device has no kernels for them: it
/// computes them by the definition.
fn exact(case: &Case, device: &dyn Device) -> bool {
    let moves = matches!(&case.problem.op(), None | Some(Op::Transpose(_) | Op::Concat(_) | Op::Slice(_)));
    let defined = !device.computes(Floats::F16) && case.problem.outputs.iter().all(|o| o.dtype == DType::F16);
    !matches!(case.numerics, Numerics::Float | Numerics::Tf32) || moves || defined
}

/// How far each output in f32 or f16 of each image may be from the oracle's; one in f16 half as far as two neighbouring
/// halves are apart, twice, as both are rounded once more ([`compare`]).
///
/// Where products or numbers are added up, `(n + 8) eps` times the sum of their absolute values, for `n` of them: the
/// oracle computes that sum on absolute inputs (Higham, Accuracy and Stability of Numerical Algorithms, 3.1); with factors
/// rounded to TF32, `2^-10` more. A function
/// that is fused makes 9/8 of that at most, which is the slope of GELU, and adds its own error, as below.
/// Elsewhere `32 eps max(1, |y|)`, and for rows that are normalized `n eps` more.
fn tolerance(case: &Case) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let eps = f64::from(f32::EPSILON);
    let (sums, length) = sums(case);
    let mut reference = if sums { absolute(case) } else { case.clone() };
    let halves = reference.problem.outputs.iter_mut().filter(|o| o.dtype == DType::F16);
    halves.for_each(|o| o.dtype = DType::F32);
    let tactic = &interp::plain();
    let images = execute(&reference, &Interp, tactic)?;
    let function = case.problem.op().is_some_and(|op| op.fused().function.is_some());
    // factors of 11 bits
    let factors = if case.numerics == Numerics::Tf32 { 2f64.powi(-10) } else { 0.0 };
    let sum = (length as f64 + 8.0) * eps + factors;
    let each = |y: f64| match sums {
        true if function => 1.13 * sum * y + 32.0 * eps * y.max(1.0),
        true => sum * y,
        false => (length as f64 + 32.0) * eps * y.abs().max(1.0),
    };
    let output = |(o, bytes): (&Operand, &Vec<u8>)| -> Vec<f64> {
        match o.dtype {
            DType::F32 => floats(o.dtype, bytes).map(|y| each(y.into())).collect(),
            _ => vec![],
        }
    };
    Ok(images.iter().map(|i| reference.problem.outputs.iter().zip(i).map(output).collect()).collect())
}

/// Is every output a sum of products or numbers? How many of them, or how long is a row?
fn sums(case: &Case) -> (bool, usize) {
    let p = &case.problem;
    let (x, y) = (&p.inputs[0].shape, &p.outputs[0].shape);
    match p.op() {
        Some(Op::Conv(_)) => (true, p.inputs[1].shape[1..].iter().product()),
        Some(Op::Linear(_) | Op::MatMul(_)) => (true, x[x.rank() - 1]),
        Some(Op::Pool(_)) => (true, x[2] * x[3]),
        Some(Op::Reduce(r)) => {
            let other = matches!(r.f, ReduceFn::Min | ReduceFn::Max | ReduceFn::LogSum | ReduceFn::LogSumExp);
            (!other, x.numel() / y.numel().max(1))
        }
        Some(Op::Binary(b)) => (matches!(b.f, BinaryFn::Add | BinaryFn::Mul), 1),
        Some(Op::Softmax(_) | Op::LayerNorm(_) | Op::GroupNorm(_)) => (false, x.numel()),
        _ => (false, 1),
    }
}

/// The case with absolute numbers, without function and activation.
fn absolute(case: &Case) -> Case {
    let mut c = case.clone();
    // a float's sign is its last bit
    let positive = |dtype: DType, bytes: &[u8]| -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if dtype.is_float() {
            bytes.iter_mut().skip(dtype.size() - 1).step_by(dtype.size()).for_each(|b| *b &= 0x7f);
        }
        bytes
    };
    let tensor = |t: &Tensor| {
        let bytes = positive(t.dtype(), t.bytes());
        Tensor::from_bytes(t.dtype(), t.shape().clone(), &bytes).unwrap_or_else(|| t.clone())
    };
    c.constants = case.constants.iter().map(tensor).collect();
    let inputs = case.inputs.iter().zip(case.problem.activations());
    c.inputs = inputs.map(|(b, o)| positive(o.dtype, b)).collect();
    if let Work::Op(
        Op::Conv(Conv { fused, .. }) | Op::Linear(Linear { fused }) | Op::Binary(Binary { fused, .. }),
    ) = &mut c.problem.work
    {
        *fused = Fused { residual: fused.residual, ..Fused::default() };
    }
    c
}

fn floats(dtype: DType, bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(dtype.size()).map(move |b| match dtype {
        DType::F16 => f16::from_le_bytes([b[0], b[1]]).to_f32(),
        _ => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
    })
}

/// From a half to the next, at most; 0 for other types.
fn last_place(dtype: DType, x: f32) -> f64 {
    match dtype {
        DType::F16 => f64::from(x.abs() * 2f32.powi(-10)).clamp(2f64.powi(-24), 32.0),
        _ => 0.0,
    }
}

fn compare(o: &Operand, got: &[u8], want: &[u8], bound: Option<&[f64]>) -> Result<(), String> {
    let differs = |i: usize, g: String, w: String| Err(format!("place {i}: {g} where the reference has {w}"));
    if !matches!(o.dtype, DType::F32 | DType::F16) {
        return match got.iter().zip(want).position(|(g, w)| g != w) {
            Some(i) => differs(i, got[i].to_string(), want[i].to_string()),
            None => Ok(()),
        };
    }
    for (i, (g, w)) in floats(o.dtype, got).zip(floats(o.dtype, want)).enumerate() {
        let within = match bound {
            // NaN is equal to itself here
            Some(b) => {
                let far = (f64::from(g) - f64::from(w)).abs();
                g.is_nan() && w.is_nan() || far <= b[i] + last_place(o.dtype, w)
            }
            None => g.to_bits() == w.to_bits(),
        };
        if !within && g != w {
            let bound = bound.map_or(String::new(), |b| format!(" (bound {:e})", b[i]));
            return differs(i, format!("{g:?}{bound}"), format!("{w:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::{Cpu, Isa};
    use crate::device::cuda::Cuda;
    use crate::testing::problems;

    /// Prints what happened; the number of failures.
    fn report(device: &str, problems: usize, s: &Summary) -> usize {
        println!(
            "{device}: {problems} problems, {} runs, {} failed, {} without a tactic",
            s.cases,
            s.failures.len(),
            s.without_tactic.len()
        );
        s.without_tactic.iter().for_each(|p| println!("  no tactic: {p}"));
        s.failures.iter().take(40).for_each(|f| println!("  FAILED {f}"));
        s.failures.len()
    }

    #[test]
    fn every_tactic_of_the_gpu_equals_the_reference() {
        on_the_gpu(problems::all());
    }

    #[test]
    fn every_tactic_of_the_gpu_equals_the_reference_in_halves() {
        on_the_gpu(problems::in_halves());
    }

    #[test]
    fn every_tactic_of_the_gpu_equals_the_reference_in_tf32() {
        on_the_gpu(problems::in_tf32());
    }

    /// The cases whose text contains what `QUANTIZE_PROBLEMS` says, and of those one in `QUANTIZE_SAMPLE`; all without.
    fn chosen(cases: Vec<Case>) -> Vec<Case> {
        let one_in = std::env::var("QUANTIZE_SAMPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
        let mut cases: Vec<Case> = cases.into_iter().step_by(one_in).collect();
        if let Ok(some) = std::env::var("QUANTIZE_PROBLEMS") {
            cases.retain(|c| c.problem.to_string().contains(&some));
        }
        cases
    }

    /// How many of the cases fail, in so many parts beside one another.
    fn failures(name: &str, cases: &[Case], parts: usize, devices: &[&dyn Device]) -> usize {
        let of_part = |part: usize| cases.iter().skip(part).step_by(parts).cloned().collect::<Vec<_>>();
        std::thread::scope(|scope| {
            let run = |part| report(name, of_part(part).len(), &run(devices, &of_part(part)));
            let threads: Vec<_> = (0..parts).map(|part| scope.spawn(move || run(part))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        })
    }

    fn on_the_gpu(cases: Vec<Case>) {
        let cases = chosen(cases);
        match Cuda::open(0) {
            // kernels are compiled beside one another
            Ok(gpu) => assert_eq!(failures(&gpu.id().to_string(), &cases, 16, &[&gpu]), 0),
            Err(why) => println!("cuda: absent ({}), {} problems skipped", why.what, cases.len()),
        }
    }

    #[test]
    fn every_tactic_of_every_instruction_set_equals_the_reference() {
        let cases = chosen(problems::all());
        let mut failed = 0;
        for isa in Isa::ALL {
            if !isa.available() {
                println!("cpu/{isa}: absent, {} problems skipped", cases.len());
                continue;
            }
            let devices = [1, 2, 3].map(|threads| Cpu { isa, threads, ..Cpu::host() });
            let devices: Vec<&dyn Device> = devices.iter().map(|d| d as &dyn Device).collect();
            failed += failures(&format!("cpu/{isa}"), &cases, crate::base::machine::threads(), &devices);
        }
        assert_eq!(failed, 0);
    }
}

//! How long the GPU's kernels take on layers of common sizes:
//! `cargo test --lib kernels_take -- --ignored --nocapture`

use crate::base::quant::{Activation, Epilogue, QuantParams};
use crate::base::random::SplitMix64;
use crate::base::{DType, Tensor};
use crate::device::cuda::Cuda;
use crate::device::{Bound, Device, Layout, Numerics, Operand, Problem, Program, Slot, Tactic, Work};
use crate::ir::ops::{
    Binary, BinaryFn, Conv, Fused, LayerNorm, Linear, MatMul, Pads, Pool, PoolFn, Reduce, ReduceFn, Softmax,
    Transpose, Unary, UnaryFn, Window,
};
use crate::ir::{Array, Fact, Op};
use crate::tune::{TimingCache, Tuner};
use std::time::Duration;

/// Images of a run: far more bytes than the second-level cache holds.
const IMAGES: usize = 256;

const NHWC: Layout = Layout::ChannelsLast;

fn operand(dtype: DType, shape: &[usize], layout: Layout) -> Operand {
    Operand::new(dtype, shape.to_vec().into(), layout)
}

fn problem(device: &Cuda, op: impl Into<Op>, inputs: Vec<Operand>, out: (DType, Layout)) -> Problem {
    let op = op.into();
    let facts: Vec<Fact> = inputs.iter().map(|o| Fact { dtype: o.dtype, shape: o.shape.clone() }).collect();
    let outputs = op.infer(&facts).unwrap();
    let outputs = outputs.into_iter().map(|f| device.stored(Operand::new(out.0, f.shape, out.1))).collect();
    Problem { work: Work::Op(op), inputs, outputs }
}

/// Layers of classifiers of 224 x 224 pixels.
fn layers(device: &Cuda) -> Vec<(Problem, Numerics)> {
    let (f, u, plain) = (DType::F32, DType::U8, Layout::Plain);
    let q = QuantParams::signed(3.0);
    let q = QuantParams { dtype: u, zero_point: 7, ..q };
    let pixels = [1, 3, 224, 224];
    let input = Problem {
        work: Work::Reformat,
        inputs: vec![operand(f, &pixels, plain)],
        outputs: vec![device.stored(operand(u, &pixels, NHWC))],
    };
    let back = Problem {
        work: Work::Reformat,
        inputs: vec![operand(u, &[1, 256, 56, 56], NHWC)],
        outputs: vec![operand(f, &[1, 256, 56, 56], plain)],
    };
    let maximum = Pool { f: PoolFn::Max, window: Some(Window::new([3, 3], [2, 2])) };
    let mean = Pool { f: PoolFn::Average { include_pad: false }, window: None };
    let wide = |t| operand(t, &[1, 64, 112, 112], NHWC);
    let last = |t| operand(t, &[1, 2048, 7, 7], NHWC);
    let block = |t| operand(t, &[1, 256, 56, 56], NHWC);
    let tokens = operand(f, &[1, 197, 768], plain);
    let row = Operand::constant(f, [768].into());
    let heads = [operand(f, &[1, 12, 197, 64], plain), operand(f, &[1, 12, 64, 197], plain)];
    let op = |op: Op, inputs: Vec<Operand>, out| (problem(device, op, inputs, out), Numerics::Float);
    let int = |op: Op, inputs: Vec<Operand>, n: Numerics| (problem(device, op, inputs, (u, NHWC)), n);
    let none = Activation::None;
    let softmax = Softmax { axis: -1, log: false, flatten: false };
    let sum = Reduce { f: ReduceFn::Mean, axes: vec![1], keepdims: false, noop: false };
    let mut all = vec![
        (input, Numerics::Quantize(q)),
        (back, Numerics::rescale(&[q], None)),
        int(maximum.clone().into(), vec![wide(u)], Numerics::Integers),
        op(maximum.into(), vec![wide(f)], (f, NHWC)),
        int(mean.clone().into(), vec![last(u)], Numerics::average(q, Some(q))),
        op(mean.into(), vec![last(f)], (f, NHWC)),
        int(Binary::new(BinaryFn::Add).into(), vec![block(u); 2], Numerics::add(q, q, Some(q), none)),
        op(Binary::new(BinaryFn::Add).into(), vec![block(f); 2], (f, NHWC)),
        int(Unary { f: UnaryFn::Silu }.into(), vec![block(u)], Numerics::table(&UnaryFn::Silu, q, q)),
        op(Unary { f: UnaryFn::Gelu }.into(), vec![tokens.clone()], (f, plain)),
        op(LayerNorm { axis: -1, epsilon: 1e-5 }.into(), vec![tokens.clone(), row.clone(), row], (f, plain)),
        op(sum.into(), vec![tokens.clone()], (f, plain)),
        op(softmax.into(), vec![operand(f, &[1, 12, 197, 197], plain)], (f, plain)),
        op(MatMul.into(), heads.to_vec(), (f, plain)),
        op(
            Transpose { perm: vec![0, 2, 1, 3] }.into(),
            vec![operand(f, &[1, 197, 12, 64], plain)],
            (f, plain),
        ),
    ];
    let deep = [
        (32, 112, 3, 1),
        (96, 112, 3, 2),
        (144, 56, 3, 1),
        (576, 14, 3, 1),
        (240, 28, 5, 2),
        (672, 14, 5, 1),
    ];
    let types = [f, DType::F16, DType::I8];
    all.extend(deep.iter().flat_map(|&form| types.map(|x| depthwise(device, x, form))));
    all
}

/// A depthwise convolution: channels, size, kernel and stride.
fn depthwise(device: &Cuda, x: DType, form: (usize, usize, usize, usize)) -> (Problem, Numerics) {
    let (channels, size, kernel, stride) = form;
    let window = Window { pads: Pads::Explicit([kernel / 2; 4]), ..Window::new([0, 0], [stride; 2]) };
    let op = Conv { window, groups: channels, fused: Fused::default() };
    let w = if x.is_int8() { DType::I8 } else { x };
    let image = operand(x, &[1, channels, size, size], NHWC);
    let inputs = vec![image, Operand::constant(w, [channels, 1, kernel, kernel].into())];
    let q = QuantParams { dtype: x, ..QuantParams::signed(3.0) };
    let numerics = match x.is_int8() {
        true => {
            let (scales, none) = (vec![q.scale; channels], vec![0.0; channels]);
            let epilogue = Epilogue::new(q.scale, &scales, &none, None, Fused::default().after(), Some(q));
            Numerics::Multiply { zero_point: 0, epilogue }
        }
        false => Numerics::Float,
    };
    (problem(device, op, inputs, (x, NHWC)), numerics)
}

/// All problems, or those whose text contains what `QUANTIZE_PROBLEMS` says.
fn chosen(p: &Problem) -> bool {
    std::env::var("QUANTIZE_PROBLEMS").map_or(true, |some| p.to_string().contains(&some))
}

fn constant(rng: &mut SplitMix64, o: &Operand) -> Tensor {
    let reals: Vec<f32> = (0..o.shape.numel()).map(|_| rng.signed_unit()).collect();
    match o.dtype {
        DType::I8 => {
            Tensor::new(o.shape.clone(), &reals.iter().map(|v| (v * 127.0) as i8).collect::<Vec<_>>())
        }
        dtype => Array::real(o.shape.clone(), reals.iter().map(|&v| v.into()).collect()).to_tensor(dtype),
    }
}

/// Times that a run has a step, one behind the other: one alone would seem to take as long as it takes to start a run.
const REPEATS: usize = 8;

/// The shortest of several runs, on the GPU alone.
fn time(
    device: &Cuda,
    (p, n): (&Problem, &Numerics),
    tactic: &Tactic,
    constants: &[Tensor],
    images: usize,
) -> Duration {
    let mut end = 0;
    let mut place = |o: &Operand| {
        let slot = Slot { offset: end, stride: o.extent() };
        end = slot.range(images).end.next_multiple_of(64);
        slot
    };
    let inputs: Vec<Slot> = p.activations().map(&mut place).collect();
    let outputs: Vec<Slot> = p.outputs.iter().map(&mut place).collect();
    let packed = device.pack(p, n, tactic, constants).unwrap();
    let packed = packed.into_iter().map(Into::into).collect();
    let step = Bound {
        name: String::new(),
        problem: p.clone(),
        tactic: tactic.clone(),
        numerics: n.clone(),
        packed,
        inputs,
        outputs,
    };
    let program = Program {
        steps: vec![step; REPEATS],
        arena: end,
        max_batch: images,
        inputs: vec![],
        outputs: vec![],
        entry: None,
    };
    let mut run = device.load(&program).unwrap();
    (0..12).map(|_| run.time(images).unwrap()).min().unwrap() / REPEATS as u32
}

fn print(device: &Cuda, p: &Problem, n: &Numerics, constants: &[Tensor]) {
    let bytes: usize = p.activations().chain(&p.outputs).map(|o| o.bytes() * IMAGES).sum();
    for tactic in device.tactics(p, n) {
        let t = time(device, (p, n), &tactic, constants, IMAGES);
        let rate = bytes as f64 / t.as_secs_f64() / 1e9;
        println!("{:9.1} us {rate:7.1} GB/s  {tactic:<22} {p}", t.as_secs_f64() * 1e6);
    }
}

#[test]
#[ignore = "a measurement"]
fn kernels_take() {
    let device = match Cuda::open(0) {
        Ok(gpu) => gpu,
        Err(why) => return println!("cuda: absent ({})", why.what),
    };
    println!("{} images each, on {}", IMAGES, device.gpu().name);
    let mut rng = SplitMix64::new(1);
    let layers: Vec<Layer> = layers(&device).into_iter().filter(|(p, _)| chosen(p)).collect();
    device.warm(&layers.iter().map(|(p, n)| (p, n)).collect::<Vec<_>>());
    for (p, n) in layers {
        let constants =
            p.inputs.iter().filter(|o| o.constant).map(|o| constant(&mut rng, o)).collect::<Vec<_>>();
        print(&device, &p, &n, &constants);
    }
}

/// Two operators in one step beside both alone; at the largest batch what is one step is compared with the oracle too.
/// `cargo test --lib pairs_take -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn pairs_take() {
    let device = match Cuda::open(0) {
        Ok(gpu) => gpu,
        Err(why) => return println!("cuda: absent ({})", why.what),
    };
    let mut rng = SplitMix64::new(1);
    for ((first, a), (second, b)) in pairs(&device).into_iter().filter(|(first, _)| chosen(&first.0)) {
        let constants_of = |p: &Problem, rng: &mut SplitMix64| -> Vec<Tensor> {
            p.inputs.iter().filter(|o| o.constant).map(|o| constant(rng, o)).collect()
        };
        let (of_first, of_second) = (constants_of(&first, &mut rng), constants_of(&second, &mut rng));
        let both = [&of_first[..], &of_second].concat();
        let pair = Problem::pair(&first, &second).unwrap();
        let numerics = Numerics::Pair(Box::new((a.clone(), b.clone())));
        for images in [1, 8, 32, IMAGES] {
            let fastest = |p: &Problem, n: &Numerics, constants: &[Tensor]| {
                let tactics = device.tactics(p, n);
                let timed =
                    tactics.iter().map(|t| (time(&device, (p, n), t, constants, images), t.to_string()));
                let mut timed: Vec<_> = timed.collect();
                timed.sort();
                // of a pair all
                for (time, tactic) in timed.iter().take(if p.halves().is_some() { usize::MAX } else { 1 }) {
                    println!("{images:4} images {:8.1} us  {tactic:<22} {p}", time.as_secs_f64() * 1e6);
                }
            };
            fastest(&first, &a, &of_first);
            fastest(&second, &b, &of_second);
            fastest(&pair, &numerics, &both);
        }
        let mut tuner = Tuner::new(&device, TimingCache::default(), None);
        tuner.set_batch(IMAGES);
        for c in tuner.best(&pair, &numerics, &both).unwrap().candidates {
            println!("{}: {}", c.tactic, c.verdict);
        }
    }
}

type Layer = (Problem, Numerics);

/// The first layers of ResNet-50, and of MobileNetV2 and EfficientNet-Lite0 those whose tensors are largest; heads of all.
fn pairs(device: &Cuda) -> Vec<(Layer, Layer)> {
    let q = QuantParams { dtype: DType::U8, zero_point: 114, ..QuantParams::signed(2.6) };
    let stem = conv(device, [3, 224], [7, 2], 64, 1, q);
    let window = Window { pads: Pads::Explicit([1; 4]), ..Window::new([3; 2], [2; 2]) };
    let maximum = Pool { f: PoolFn::Max, window: Some(window) };
    let pool = problem(device, maximum, stem.0.outputs.clone(), (DType::U8, NHWC));
    let mut all = vec![(stem, (pool, Numerics::Integers))];
    let layers = [
        (32, 112, 3, 1, 16),
        (96, 112, 3, 2, 24),
        (144, 56, 3, 1, 24),
        (144, 56, 3, 2, 32),
        (144, 56, 5, 2, 40),
    ];
    for (channels, size, kernel, stride, outputs) in layers {
        let q = QuantParams { zero_point: 0, ..q };
        let deep = conv(device, [channels, size], [kernel, stride], channels, channels, q);
        let point = conv(device, [channels, size / stride], [1, 1], outputs, 1, q);
        all.push((deep, point));
    }
    for (channels, outputs) in [(2048, 1000), (2048, 10), (1280, 1000), (1280, 10)] {
        all.push(head(device, channels, outputs, q));
    }
    all
}

/// The mean of 7 x 7 pixels and the products of their channels.
fn head(device: &Cuda, channels: usize, outputs: usize, q: QuantParams) -> (Layer, Layer) {
    let mean = Pool { f: PoolFn::Average { include_pad: false }, window: None };
    let x = operand(q.dtype, &[1, channels, 7, 7], NHWC);
    let mean = (problem(device, mean, vec![x], (q.dtype, NHWC)), Numerics::average(q, Some(q)));
    let w = Operand::constant(DType::I8, [outputs, channels].into());
    let fused = Fused::default();
    let scales = vec![QuantParams::signed(0.3).scale; outputs];
    let epilogue = Epilogue::new(q.scale, &scales, &vec![0.1; outputs], None, fused.after(), None);
    let read = operand(q.dtype, &[1, channels], Layout::Plain);
    let linear = problem(device, Linear { fused }, vec![read, w], (DType::F32, Layout::Plain));
    (mean, (linear, Numerics::Multiply { zero_point: q.zero_point, epilogue }))
}

/// A convolution of an image of so many channels and so wide, by a kernel of this width and stride.
fn conv(
    device: &Cuda,
    [channels, size]: [usize; 2],
    [kernel, stride]: [usize; 2],
    outputs: usize,
    groups: usize,
    q: QuantParams,
) -> Layer {
    let pads = Pads::Explicit([kernel / 2; 4]);
    let window = Window { pads, ..Window::new([kernel; 2], [stride; 2]) };
    let x = device.stored(operand(q.dtype, &[1, channels, size, size], NHWC));
    let w = Operand::constant(DType::I8, [outputs, channels / groups, kernel, kernel].into());
    let fused = Fused { activation: Activation::Relu, ..Fused::default() };
    let scales = vec![QuantParams::signed(0.3).scale; outputs];
    let y = QuantParams { dtype: DType::U8, zero_point: 0, ..QuantParams::signed(4.0) };
    let epilogue = Epilogue::new(q.scale, &scales, &vec![0.1; outputs], None, fused.after(), Some(y));
    let multiply = Numerics::Multiply { zero_point: q.zero_point, epilogue };
    (problem(device, Conv { window, groups, fused }, vec![x, w], (DType::U8, NHWC)), multiply)
}

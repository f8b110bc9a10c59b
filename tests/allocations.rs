//! A run of a loaded program allocates nothing.
//!
//! The exception is the CPU's family `plain`, which evaluates an operator by its definition. Only what no other family
//! takes falls to it: products of computed matrices by Gemm, or of a constant by a computed matrix; convolutions and
//! normalizations whose weights are computed; Gather with computed indices; QuantizeLinear and DequantizeLinear that
//! no operator absorbs; operators between floats other than f32.
#![allow(clippy::unwrap_used)] // a test may panic

use ::quantize::base::quant::Range;
use ::quantize::base::{DType, Silent, Tensor};
use ::quantize::calib::shards::TensorStats;
use ::quantize::device::cpu::Cpu;
use ::quantize::device::{Bound, Device, Layout, Numerics, Operand, Problem, Program, Slot, Work};
use ::quantize::engine::{Origin, Session, Settings, build};
use ::quantize::ir::Graph;
use ::quantize::ir::ops::{Fused, Linear, Softmax, Unary, UnaryFn};
use ::quantize::onnx::{ImportOptions, import};
use ::quantize::quant;
use ::quantize::quant::annotate::params;
use ::quantize::rewrite::{self, RULES};
use ::quantize::tune::{TimingCache, Tuner};
use std::alloc::{GlobalAlloc, Layout as Size, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, size: Size) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(size) }
    }
    unsafe fn dealloc(&self, p: *mut u8, size: Size) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, since tests of one binary run at the same time and would count one another's.
#[test]
fn runs_allocate_nothing() {
    a_program();
    the_demo_engines();
    rare_operators();
    statistics();
}

/// The repository's model, in float and in 8 bits, over every batch.
fn the_demo_engines() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("calib_data/eurosat/resnet_eurosat.onnx");
    for int8 in [false, true] {
        engine(import(&path, &ImportOptions::default()).unwrap().graph, int8);
    }
}

/// Operators that the model does not have, each in a form that no rewrite takes away.
fn rare_operators() {
    let text = r#"
graph g
input %x: f32[1,6,9,10]
const %scale: f32[6] = [0.5,-1.0,1.0,2.0,0.25,1.5]
const %bias: f32[6] = [0.0,0.5,-0.5,1.0,0.0,-1.0]
const %third: f32[3] = [1.0,0.5,-1.0]
const %level: f32[] = [2.0]
const %one: i64[] = [1]
%instance: f32[1,6,9,10] = InstanceNormalization(%x, %scale, %bias)  # instance
%group: f32[1,6,9,10] = GroupNormalization(%instance, %third, %third) {num_groups=3}  # group
%lrn: f32[1,6,9,10] = LRN(%group) {size=5}  # lrn
%larger: f32[1,6,18,15] = Resize(%lrn) {mode="linear", sizes=[1,6,18,15]}  # larger
%nearest: f32[1,6,9,30] = Resize(%larger) {sizes=[1,6,9,30]}  # nearest
%padded: f32[1,6,10,33] = Pad(%nearest) {pads=[0,0,1,2,0,0,0,1], value=1.5}  # padded
%norm: f32[1,1,10,1] = ReduceL2(%padded) {axes=[1,3]}  # norm
%exponents: f32[1,6,10,1] = ReduceLogSumExp(%padded) {axes=[3]}  # exponents
%best: i64[1,1,10,33] = ArgMax(%padded) {axis=1}  # best
%next: i64[1,1,10,33] = Add(%best, %one)  # next
%number: f32[1,1,10,33] = Cast(%next) {to=1}  # number
%less: bool[1,1,10,33] = Less(%number, %level)  # less
%not: bool[1,1,10,33] = Not(%less)  # not
%chosen: f32[1,6,10,33] = Where(%not, %padded, %number)  # chosen
%scaled: f32[1,6,10,33] = Div(%chosen, %norm)  # scaled
%y: f32[1,6,10,33] = Sub(%scaled, %exponents)  # y
output %y
"#;
    engine(Graph::parse(text).unwrap(), false);
}

/// Builds an engine and runs it over every batch.
fn engine(mut g: Graph, int8: bool) {
    let cpu = Cpu { threads: 2, ..Cpu::host() };
    rewrite::run(&mut g, RULES).unwrap();
    let settings = quant::Settings { int8, ..quant::Settings::default() };
    let mut codings = quant::codings(&g, &settings);
    let mut ranges: Vec<_> = codings.iter().map(|c| c.map(|_| Range::symmetric(4.0))).collect();
    quant::decide(&mut g, &settings, |v| ranges[v.index()].is_some());
    quant::unify(&g, &mut codings, &mut ranges);
    let all: Vec<_> = codings.iter().zip(&ranges).map(|(c, r)| Some(params((*c)?, (*r)?))).collect();
    quant::annotate(&mut g, &all);
    let mut tuner = Tuner::new(&cpu, TimingCache::default(), None).in_order();
    let settings = Settings { max_batch: 4, ..Settings::default() };
    let e = build(&g, &cpu, &mut tuner, settings, Origin::default(), &Silent).unwrap();
    assert_eq!(e.plan.steps.iter().any(|s| s.is_int8()), int8);
    for s in &e.plan.steps {
        assert_ne!(s.choice.tactic.family, "plain", "{}", s.problem);
    }
    let mut session = Session::new(&e, &cpu).unwrap();
    session.step(4, None).unwrap();
    let numbers = session.output_slice(0, 1).len();
    let before = COUNT.load(Ordering::Relaxed);
    for n in 1..=4 {
        session.input_mut(0, n).fill(n as f32);
        session.step(n, None).unwrap();
        assert_eq!(session.output_slice(0, n).len(), numbers * n);
    }
    assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0, "{}, int8: {int8}", g.name);
}

/// A tensor's statistics take the same memory however many samples they have seen.
fn statistics() {
    let mut stats = TensorStats::new(8);
    let values: Vec<f32> = (0..800).map(|i| i as f32 * 0.37 - 100.0).collect();
    (0..10).for_each(|i| stats.update(i, &values, 100));
    let before = COUNT.load(Ordering::Relaxed);
    (10..500).for_each(|i| stats.update(i, &values, 100));
    assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0);
}

/// Three steps by hand.
fn a_program() {
    let cpu = Cpu { threads: 3, ..Cpu::host() };
    let vector = || Operand::new(DType::F32, [1, 64].into(), Layout::Plain);
    let weight = Operand::constant(DType::F32, [64, 64].into());
    let linear = Work::Op(Linear { fused: Fused::default() }.into());
    let softmax = Work::Op(Softmax { axis: -1, log: false, flatten: false }.into());
    let works = [
        (linear, vec![vector(), weight]),
        (Work::Op(Unary { f: UnaryFn::Relu }.into()), vec![vector()]),
        (softmax, vec![vector()]),
    ];
    let slot = |i: usize| Slot { offset: i * 1024, stride: 256 };
    let steps = works.into_iter().enumerate().map(|(i, (work, inputs))| {
        let constants: Vec<Tensor> =
            inputs.iter().filter(|o| o.constant).map(|o| Tensor::zeros(o.dtype, o.shape.clone())).collect();
        let problem = Problem { work, inputs, outputs: vec![vector()] };
        let tactic = cpu.tactics(&problem, &Numerics::Float).remove(0);
        assert_ne!(tactic.family, "plain", "{problem}");
        let packed = cpu.pack(&problem, &Numerics::Float, &tactic, &constants).unwrap();
        let packed = packed.into_iter().map(Into::into).collect();
        let (inputs, outputs) = (vec![slot(i)], vec![slot(i + 1)]);
        Bound { name: String::new(), problem, tactic, numerics: Numerics::Float, packed, inputs, outputs }
    });
    let program = Program {
        steps: steps.collect(),
        arena: 4096,
        max_batch: 4,
        inputs: vec![slot(0)],
        outputs: vec![slot(3)],
        entry: None,
    };
    let mut executor = cpu.load(&program).unwrap();
    executor.run(4, None).unwrap(); // threads have started
    let before = COUNT.load(Ordering::Relaxed);
    for images in [1, 2, 3, 4] {
        executor.run(images, None).unwrap();
    }
    assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0);
}

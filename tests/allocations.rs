//! A run of a loaded program allocates nothing.

use ::quantize::base::{DType, Tensor};
use ::quantize::device::cpu::Cpu;
use ::quantize::device::{Bound, Device, Layout, Numerics, Operand, Problem, Program, Slot, Work};
use ::quantize::ir::ops::{Fused, Linear, Softmax, Unary, UnaryFn};
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

#[test]
fn a_run_allocates_nothing() {
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
        let tactic = cpu.tactics(&problem).remove(0);
        assert_ne!(tactic.family, "plain", "{problem}");
        let packed = cpu.pack(&problem, &tactic, &constants).unwrap().into_iter().map(Into::into).collect();
        let (inputs, outputs) = (vec![slot(i)], vec![slot(i + 1)]);
        Bound { problem, tactic, numerics: Numerics::Float, packed, inputs, outputs }
    });
    let program = Program {
        steps: steps.collect(),
        arena: 4096,
        max_batch: 4,
        inputs: vec![slot(0)],
        outputs: vec![slot(3)],
    };
    let mut executor = cpu.load(&program).unwrap();
    executor.run(4, None).unwrap(); // threads have started
    let before = COUNT.load(Ordering::Relaxed);
    for images in [1, 2, 3, 4] {
        executor.run(images, None).unwrap();
    }
    assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0);
}

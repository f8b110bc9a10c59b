//! Engines that store floats in halves.

use super::*;
use crate::base::DType;
use crate::device::Floats;
use crate::device::cuda::Cuda;
use crate::testing::quantized::build_in;

/// A block and a head: float and 8-bit nodes side by side, one that moves, one that only the caller reads.
fn network() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w1", &[4, 4, 3, 3], 0.2)
        + &constant("w2", &[3, 4], 0.5)
        + &conv("a", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,4,6,6")
        + "%s: f32[1,4,6,6] = Softmax(%a) {axis=1}  # soft\n"
        + "%t: f32[1,4,6,6] = Add(%s, %a)  # sum\n"
        + "%p: f32[1,4,1,1] = GlobalAveragePool(%t)  # pool\n"
        + "%f: f32[1,4] = Flatten(%p)  # flat\n%y: f32[1,3] = Linear(%f, %w2)  # head\noutput %y\noutput %t\n";
    let mut g = Graph::parse(&text).unwrap();
    with_scales(&mut g, &Settings::default());
    g
}

#[test]
fn floats_between_nodes_are_halves() {
    let engine = build_in(&network(), &Interp, 2, Floats::F16).unwrap();
    let plan = &engine.plan;
    let ports: Vec<_> = plan.inputs.iter().chain(&plan.outputs).map(|p| p.buffer).collect();
    for (i, b) in plan.buffers.iter().enumerate() {
        let port = ports.contains(&crate::plan::BufferId::from(i));
        let want = if port { DType::F32 } else { DType::F16 };
        assert!(b.quant.is_some() || b.operand.dtype == want, "{} is {}", b.value, b.operand);
    }
    let step = |name: &str| plan.steps.iter().find(|s| s.name == name && s.problem.op().is_some()).unwrap();
    assert!(step("soft").is_half() && step("head").is_int8() && plan.has_halves());
    // the head writes f32 for the caller; the sum, which is read too, halves that are converted
    assert_eq!(step("head").problem.outputs[0].dtype, DType::F32);
    assert_eq!(plan.steps.iter().filter(|s| s.name == "t" && s.problem.op().is_none()).count(), 2, "{plan}");
}

#[test]
fn the_cpu_refuses_halves() {
    let e = build_in(&network(), &cpu(), 1, Floats::F16).map(|_| ()).unwrap_err();
    assert_eq!(e.code.id, "Q0511", "{e}");
    assert!(build_in(&network(), &cpu(), 1, Floats::F32).is_ok());
}

/// On the oracle close to FP32, and on the GPU close to the oracle.
#[test]
fn random_graphs_in_halves() {
    let gpu = Cuda::open(0).ok();
    for seed in 0..40 {
        for int8 in [false, true] {
            let mut g = crate::ir::r#gen::random(seed);
            crate::rewrite::run(&mut g, RULES).unwrap();
            with_scales(&mut g, &Settings { int8, ..Settings::default() });
            let inputs = samples(&g);
            let on = |device: &dyn Device| {
                let engine = build_in(&g, device, 4, Floats::F16).unwrap_or_else(|e| panic!("{e}\n{g:#}"));
                run(&engine, device, &inputs).unwrap()
            };
            let (oracle, float) = (on(&Interp), exact(&g, &inputs));
            for (a, x) in oracle.iter().zip(&float).filter(|_| !int8) {
                assert!(sqnr(x, a) > 45.0, "{} dB from FP32\n{g:#}", sqnr(x, a));
            }
            for (a, b) in gpu.iter().flat_map(|gpu| on(gpu)).zip(&oracle) {
                assert!(sqnr(b, &a) > 30.0, "{} dB from the oracle\n{g:#}", sqnr(b, &a));
            }
        }
    }
}

//! A quantized model keeps its scales, and its engine computes what ONNX Runtime computes of it.

use ndarray::{Array2, Array4};
use quantize::base::Silent;
use quantize::device::Device;
use quantize::device::cpu::Cpu;
use quantize::device::interp::Interp;
use quantize::engine::{Origin, Session, Settings, build};
use quantize::ir::Graph;
use quantize::onnx::{ImportOptions, import};
use quantize::rewrite::RULES;
use quantize::tune::{TimingCache, Tuner};
use quantize::{quant, rewrite};
use std::path::{Path, PathBuf};

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name)
}

/// The Q/DQ model with precisions, without any calibration.
fn quantized() -> Graph {
    let mut g = import(&model("qdq.onnx"), &ImportOptions::default()).unwrap().graph;
    rewrite::run(&mut g, RULES).unwrap();
    quant::decide(&mut g, &quant::Settings::default(), |_| false);
    let nothing = vec![None; g.value_count()];
    quant::annotate(&mut g, &nothing);
    g
}

#[test]
fn a_quantized_model_keeps_its_scales() {
    let g = quantized();
    let device = Cpu::host();
    let mut tuner = Tuner::new(&device, TimingCache::default(), None).unchecked();
    let settings = Settings { max_batch: 2, ..Settings::default() };
    let e = build(&g, &device, &mut tuner, settings, Origin::default(), &Silent).unwrap();
    let shown = |name: &str| {
        let of = e.plan.buffers.iter().filter(|b| b.value == name).find_map(|b| b.quant);
        of.map(|q| q.to_string()).unwrap_or_default()
    };
    assert_eq!(shown("x"), "u8(scale=0.02, zp=120)");
    assert_eq!(shown("relu"), "u8(scale=0.03)"); // s8 with zero point -128
    assert!(e.plan.buffers.iter().any(|b| b.quant.is_some_and(|q| q.to_string() == "i8(scale=0.01)")));
    // the last product's input has no scale
    let float: Vec<_> = e.plan.steps.iter().filter(|s| s.multiplies() && !s.is_int8()).collect();
    assert_eq!(float.len(), 1);
    assert!(float[0].precision.as_ref().unwrap().reason.to_string().contains("scores has no scale"));
}

/// One step of the pooled tensor moves an output by so much at most: 0.01 times the largest weight behind it.
const STEP: f32 = 0.0097;

/// Ties of rounding may fall either way.
#[test]
fn its_outputs_are_those_of_onnx_runtime() {
    let x: Array4<f32> = ndarray_npy::read_npy(model("qdq.x.npy")).unwrap();
    let want: Array2<f32> = ndarray_npy::read_npy(model("qdq.q.npy")).unwrap();
    let cpu = Cpu::host();
    let devices: [&dyn Device; 2] = [&cpu, &Interp];
    for device in devices {
        let mut tuner = Tuner::new(device, TimingCache::default(), None).unchecked();
        let settings = Settings { max_batch: 2, ..Settings::default() };
        let e = build(&quantized(), device, &mut tuner, settings, Origin::default(), &Silent).unwrap();
        let mut session = Session::new(&e, device).unwrap();
        let y = session.run(&[x.view().into_dyn()]).unwrap()[0].to_owned();
        for (a, b) in y.iter().zip(&want) {
            assert!((a - b).abs() <= STEP, "{a} where ONNX Runtime has {b}");
        }
    }
}

//! Whole files: tests/data/models, written by make_models.py beside it with the outputs of ONNX Runtime.

use super::*;
use crate::ir::Array;
use crate::ir::eval::evaluate;
use ndarray::{ArrayD, Axis};
use std::path::{Path, PathBuf};

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models")
}

fn npy(path: &Path) -> ArrayD<f32> {
    ndarray_npy::read_npy(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs every row of the input alone, as one image; the rows of the output must come out.
fn agrees(name: &str) -> Imported {
    let path = folder().join(name);
    let m = import(&path.with_extension("onnx"), &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let (x, y) = (npy(&path.with_extension("x.npy")), npy(&path.with_extension("y.npy")));
    for (row, want) in x.axis_iter(Axis(0)).zip(y.axis_iter(Axis(0))) {
        let shape = &m.graph.value(m.graph.inputs[0]).fact.shape;
        let input = Array::real(shape.clone(), row.iter().map(|&v| v.into()).collect());
        let got = evaluate(&m.graph, &[input]).unwrap().remove(0);
        assert_eq!(got.shape[1..], *want.shape(), "{name}");
        for (g, &w) in got.reals().iter().zip(&want) {
            assert!((g - f64::from(w)).abs() <= 1e-5 * f64::from(w).abs().max(1.0), "{name}: {g} for {w}");
        }
    }
    m
}

#[test]
fn exporters_of_every_style_agree_with_onnx_runtime() {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    assert!(names.len() >= 17, "{names:?}");
    for p in names {
        let m = agrees(p.file_stem().unwrap().to_str().unwrap());
        let allowed = ["qdq", "batch8"].iter().any(|n| p.ends_with(format!("{n}.onnx")));
        assert!(allowed || m.warnings.is_empty(), "{}: {:?}", p.display(), m.warnings);
    }
}

#[test]
fn shape_arithmetic_and_casts_leave_nothing_behind() {
    let kinds =
        |name: &str| -> Vec<&'static str> { agrees(name).graph.nodes().map(|(_, n)| n.op.kind()).collect() };
    assert_eq!(kinds("torch_script"), ["Conv", "Relu", "MaxPool", "Reshape", "Gemm"]);
    assert_eq!(kinds("pad_chain"), ["Pad", "Conv"]);
    assert_eq!(kinds("fp16_weights"), ["Conv", "Cast", "Relu"]);
    assert!(!kinds("attention").iter().any(|k| ["Expand", "Where", "ConstantOfShape"].contains(k)));
}

#[test]
fn a_fixed_batch_is_taken_for_one_image() {
    let m = agrees("batch8");
    assert_eq!(m.batch, Batch::Fixed(8));
    assert_eq!(m.graph.value(m.graph.inputs[0]).fact.shape[0], 1);
    assert!(m.warnings[0].contains('8'), "{:?}", m.warnings);
}

#[test]
fn provenance_is_kept() {
    let m = agrees("opset9");
    assert_eq!((m.opset, m.producer.as_str(), m.batch), (9, "mxnet", Batch::Dynamic));
    assert_eq!(m.graph.inputs.len(), 1); // initializers that are inputs too are constants
    assert_eq!(agrees("torch_dynamo_external").data_files, ["torch_dynamo_external.data"]);
}

const LOGITS: [f64; 10] = [
    0.5873013, 0.3527555, -0.9541351, -1.3144674, -3.1412389, -0.8476262, -0.7903506, 5.4066191, -0.9251844,
    0.2646373,
];

/// The repository's own model, where it is there. The logits are ONNX Runtime 1.32's for
/// `x[i] = (37 i mod 101) / 50 - 1`.
#[test]
fn the_example_model_agrees_with_onnx_runtime() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("calib_data/eurosat/resnet_eurosat.onnx");
    if !path.exists() {
        return;
    }
    let m = import(&path, &ImportOptions::default()).unwrap();
    let shape = m.graph.value(m.graph.inputs[0]).fact.shape.clone();
    let x = (0..shape.numel()).map(|i| f64::from((i * 37 % 101) as f32 / 50.0 - 1.0)).collect();
    let logits = evaluate(&m.graph, &[Array::real(shape, x)]).unwrap().remove(0).reals();
    for (g, w) in logits.iter().zip(LOGITS) {
        assert!((g - w).abs() < 1e-4, "{logits:?}");
    }
}

//! QuantizeLinear and DequantizeLinear as quantization of values.

use super::*;
use crate::base::quant::{QuantParams, quantize_weight};
use crate::base::{DType, Tensor};
use crate::ir::Value;

fn int8(name: &str, dims: &[i64], values: &[i32]) -> TensorProto {
    let int32_data = values.to_vec();
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type: 3, int32_data, ..Default::default() }
}

fn uint8(name: &str, dims: &[i64], values: &[i32]) -> TensorProto {
    TensorProto { data_type: 2, ..int8(name, dims, values) }
}

fn value<'a>(m: &'a Imported, name: &str) -> &'a Value {
    m.graph.value(m.graph.find_value(name).unwrap_or_else(|| panic!("no value {name}")))
}

fn shown(q: Option<QuantParams>) -> String {
    q.map(|q| q.to_string()).unwrap_or_default()
}

#[test]
fn pairs_become_parameters_of_the_value_before_them() {
    let m = import(&super::files::folder().join("qdq.onnx"), &ImportOptions::default()).unwrap();
    let kinds: Vec<_> = m.graph.nodes().map(|(_, n)| n.op.kind()).collect();
    assert_eq!(kinds, ["Conv", "Relu", "GlobalAveragePool", "Flatten", "MatMul", "MatMul"]);
    assert_eq!(shown(value(&m, "x").quant), "u8(scale=0.02, zp=120)");
    assert_eq!(shown(value(&m, "relu").quant), "u8(scale=0.03)"); // s8 with zero point -128
    assert_eq!(shown(value(&m, "pool").quant), "i8(scale=0.01)");
    assert_eq!(value(&m, "conv").quant, None);
    assert_eq!(value(&m, "relu").folded, ["relu_q", "relu_dq"]);
    assert!(m.warnings.is_empty(), "{:?}", m.warnings);

    let w = value(&m, "w").channels.clone().unwrap();
    assert_eq!((w.axis, w.scales.len()), (0, 4));
    assert_eq!(value(&m, "b").channels, None); // a bias
    let fc = value(&m, "fc_t").channels.clone().unwrap(); // one scale, moved by a Transpose
    assert_eq!((fc.axis, fc.scales.len(), fc.scales[4].get()), (1, 5, 0.005));
    assert_eq!(value(&m, "m_dq").channels.clone().unwrap().axis, 1); // float weights, quantized in the file
}

/// Quantizing the float weights with the scales they remember gives the file's integers.
#[test]
fn integers_of_weights_come_back() {
    let all: Vec<i32> = (-127..=127).collect();
    let scales: Vec<f32> = [0.1, 3e-5, 7.7].to_vec();
    let w = int8("w8", &[3, 255], &all.repeat(3));
    let nodes = vec![
        node("DequantizeLinear", "w8 s", "w").with(int("axis", 0)),
        node("Gemm", "x w", "y").with(int("transB", 1)),
    ];
    let m = model(&[1, 255], nodes, vec![w, tensor("s", &[3], &scales)]).import().unwrap();
    let v = value(&m, "w");
    let channels = v.channels.as_ref().unwrap();
    let real = v.constant.as_ref().unwrap().to_f32().into_owned();
    let back: Vec<i32> =
        real.iter().enumerate().map(|(i, &r)| quantize_weight(r, channels.scales[i / 255]).into()).collect();
    assert_eq!(back, all.repeat(3));
}

#[test]
fn scales_follow_a_transpose() {
    let nodes = vec![
        node("DequantizeLinear", "w8 s", "w").with(int("axis", 0)),
        node("Transpose", "w", "t"),
        node("MatMul", "x t", "y"),
    ];
    let init = vec![int8("w8", &[3, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9]), tensor("s", &[3], &[1.0, 2.0, 3.0])];
    let m = model(&[1, 3], nodes, init).import().unwrap();
    let v = value(&m, "t");
    assert_eq!(v.constant, Some(Tensor::new([3, 3], &[1f32, 8., 21., 2., 10., 24., 3., 12., 27.])));
    let c = v.channels.as_ref().unwrap();
    assert_eq!((c.axis, c.scales.iter().map(|s| s.get()).collect::<Vec<_>>()), (1, vec![1.0, 2.0, 3.0]));
}

#[test]
fn weights_that_do_not_fit_are_floats_with_a_warning() {
    let linear = |w: TensorProto, zero: TensorProto, scale: TensorProto, axis: i64| {
        let nodes =
            vec![node("DequantizeLinear", "w8 s z", "w").with(int("axis", axis)), node("MatMul", "x w", "y")];
        model(&[1, 2], nodes, vec![w, scale, zero]).import().unwrap_or_else(|e| panic!("{e}"))
    };
    let one = tensor("s", &[], &[0.5]);
    let m = linear(uint8("w8", &[2, 2], &[0, 10, 20, 255]), uint8("z", &[], &[10]), one.clone(), 1);
    assert_eq!(value(&m, "w").channels, None);
    assert_eq!(value(&m, "w").constant, Some(Tensor::new([2, 2], &[-5f32, 0.0, 5.0, 122.5])));
    assert!(m.warnings[0].contains("zero point") && m.warnings[0].ends_with(": w"), "{:?}", m.warnings);

    let two = tensor("s", &[2], &[0.5, 0.25]);
    let m = linear(int8("w8", &[2, 2], &[1, 2, 3, 4]), int8("z", &[2], &[0, 0]), two, 0);
    assert_eq!(value(&m, "w").channels, None);
    assert!(m.warnings[0].contains("not the output's"), "{:?}", m.warnings);

    let m = linear(int8("w8", &[2, 2], &[1, 2, 3, -128]), int8("z", &[], &[0]), one, 1);
    assert!(value(&m, "w").channels.is_some());
    assert!(m.warnings[0].contains("-128"), "{:?}", m.warnings);
}

/// ONNX Runtime's quantizer leaves out a ReLU whose output has a range from 0.
#[test]
fn a_relu_left_to_the_range_stands_as_a_clip() {
    let pairs = |first: &str| {
        let nodes = vec![
            node(first, "x", "c").named("first"),
            node("QuantizeLinear", "c s z", "q").named("Q"),
            node("DequantizeLinear", "q s z", "d1"),
            node("DequantizeLinear", "q s z", "d2"),
            node("Add", "d1 d2", "y"),
        ];
        model(&[1, 2], nodes, vec![tensor("s", &[], &[0.5]), int8("z", &[], &[-128])]).import().unwrap()
    };
    let m = pairs("Neg");
    let clip = m.graph.nodes().nth(1).unwrap().1;
    assert_eq!(
        (clip.name.as_str(), clip.op.attrs().to_string().as_str()),
        ("Q_clip", "{max=127.5, min=0.0}")
    );
    assert_eq!(
        (shown(value(&m, "c").quant), shown(value(&m, "d1").quant)),
        (String::new(), "u8(scale=0.5)".into())
    );
    assert_eq!(value(&m, "d1").folded, ["q", "d2"]);
    assert_eq!(m.graph.nodes().count(), 3);
    assert!(m.warnings[0].ends_with(": Q"), "{:?}", m.warnings);

    let m = pairs("Relu"); // nothing is cut off
    assert_eq!((m.graph.nodes().count(), shown(value(&m, "c").quant)), (2, "u8(scale=0.5)".into()));
}

#[test]
fn pairs_that_differ_stay_nodes() {
    let nodes = vec![
        node("QuantizeLinear", "x s", "q"),
        node("DequantizeLinear", "q t", "dq").named("odd"),
        node("Relu", "dq", "y"),
    ];
    let scales = vec![tensor("s", &[], &[0.1]), tensor("t", &[], &[0.2])];
    let m = model(&[1, 4], nodes, scales).import().unwrap();
    let kinds: Vec<_> = m.graph.nodes().map(|(_, n)| n.op.kind()).collect();
    assert_eq!(kinds, ["QuantizeLinear", "DequantizeLinear", "Relu"]);
    assert_eq!(value(&m, "x").quant, None);
    assert_eq!(value(&m, "q").fact.dtype, DType::U8);
    assert!(m.warnings[0].contains("odd"), "{:?}", m.warnings);
}

#[test]
fn integers_that_leave_the_model_stay_nodes() {
    let nodes = vec![node("QuantizeLinear", "x s z", "y")];
    let m = model(&[1, 4], nodes, vec![tensor("s", &[], &[0.1]), int8("z", &[], &[3])]).import().unwrap();
    assert_eq!(value(&m, "y").fact.dtype, DType::I8);
}

#[test]
fn forms_that_cannot_be_are_refused() {
    let pair = |scale: TensorProto, zero: TensorProto| {
        let nodes =
            vec![node("QuantizeLinear", "x s z", "q").named("Q"), node("DequantizeLinear", "q s z", "y")];
        model(&[1, 2], nodes, vec![scale, zero])
    };
    pair(tensor("s", &[2], &[0.1, 0.2]), int8("z", &[2], &[0, 0]))
        .refused("Q0208", &["Q (Quant", "`x` has 2 scales"]);
    pair(tensor("s", &[], &[0.0]), int8("z", &[], &[0])).refused("Q0208", &["scale is 0"]);
    pair(tensor("s", &[], &[f32::NAN]), int8("z", &[], &[0])).refused("Q0208", &["NaN"]);
    let int16 = TensorProto { data_type: 5, ..int8("z", &[], &[0]) };
    pair(tensor("s", &[], &[0.1]), int16).refused("Q0208", &["more than 8 bits"]);
}

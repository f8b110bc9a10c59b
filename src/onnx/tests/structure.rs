//! Names, order, optional inputs and outputs, shapes of inputs, what is not supported.

use super::*;
use crate::ir::Op;
use std::collections::BTreeMap;

fn names(m: &Imported) -> Vec<String> {
    m.graph.nodes().map(|(_, n)| n.name.clone()).collect()
}

#[test]
fn nodes_get_unique_names_and_a_topological_order() {
    let m = model(
        &[-1, 4],
        vec![
            node("Relu", "c", "y").named("last"),
            node("Relu", "x", "a"),
            node("Relu", "a", "b").named("Relu_1"),
            node("Relu", "b", "c").named("last"),
            node("Relu", "b", "dead"),
        ],
        vec![],
    );
    assert_eq!(names(&m.import().unwrap()), ["Relu_1", "Relu_1_2", "last", "last_2"]);
}

#[test]
fn unsupported_nodes_are_listed_together() {
    let mut m = model(
        &[-1, 4],
        vec![
            node("Einsum", "x", "a").named("first"),
            node("Relu", "a", "b"),
            node("LeakyRelu", "b", "c").named("second").with(int("slope", 3)),
            node("Custom", "x", "d").named("third"),
            node("Reshape", "x d", "e").named("follows"),
            node("Reshape", "x shape", "f").named("fifth"),
            node("Cast", "x", "shape").with(int("to", 7)),
            node("Concat", "c e f", "y").with(int("axis", 1)),
        ],
        vec![],
    );
    m.graph_mut().node[3].domain = "com.acme".into();
    m.opset_import.push(OperatorSetIdProto { domain: "com.acme".into(), version: 2 });
    m.refused(
        "Q0202",
        &[
            "4 nodes",
            "first: Einsum (opset 13)",
            "second: LeakyRelu",
            "`slope`",
            "third: Custom (com.acme opset 2)",
            "fifth: Reshape",
            "`shape` is computed",
        ],
    );
    let text = m.import().unwrap_err().to_string();
    assert!(!text.contains("follows") && !text.contains("Concat"), "{text}");
}

#[test]
fn control_flow_and_functions_are_unsupported() {
    let body = AttributeProto {
        name: "then_branch".into(),
        g: Some(Bytes::from_static(b"\x0a\xff never decoded")),
        r#type: AttributeType::Graph.into(),
        ..Default::default()
    };
    let mut m =
        model(&[-1, 4], vec![node("If", "x", "a").named("if").with(body), node("Gelu", "a", "y")], vec![]);
    m.functions.push(FunctionProto { name: "Gelu".into(), domain: String::new() });
    m.refused("Q0202", &["2 nodes", "if: If", "Gelu_1: Gelu", "function of the model"]);
}

#[test]
fn optional_outputs_may_be_there_but_not_be_read() {
    let pool = node("MaxPool", "x", "p indices").with(AttributeProto {
        name: "kernel_shape".into(),
        ints: vec![2, 2],
        ..Default::default()
    });
    let unread = model(&[1, 1, 4, 4], vec![pool.clone(), node("Relu", "p", "y")], vec![]);
    assert_eq!(names(&unread.import().unwrap()).len(), 2);
    let read = model(&[1, 1, 4, 4], vec![pool.named("pool"), node("Add", "p indices", "y")], vec![]);
    read.refused("Q0202", &["pool: MaxPool", "output 1 (`indices`)"]);
}

#[test]
fn optional_inputs_may_be_absent_at_the_end_and_where_they_are_parameters() {
    let w = tensor("w", &[1, 1, 1, 1], &[2.0]);
    let ok = model(
        &[1, 1, 2, 2],
        vec![node("Conv", "x w _", "c"), node("Clip", "c _ hi", "y")],
        vec![w.clone(), tensor("hi", &[], &[1.0])],
    );
    let ok = ok.import().unwrap();
    let clip = ok.graph.nodes().last().unwrap().1;
    assert!(matches!(clip.op, Op::Unary(_)), "{clip:?}");
    assert_eq!(clip.op.attrs().to_string(), "{max=1.0}");
    model(&[1, 1, 2, 2], vec![node("Conv", "x _ w", "y").named("hole")], vec![w])
        .refused("Q0202", &["hole: Conv", "input 1 is absent"]);
}

#[test]
fn open_sizes_are_asked_for_and_taken_from_the_options() {
    let m = model(&[-1, 3, -1], vec![node("Relu", "x", "y")], vec![]);
    m.refused("Q0204", &["your sizes for d2", "model.inputs: {x: [1, 3, 224]}"]);
    let with = |name: &str, shape: &[usize]| {
        let input_shapes = BTreeMap::from([(name.to_string(), shape.to_vec())]);
        let options = ImportOptions { input_shapes, ..ImportOptions::default() };
        import_bytes(Bytes::from(m.encode_to_vec()), None, &options)
    };
    let ok = with("x", &[8, 3, 5]).unwrap();
    assert_eq!(*ok.graph.value(ok.graph.inputs[0]).fact.shape, [1, 3, 5]);
    refused(with("X", &[1, 3, 5]), "Q0204", &["`X`", "did you mean `x`?"]);
    refused(with("x", &[1, 5]), "Q0204", &["2 axes", "[1, 3, d2]"]);
    refused(with("x", &[1, 4, 5]), "Q0204", &["4 for axis 1", "the file 3"]);
    refused(with("x", &[1, 3, usize::MAX]), "Q0201", &["absurd"]);
}

#[test]
fn a_baked_batch_is_named() {
    let m =
        |x: i64| model(&[x, 6], vec![node("Reshape", "x s", "y").named("flat")], vec![ints("s", &[4, 6])]);
    m(4).refused("Q0209", &["batch size 4", "flat (Reshape)"]);
    m(1).refused("Q0205", &["flat (Reshape)", "input `x`: f32[1,6]"]);
    // fits by accident: 4 rows of 6 become 4 rows of 1.5
    let mut sly = model(&[4, 8], vec![node("Reshape", "x s", "y")], vec![ints("s", &[4, -1])]);
    sly.graph_mut().output = vec![info("y", &[4, 8])];
    sly.refused("Q0209", &["output y", "[4,2]"]);
}

#[test]
fn older_and_missing_opsets_are_refused() {
    let mut m = model(&[1, 4], vec![node("Relu", "x", "y")], vec![]);
    m.opset_import[0].version = 8;
    m.refused("Q0203", &["opset 8", "version_converter"]);
    m.opset_import.clear();
    m.refused("Q0203", &["does not state"]);
    m.opset_import = vec![OperatorSetIdProto { domain: "ai.onnx".into(), version: 99 }];
    assert!(m.import().unwrap().warnings[0].contains("opset 99"));
}

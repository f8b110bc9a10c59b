//! Tests of the importer, on models built from the messages and on files in the styles of the exporters.

use super::proto::*;
use super::*;
use crate::base::Diagnostic;
use bytes::Bytes;
use prost::Message;

mod files;
mod malformed;
mod quantized;
mod structure;

/// A float tensor with raw data.
pub(super) fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        raw_data: Some(raw.into()),
        ..Default::default()
    }
}

/// An int64 tensor.
pub(super) fn ints(name: &str, values: &[i64]) -> TensorProto {
    let dims = vec![values.len() as i64];
    TensorProto { name: name.into(), dims, data_type: 7, int64_data: values.to_vec(), ..Default::default() }
}

/// A node; names are separated by spaces, `_` is an absent one.
pub(super) fn node(kind: &str, inputs: &str, outputs: &str) -> NodeProto {
    let names = |s: &str| s.split_whitespace().map(|n| n.trim_matches('_').to_string()).collect();
    NodeProto { op_type: kind.into(), input: names(inputs), output: names(outputs), ..Default::default() }
}

/// An integer attribute.
pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(i), r#type: AttributeType::Int.into(), ..Default::default() }
}

impl NodeProto {
    pub(super) fn with(mut self, a: AttributeProto) -> Self {
        self.attribute.push(a);
        self
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }
}

/// A float input or output; a size of -1 is open and named `d{axis}`.
pub(super) fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |(axis, &d): (usize, &i64)| DimensionProto {
        value: Some(if d < 0 { Dimension::Name(format!("d{axis}")) } else { Dimension::Size(d) }),
    };
    let shape = TensorShapeProto { dim: dims.iter().enumerate().map(dim).collect() };
    let tensor_type = Some(TensorTypeProto { elem_type: 1, shape: Some(shape) });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// A model of opset 13 from input `x` to output `y`.
pub(super) fn model(x: &[i64], nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> ModelProto {
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer: initializers,
        input: vec![info("x", x)],
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        ..Default::default()
    };
    ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        ..Default::default()
    }
}

impl ModelProto {
    pub(super) fn graph_mut(&mut self) -> &mut GraphProto {
        self.graph.as_mut().unwrap()
    }

    pub(super) fn import(&self) -> crate::base::Result<Imported> {
        import_bytes(Bytes::from(self.encode_to_vec()), None, &ImportOptions::default())
    }

    /// The error, which must be of this code and hold all these words.
    pub(super) fn refused(&self, code: &str, words: &[&str]) {
        refused(self.import(), code, words);
    }
}

pub(super) fn refused(result: crate::base::Result<Imported>, code: &str, words: &[&str]) {
    let e: Box<Diagnostic> = result.expect_err("an error");
    let text = e.to_string();
    assert_eq!(e.code.id, code, "{text}");
    words.iter().for_each(|w| assert!(text.contains(w), "`{w}` is not in\n{text}"));
}

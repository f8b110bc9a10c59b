//! What a file declares of its inputs and outputs, before anything is imported: sizes may be names.

use super::inputs::{example, name_of, sizes};
use super::proto::{ModelProto, ValueInfoProto};
use super::tensor::{element_type, malformed};
use crate::base::{Result, files};
use prost::Message;
use std::collections::HashSet;
use std::path::Path;

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The element type, where it is one that is computed with.
    pub dtype: String,
    /// The shape with the names of open sizes: `[batch,3,height,width]`.
    pub shape: String,
    /// A shape to write under `model.inputs`: `[1, 3, 224, 224]`.
    pub example: String,
}

/// The inputs (without those that have a default value) and the outputs of the model at `path`.
pub fn ports(path: &Path) -> Result<(Vec<Port>, Vec<Port>)> {
    let model = ModelProto::decode(files::map(path)?)
        .map_err(|e| malformed(format!("the file is no ONNX model, or is cut short ({e})")))?;
    let graph = model.graph.ok_or_else(|| malformed("the file holds no graph"))?;
    let defaults: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|i| !defaults.contains(i.name.as_str())).map(port).collect();
    Ok((inputs, graph.output.iter().map(port).collect()))
}

fn port(v: &ValueInfoProto) -> Port {
    let tensor = v.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dtype = tensor.and_then(|t| element_type(t.elem_type).ok());
    let sizes = sizes(v);
    let axis = |(i, d): (usize, &Option<i64>)| d.map_or_else(|| name_of(v, i), |d| d.to_string());
    let shape = match &sizes {
        Some(dims) => format!("[{}]", dims.iter().enumerate().map(axis).collect::<Vec<_>>().join(",")),
        None => "?".into(),
    };
    Port {
        name: v.name.clone(),
        dtype: dtype.map_or("?".into(), |d| d.to_string()),
        shape,
        example: example(sizes.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{model, node};
    use super::*;

    #[test]
    fn open_sizes_have_their_names_and_an_example() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        let m = model(&[-1, 3, -1, 96], vec![node("Relu", "x", "y")], Vec::new());
        std::fs::write(&path, m.encode_to_vec()).unwrap();
        let (inputs, outputs) = ports(&path).unwrap();
        assert_eq!(inputs[0].shape, "[d0,3,d2,96]");
        assert_eq!((inputs[0].dtype.as_str(), inputs[0].example.as_str()), ("f32", "[1, 3, 224, 96]"));
        assert_eq!((outputs[0].name.as_str(), outputs[0].shape.as_str()), ("y", "?"));
    }
}

//! The graph's inputs: their types and shapes, for one image.

use super::import::{Batch, ImportOptions};
use super::proto::{Dimension, GraphProto, TensorTypeProto, ValueInfoProto};
use super::tensor::{self, malformed};
use crate::base::codes::model::{ELEMENT_TYPE, OPEN_SHAPE};
use crate::base::nearest::nearest;
use crate::base::{Diagnostic, Place, Result};
use crate::ir::Fact;
use std::collections::HashSet;

/// The inputs that the caller provides (those with a default value are constants), and the file's batch size.
pub(super) fn read<'a>(
    graph: &'a GraphProto,
    options: &ImportOptions,
) -> Result<(Vec<(&'a str, Fact)>, Batch)> {
    let defaults: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|i| !defaults.contains(i.name.as_str())).collect();
    if inputs.is_empty() {
        return Err(malformed("the graph has no inputs"));
    }
    if let Some(name) = options.input_shapes.keys().find(|k| !inputs.iter().any(|i| i.name == **k)) {
        return Err(unknown_input(name, &inputs));
    }
    let mut batch = Batch::Dynamic;
    let mut facts = Vec::with_capacity(inputs.len());
    for i in inputs {
        let stated = options.input_shapes.get(&i.name);
        let (fact, own) = input(i, stated).map_err(|e| e.at(Place::Named(format!("input {}", i.name))))?;
        if let (Batch::Dynamic, Batch::Fixed(_)) = (batch, own) {
            batch = own;
        }
        facts.push((i.name.as_str(), fact));
    }
    Ok((facts, batch))
}

fn unknown_input(name: &str, inputs: &[&ValueInfoProto]) -> Box<Diagnostic> {
    let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
    let e =
        Diagnostic::new(OPEN_SHAPE, format!("`model.inputs` names `{name}`, which is no input of the model"))
            .expected(format!("one of {}", names.join(", ")));
    match nearest(name, names) {
        Some(near) => e.help(format!("did you mean `{near}`?")),
        None => e,
    }
}

fn tensor_type(v: &ValueInfoProto) -> Result<&TensorTypeProto> {
    let known = v.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    known.ok_or_else(|| Diagnostic::new(ELEMENT_TYPE, "it is no tensor (a sequence, a map, or of no type)"))
}

/// The sizes of a value's axes as the file states them, `None` where open; and no list where it states no shape.
pub(super) fn sizes(v: &ValueInfoProto) -> Option<Vec<Option<i64>>> {
    let shape = v.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    let size = |d: &Option<Dimension>| match d {
        Some(Dimension::Size(n)) if *n > 0 => Some(*n), // some exporters write 0 or -1 for an open size
        _ => None,
    };
    Some(shape.dim.iter().map(|d| size(&d.value)).collect())
}

/// Type and shape of an input for one image, and the batch size it states.
fn input(v: &ValueInfoProto, stated: Option<&Vec<usize>>) -> Result<(Fact, Batch)> {
    let ty = tensor_type(v)?;
    let dtype = tensor::element_type(ty.elem_type)?;
    let file = sizes(v);
    let mut dims: Vec<Option<i64>> = match (&file, stated) {
        (Some(file), _) => file.clone(),
        (None, Some(stated)) => vec![None; stated.len()],
        (None, None) => return Err(open("the file states no shape", v, None)),
    };
    let batch = match dims.first_mut() {
        None => {
            return Err(malformed("it is a scalar, which has no batch axis")
                .expected("axis 0 of every input to be the batch"));
        }
        Some(first) => first.replace(1).map_or(Batch::Dynamic, |n| Batch::Fixed(n as usize)),
    };
    if let Some(stated) = stated {
        fill(&mut dims, stated, v)?;
    }
    if let Some(axis) = dims.iter().position(Option::is_none) {
        return Err(open(&format!("axis {axis} has the open size {}", name_of(v, axis)), v, Some(&dims)));
    }
    let shape = tensor::shape(&dims.into_iter().flatten().collect::<Vec<_>>())?;
    Ok((Fact { dtype, shape }, batch))
}

/// Puts the configuration's sizes where the file leaves them open; elsewhere the two must agree. Axis 0 is the
/// batch, whatever is stated.
fn fill(dims: &mut [Option<i64>], stated: &[usize], v: &ValueInfoProto) -> Result<()> {
    if stated.len() != dims.len() {
        let what = format!("`model.inputs` states {} axes, the file {}", stated.len(), dims.len());
        return Err(Diagnostic::new(OPEN_SHAPE, what).expected(format!("a shape like {}", shown(v, dims))));
    }
    for (axis, (d, &s)) in dims.iter_mut().zip(stated).enumerate().skip(1) {
        let s = i64::try_from(s).unwrap_or(i64::MAX);
        if d.is_some_and(|d| d != s) {
            let what = format!("`model.inputs` states {s} for axis {axis}, the file {}", d.unwrap_or(0));
            return Err(
                Diagnostic::new(OPEN_SHAPE, what).help("leave the shape away, or export another model")
            );
        }
        *d = Some(s);
    }
    Ok(())
}

fn open(what: &str, v: &ValueInfoProto, dims: Option<&[Option<i64>]>) -> Box<Diagnostic> {
    let open: Vec<String> = match dims {
        Some(dims) => (0..dims.len()).filter(|&i| dims[i].is_none()).map(|i| name_of(v, i)).collect(),
        None => Vec::new(),
    };
    let named = open.iter().filter(|n| *n != "?").cloned().collect::<Vec<_>>().join(", ");
    let yours = if named.is_empty() { "your sizes".to_string() } else { format!("your sizes for {named}") };
    Diagnostic::new(OPEN_SHAPE, what).expected("fixed sizes for all axes but the batch").help(format!(
        "state the shape in the configuration, with {yours}: `model.inputs: {{{}: {}}}`",
        v.name,
        example(dims)
    ))
}

/// A shape to write into a configuration: what is known, 1 for the batch, 224 for what is open.
pub(super) fn example(dims: Option<&[Option<i64>]>) -> String {
    const USUAL: [Option<i64>; 4] = [Some(1), Some(3), None, None];
    let dims = dims.unwrap_or(&USUAL);
    let axis = |(i, d): (usize, &Option<i64>)| if i == 0 { 1 } else { d.unwrap_or(224) }.to_string();
    format!("[{}]", dims.iter().enumerate().map(axis).collect::<Vec<_>>().join(", "))
}

/// `[1, 3, height, 224]`
fn shown(v: &ValueInfoProto, dims: &[Option<i64>]) -> String {
    let axis = |(i, d): (usize, &Option<i64>)| d.map_or_else(|| name_of(v, i), |d| d.to_string());
    format!("[{}]", dims.iter().enumerate().map(axis).collect::<Vec<_>>().join(", "))
}

pub(super) fn name_of(v: &ValueInfoProto, axis: usize) -> String {
    let shape = v.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.shape.as_ref());
    match shape.and_then(|s| s.dim.get(axis)).and_then(|d| d.value.as_ref()) {
        Some(Dimension::Name(n)) if !n.is_empty() => n.clone(),
        _ => "?".into(),
    }
}

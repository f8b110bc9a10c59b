//! From a file to a verified graph.

use super::build::{Builder, Failure};
use super::draft::{Drafter, domain};
use super::external::ExternalData;
use super::proto::{GraphProto, ModelProto};
use super::tensor::malformed;
use super::{inputs, order};
use crate::base::codes::machine::INTERNAL;
use crate::base::codes::model::{BAKED_BATCH, OPSET, SHAPES_CLASH, UNSUPPORTED};
use crate::base::{Diagnostic, Place, Result, files};
use crate::ir::{Fact, Graph};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// The oldest and the newest standard operator set that this importer was written for.
const OPSETS: std::ops::RangeInclusive<i64> = 9..=25;

/// What the caller decides about an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Shapes of inputs, by name, for axes that the model leaves open. Axis 0, the batch, is 1 whatever stands there.
    pub input_shapes: BTreeMap<String, Vec<usize>>,
    /// How much may be computed at import beyond what the size of the model explains, in elements and products.
    pub fold_limit: u64,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions { input_shapes: BTreeMap::new(), fold_limit: 1 << 28 }
    }
}

/// The batch size a file states for its inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Batch {
    /// Any.
    Dynamic,
    /// This one.
    Fixed(usize),
}

/// An imported model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network, for one image; verified.
    pub graph: Graph,
    /// The batch size of the file.
    pub batch: Batch,
    /// The version of the standard operator set.
    pub opset: i64,
    /// Who wrote the file: `pytorch 2.5.1`; may be empty.
    pub producer: String,
    /// Files of external data that were read, relative to the model's folder: they belong to the model.
    pub data_files: Vec<String>,
    /// Number of nodes in the file.
    pub file_nodes: usize,
    /// Number of nodes computed at import.
    pub folded_nodes: usize,
    /// Sentences worth the user's eye.
    pub warnings: Vec<String>,
}

/// Imports the model at `path`. Its external data lies in the same folder or below.
///
/// # Errors
/// Codes Q0201 to Q0210, and Q0001 where a file cannot be read.
pub fn import(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let bytes = files::map(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut imported = import_bytes(bytes, Some(folder), options).map_err(|e| e.at(Place::file(path)))?;
    if imported.graph.name.is_empty() {
        imported.graph.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    }
    Ok(imported)
}

/// What to do about a file that is no whole model.
const CUT: &str =
    "copy or export the model again, and compare the sizes; large models keep weights in files beside it";

/// Imports a model from memory; `folder` is where external data may lie.
pub fn import_bytes(bytes: Bytes, folder: Option<&Path>, options: &ImportOptions) -> Result<Imported> {
    if bytes.is_empty() {
        return Err(malformed("the file is empty").expected("an ONNX model").help(CUT));
    }
    let model = ModelProto::decode(bytes).map_err(|e| {
        malformed(format!("the file is no ONNX model, or is cut short ({})", e.to_string().trim())).help(CUT)
    })?;
    let opset = opset(&model)?;
    let file = model.graph.as_ref().ok_or_else(|| malformed("the file holds no graph").help(CUT))?;
    refuse_sparse(file)?;
    let order = order::order(file)?;
    let (inputs, batch) = inputs::read(file, options)?;
    let external = ExternalData::new(folder);
    let mut builder = Builder::new(file, inputs, Drafter::new(&model), external, options.fold_limit);
    if opset > *OPSETS.end() {
        builder
            .notes
            .add(format!("opset {opset} is newer than {}, the newest known here", OPSETS.end()), "model");
    }
    for i in order {
        builder.import_node(&file.node[i], i)?;
    }
    builder.error().map_err(|e| with_batch(e, batch))?;
    finish(builder, &model, file, batch, opset)
}

/// The version of the standard operator set.
fn opset(model: &ModelProto) -> Result<i64> {
    let standard = model.opset_import.iter().filter(|o| domain(&o.domain).is_empty());
    match standard.map(|o| o.version).max() {
        Some(v) if v >= *OPSETS.start() => Ok(v),
        Some(v) => Err(Diagnostic::new(OPSET, format!("the model is of opset {v}"))
            .expected(format!("opset {} or newer", OPSETS.start()))
            .help("convert it with `onnx.version_converter.convert_version(model, 13)`")),
        None if model.graph.is_none() => {
            Err(malformed("the file is no ONNX model: it holds no graph").help(CUT))
        }
        None => Err(Diagnostic::new(OPSET, "the model does not state which operator set it uses")
            .expected(format!("`opset_import` with the standard operators, {} or newer", OPSETS.start()))),
    }
}

fn refuse_sparse(file: &GraphProto) -> Result<()> {
    match file.sparse_initializer.len() {
        0 => Ok(()),
        n => Err(Diagnostic::new(UNSUPPORTED, format!("the model has {n} sparse tensors"))
            .expected("dense tensors")
            .help("export the model with dense weights")),
    }
}

/// A clash in a model of a fixed batch: most likely the batch is baked in.
fn with_batch(e: Box<Diagnostic>, batch: Batch) -> Box<Diagnostic> {
    match batch {
        Batch::Fixed(n) if n != 1 && e.code == SHAPES_CLASH => baked(n, e.what.clone(), e),
        _ => e,
    }
}

fn baked(n: usize, why: String, place: Box<Diagnostic>) -> Box<Diagnostic> {
    let what = format!("the batch size {n} of the file seems to be baked in: for one image, {why}");
    Box::new(Diagnostic { code: BAKED_BATCH, what, ..*place })
        .help("export the model with a dynamic batch axis, or with batch 1")
}

/// Outputs, the nodes that they need, the verifier.
fn finish(
    mut b: Builder,
    model: &ModelProto,
    file: &GraphProto,
    batch: Batch,
    opset: i64,
) -> Result<Imported> {
    let finished = b.finish(file);
    b.error()?;
    finished.map_err(|f| match f {
        Failure::Error(e) => e,
        other => Diagnostic::new(INTERNAL, format!("the graph cannot be finished: {other:?}")),
    })?;
    if let Batch::Fixed(n) = batch
        && n != 1
    {
        check_outputs(&b.graph, file, n)?;
        b.notes.add(format!("the file states the batch size {n}; any can be run"), "inputs");
    }
    if let Err(broken) = b.graph.verify() {
        let e = Diagnostic::new(INTERNAL, "the imported graph does not hold together");
        return Err(broken.into_iter().fold(e, |e, line| e.detail(line)));
    }
    Ok(Imported {
        graph: b.graph,
        batch,
        opset,
        producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_string(),
        data_files: b.external.files(),
        file_nodes: file.node.len(),
        folded_nodes: b.folded,
        warnings: b.notes.into_sentences(),
    })
}

/// In a file of batch `n`, an output of `n` rows must have one row for one image, and the same axes otherwise:
/// shapes may fit by accident.
fn check_outputs(graph: &Graph, file: &GraphProto, n: usize) -> Result<()> {
    for (v, o) in graph.outputs.iter().zip(&file.output) {
        let Fact { shape, .. } = &graph.value(*v).fact;
        let Some(stated) = inputs::sizes(o) else { continue };
        let fits = |(i, (s, &d)): (usize, (&Option<i64>, &usize))| match *s {
            Some(s) if i == 0 && s == n as i64 => d == 1,
            Some(s) => s == d as i64,
            None => true,
        };
        if stated.len() != shape.rank() || !stated.iter().zip(shape.iter()).enumerate().all(fits) {
            let e = Diagnostic::new(BAKED_BATCH, "").at(Place::Named(format!("output {}", o.name)));
            return Err(baked(n, format!("the output has shape {shape}"), e));
        }
    }
    Ok(())
}

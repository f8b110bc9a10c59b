//! A second way into a plan: pixels, as a camera or a decoder gives them, where the first takes floats.
//!
//! What the first way does to a pixel (the preprocessing, then the conversion of the input that the first step is) has
//! 256 results a channel. They are found here by the very same functions, and one step looks them up. Which bits the
//! steps after it read is then the same by construction.

use super::lower::{Draft, Lowered};
use super::{Buffer, BufferId, Port, Step};
use crate::base::quant::{QuantParams, Scale};
use crate::base::{DType, Result, Shape};
use crate::data::{Layout as Axes, Preprocess};
use crate::device::{Layout, Numerics, Operand, PixelTables, Problem, Work, interp};
use serde::{Deserialize, Serialize};

/// The way in for pixels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// What the caller gives: `[1, H, W, C]`, u8.
    pub port: Port,
    /// The step that reads it.
    pub step: Step,
    /// The step that it stands for; without one it comes before all, and makes the input of floats.
    pub instead: Option<usize>,
}

/// An [`Entry`] before its tactic is chosen.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields of `Entry`
pub struct EntryDraft {
    pub port: Port,
    pub draft: Draft,
    pub instead: Option<usize>,
}

/// Adds a way in for pixels that are preprocessed so, where the only input is such an image. Forms must be settled,
/// places need not be.
pub fn enter(l: &mut Lowered, preprocess: &Preprocess) -> Result<()> {
    let [input] = &l.inputs[..] else { return Ok(()) };
    let Some((axis, shape)) = picture(&input.shape, preprocess) else { return Ok(()) };
    let (name, floats) = (input.name.clone(), input.buffer);
    let instead = conversion(l, floats);
    let (numerics, target) = match instead {
        Some(i) => (l.drafts[i].numerics.clone(), l.drafts[i].outputs[0]),
        None => (Numerics::Float, floats),
    };
    let output = l.buffers[target.index()].operand.clone();
    let tables =
        preprocess.tables().iter().map(|t| convert(t, &numerics, output.dtype)).collect::<Result<_>>()?;
    let from = (0..preprocess.channels.count()).map(|c| preprocess.source(c)).collect();
    let layout = if axis == 1 { Layout::ChannelsLast } else { Layout::Plain };
    let operand = Operand::new(DType::U8, input.shape.clone(), layout);
    let value = l.buffers[floats.index()].value.clone();
    let inputs = vec![BufferId::from(l.buffers.len())];
    let port = Port { name, shape, buffer: inputs[0] };
    l.buffers.push(Buffer {
        value: format!("{value}, as pixels"),
        operand: operand.clone(),
        quant: Some(QuantParams { dtype: DType::U8, scale: Scale::ONE, zero_point: 0 }),
        offset: 0,
        within: None,
        life: (0, 0),
        absent: false,
    });
    let draft = Draft {
        name: value,
        problem: Problem { work: Work::Pixels, inputs: vec![operand], outputs: vec![output] },
        numerics: Numerics::Pixels(PixelTables { axis, from, tables }),
        tensors: Vec::new(),
        inputs,
        outputs: vec![target],
        precision: None,
        origin: Vec::new(),
        macs: 0,
        view: false,
        joined: false,
        with: None,
    };
    l.entry = Some(EntryDraft { port, draft, instead });
    Ok(())
}

/// The axis of the channels of an input that is an image, and the shape of its pixels.
fn picture(input: &Shape, preprocess: &Preprocess) -> Option<(usize, Shape)> {
    let &[1, a, b, c] = &input[..] else { return None };
    let (axis, shape) = match preprocess.layout {
        Axes::Nchw => (1, [1, b, c, a]),
        Axes::Nhwc => (3, [1, a, b, c]),
    };
    let fits = preprocess.fault().is_none() && shape[3] == preprocess.channels.count();
    (fits && shape.iter().all(|&n| n > 0)).then(|| (axis, Shape::new(&shape)))
}

/// The step that converts the input, if nobody else reads it.
fn conversion(l: &Lowered, input: BufferId) -> Option<usize> {
    let needed = l.outputs.iter().any(|p| p.buffer == input)
        || l.buffers.iter().any(|b| b.within.is_some_and(|w| w.buffer == input));
    let mut readers = l.drafts.iter().enumerate().filter(|(_, d)| d.inputs.contains(&input));
    match (readers.next(), readers.next()) {
        (Some((i, d)), None) if !needed && d.problem.work == Work::Reformat => Some(i),
        _ => None,
    }
}

/// A table of floats after a conversion, as bytes of the type that it writes.
fn convert(table: &[f32; 256], numerics: &Numerics, to: DType) -> Result<Vec<u8>> {
    let operand = |dtype| Operand::new(dtype, Shape::new(&[1, table.len()]), Layout::Plain);
    let problem =
        Problem { work: Work::Reformat, inputs: vec![operand(DType::F32)], outputs: vec![operand(to)] };
    Ok(interp::evaluate(&problem, numerics, &[bytemuck::cast_slice(table)])?.concat())
}

//! Operators that need not be computed: a Concat whose inputs are written where they stand in its output, and a Split,
//! Slice, Reshape or the like whose outputs are read where they stand in its input.
//!
//! A part that is a run of bytes can be read and written by any kernel, where it begins as the device wants it
//! ([`Device::reaches`]). Of a part whose rows lie apart (channels of a channels-last image) the device is asked too whether
//! it has a tactic that writes it so. None reads such rows: a Concat
//! must be the only reader of its parts, and a Split of channels stays a copy.

use super::lower::{Draft, Lowered};
use super::{BufferId, Within};
use crate::base::DType;
use crate::device::moved::{input_and_place, origins};
use crate::device::{Device, Numerics, Operand};
use crate::ir::Op;

/// Gives every buffer that is no input or output of the engine the form in which the device stores it best.
pub fn store(l: &mut Lowered, device: &dyn Device) {
    for i in 0..l.buffers.len() {
        let id = BufferId::from(i);
        let operand = device.stored(l.buffers[i].operand.clone());
        if !l.is_port(id) && operand != l.buffers[i].operand {
            l.buffers[i].operand = operand.clone();
            l.drafts.iter_mut().for_each(|d| restate(d, id, &operand));
        }
    }
}

/// Makes views of what can be one; their drafts say so. Buffers have no places in the arena yet.
pub fn share(l: &mut Lowered, device: &dyn Device) {
    for i in 0..l.drafts.len() {
        let d = &l.drafts[i];
        // what is requantized on the way is no view, and a constant is in no buffer
        let moved = matches!(d.numerics, Numerics::Float | Numerics::Integers)
            && d.problem.inputs.iter().all(|o| !o.constant);
        let parts = match d.problem.op() {
            Some(Op::Concat(_)) if moved => inputs_in_output(l, d, device),
            Some(Op::Split(_) | Op::Slice(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Identity(_))
                if moved =>
            {
                outputs_in_input(l, d, device)
            }
            _ => None,
        };
        for part in parts.iter().flatten() {
            let buffer = &mut l.buffers[part.buffer.index()];
            (buffer.within, buffer.operand.pitch) = (Some(part.within), part.pitch);
            let operand = buffer.operand.clone();
            l.drafts.iter_mut().for_each(|d| restate(d, part.buffer, &operand));
        }
        l.drafts[i].view = parts.is_some();
    }
}

/// A buffer that becomes a part of another.
struct Part {
    buffer: BufferId,
    within: Within,
    pitch: Option<usize>,
}

/// The inputs of a Concat as parts of its output, if all of them can be.
fn inputs_in_output(l: &Lowered, d: &Draft, device: &dyn Device) -> Option<Vec<Part>> {
    let (out, whole) = (d.outputs[0], &d.problem.outputs[0]);
    let origins = origins(&d.problem, &[])?.pop()?;
    // of each input, the places in the output of its elements, in the order of the output
    let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); d.inputs.len()];
    for (to, &origin) in origins.iter().enumerate() {
        let (input, from) = input_and_place(origin)?;
        places[input].push((from, whole.spread(to)));
    }
    let part = |(places, &buffer): (&Vec<(usize, usize)>, &BufferId)| {
        let operand = &l.buffers[buffer.index()].operand;
        let first = places.first()?.1;
        let lies = |o: &Operand| places.iter().all(|&(from, to)| to == first + o.spread(from));
        let run = Operand { pitch: None, ..operand.clone() };
        let rows = Operand { pitch: whole.pitch.or(Some(whole.row())), ..run.clone() };
        let part = [run, rows].into_iter().find(lies)?;
        let within = Within { buffer: out, at: first * whole.dtype.size() };
        let reachable = reaches(device, &part, within.at, whole) && writable(l, d, buffer, &part, device);
        reachable.then_some(Part { buffer, within, pitch: part.pitch })
    };
    places.iter().zip(&d.inputs).map(part).collect()
}

/// Can the step that writes a buffer write it in this form, and does only `reader` read it, once?
fn writable(l: &Lowered, reader: &Draft, b: BufferId, form: &Operand, device: &dyn Device) -> bool {
    let reads = |d: &Draft| d.inputs.iter().filter(|&&i| i == b).count();
    let once = l.drafts.iter().map(reads).sum::<usize>() == 1 && reads(reader) == 1;
    let writer = l.drafts.iter().find(|d| d.outputs.contains(&b));
    let Some(writer) = writer.filter(|d| !l.is_port(b) && once && !d.view) else { return false };
    let mut writer = writer.clone();
    restate(&mut writer, b, form);
    form.pitch.is_none() || !device.tactics(&writer.problem, &writer.numerics).is_empty()
}

/// Can the device reach a part in every image? Those of the whole follow one another.
fn reaches(device: &dyn Device, part: &Operand, at: usize, whole: &Operand) -> bool {
    [at, at + whole.extent()].iter().all(|&at| device.reaches(part, at))
}

/// The outputs of what only moves as parts of its input, if all of them are runs of its bytes that begin where the device
/// can read them.
fn outputs_in_input(l: &Lowered, d: &Draft, device: &dyn Device) -> Option<Vec<Part>> {
    let &[whole] = &d.inputs[..] else { return None };
    let port = |b: &BufferId| l.outputs.iter().any(|p| p.buffer == *b);
    if d.problem.has_gaps() || d.outputs.iter().any(port) {
        return None;
    }
    let part = |(origins, &buffer): (Vec<u32>, &BufferId)| {
        let (_, first) = input_and_place(*origins.first()?)?;
        let run = origins.iter().enumerate().all(|(i, &o)| input_and_place(o) == Some((0, first + i)));
        let part = &l.buffers[buffer.index()].operand;
        let at = first * part.dtype.size();
        let small = part.dtype.is_int8() || part.dtype == DType::F16;
        let stored = &l.buffers[whole.index()].operand;
        let reachable = (at == 0 && small) || reaches(device, part, at, stored);
        (run && reachable).then_some(Part { buffer, within: Within { buffer: whole, at }, pitch: None })
    };
    origins(&d.problem, &[])?.into_iter().zip(&d.outputs).map(part).collect()
}

/// Gives a buffer's operands in a draft another form.
fn restate(d: &mut Draft, b: BufferId, form: &Operand) {
    let inputs = d.problem.inputs.iter_mut().filter(|o| !o.constant).zip(&d.inputs);
    let outputs = d.problem.outputs.iter_mut().zip(&d.outputs);
    inputs.chain(outputs).filter(|(_, id)| **id == b).for_each(|(o, _)| *o = form.clone());
}

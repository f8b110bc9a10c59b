//! The engine file: the manifest (what it is, and the plan) and the weights, as [`sections`](crate::base::sections).

use super::{Engine, Origin};
use crate::base::codes::engine;
use crate::base::sections::{ALIGN, Form};
use crate::base::{DType, Diagnostic, Result};
use crate::device::{Layout, Tactic};
use crate::plan::{Buffer, BufferId, Entry, Plan, Port, Step};
use bytes::Bytes;

/// What engine files look like.
pub const FORM: Form = Form {
    magic: b"QNTZENG\n",
    version: 5,
    what: "engine file",
    writer: "quantize build",
    code: engine::DAMAGED,
    help: "build the engine again, or copy it again and compare the sizes",
};

/// Kinds of sections.
const MANIFEST: u32 = 1;
const WEIGHTS: u32 = 2;

/// More working memory than this is taken for damage.
const MAX_ARENA: usize = 1 << 40;

/// Serializes an engine.
pub fn write(e: &Engine) -> Result<Vec<u8>> {
    let manifest = postcard::to_stdvec(&(&e.origin, &e.plan))
        .map_err(|err| Diagnostic::new(engine::DAMAGED, format!("the manifest cannot be written: {err}")))?;
    Ok(FORM.write(&[(MANIFEST, &manifest), (WEIGHTS, e.weights())]))
}

/// Reads an engine from the bytes of a file. The weights share them.
pub fn read(file: Bytes) -> Result<Engine> {
    let sections = FORM.read(&file)?;
    let manifest = sections.find(MANIFEST, "manifest")?;
    let (origin, plan): (Origin, Plan) = postcard::from_bytes(&manifest)
        .map_err(|e| damaged(format!("the manifest is not what this version writes: {e}")))?;
    sound(&plan)?;
    Ok(Engine::new(origin, plan, sections.find(WEIGHTS, "weights")?))
}

fn damaged(what: impl Into<String>) -> Box<Diagnostic> {
    FORM.damaged(what)
}

/// A plan from a file may be anything: every id and size that running it relies on is checked.
fn sound(plan: &Plan) -> Result<()> {
    let n = plan.buffers.len();
    let steps = || plan.steps.iter().chain(plan.entry.iter().map(|e| &e.step));
    let ids = steps().flat_map(|s| s.inputs.iter().chain(&s.outputs));
    let ports = plan.inputs.iter().chain(&plan.outputs).chain(plan.entry.iter().map(|e| &e.port));
    let ports = ports.map(|p| &p.buffer);
    if ids.chain(ports).any(|b| b.index() >= n) {
        return Err(damaged("a step names a buffer that is not there"));
    }
    buffers(plan)?;
    let stated = |s: &Step| {
        let operands =
            |ids: &[BufferId]| ids.iter().map(|&b| plan.buffer(b).operand.clone()).collect::<Vec<_>>();
        operands(&s.inputs).iter().eq(s.problem.activations()) && operands(&s.outputs) == s.problem.outputs
    };
    if let Some(s) = steps().find(|s| s.outputs.is_empty() || !stated(s)) {
        return Err(damaged(format!("step {} states other forms than its buffers have", s.name)));
    }
    pairs(plan)?;
    let served = |p: &Port| {
        let o = &plan.buffer(p.buffer).operand;
        (o.dtype, o.layout, o.pitch, &o.shape) == (DType::F32, Layout::Plain, None, &p.shape)
            && plan.stride(p.buffer) == o.bytes()
    };
    let images = |p: &Port| p.shape.first() == Some(&1);
    let pixels = |e: &Entry| {
        let o = &plan.buffer(e.port.buffer).operand;
        (o.dtype, o.pitch, o.shape.numel()) == (DType::U8, None, e.port.shape.numel())
            && plan.stride(e.port.buffer) == o.bytes()
            && e.instead.is_none_or(|i| i < plan.steps.len())
    };
    if let Some(e) = plan.entry.iter().find(|e| !pixels(e) || !images(&e.port)) {
        return Err(damaged(format!("the pixels of {} have another form than their buffer", e.port.name)));
    }
    let mut ports = plan.inputs.iter().chain(&plan.outputs);
    match ports.find(|p| !served(p) || !images(p)) {
        Some(p) => Err(damaged(format!("input or output {} has another form than its buffer", p.name))),
        None => Ok(()),
    }
}

/// Every buffer that is in memory lies in the arena, which is no larger than all of them.
fn buffers(plan: &Plan) -> Result<()> {
    let n = plan.buffers.len();
    let sized = |b: &Buffer| {
        let elements = b.operand.shape.checked_numel();
        let bytes = elements.and_then(|e| e.checked_mul(b.operand.dtype.size())?.checked_mul(plan.max_batch));
        let placed = bytes.and_then(|s| s.checked_add(b.offset));
        placed.is_some_and(|end| b.absent && end <= MAX_ARENA || end <= plan.arena)
            && b.within.is_none_or(|w| w.buffer.index() < n)
            && b.operand
                .pitch
                .is_none_or(|p| b.operand.row() > 0 && (b.operand.row()..=plan.arena).contains(&p))
    };
    let placed = |i: usize| {
        let b = &plan.buffers[i];
        if b.absent {
            return b.within.is_none();
        }
        let stride = plan.stride(BufferId::from(i));
        let end = stride.saturating_mul(plan.max_batch - 1).saturating_add(b.operand.span());
        let step = if b.within.is_none() { ALIGN } else { b.operand.dtype.size() };
        end.saturating_add(b.offset) <= plan.arena
            && b.offset.is_multiple_of(step)
            && stride.is_multiple_of(b.operand.dtype.size())
    };
    if plan.max_batch == 0 || !plan.buffers.iter().all(sized) || !(0..n).all(placed) {
        return Err(damaged("a buffer lies outside the arena"));
    }
    // the sizes do not overflow: each fits the arena
    let most = plan
        .buffers
        .iter()
        .filter(|b| !b.absent)
        .map(|b| b.operand.extent().saturating_mul(plan.max_batch).saturating_add(ALIGN));
    if plan.arena > most.fold(0, usize::saturating_add).min(MAX_ARENA) {
        return Err(damaged(format!("its memory would be {} bytes", plan.arena)));
    }
    Ok(())
}

/// Steps that are computed together belong together, and what is in no memory is touched by nobody else.
fn pairs(plan: &Plan) -> Result<()> {
    let joined = |s: &Step| s.choice.tactic == Tactic::joined();
    let absent = |b: BufferId| plan.buffer(b).absent;
    let is_pair = |(i, s): (usize, &Step)| {
        s.with.is_none_or(|first| {
            let before = plan.steps[..i].get(first).filter(|s| joined(s));
            before.is_some_and(|f| f.outputs[..] == s.inputs[..1.min(s.inputs.len())] && absent(f.outputs[0]))
                && plan.computed(s).0.halves().is_some()
        })
    };
    let computed = |i: usize| plan.steps.iter().filter(|s| s.with == Some(i)).count();
    let once = |(i, s): (usize, &Step)| computed(i) == usize::from(joined(s));
    let kept = |s: &Step| {
        let touched = plan.computed(s).2.iter().chain(&s.outputs).any(|&b| absent(b));
        joined(s) || !touched
    };
    let steps = || plan.steps.iter().enumerate();
    let entry = plan.entry.as_ref();
    let ports = plan.inputs.iter().chain(&plan.outputs).chain(entry.map(|e| &e.port));
    let wholes = plan.buffers.iter().filter_map(|b| b.within);
    let good = steps().all(is_pair)
        && steps().all(once)
        && plan.steps.iter().chain(entry.map(|e| &e.step)).all(kept)
        && entry.is_none_or(|e| e.step.with.is_none() && !joined(&e.step))
        && !ports.map(|p| p.buffer).chain(wholes.map(|w| w.buffer)).any(absent);
    if good { Ok(()) } else { Err(damaged("steps that are computed together do not belong together")) }
}

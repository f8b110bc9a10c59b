//! The engine file.
//!
//! ```text
//! 0   magic "QNTZENG\n"       8    version u32, little endian as all numbers here
//! 12  sections u32             16   length of the whole file u64
//! 24  zero                     60   CRC-32 of bytes 0..60
//! 64  section table: per section kind u32, CRC-32 u32, offset u64, length u64; then CRC-32 of the table, zeros to 64
//! ..  sections, each from a multiple of 64, zeros between
//! ```
//!
//! Every byte is covered by a checksum or must be zero, so that any flipped bit and any truncation is found.

use super::{Engine, Origin};
use crate::base::codes::engine;
use crate::base::{DType, Diagnostic, Result};
use crate::device::Layout;
use crate::plan::{BufferId, Plan, Port};
use bytes::Bytes;

const MAGIC: &[u8; 8] = b"QNTZENG\n";
/// The version this program writes and reads.
pub const VERSION: u32 = 2;
const ALIGN: usize = 64;
const ROW: usize = 24;

/// Kinds of sections.
const MANIFEST: u32 = 1;
const WEIGHTS: u32 = 2;

/// Sections a file may have at most; more is taken for damage.
const MAX_SECTIONS: usize = 64;

/// More working memory than this is taken for damage.
const MAX_ARENA: usize = 1 << 40;

/// Serializes an engine.
pub fn write(e: &Engine) -> Result<Vec<u8>> {
    let manifest = postcard::to_stdvec(&(&e.origin, &e.plan))
        .map_err(|err| Diagnostic::new(engine::DAMAGED, format!("the manifest cannot be written: {err}")))?;
    let sections: [(u32, &[u8]); 2] = [(MANIFEST, &manifest), (WEIGHTS, e.weights())];
    let table_end = (ALIGN + sections.len() * ROW + 4).next_multiple_of(ALIGN);
    let mut out = vec![0; table_end];
    for (i, (kind, bytes)) in sections.iter().enumerate() {
        let offset = out.len();
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        let row = &mut out[ALIGN + i * ROW..][..ROW];
        row[0..4].copy_from_slice(&kind.to_le_bytes());
        row[4..8].copy_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        row[8..16].copy_from_slice(&(offset as u64).to_le_bytes());
        row[16..24].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    }
    let rows = ALIGN..ALIGN + sections.len() * ROW;
    let crc = crc32fast::hash(&out[rows.clone()]);
    out[rows.end..rows.end + 4].copy_from_slice(&crc.to_le_bytes());
    let length = out.len() as u64;
    out[0..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    out[16..24].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&out[..60]);
    out[60..64].copy_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// Reads an engine from the bytes of a file. The weights share them.
pub fn read(file: Bytes) -> Result<Engine> {
    let sections = sections(&file)?;
    let find = |kind: u32, name: &str| {
        let found = sections.iter().find(|s| s.0 == kind).map(|s| file.slice(s.1.clone()));
        found.ok_or_else(|| damaged(format!("the {name} section is missing")))
    };
    let manifest = find(MANIFEST, "manifest")?;
    let (origin, plan): (Origin, Plan) = postcard::from_bytes(&manifest)
        .map_err(|e| damaged(format!("the manifest is not what this version writes: {e}")))?;
    sound(&plan)?;
    Ok(Engine::new(origin, plan, find(WEIGHTS, "weights")?))
}

fn damaged(what: impl Into<String>) -> Box<Diagnostic> {
    Diagnostic::new(engine::DAMAGED, what)
        .help("build the engine again, or copy it again and compare the sizes")
}

fn number<const N: usize>(b: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&b[at..at + N]);
    u64::from_le_bytes(wide)
}

/// Kind and place of every section, after every check that needs no understanding of their contents.
fn sections(b: &[u8]) -> Result<Vec<(u32, std::ops::Range<usize>)>> {
    if b.len() < 8 || &b[..8] != MAGIC {
        return Err(damaged("this is no engine file").expected("a file that `quantize build` wrote"));
    }
    if b.len() < ALIGN {
        return Err(damaged(format!("the file ends after {} bytes, inside its header", b.len())));
    }
    let version = number::<4>(b, 8) as u32;
    let good_header = number::<4>(b, 60) as u32 == crc32fast::hash(&b[..60]);
    if version != VERSION && good_header {
        let which = if version > VERSION { "a newer" } else { "an older" };
        return Err(damaged(format!(
            "the file has format {version}, written by {which} version of quantize"
        ))
        .expected(format!("format {VERSION}")));
    }
    if !good_header {
        return Err(damaged("the header's checksum does not fit"));
    }
    if number::<8>(b, 16) != b.len() as u64 {
        return Err(damaged(format!(
            "the file has {} bytes, its header says {}",
            b.len(),
            number::<8>(b, 16)
        )));
    }
    let count = number::<4>(b, 12) as usize;
    let end = ALIGN + count.min(MAX_SECTIONS) * ROW;
    if count > MAX_SECTIONS
        || b.len() < end + 4
        || number::<4>(b, end) as u32 != crc32fast::hash(&b[ALIGN..end])
    {
        return Err(damaged("the section table's checksum does not fit"));
    }
    let mut found = Vec::with_capacity(count);
    let mut last = end + 4;
    for row in b[ALIGN..end].chunks_exact(ROW) {
        let (kind, crc) = (number::<4>(row, 0) as u32, number::<4>(row, 4) as u32);
        let (offset, length) = (number::<8>(row, 8), number::<8>(row, 16));
        let range = offset.checked_add(length).filter(|&e| e <= b.len() as u64 && offset >= last as u64);
        let Some(range) = range.map(|e| offset as usize..e as usize) else {
            return Err(damaged(format!("section {kind} lies outside the file")));
        };
        zeros(b, last..range.start)?;
        if crc32fast::hash(&b[range.clone()]) != crc {
            return Err(damaged(format!("the checksum of section {kind} does not fit")));
        }
        last = range.end;
        found.push((kind, range));
    }
    zeros(b, last..b.len())?;
    Ok(found)
}

fn zeros(b: &[u8], range: std::ops::Range<usize>) -> Result<()> {
    match b[range].iter().all(|&x| x == 0) {
        true => Ok(()),
        false => Err(damaged("bytes between the sections are not zero")),
    }
}

/// A plan from a file may be anything: every id and size that running it relies on is checked.
fn sound(plan: &Plan) -> Result<()> {
    let n = plan.buffers.len();
    let ids = plan.steps.iter().flat_map(|s| s.inputs.iter().chain(&s.outputs));
    let ports = plan.inputs.iter().chain(&plan.outputs).map(|p| &p.buffer);
    if ids.chain(ports).any(|b| b.index() >= n) {
        return Err(damaged("a step names a buffer that is not there"));
    }
    let sized = |b: &crate::plan::Buffer| {
        let elements = b.operand.shape.checked_numel();
        let bytes = elements.and_then(|e| e.checked_mul(b.operand.dtype.size())?.checked_mul(plan.max_batch));
        bytes.and_then(|s| s.checked_add(b.offset)).is_some_and(|end| end <= plan.arena)
            && b.within.is_none_or(|w| w.buffer.index() < n)
            && b.operand
                .pitch
                .is_none_or(|p| b.operand.row() > 0 && (b.operand.row()..=plan.arena).contains(&p))
    };
    let placed = |i: usize| {
        let (b, stride) = (&plan.buffers[i], plan.stride(BufferId::from(i)));
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
    let most =
        plan.buffers.iter().map(|b| b.operand.bytes().saturating_mul(plan.max_batch).saturating_add(ALIGN));
    if plan.arena > most.fold(0, usize::saturating_add).min(MAX_ARENA) {
        return Err(damaged(format!("its memory would be {} bytes", plan.arena)));
    }
    let stated = |s: &crate::plan::Step| {
        let operands =
            |ids: &[BufferId]| ids.iter().map(|&b| plan.buffer(b).operand.clone()).collect::<Vec<_>>();
        operands(&s.inputs).iter().eq(s.problem.activations()) && operands(&s.outputs) == s.problem.outputs
    };
    if let Some(s) = plan.steps.iter().find(|s| s.outputs.is_empty() || !stated(s)) {
        return Err(damaged(format!("step {} states other forms than its buffers have", s.name)));
    }
    let served = |p: &Port| {
        let o = &plan.buffer(p.buffer).operand;
        (o.dtype, o.layout, o.pitch, &o.shape) == (DType::F32, Layout::Plain, None, &p.shape)
            && plan.stride(p.buffer) == o.bytes()
    };
    let images = |p: &Port| p.shape.first() == Some(&1);
    let mut ports = plan.inputs.iter().chain(&plan.outputs);
    match ports.find(|p| !served(p) || !images(p)) {
        Some(p) => Err(damaged(format!("input or output {} has another form than its buffer", p.name))),
        None => Ok(()),
    }
}

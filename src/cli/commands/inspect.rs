//! `quantize inspect FILE`: what is in a file, whichever of ours it is.
//!
//! The content decides what a file is, not its name. To add a kind: a file in this folder, and a row in [`KINDS`].

mod caches;
mod engine;
mod model;
mod results;

use crate::base::codes::machine::IO;
use crate::base::{Diagnostic, Place, Result, files};
use crate::cli::page::Page;
use crate::cli::{args, print};
use crate::engine::file;
use crate::eval::answers;
use std::io::Write;
use std::path::Path;

/// A kind of file.
struct Kind {
    /// What it is called.
    name: &'static str,
    /// Does a file that begins so look like one?
    recognizes: fn(&[u8]) -> bool,
    /// What is in it.
    describe: fn(&Path, &mut Page) -> Result<()>,
    /// Its nodes, where it is a model.
    nodes: Option<fn(&Path, &mut Page) -> Result<()>>,
}

/// Every kind, in the order in which a file is tried. The ONNX model comes last: its format has no magic.
static KINDS: &[Kind] = &[
    Kind {
        name: "engine",
        recognizes: |b| b.starts_with(file::FORM.magic),
        describe: engine::describe,
        nodes: None,
    },
    Kind {
        name: "FP32 answers",
        recognizes: |b| b.starts_with(answers::FORM.magic),
        describe: caches::answers,
        nodes: None,
    },
    Kind {
        name: "calibration cache",
        recognizes: |b| b.starts_with(b"quantize calibration cache"),
        describe: caches::calibration,
        nodes: None,
    },
    Kind {
        name: "timing cache",
        recognizes: |b| b.starts_with(b"quantize timing cache"),
        describe: caches::timing,
        nodes: None,
    },
    Kind {
        name: "TensorRT calibration cache",
        recognizes: |b| b.starts_with(b"TRT-") || b.starts_with(b"\xef\xbb\xbfTRT-") || is_legacy_trt(b),
        describe: caches::tensorrt,
        nodes: None,
    },
    Kind {
        name: "report",
        recognizes: |b| b.trim_ascii_start().starts_with(b"{"),
        describe: results::describe,
        nodes: None,
    },
    Kind {
        name: "graph text",
        recognizes: is_graph_text,
        describe: model::graph_text,
        nodes: Some(model::graph_text_nodes),
    },
    Kind {
        name: "ONNX model",
        recognizes: is_protobuf,
        describe: model::onnx,
        nodes: Some(model::onnx_nodes),
    },
];

/// What files of other programs begin with, and what to do with them here.
const FOREIGN: &[(&[u8], &str, &str)] = &[
    (b"\x89PNG", "an image", "`quantize run ENGINE FILE` runs an engine on it"),
    (b"\xff\xd8\xff", "an image", "`quantize run ENGINE FILE` runs an engine on it"),
    (b"RIFF", "an image", "`quantize run ENGINE FILE` runs an engine on it"),
    (b"BM", "an image", "`quantize run ENGINE FILE` runs an engine on it"),
    (b"\x93NUMPY", "a NumPy array", "`quantize run ENGINE FILE` runs an engine on it"),
    (
        b"PK\x03\x04",
        "an archive (.npz, or PyTorch's .pt)",
        "PyTorch models are exported with `torch.onnx.export`",
    ),
    (b"\x89HDF", "an HDF5 file (Keras)", "tf2onnx makes an ONNX model of it"),
];

/// Describes a file.
pub fn run(args: &args::Inspect, out: &mut dyn Write) -> Result<()> {
    let bytes = files::map(&args.file)?;
    if bytes.is_empty() {
        return Err(unknown(&args.file, "the file is empty"));
    }
    let Some(kind) = KINDS.iter().find(|k| (k.recognizes)(&bytes)) else {
        let foreign = FOREIGN.iter().find(|f| bytes.starts_with(f.0));
        return Err(match foreign {
            Some((_, what, help)) => unknown(&args.file, &format!("the file is {what}")).help(*help),
            None => unknown(&args.file, "the file is none that `inspect` knows"),
        });
    };
    let mut page = Page::default();
    page.fact("kind", kind.name);
    page.fact("file size", crate::cli::page::Cell::bytes(bytes.len() as u64));
    (kind.describe)(&args.file, &mut page)?;
    if let Some(nodes) = kind.nodes.filter(|_| args.nodes) {
        nodes(&args.file, &mut page)?;
    }
    print(out, &page.render(args.json))
}

fn unknown(path: &Path, what: &str) -> Box<Diagnostic> {
    let names: Vec<&str> = KINDS.iter().map(|k| k.name).collect();
    Diagnostic::new(IO, what).at(Place::file(path)).expected(format!("one of {}", names.join(", ")))
}

/// `0 <16 hex digits> <16 hex digits>`, the header of TensorRT's oldest calibrator.
fn is_legacy_trt(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).collect();
    let hex = |w: &[u8]| w.len() == 16 && w.iter().all(u8::is_ascii_hexdigit);
    matches!(words[..], [b"0", a, b] if hex(a) && hex(b))
}

/// The first word of a graph text is that of one of its statements.
fn is_graph_text(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    [&b"graph "[..], b"input %", b"const %"].iter().any(|w| start.starts_with(w))
}

/// A protobuf message begins with a field's number and type; ONNX writers begin with one of the model's own fields.
fn is_protobuf(bytes: &[u8]) -> bool {
    const IR_VERSION: u8 = 1 << 3; // a number
    const TEXT: std::ops::RangeInclusive<u8> = 2..=9; // producer, domain, graph, opset: fields 2 to 9 with a length
    let tag = bytes.first().copied().unwrap_or_default();
    let text = bytes.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    tag == IR_VERSION || (tag & 7 == 2 && TEXT.contains(&(tag >> 3)) && !text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let kind = |b: &[u8]| KINDS.iter().find(|k| (k.recognizes)(b)).map(|k| k.name);
        assert_eq!(kind(b"QNTZENG\n...."), Some("engine"));
        assert_eq!(kind(b"QNTZANS\n...."), Some("FP32 answers"));
        assert_eq!(kind(b"TRT-8601-MinMaxCalibration\n"), Some("TensorRT calibration cache"));
        assert_eq!(kind(b"0 3ff0000000000000 3fe0000000000000\n"), Some("TensorRT calibration cache"));
        assert_eq!(kind(b"graph g\ninput %x: f32[1]\n"), Some("graph text"));
        assert_eq!(kind(b"\x08\x08\x12\x07pytorch"), Some("ONNX model"));
        assert_eq!(kind(b"\x12\x07pytorch\x08\x08"), Some("ONNX model"));
        assert_eq!(kind(b" {\"schema_version\": 1}"), Some("report"));
        for other in [&b"model:\n  path: x"[..], b"\x89PNG\r\n", b"\x7fELF", b"hello", b"*comment"] {
            assert_eq!(kind(other), None, "{other:?}");
        }
    }
}

//! The bodies of the fuzz targets.
//!
//! Files with checksums are read twice: as they are, and with the checksums made right, so that mutations reach what
//! lies behind them.

use super::repair;
use crate::base::codes::machine::INTERNAL;
use crate::base::{Diagnostic, Result};
use crate::calib::MethodName;
use crate::calib::cache::Cache;
use crate::calib::trt::TrtCache;
use crate::config::{Document, Names, resolve};
use crate::engine::file;
use crate::eval::answers::Answers;
use crate::eval::metrics::METRICS;
use crate::ir::Graph;
use crate::tune::TimingCache;
use bytes::Bytes;
use std::path::Path;

/// The value, unless it was refused. A refusal has words, and blames the file.
fn accepted<T>(result: Result<T>) -> Option<T> {
    let blamed = |e: &Diagnostic| {
        assert_ne!(e.code, INTERNAL, "{e}");
        assert!(!e.to_string().is_empty());
    };
    result.inspect_err(|e| blamed(e)).ok()
}

/// Runs `read` on the bytes as text, if they are text.
fn as_text(bytes: &[u8], read: impl Fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
}

/// An engine file: what is accepted can be bound to a device's program and written again.
pub fn engine_read(bytes: &[u8]) {
    let mut repaired = bytes.to_vec();
    repair::sections(&mut repaired, repair::ENGINE);
    for bytes in [bytes, &repaired] {
        if let Some(engine) = accepted(file::read(Bytes::copy_from_slice(bytes))) {
            accepted(engine.program());
            accepted(engine.to_bytes());
            assert!(!engine.plan.to_string().is_empty());
        }
    }
}

/// A file of answers: what is accepted can be asked and written again.
pub fn answers_read(bytes: &[u8]) {
    let mut repaired = bytes.to_vec();
    repair::sections(&mut repaired, repair::ANSWERS);
    for bytes in [bytes, &repaired] {
        if let Some(answers) = accepted(Answers::read(Bytes::copy_from_slice(bytes))) {
            for sample in 0..4 {
                let _ = answers.find(&[sample, sample + 1]);
            }
            let again = accepted(answers.to_bytes().and_then(|b| Answers::read(b.into())));
            assert_eq!(again.map(|a| a.len()), Some(answers.len()));
        }
    }
}

/// The text form of a graph: what is accepted is printed and reads back as the same graph.
pub fn graph_parse(bytes: &[u8]) {
    as_text(bytes, |text| {
        if let Some(graph) = accepted(Graph::parse(text)) {
            let printed = graph.to_string();
            let again = Graph::parse(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
            assert_eq!(again.to_string(), printed);
            let _ = graph.verify();
        }
    });
}

/// A configuration, in a folder that does not exist: no file that it names is opened.
pub fn config(bytes: &[u8]) {
    let methods: Vec<&str> = MethodName::all().collect();
    let metrics: Vec<&str> = METRICS.iter().map(|m| m.name()).collect();
    as_text(bytes, |text| {
        if let Some(document) = accepted(Document::parse(text, Path::new("nowhere/fuzz.yaml"), &[])) {
            accepted(resolve(&document, &Names { methods: &methods, metrics: &metrics }));
        }
    });
}

/// Our calibration cache: what is accepted is written as it was read.
pub fn calibration_cache(bytes: &[u8]) {
    let parse = |text: &str| accepted(Cache::parse(text, Path::new("fuzz.cache")));
    as_text(bytes, |text| {
        parse(text);
        if let Some(cache) = parse(&repair::calibration_cache(text)) {
            assert!(parse(&cache.to_string()).is_some());
        }
    });
}

/// TensorRT's calibration cache.
pub fn trt_cache(bytes: &[u8]) {
    let parse = |text: &str| accepted(TrtCache::parse(text, Path::new("fuzz.cache")));
    as_text(bytes, |text| {
        if let Some((cache, _)) = parse(text) {
            cache.entries.iter().for_each(|e| assert!(e.scale().is_none_or(|s| s.get() > 0.0)));
            let _ = cache.header.version_name();
            assert!(parse(&cache.to_string()).is_some());
        }
    });
}

/// The timing cache.
pub fn timing_cache(bytes: &[u8]) {
    as_text(bytes, |text| {
        if let Some(cache) = accepted(TimingCache::parse(text)) {
            assert!(accepted(TimingCache::parse(&cache.to_string())).is_some());
        }
    });
}

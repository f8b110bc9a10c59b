//! Every target over its seeds and over mutations of them.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How long each target runs.
fn duration() -> Duration {
    let seconds = std::env::var("QUANTIZE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Runs a body; where it panics, the input is kept and named.
fn run(target: &Target, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.body)(bytes))).is_err() {
        let path = std::env::temp_dir().join(format!("quantize-fuzz-{}", target.name));
        std::fs::write(&path, bytes).unwrap();
        panic!("{}: the input is in {}", target.name, path.display());
    }
}

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|t| t.name == name).unwrap();
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty() && seeds.iter().all(|s| !s.is_empty()), "{name} has no seeds");
    seeds.iter().for_each(|s| run(target, s));
    let mut mutator = Mutator::new(2026);
    let end = Instant::now() + duration();
    while Instant::now() < end {
        run(target, &mutator.next(&seeds));
    }
}

#[test]
fn onnx_import() {
    fuzz("onnx_import");
}

#[test]
fn engine_read() {
    fuzz("engine_read");
}

#[test]
fn answers_read() {
    fuzz("answers_read");
}

#[test]
fn graph_parse() {
    fuzz("graph_parse");
}

#[test]
fn config() {
    fuzz("config");
}

#[test]
fn calibration_cache() {
    fuzz("calibration_cache");
}

#[test]
fn trt_cache() {
    fuzz("trt_cache");
}

#[test]
fn timing_cache() {
    fuzz("timing_cache");
}

/// Seeds must get through, or mutations of them would only test the first check.
#[test]
fn seeds_are_good_and_repair_keeps_them() {
    for bytes in seeds::engines() {
        let mut repaired = bytes.clone();
        repair::sections(&mut repaired, repair::ENGINE);
        assert_eq!(repaired, bytes);
    }
    let engine = crate::engine::file::read(seeds::engines().remove(0).into()).unwrap();
    assert_eq!(engine.plan.coverage().0, 1.0);
    assert_eq!(seeds::engines().len(), 3);
    assert_eq!(seeds::timing_caches().len(), 2);
    for bytes in seeds::calibration_caches() {
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(repair::calibration_cache(&text), text);
    }
    let parsed = |b: &Vec<u8>| crate::ir::Graph::parse(std::str::from_utf8(b).unwrap()).is_ok();
    assert!(seeds::graphs().iter().filter(|b| parsed(b)).count() > 20);
}

/// A repaired file gets past its checksums.
#[test]
fn repair_reaches_what_checksums_protect() {
    let mut bytes = seeds::engines().remove(0);
    bytes[256] ^= 0x40; // the manifest
    let refusal = |b: &[u8]| crate::engine::file::read(b.to_vec().into()).err().map(|e| e.to_string());
    assert!(refusal(&bytes).unwrap().contains("checksum"));
    repair::sections(&mut bytes, repair::ENGINE);
    assert!(refusal(&bytes).is_none_or(|e| !e.contains("checksum")));
}

/// `fuzz/` has a file for every row, which is the table's own body.
#[test]
fn every_target_has_its_file() {
    for t in TARGETS {
        let path = format!("{}/fuzz/fuzz_targets/{}.rs", env!("CARGO_MANIFEST_DIR"), t.name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("\"{}\"", t.name)), "{path}");
    }
}

/// Writes the seeds where libFuzzer looks for them:
/// `cargo test --lib write_the_corpus -- --ignored`
#[test]
#[ignore = "writes files"]
fn write_the_corpus() {
    for t in TARGETS {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(t.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (i, seed) in (t.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{i}")), seed).unwrap();
        }
    }
}

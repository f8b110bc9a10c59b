//! What is wrong gets one clear message and the right exit code; never a panic.

use crate::fixture::{folder, quantize, text};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Files that are wrong in all the usual ways.
fn spoil(dir: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    let engine = fs::read(dir.join("e.engine")).unwrap();
    write("empty", b"");
    write("hello.txt", b"hello\n");
    write("cut.engine", &engine[..engine.len() - 64]);
    let mut flipped = engine.clone();
    flipped[engine.len() / 2] ^= 1;
    write("flipped.engine", &flipped);
    write("header.engine", &engine[..20]);
    write("cut.png", &fs::read(dir.join("red.png")).unwrap()[..40]);
    write("cut.npy", &fs::read(dir.join("x.npy")).unwrap()[..200]);
    write("cut.onnx", b"\x08\x08\x12\x07pyto");
    write("bad.qg", b"graph g\ninput %x: f33[1,2]\n");
    write("cache", b"quantize calibration cache, version 2\nmodel 00\n");
    write("newer", b"quantize calibration cache, version 9\n");
    write("times", b"quantize timing cache 1\n  igemm/a  time 1\n");
    write("answers", b"QNTZANS\n\x01\0\0\0\x02\0\0\0");
    write("trt", b"TRT-8601-MinMaxCalibration\nx 3d418306\n");
    write("report.json", b"{\"schema_version\": 99}");
    write("config.yaml", b"model:\n  path: g.qg\ncalibraton:\n  samples: 3\n");
    write("tab.yaml", b"model:\n\tpath: g.qg\n");
    write("labels.bin", &[0xff, 0xfe, 0x00]);
    let small = ndarray::Array4::<f32>::zeros((1, 3, 2, 2));
    ndarray_npy::write_npy(dir.join("small.npy"), &small).unwrap();
    let nan = ndarray::Array4::<f32>::from_elem((1, 3, 4, 4), f32::NAN);
    ndarray_npy::write_npy(dir.join("nan.npy"), &nan).unwrap();
    let double = ndarray::Array4::<f64>::zeros((1, 3, 4, 4));
    ndarray_npy::write_npy(dir.join("double.npy"), &double).unwrap();
    fs::create_dir(dir.join("nothing")).unwrap();
}

/// Command lines, each wrong.
const LINES: &[&str] = &[
    "inspect missing.onnx",
    "inspect e.engin",
    "inspect photos",
    "inspect empty",
    "inspect hello.txt",
    "inspect red.png",
    "inspect x.npy",
    "inspect config.yaml",
    "inspect cut.onnx",
    "inspect cut.engine",
    "inspect flipped.engine",
    "inspect header.engine",
    "inspect bad.qg",
    "inspect cache",
    "inspect newer",
    "inspect times",
    "inspect answers",
    "inspect trt",
    "inspect report.json",
    "run missing.engine red.png",
    "run hello.txt red.png",
    "run e.engine missing.png",
    "run e.engine cut.png",
    "run e.engine hello.txt",
    "run e.engine big.png",
    "run e.engine cut.npy",
    "run e.engine small.npy",
    "run e.engine double.npy",
    "run e.engine nan.npy",
    "run e.engine nothing",
    "run plain.engine red.png",
    "run e.engine red.png --batch 5",
    "run e.engine red.png --out y.txt",
    "run e.engine red.png --out x.npy/y.npz",
    "run e.engine red.png --top 0",
    "run e.engine",
    "bench cut.engine",
    "bench e.engine --batch 5",
    "bench plain.engine --input u8",
    "bench e.engine --duration -1",
    "bench e.engine --duration soon",
    "bench e.engine --threads 0",
    "report hello.txt",
    "report report.json --format pdf",
    "explain Q0404x",
    "explain nonsense",
    "list method",
    "completions cmd",
    "frobnicate",
    "--trust-cache",
    "--config missing.yaml",
    "--config labels.bin",
    "--config config.yaml",
    "--config tab.yaml",
    "--config config.yaml --set nonsense",
    "calibrate",
    "build --config config.yaml --verbos",
    "--config config.yaml calibrate",
];

#[test]
fn every_mistake_gets_a_message() {
    let dir = folder();
    spoil(dir.path());
    let mut said = String::new();
    for line in LINES {
        let output = quantize(dir.path(), line);
        let message = text(&output.stderr);
        let code = output.status.code();
        assert!(matches!(code, Some(1 | 2)), "quantize {line}: exit code {code:?}\n{message}");
        assert!(output.stdout.is_empty(), "quantize {line} prints a result: {}", text(&output.stdout));
        let panicked = ["panicked", "RUST_BACKTRACE", "Q0004"].iter().any(|w| message.contains(w));
        assert!(!panicked, "quantize {line}: {message}");
        // progress holds times
        let message: Vec<&str> = message.lines().filter(|l| !l.starts_with("run: ")).collect();
        let _ =
            writeln!(said, "$ quantize {line}   => {}\n{}\n", code.unwrap(), message.join("\n").trim_end());
    }
    // names of tactics, which have other lengths on other processors, are in the file
    let size = fs::metadata(dir.path().join("e.engine")).unwrap().len();
    let sizes = format!("the file has {} bytes, its header says {size}", size - 64);
    insta::assert_snapshot!(
        "bad-input",
        said.replace(&sizes, "the file has SIZE - 64 bytes, its header says SIZE")
    );
}

#[test]
fn a_log_filter_that_is_none_is_a_usage_error() {
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_quantize"))
        .arg("doctor")
        .env("QUANTIZE_LOG", "quantize=loudly")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("QUANTIZE_LOG"), "{}", text(&output.stderr));
}

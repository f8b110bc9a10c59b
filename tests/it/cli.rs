//! The program from outside: what it prints where, and how it ends.

use crate::fixture::{folder, good, quantize, text};
use serde_json::Value;
use std::process::{Command, Stdio};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn help_version_and_completions() {
    let dir = tempfile::tempdir().unwrap();
    let help = good(dir.path(), "--help");
    for word in ["Examples:", "Exit codes:", "--config", "--set", "calibrate", "inspect", "doctor", "explain"]
    {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    assert_eq!(good(dir.path(), "--version"), format!("quantize {}\n", env!("CARGO_PKG_VERSION")));
    let commands = "calibrate build run bench inspect list doctor schema explain report completions";
    for command in commands.split(' ') {
        assert!(good(dir.path(), &format!("{command} --help")).contains("Usage: quantize"), "{command}");
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            assert!(good(dir.path(), &format!("completions {shell}")).contains(command), "{shell} {command}");
        }
    }
}

#[test]
fn no_argument_prints_the_help_as_a_usage_error() {
    let output = quantize(&std::env::temp_dir(), "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage: quantize"));
    assert!(output.stdout.is_empty());
}

#[test]
fn explain_schema_list_doctor() {
    let dir = tempfile::tempdir().unwrap();
    insta::assert_snapshot!("explain", good(dir.path(), "explain q0405") + &good(dir.path(), "explain R07"));
    let schema = json(&good(dir.path(), "schema"));
    jsonschema::validator_for(&schema).unwrap();
    assert!(schema["properties"]["calibration"].is_object());
    assert!(json(&good(dir.path(), "schema --report"))["properties"]["verdict"].is_object());
    assert!(good(dir.path(), "schema --markdown").contains("| `calibration` |"));
    assert!(good(dir.path(), "list methods").contains("entropy-trt"));
    let all = json(&good(dir.path(), "list --json"));
    for (table, key, name) in [
        ("operators", "operator", "Conv"),
        ("methods", "method", "auto"),
        ("tactics", "tactic", "direct"),
        ("metrics", "metric", "sqnr_db"),
        ("codes", "code", "Q0001"),
    ] {
        let rows = all[table].as_array().unwrap();
        assert!(rows.iter().any(|r| r[key] == name), "{table} lacks {name}");
    }
    assert!(!all["rewrites"].as_array().unwrap().is_empty());
    let doctor = json(&good(dir.path(), "doctor --json"));
    let sets = doctor["instruction_sets"].as_array().unwrap();
    assert_eq!((sets[0]["name"].as_str(), sets[0]["usable"].as_bool()), (Some("scalar"), Some(true)));
    assert!(doctor["threads"].as_u64().unwrap() >= 1);
}

#[test]
fn inspect_tells_kinds_by_content() {
    let dir = folder();
    std::fs::copy(dir.path().join("e.engine"), dir.path().join("renamed.bin")).unwrap();
    let engine = json(&good(dir.path(), "inspect renamed.bin --json"));
    assert_eq!((engine["kind"].as_str(), engine["largest_batch"].as_u64()), (Some("engine"), Some(4)));
    assert_eq!(engine["inputs"][0]["shape"], serde_json::json!([1, 3, 4, 4]));
    let head = engine["layers"].as_array().unwrap().iter().find(|l| l["name"] == "head").unwrap();
    assert_eq!((head["macs"].as_u64(), head["precision"].as_str()), (Some(9), Some("float")));
    assert!(head["reason"].as_str().unwrap().starts_with("R10"), "{head}");
    insta::assert_snapshot!("inspect-graph", good(dir.path(), "inspect g.qg"));
    std::fs::write(dir.path().join("trt"), "TRT-8601-MinMaxCalibration\nx: 3d418306\ny: 00000000\n").unwrap();
    insta::assert_snapshot!("inspect-trt", good(dir.path(), "inspect trt"));
    std::fs::write(
        dir.path().join("t"),
        "quantize timing cache 1\n[cpu/avx2 x2] Conv{} f32[1] -> f32[1]\n  direct/plain  only\n",
    )
    .unwrap();
    assert!(good(dir.path(), "inspect t").contains("direct/plain  only"));
}

/// Softmax of (10, 0, 0): e^10 / (e^10 + 2) = 99.9909 %.
#[test]
fn run_names_the_colours() {
    let dir = folder();
    insta::assert_snapshot!("run", good(dir.path(), "run e.engine red.png blue.png x.npy --top 2 -q"));
    let lines = good(dir.path(), "run e.engine photos --top 1 -q");
    assert!(lines.lines().any(|l| l.contains("99.99  green") && l.contains("1.png")), "{lines}");
    let answers = json(&good(dir.path(), "run e.engine photos x.npy --json --batch 3 --threads 1"));
    let names: Vec<&str> = (0..4).map(|i| answers[i]["top"][0]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["green", "red", "green", "blue"]);
    let p = answers[0]["top"][0]["probability"].as_f64().unwrap();
    assert!((p - 10f64.exp() / (10f64.exp() + 2.0)).abs() < 1e-6, "{p}");
    assert_eq!(answers.as_array().unwrap().len(), 4);
}

#[test]
fn run_writes_outputs() {
    let dir = folder();
    assert_eq!(good(dir.path(), "run plain.engine x.npy --out y.npz"), "");
    let mut npz =
        ndarray_npy::NpzReader::new(std::fs::File::open(dir.path().join("y.npz")).unwrap()).unwrap();
    let y: ndarray::Array2<f32> = npz.by_name("logits").unwrap();
    assert_eq!(y, ndarray::array![[0.0, 10.0, 0.0], [0.0, 0.0, 10.0]]);
}

#[test]
fn bench_has_the_keys_that_scripts_read() {
    let dir = folder();
    let line = "bench e.engine --batch 2 --threads 1 --duration 0.05 --warmup 0 --profile --json";
    let m = json(&good(dir.path(), line));
    for key in ["min", "mean", "median", "p90", "p95", "p99"] {
        assert!(m["latency_ms"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(m["throughput_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!([&m["batch"], &m["threads"], &m["streams"]].map(|v| v.as_u64().unwrap()), [2, 1, 1]);
    assert!(m["device"].as_str().unwrap().starts_with("cpu/"));
    assert_eq!(m["precision"], "fp32");
    let shares: f64 = m["profile"].as_array().unwrap().iter().map(|s| s["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");
    for key in ["fp32_tflops", "int8_tops", "gb_per_s"] {
        assert!(m["ceilings"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    let head = m["profile"].as_array().unwrap().iter().find(|s| s["name"] == "head").unwrap();
    for key in ["time_us", "gmac_per_s", "tops", "gb_per_s", "roofline"] {
        assert!(head[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert_eq!((&m["input"], m.get("in_flight")), (&Value::from("f32"), None));
    let line = "bench e.engine --batch 3 --duration 0.05 --warmup 0 --input u8 --in-flight 2 --json";
    let m = json(&good(dir.path(), line));
    assert_eq!((m["input"].as_str(), m["in_flight"].as_u64()), (Some("u8"), Some(2)));
    assert!(m["throughput_per_s"].as_f64().unwrap() > 0.0);
    let text = good(dir.path(), "bench e.engine --duration 0.05 --warmup 0");
    assert!(text.contains("throughput") && text.contains("p99"), "{text}");
}

#[test]
fn progress_is_plain_lines_on_standard_error_and_can_be_silenced() {
    let dir = folder();
    let output = quantize(dir.path(), "run e.engine red.png");
    assert!(text(&output.stderr).contains("run: 1 input in "), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr).lines().count(), 1, "one line a stage");
    assert!(!text(&output.stdout).contains("input"));
    assert_eq!(text(&quantize(dir.path(), "run e.engine red.png -q").stderr), "");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quantize"))
        .args(["list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take()); // before the program has written anything, most likely
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130_and_a_sentence() {
    let dir = folder();
    let child = Command::new(env!("CARGO_BIN_EXE_quantize"))
        .args(["bench", "e.engine", "--duration", "100", "--warmup", "0"])
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stderr).contains("interrupted: nothing was written"), "{}", text(&output.stderr));
}

#[test]
fn reports_are_rendered_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut report = quantize::report::Report::new("colours");
    quantize::report::conclude(&mut report);
    std::fs::write(dir.path().join("r.json"), quantize::report::to_json(&report)).unwrap();
    assert_eq!(good(dir.path(), "report r.json"), quantize::report::to_markdown(&report));
    assert_eq!(good(dir.path(), "report r.json --format html --out p.html"), "");
    let page = std::fs::read_to_string(dir.path().join("p.html")).unwrap();
    assert_eq!(page, quantize::report::to_html(&report));
    assert!(good(dir.path(), "inspect r.json").contains("report"));
}

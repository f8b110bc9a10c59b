use super::*;
use crate::base::files;
use crate::data::{Channels, Form, OnError, Preprocess, Size, Step};
use crate::quant::Pattern;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const NAMES: Names = Names {
    methods: &["minmax", "percentile", "entropy", "entropy-trt", "mse", "auto"],
    metrics: &["top1", "top5", "sqnr", "cosine"],
};

/// A folder with everything that the configurations of the tests name.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("model.onnx", "onnx"), ("labels.txt", "cat\ndog\n"), ("list.txt", "img/a.png\t1\n")]
    {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::create_dir(dir.path().join("img")).unwrap();
    fs::write(dir.path().join("img/a.png"), "png").unwrap();
    dir
}

fn parsed(dir: &Path, yaml: &str, sets: &[&str]) -> Result<Job> {
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    let path = dir.join("c.yaml");
    fs::write(&path, yaml).unwrap();
    load(&path, &sets, &NAMES)
}

const GOOD: &str = "model: {path: model.onnx}\ncalibration: {data: {folder: img}}\n";

/// `messages.txt` holds configurations with the message that each must get: `#` a title, the `--set` arguments, the
/// text, `---`, the message. `QUANTIZE_BLESS=1 cargo test config::` writes the messages anew.
#[test]
fn bad_configurations_get_these_messages() {
    let dir = folder();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/messages.txt");
    let text = fs::read_to_string(&file).unwrap();
    let mut now = String::new();
    let cases: Vec<&str> = text.split("\n### ").map(|c| c.trim_start_matches("### ")).collect();
    assert!(cases.len() >= 40);
    for case in cases {
        let (title, rest) = case.split_once('\n').unwrap();
        let input = rest.split_once("\n---\n").map_or(rest, |(input, _)| input);
        let (sets, yaml): (Vec<&str>, Vec<&str>) = input.lines().partition(|l| l.starts_with("--set "));
        let sets: Vec<&str> = sets.iter().map(|s| s.trim_start_matches("--set ")).collect();
        let yaml = yaml.join("\n").replace("GOOD", GOOD.trim_end()).replace("<TAB>", "\t");
        let error = parsed(dir.path(), &yaml, &sets).err().unwrap_or_else(|| panic!("{title}: no error"));
        let message = error.to_string().replace(&dir.path().display().to_string(), "DIR");
        write!(now, "### {title}\n{input}\n---\n{}\n\n", message.trim_end()).unwrap();
    }
    let now = format!("{}\n", now.trim_end());
    if std::env::var_os("QUANTIZE_BLESS").is_some() {
        fs::write(&file, &now).unwrap();
    }
    assert_eq!(now, fs::read_to_string(&file).unwrap(), "QUANTIZE_BLESS=1 accepts the new messages");
}

#[test]
fn defaults_are_filled_in() {
    let dir = folder();
    let job = parsed(dir.path(), GOOD, &[]).unwrap();
    assert_eq!(job.name, "c");
    assert_eq!(job.output.dir, PathBuf::from("reports/c"));
    assert_eq!(job.model.path, dir.path().join("model.onnx"));
    assert_eq!((job.calibration.method.as_str(), job.calibration.percentile), ("entropy", 99.99));
    assert_eq!(job.preprocess, Preprocess::default());
    assert!(job.evaluation.is_none() && job.notes.is_empty());
}

const FULL: &str = r#"
name: full
target: cpu
device: 1
cpu: {isa: avx512-vnni, threads: 4}
model:
  path: model.onnx
  inputs: {image: [8, 3, 224, 224]}
  labels: labels.txt
preprocess:
  steps: [{resize_short: 256}, {crop: 224}, {resize: {width: 320, height: 240}}]
  interpolation: bicubic
  channels: bgr
  scale: 1
  mean: [104, 117, 123.5]
  std: 2
  layout: nhwc
calibration:
  data: {list: list.txt, on_error: skip, preprocess: {channels: rgb, steps: []}}
  method: percentile
  percentile: 99.9
  samples: 100
  shuffle: true
  seed: 7
  batch: 4
  threads: 2
evaluation:
  data: {folder: img}
  samples: 50
  metrics: [top1, sqnr]
  label_offset: 1
  batch: 2
precision:
  activations: s8
  default: int8
  fallback: fp16
  rules:
    - {op: Gemm, precision: float}
    - {name: "stage4.*", precision: float}
    - {name: "stage4.0.*", precision: int8}
gate: {max_drop: 0.5, min_agreement: 99}
build: {timing_cache: t.cache, self_check: false, budget: 1.5}
trt_cache: {version: 100100, algorithm: MinMaxCalibration}
output: {dir: out, html: false}
"#;

#[test]
fn every_key_arrives() {
    let dir = folder();
    let job = parsed(dir.path(), FULL, &[]).unwrap();
    assert_eq!((job.name.as_str(), job.target, job.device), ("full", job::Target::Cpu, 1));
    assert_eq!(job.build.budget, Some(std::time::Duration::from_millis(1500)));
    assert_eq!((job.cpu.isa, job.cpu.threads), (job::Isa::Avx512Vnni, 4));
    assert_eq!(job.model.inputs, [("image".to_string(), crate::base::Shape::new(&[8, 3, 224, 224]))]);
    assert_eq!(job.model.classes.unwrap(), ["cat", "dog"]);
    let p = &job.preprocess;
    let size = |width, height| Size { width, height };
    assert_eq!(p.steps, [Step::ResizeShort(256), Step::Crop(size(224, 224)), Step::Resize(size(320, 240))]);
    assert_eq!((p.scale, p.mean.as_slice(), p.std.as_slice()), (1.0, &[104., 117., 123.5][..], &[2.0][..]));
    let c = &job.calibration;
    let data = c.data.as_ref().unwrap();
    // its own channels and steps, all else inherited
    assert_eq!(data.preprocess, Preprocess { channels: Channels::Rgb, steps: vec![], ..p.clone() });
    assert_eq!(
        (&data.source.form, data.source.on_error),
        (&Form::List(dir.path().join("list.txt")), OnError::Skip)
    );
    assert_eq!((c.samples, c.shuffle, c.seed, c.batch, c.threads), (Some(100), true, 7, 4, 2));
    let e = job.evaluation.as_ref().unwrap();
    assert_eq!((e.samples, e.batch, e.data.source.label_offset), (Some(50), 2, 1));
    assert_eq!(e.data.preprocess, *p);
    assert_eq!((job.gate.max_drop, job.gate.min_agreement), (Some(0.5), Some(99.0)));
    assert_eq!((job.trt_cache.version, job.output.dir), (100_100, dir.path().join("out")));
    let of_this_machine = |note: &&String| note.contains("they share the"); // it may have fewer CPUs than threads
    let notes = job.notes.iter().filter(|note| !of_this_machine(note)).count();
    assert_eq!((job.precision.fallback, notes), (job::Fallback::Fp16, 0));
    assert_eq!(job.precision.default, job::Arithmetic::Int8);
    let rules = [
        (Pattern::Op("Gemm".into()), false),
        (Pattern::Name("stage4.*".into()), false),
        (Pattern::Name("stage4.0.*".into()), true),
    ];
    let found = job.precision.rules.into_iter();
    assert_eq!(found.map(|r| (r.pattern, r.int8)).collect::<Vec<_>>(), rules);
}

#[test]
fn arguments_replace_values_and_are_relative_to_the_working_directory() {
    let dir = folder();
    let sets = ["calibration.samples=3", "gate.max_drop=", "output.dir=out", "cpu={isa: scalar}", "name=x"];
    let job = parsed(dir.path(), FULL, &sets).unwrap();
    assert_eq!((job.calibration.samples, job.gate.max_drop), (Some(3), None));
    assert_eq!((job.output.dir, job.name.as_str()), (PathBuf::from("out"), "x"));
    assert_eq!((job.cpu.isa, job.cpu.threads), (job::Isa::Scalar, 0));
}

#[test]
fn a_gate_on_accuracy_needs_labels() {
    let dir = folder();
    let yaml = format!("{GOOD}evaluation: {{data: {{folder: img}}}}\ngate:\n  max_drop: 1\n");
    let job = parsed(dir.path(), &yaml, &[]).unwrap();
    let e = job.evaluation.unwrap().dataset().err().unwrap().to_string();
    assert!(e.contains("have no labels") && e.contains(":5:13"), "{e}");
}

#[test]
fn the_configuration_of_the_repository_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/resnet.yaml");
    let text = files::read_text(&path).unwrap();
    let d = Document::parse(&text, &path, &[]).unwrap();
    assert_eq!(d.schema.gate.max_drop, Some(1.0));
    let p = d.schema.preprocess.resolve();
    assert_eq!((p.scale, p.mean), (1.0 / 255.0, vec![0.344, 0.380, 0.408]));
}

#[test]
fn what_is_serialized_is_read_again() {
    let d = Document::parse(FULL, Path::new("c.yaml"), &[]).unwrap();
    let again = serde_saphyr::to_string(&d.schema).unwrap();
    assert_eq!(Document::parse(&again, Path::new("c.yaml"), &[]).unwrap().schema, d.schema);
}

#[test]
fn the_json_schema_takes_what_we_take() {
    let schema: serde_json::Value = serde_json::from_str(&reference::json_schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let json = |yaml: &str| serde_saphyr::from_str::<serde_json::Value>(yaml).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json(FULL)).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!validator.is_valid(&json("model: {path: x, pth: y}")));
    assert!(!validator.is_valid(&json("target: gpu\nmodel: {path: x}")));
}

#[test]
fn every_key_is_documented() {
    let schema: serde_json::Value = serde_json::from_str(&reference::json_schema()).unwrap();
    let groups = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for group in groups.filter(|g| g["properties"].is_object()) {
        for (key, property) in group["properties"].as_object().unwrap() {
            assert!(
                property["description"].as_str().is_some_and(|d| d.len() > 10),
                "{key} has no documentation"
            );
        }
    }
    let page = reference::markdown();
    assert!(page.contains("| `percentile` | number | `99.99` |"), "{page}");
    assert!(page.contains("| `isa` | `auto`, `amx`, `avx512-vnni`, `avx2`, `scalar` | `auto` |"), "{page}");
    assert!(page.find("## `calibration`") < page.find("## `evaluation`"));
}

proptest::proptest! {
    /// Damaged text gives an error or a document, never a panic.
    #[test]
    fn any_text_is_survived(at in 0..FULL.len(), with in "[\\x00-\\x7fä]{0,4}", cut in 0..40usize) {
        let end = (at + cut).min(FULL.len());
        let text = format!("{}{with}{}", &FULL[..at], &FULL[end..]);
        let _ = Document::parse(&text, Path::new("c.yaml"), std::slice::from_ref(&text));
    }
}

//! Calibration from outside: the same cache however the samples come, resumed, stale, imported.

use quantize::base::codes::machine::INTERRUPTED;
use quantize::base::{Monitor, Result};
use quantize::calib::cache::Cache;
use quantize::calib::trt::TrtCache;
use quantize::config::{self, Job, Names};
use quantize::pipeline::{self, Options, Outcome};
use quantize::report::model::CalibrationSource;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// A folder with 23 small images and a list of them, a model's copy, and a configuration.
pub struct Place(TempDir);

const IMAGES: usize = 23;

impl Place {
    pub fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
        std::fs::copy(models.join("torch_script.onnx"), place.at("m.onnx")).unwrap();
        for i in 0..IMAGES as u32 {
            let pixel = |x: u32, y: u32| {
                image::Rgb([x * 31 + i, y * 29 + 3 * i, (x * y + i * i) % 256].map(|v| v as u8))
            };
            image::RgbImage::from_fn(8, 8, pixel).save(place.at(&format!("{i}.png"))).unwrap();
        }
        place.list(&(0..IMAGES).collect::<Vec<_>>());
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn list(&self, order: &[usize]) {
        let lines: String = order.iter().map(|i| format!("{i}.png\n")).collect();
        std::fs::write(self.at("list.txt"), lines).unwrap();
    }

    /// The job, with assignments, whose output goes to this folder.
    pub fn job(&self, out: &str, sets: &[&str]) -> Job {
        let text = "model: {path: m.onnx}\npreprocess: {scale: 1/255, mean: [0.5, 0.5, 0.5]}\n\
             calibration:\n  data: {list: list.txt}\n  method: entropy\noutput: {dir: out}\n";
        std::fs::write(self.at("c.yaml"), text).unwrap();
        let dir = format!("output.dir={}", self.at(out).display());
        let sets: Vec<String> = sets.iter().copied().chain([dir.as_str()]).map(String::from).collect();
        let names = Names {
            methods: &["minmax", "percentile", "entropy", "entropy-trt", "mse", "auto"],
            metrics: &["top1"],
        };
        config::load(&self.at("c.yaml"), &sets, &names).unwrap_or_else(|e| panic!("{e}"))
    }

    fn calibrate(&self, out: &str, sets: &[&str]) -> (Result<Outcome>, Seen) {
        self.calibrate_as(out, sets, Seen::default(), false)
    }

    fn calibrate_as(
        &self,
        out: &str,
        sets: &[&str],
        seen: Seen,
        trust_cache: bool,
    ) -> (Result<Outcome>, Seen) {
        let options = Options { trust_cache, ..Options::default() };
        let outcome = pipeline::calibrate(&self.job(out, sets), &options, &seen);
        (outcome, seen)
    }

    /// The bytes of the cache of a run that succeeds.
    fn bytes(&self, out: &str, sets: &[&str]) -> String {
        self.calibrate(out, sets).0.unwrap_or_else(|e| panic!("{e}"));
        self.cache(out)
    }

    fn cache(&self, out: &str) -> String {
        std::fs::read_to_string(self.at(out).join("calibration.cache")).unwrap()
    }
}

/// What a run said; it stops a calibration after `stop` images.
pub struct Seen {
    stages: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
    images: AtomicUsize,
    stop: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            stages: Mutex::default(),
            notes: Mutex::default(),
            images: AtomicUsize::new(0),
            stop: usize::MAX,
        }
    }
}

impl Seen {
    pub fn has(&self, stage: &str) -> bool {
        self.stages.lock().unwrap().iter().any(|s| s == stage)
    }

    pub fn notes(&self) -> String {
        self.notes.lock().unwrap().join("\n")
    }
}

impl Monitor for Seen {
    fn stage(&self, name: &str, _: &str, _: usize) {
        self.stages.lock().unwrap().push(name.into());
    }
    fn advance(&self, n: usize) {
        if self.stages.lock().unwrap().last().is_some_and(|s| s == "calibrate") {
            self.images.fetch_add(n, Ordering::Relaxed);
        }
    }
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.into());
    }
    fn cancelled(&self) -> bool {
        self.images.load(Ordering::Relaxed) >= self.stop
    }
}

#[test]
fn batch_and_threads_do_not_show() {
    let place = Place::new();
    let want = place.bytes("a", &["calibration.batch=1", "calibration.threads=1"]);
    for (batch, threads) in [(7, 2), (16, 3), (64, 1)] {
        let sets = [format!("calibration.batch={batch}"), format!("calibration.threads={threads}")];
        let out = format!("b{batch}");
        assert!(
            place.bytes(&out, &sets.each_ref().map(String::as_str)) == want,
            "batch {batch}, {threads} threads"
        );
    }
}

/// Held-out samples depend on the place in the list; all together do not.
#[test]
fn the_order_of_samples_does_not_show() {
    let place = Place::new();
    let all = |text: &str| {
        let cache = Cache::parse(text, "x".as_ref()).unwrap();
        cache.tensors.into_iter().map(|(n, e)| (n, e.stats.all(), e.chosen)).collect::<Vec<_>>()
    };
    let want = all(&place.bytes("a", &[]));
    assert!(want.len() > 3);
    place.list(&(0..IMAGES).map(|i| i * 7 % IMAGES).collect::<Vec<_>>());
    assert!(all(&place.bytes("b", &[])) == want);
    place.list(&(0..IMAGES).collect::<Vec<_>>());
    assert!(all(&place.bytes("c", &["calibration.shuffle=true", "calibration.seed=5"])) == want);
}

#[test]
fn an_interrupted_run_goes_on() {
    let place = Place::new();
    let want = place.bytes("whole", &["calibration.batch=4"]);
    for stop in [1, 9, 22] {
        let out = format!("stopped{stop}");
        let seen = Seen { stop, ..Seen::default() };
        let e = place.calibrate_as(&out, &["calibration.batch=4"], seen, false).0.unwrap_err();
        assert_eq!(e.code, INTERRUPTED);
        let checkpoint = Cache::parse(&place.cache(&out), "x".as_ref()).unwrap();
        assert!(checkpoint.done >= stop as u64 && checkpoint.done <= IMAGES as u64);
        // another batch size, and killed after the checkpoint was written: it starts from what is on file
        let (outcome, seen) = place.calibrate(&out, &["calibration.batch=3"]);
        outcome.unwrap();
        assert!(place.cache(&out) == want, "stopped after {stop}");
        assert!(checkpoint.is_complete() || seen.notes().contains("checkpoint"), "{}", seen.notes());
    }
    // a checkpoint that was cut short is of no use
    std::fs::create_dir(place.at("cut")).unwrap();
    std::fs::write(place.at("cut/calibration.cache"), &want[..want.len() / 2]).unwrap();
    let (outcome, seen) = place.calibrate("cut", &[]);
    outcome.unwrap();
    assert!(seen.notes().contains("calibrating anew"), "{}", seen.notes());
    assert!(place.cache("cut") == want);
}

#[test]
fn another_method_needs_no_second_run() {
    let place = Place::new();
    let entropy = place.bytes("a", &[]);
    assert!(place.calibrate("fresh", &[]).1.has("calibrate"));
    for method in ["minmax", "mse", "percentile", "entropy-trt", "auto", "entropy"] {
        let (outcome, seen) = place.calibrate("a", &[&format!("calibration.method={method}")]);
        assert_eq!(outcome.unwrap().report.calibration.unwrap().source, CalibrationSource::Cache);
        assert!(!seen.has("calibrate"), "{method} ran the network");
        let fresh = place.bytes(&format!("fresh-{method}"), &[&format!("calibration.method={method}")]);
        assert!(place.cache("a") == fresh, "{method} left a trace of another method");
    }
    assert_eq!(Cache::parse(&entropy, "x".as_ref()).unwrap().setting.unwrap().method, "entropy");
}

/// With other readers in 8 bits, `auto` chooses again, or says that it cannot.
#[test]
fn auto_is_not_reused_for_other_precision_rules() {
    let place = Place::new();
    let rules = "precision.rules=[{op: Conv, precision: float}]";
    let auto = "calibration.method=auto";
    let [all, fewer] =
        [("all", vec![auto]), ("fewer", vec![auto, rules])].map(|(out, sets)| place.bytes(out, &sets));
    assert!(all != fewer, "the rules change nothing");
    for (sets, want, chosen_again) in
        [(&[auto, rules][..], &fewer, true), (&[auto, rules], &fewer, false), (&[auto], &all, true)]
    {
        let (outcome, seen) = place.calibrate("all", sets);
        assert_eq!(outcome.unwrap().report.calibration.unwrap().source, CalibrationSource::Cache);
        assert_eq!((seen.has("calibrate"), seen.has("choose methods")), (false, chosen_again), "{sets:?}");
        assert!(place.cache("all") == *want, "{sets:?}");
    }
    // without samples there is nothing to choose by
    let cache = format!("calibration.cache={}", place.at("all/calibration.cache").display());
    let job = |sets: &[&str]| {
        let mut job = place.job("b", &[&[auto, cache.as_str()], sets].concat());
        job.calibration.data = None;
        job
    };
    let options = Options { trust_cache: true, ..Options::default() };
    let run = |sets: &[&str]| pipeline::calibrate(&job(sets), &options, &Seen::default());
    run(&[]).unwrap();
    let e = run(&[rules]).map(|_| ()).unwrap_err();
    assert_eq!(e.code.id, "Q0405");
    assert!(e.to_string().contains("`precision`") && e.to_string().contains("calibration.data"), "{e}");
}

/// The first build leaves its times beside the engine; the second measures nothing and writes the same bytes.
#[test]
fn a_second_build_is_the_same() {
    let place = Place::new();
    let build = |checks: bool| {
        let seen = Seen::default();
        let outcome = pipeline::build(&place.job("a", &[]), &Options::default(), &seen).unwrap();
        let read = |name: &str| std::fs::read(place.at("a").join(name)).unwrap();
        assert_eq!(seen.has("check against the oracle"), checks);
        let what: Vec<String> =
            outcome.report.files.iter().map(|f| format!("{} {}", f.what, f.path)).collect();
        assert!(
            what.iter().any(|w| w.starts_with("timing cache ") && w.ends_with("timing.cache")),
            "{what:?}"
        );
        (read("c.engine"), read("timing.cache"), seen)
    };
    let (engine, times, _) = build(true);
    let (again, same, _) = build(false); // the same bytes, checked before
    assert!(again == engine && same == times);
    assert!(times.starts_with(b"quantize timing cache"));
    // a damaged one is made anew, and the run says so
    std::fs::write(place.at("a/timing.cache"), "scribble").unwrap();
    let (_, repaired, seen) = build(true);
    assert!(seen.notes().contains("tuning anew"), "{}", seen.notes());
    // those of the reference are kept for the run that builds it: with a finished calibration none does
    let keys = |t: &[u8]| {
        String::from_utf8_lossy(t)
            .lines()
            .filter(|l| !l.starts_with("  ") && !l.ends_with(", in order"))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&repaired), keys(&times));
    // what another program checked, this one checks again
    let text = String::from_utf8(repaired.clone()).unwrap();
    let (start, by) = text.rsplit_once(" by ").unwrap();
    std::fs::write(place.at("a/timing.cache"), format!("{start} by {}0\n", &by[1..64])).unwrap();
    build(true);
    build(false);
    // a recalibration does not make it grow
    let job = place.job("a", &["calibration.method=minmax"]);
    pipeline::build(&job, &Options::default(), &Seen::default()).unwrap();
    assert_eq!(keys(&std::fs::read(place.at("a/timing.cache")).unwrap()).len(), keys(&times).len());
}

#[test]
fn stale_caches() {
    let place = Place::new();
    place.bytes("a", &[]);
    let given = place.at("given.cache");
    std::fs::copy(place.at("a/calibration.cache"), &given).unwrap();
    let cache = format!("calibration.cache={}", given.display());
    for (set, part) in [
        ("preprocess.scale=1/127", "preprocessing differs"),
        ("precision.activations=s8", "`precision.activations` differs"),
        ("calibration.samples=9", "number of calibration samples differs"),
        ("calibration.shuffle=true", "list of calibration samples differs"),
    ] {
        let e = place.calibrate("b", &[set, &cache]).0.unwrap_err();
        assert_eq!(e.code.id, "Q0405");
        assert!(e.details.iter().any(|d| d.contains(part)), "{set}: {e}");
        // accepted on request
        let (outcome, seen) = place.calibrate_as("b", &[set, &cache], Seen::default(), true);
        assert_eq!(outcome.unwrap().report.calibration.unwrap().source, CalibrationSource::Trusted);
        assert!(!seen.has("calibrate"));
        // the run's own cache is made anew, and says why
        let own = format!("own-{}", part.len());
        std::fs::create_dir_all(place.at(&own)).unwrap();
        std::fs::copy(&given, place.at(&own).join("calibration.cache")).unwrap();
        let (outcome, seen) = place.calibrate(&own, &[set]);
        outcome.unwrap();
        assert!(seen.has("calibrate") && seen.notes().contains(part), "{}", seen.notes());
    }
    // one image with other content
    image::RgbImage::new(8, 8).save(place.at("3.png")).unwrap();
    let e = place.calibrate("b", &[&cache]).0.unwrap_err();
    assert!(e.to_string().contains("content of a calibration sample differs"), "{e}");
    // a checkpoint of something else is not continued
    let seen = Seen { stop: 8, ..Seen::default() };
    place.calibrate_as("part", &["calibration.batch=4"], seen, false).0.unwrap_err();
    std::fs::copy(place.at("part/calibration.cache"), &given).unwrap();
    let (outcome, _) = place.calibrate_as("c", &[&cache, "calibration.samples=12"], Seen::default(), true);
    assert_eq!(outcome.unwrap_err().code.id, "Q0405");
}

#[test]
fn tensorrt_scales_come_and_go_to_the_bit() {
    let place = Place::new();
    place.bytes("a", &["precision.activations=s8"]);
    let first = std::fs::read_to_string(place.at("a/calibration.trt.cache")).unwrap();
    // other scales, odd in their last bits
    let mut n = 0x3c00_0001u32;
    let line = |l: &str| match l.rsplit_once(": ") {
        Some((name, _)) => {
            n += 0x0000_1235;
            format!("{name}: {n:08x}\n")
        }
        None => format!("{l}\n"),
    };
    let text: String = first.lines().map(line).collect();
    std::fs::write(place.at("in.cache"), &text).unwrap();
    let cache = format!("calibration.cache={}", place.at("in.cache").display());
    let (outcome, seen) = place.calibrate("b", &["precision.activations=s8", &cache]);
    assert_eq!(outcome.unwrap().report.calibration.unwrap().source, CalibrationSource::Tensorrt);
    assert!(!seen.has("calibrate"));
    let read = |p: PathBuf| TrtCache::load(&p).unwrap().0;
    let (given, written) = (read(place.at("in.cache")), read(place.at("b/calibration.trt.cache")));
    let ours = Cache::load(&place.at("b/calibration.cache")).unwrap();
    let mut kept = 0;
    for (name, e) in &ours.tensors {
        let bits = given.get(name).unwrap().bits;
        assert_eq!(written.get(name).unwrap().bits, bits);
        kept += usize::from(e.chosen.as_ref().unwrap().params.scale.get().to_bits() == bits);
    }
    // only the members of a group take another's
    assert!(kept > ours.tensors.len() / 2, "{kept} of {}", ours.tensors.len());
    // an engine can be made of it, and of our own form of it; but it never passes for statistics
    pipeline::build(
        &place.job("b", &["precision.activations=s8", &cache]),
        &Options::default(),
        &Seen::default(),
    )
    .unwrap();
    let (outcome, seen) = place.calibrate("b", &["precision.activations=s8"]);
    outcome.unwrap();
    assert!(seen.has("calibrate"), "{}", seen.notes());
}

#[test]
fn images_that_cannot_be_decoded() {
    let place = Place::new();
    std::fs::write(place.at("5.png"), b"no image").unwrap();
    let e = place.calibrate("a", &[]).0.unwrap_err();
    assert!(e.to_string().contains("5.png"), "{e}");
    let (outcome, seen) = place.calibrate("a", &["calibration.data.on_error=skip"]);
    let info = outcome.unwrap().report.calibration.unwrap();
    assert_eq!((info.samples, info.skipped), (IMAGES as u64, 1));
    assert!(seen.notes().contains("5.png"), "{}", seen.notes());
    // the cache remembers, for the runs that reuse it
    let cache = Cache::load(&place.at("a/calibration.cache")).unwrap();
    assert_eq!((cache.done, cache.skipped), (IMAGES as u64, 1));
    let (outcome, seen) =
        place.calibrate("a", &["calibration.data.on_error=skip", "calibration.method=minmax"]);
    let report = outcome.unwrap().report;
    assert!(!seen.has("calibrate"));
    assert_eq!(report.calibration.unwrap().skipped, 1);
    assert!(
        report.warnings.iter().any(|w| w.starts_with("1 calibration samples could not")),
        "{:?}",
        report.warnings
    );
    // and so does a checkpoint
    let seen = Seen { stop: 8, ..Seen::default() };
    let sets = ["calibration.data.on_error=skip", "calibration.batch=4"];
    place.calibrate_as("b", &sets, seen, false).0.unwrap_err();
    assert_eq!(place.calibrate("b", &sets).0.unwrap().report.calibration.unwrap().skipped, 1);
    // the sample of each tensor's largest magnitude is one of the list
    for (name, e) in &cache.tensors {
        let sample = e.stats.all().amax_sample.unwrap_or_else(|| panic!("{name} has none"));
        assert!(sample.ends_with(".png") && *sample != *"5.png", "{name}: {sample}");
    }
}

/// A NaN names the tensor, the sample and the node that made it first.
#[test]
fn not_a_number() {
    let place = Place::new();
    let mut x = ndarray::Array4::<f32>::ones((5, 3, 8, 8));
    x[[3, 1, 2, 2]] = f32::INFINITY;
    ndarray_npy::write_npy(place.at("x.npy"), &x).unwrap();
    let array = format!("calibration.data={{array: {}}}", place.at("x.npy").display());
    let e = place.calibrate("a", &[&array, "calibration.batch=2"]).0.unwrap_err().to_string();
    assert!(e.contains("Q0401") && e.contains("inf") && e.contains("input") && e.contains("[3]"), "{e}");
    // finite images whose products overflow
    x.fill(3e38);
    ndarray_npy::write_npy(place.at("x.npy"), &x).unwrap();
    let e = place.calibrate("b", &[&array]).0.unwrap_err().to_string();
    assert!(
        e.contains("Q0401") && e.contains("first made by node") && e.contains("Conv") && e.contains("[0]"),
        "{e}"
    );
}

#[test]
fn several_inputs_are_one_clear_error() {
    let place = Place::new();
    let mut job = place.job("a", &[]);
    job.model.path = place.at("two.onnx");
    std::fs::write(place.at("two.onnx"), two_inputs()).unwrap();
    let e = pipeline::run(&job, &Options::default(), &Seen::default()).unwrap_err();
    assert_eq!(e.code.id, "Q0211");
    assert!(e.what.contains("2 inputs: a (f32[1,2]), b (f32[1,2])"), "{e}");
}

/// An ONNX file of `y = a + b`, in protobuf's wire form.
fn two_inputs() -> Vec<u8> {
    let bytes = |field: u8, b: &[u8]| [&[field << 3 | 2, b.len() as u8], b].concat();
    let int = |field: u8, v: u8| vec![field << 3, v];
    let dim = |v: u8| bytes(1, &int(1, v));
    let shape = [dim(1), dim(2)].concat();
    let tensor = [int(1, 1), bytes(2, &shape)].concat();
    let value = |name: &str| [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat();
    let node = [bytes(1, b"a"), bytes(1, b"b"), bytes(2, b"y"), bytes(3, b"add"), bytes(4, b"Add")].concat();
    let graph = [
        bytes(1, &node),
        bytes(2, b"g"),
        bytes(11, &value("a")),
        bytes(11, &value("b")),
        bytes(12, &value("y")),
    ]
    .concat();
    let opset = int(2, 13);
    [int(1, 8), bytes(7, &graph), bytes(8, &opset)].concat()
}

#[test]
fn what_would_fail_late_fails_first() {
    let place = Place::new();
    std::fs::write(place.at("eval.txt"), "0.png\t0\nmissing.png\t1\n").unwrap();
    let eval = format!("evaluation.data={{list: {}}}", place.at("eval.txt").display());
    let seen = Seen::default();
    let e = pipeline::run(&place.job("a", &[&eval]), &Options::default(), &seen).unwrap_err();
    assert!(e.to_string().contains("`missing.png`") && !seen.has("import"), "{e}");
    let (outcome, seen) = place.calibrate("m.onnx/out", &[]); // a folder in a file
    let e = outcome.unwrap_err();
    assert!(e.to_string().contains("cannot create") && !seen.has("import"), "{e}");
}

#[test]
fn a_rule_about_no_node_is_an_error_with_its_line() {
    let place = Place::new();
    let rule = "precision.rules=[{name: no_such_node, precision: float}]";
    let e = place.calibrate("a", &[rule]).0.unwrap_err();
    assert_eq!(e.code.id, "Q0109");
    assert!(e.to_string().contains("--set precision.rules"), "{e}");
}

/// Calibrated and evaluated on the same list, by a mean of another unit: both are said.
#[test]
fn doubtful_runs_say_so() {
    let place = Place::new();
    let eval = format!("evaluation.data={{list: {}}}", place.at("list.txt").display());
    let sets = [eval.as_str(), "preprocess.mean=[90, 90, 90]", "build.self_check=false"];
    let outcome = pipeline::run(&place.job("a", &sets), &Options::default(), &Seen::default()).unwrap();
    let warnings = outcome.report.warnings.join("\n");
    assert!(warnings.contains("`preprocess.mean` holds 90"), "{warnings}");
    assert!(warnings.contains("23 of the 23 evaluation samples were calibrated on too"), "{warnings}");
}

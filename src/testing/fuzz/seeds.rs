//! Good files of every kind, small: from the tests' data, or made here.

use crate::base::quant::{QuantParams, Range};
use crate::base::{Digest, Shape, Silent};
use crate::calib::cache::{Activations, Cache, Chosen, Entry, Provenance, Setting};
use crate::calib::shards::TensorStats;
use crate::calib::trt::TrtCache;
use crate::data::{Channels, Preprocess};
use crate::device::cpu::Cpu;
use crate::engine::{Engine, Origin, Settings, build};
use crate::eval::answers::{Answers, Asked};
use crate::ir::{Graph, ValueId};
use crate::quant;
use crate::tune::Tuner;
use crate::tune::cache::{Check, TimingCache};
use std::path::Path;

/// A small network, quantized: every form that a line can have.
const QUANTIZED: &str = r#"graph small
input %image: f32[1,2,4,4] @i8(scale=0.03125, zero=0)
const %w: f32[2,2,1,1] = [0.5,-1.0,0.25,1.0]
const %b: f32[2] = [0.125,-3.5]
const %head: f32[3,2] = [1.0,0.0,-1.0,0.5,0.5,2.0]
%c: f32[1,2,4,4] @u8(scale=0.0235, zero=0) @folded(sum, "a name: with blanks") = Conv(%image, %w, %b) {act=Relu}  # conv from [conv, relu]
%mean: f32[1,2,1,1] @u8(scale=0.0235, zero=3) = GlobalAveragePool(%c)  # mean
%flat: f32[1,2] @u8(scale=0.0235, zero=3) = Flatten(%mean)  # flat
%y: f32[1,3] = Linear(%flat, %head)  # head
output %y as logits
"#;

/// The files of a folder of `tests/data` with this ending.
fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut paths: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == ending)).collect();
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read(p).ok()).collect()
}

/// ONNX models of every style of exporter.
pub fn models() -> Vec<Vec<u8>> {
    files("tests/data/models", "onnx")
}

/// Graphs as text.
pub fn graphs() -> Vec<Vec<u8>> {
    let random = (0..8).map(|seed| crate::ir::r#gen::random(seed).to_string().into_bytes());
    let tested = files("tests/data/rewrites", "qg").into_iter();
    let graphs = tested.flat_map(|f| {
        let text = String::from_utf8_lossy(&f).into_owned();
        // graphs stand between titles (===) and what became of them (---)
        let graphs = text.split("\ngraph ").skip(1).map(|g| g.split("\n---").next().unwrap_or(g));
        let graphs = graphs.map(|g| g.split("\n===").next().unwrap_or(g));
        graphs.map(|g| format!("graph {g}").into_bytes()).collect::<Vec<_>>()
    });
    random.chain([QUANTIZED.into()]).chain(graphs).collect()
}

/// Configurations: those of the repository.
pub fn configurations() -> Vec<Vec<u8>> {
    files("configs", "yaml")
}

/// The engine of [`QUANTIZED`] in 8 bits or in float, with what its tuner learned.
fn built(int8: bool) -> Option<(Engine, TimingCache)> {
    let origin = Origin { labels: vec!["a".into(), "b".into()], ..Origin::default() };
    built_of(QUANTIZED, int8, origin)
}

/// The same of grey pictures, which takes pixels too.
fn pictured() -> Option<(Engine, TimingCache)> {
    let text = QUANTIZED.replace("%image: f32[1,2,4,4]", "%image: f32[1,1,4,4]");
    let text = text.replace("f32[2,2,1,1] = [0.5,-1.0,0.25,1.0]", "f32[2,1,1,1] = [0.5,-1.0]");
    let preprocess = Preprocess { channels: Channels::Grey, ..Preprocess::default() };
    built_of(&text, true, Origin { preprocess: Some(preprocess), ..Origin::default() })
}

fn built_of(text: &str, int8: bool, origin: Origin) -> Option<(Engine, TimingCache)> {
    let mut graph = Graph::parse(text).ok()?;
    graph.verify().ok()?;
    let calibrated: Vec<ValueId> =
        graph.live_values().into_iter().filter(|v| graph.value(*v).quant.is_some()).collect();
    quant::decide(&mut graph, &quant::Settings { int8, ..Default::default() }, |v| calibrated.contains(&v));
    let none = vec![None; graph.value_count()];
    quant::annotate(&mut graph, &none);
    let device = Cpu { threads: 1, ..Cpu::host() };
    let mut tuner = Tuner::new(&device, TimingCache::default(), None);
    let engine =
        build(&graph, &device, &mut tuner, Settings { max_batch: 2, ..Settings::default() }, origin, &Silent)
            .ok()?;
    Some((engine, tuner.into_cache()))
}

/// Engine files.
pub fn engines() -> Vec<Vec<u8>> {
    [built(true), built(false), pictured()].into_iter().filter_map(|e| e?.0.to_bytes().ok()).collect()
}

/// Files of answers: two, and none.
pub fn answers() -> Vec<Vec<u8>> {
    let (key, shape) = (Digest::of(b"key"), Shape::from([1, 3]));
    let mut some = Answers::new(Asked { key, model: "m".into(), output: "y".into(), shape });
    let none = some.clone();
    some.push(&[0, 2], &[1.0, -0.5, f32::NAN, 0.0, 2.0, 3.0]);
    [some, none].iter().filter_map(|a| a.to_bytes().ok()).collect()
}

/// Timing caches.
pub fn timing_caches() -> Vec<Vec<u8>> {
    let of = |int8| {
        let (engine, mut cache) = built(int8)?;
        cache.set_checked("small.engine", Check::of(Digest::of(&engine.to_bytes().ok()?)));
        Some(cache.to_string().into_bytes())
    };
    [true, false].into_iter().filter_map(of).collect()
}

fn calibration() -> Cache {
    let digest = |s: &str| Digest::of(s.as_bytes());
    let mut cache = Cache::new(Provenance {
        model: digest("model"),
        data_list: digest("list"),
        data_content: digest("content"),
        preprocessing: digest("preprocessing"),
        activations: Activations::U8,
        samples: 4,
    });
    let mut stats = TensorStats::new(2);
    (0..4).for_each(|i| stats.update_from(i, &"a.png".into(), &[-1.5, 0.0, 0.25 * i as f32, 3.0], 2));
    let mut entry = Entry::new(stats);
    let range = Range { lo: -1.5, hi: 3.0 };
    entry.aliases = vec!["relu".into(), "a name: with blanks".into()];
    entry.chosen =
        Some(Chosen { method: "minmax".into(), range, params: QuantParams::unsigned(range), imported: None });
    cache.tensors.insert("conv".into(), entry);
    cache.tensors.insert("unseen".into(), Entry::new(TensorStats::new(1)));
    cache.done = 4;
    cache.setting = Some(Setting { method: "minmax".into(), percentile: 99.99, readers: None });
    cache
}

/// Our calibration caches: a finished one and a checkpoint.
pub fn calibration_caches() -> Vec<Vec<u8>> {
    let finished = calibration();
    let checkpoint = Cache { setting: None, done: 2, ..finished.clone() };
    [finished, checkpoint].map(|c| c.to_string().into_bytes()).to_vec()
}

/// TensorRT's calibration caches: ours, and both forms of the first line.
pub fn trt_caches() -> Vec<Vec<u8>> {
    let ours = TrtCache::of(&calibration(), 100_300, "EntropyCalibration2").to_string();
    let legacy = "0 3fefffeb074a771d 3fe0000000000000\nx: 3d418306\ny: 0\n";
    let odd = "\u{feff}TRT-8601-MinMaxCalibration\r\na: b: 3d418306\r\n\r\nz: ff800000\r\nz: 7fc00000";
    [ours.as_str(), legacy, odd].map(|t| t.as_bytes().to_vec()).to_vec()
}

//! A folder with a tiny engine and files to feed it, and the program to run there.

use quantize::base::Silent;
use quantize::data::Preprocess;
use quantize::device::cpu::Cpu;
use quantize::engine::{Engine, Origin, Settings, build};
use quantize::ir::Graph;
use quantize::quant;
use quantize::tune::{TimingCache, Tuner};
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

/// The mean of each colour of a 4x4 image, times 10: what it says of a plain image is plain to see.
pub const GRAPH: &str = "\
graph colours
input %image: f32[1,3,4,4]
const %w: f32[3,3] = [10.0,0.0,0.0,0.0,10.0,0.0,0.0,0.0,10.0]
%mean: f32[1,3,1,1] = GlobalAveragePool(%image)  # mean
%flat: f32[1,3] = Flatten(%mean)  # flat
%logits: f32[1,3] = Linear(%flat, %w)  # head
output %logits
";

/// The engine of [`GRAPH`] in float, for batches of up to 4; with preprocessing and class names if `images`.
pub fn engine(images: bool) -> Engine {
    let mut graph = Graph::parse(GRAPH).unwrap();
    quant::decide(&mut graph, &quant::Settings { int8: false, ..Default::default() }, |_| false);
    let device = Cpu::host();
    let mut tuner = Tuner::new(&device, TimingCache::default(), None);
    let mut origin = Origin { model: "colours".into(), ..Origin::default() };
    if images {
        origin.preprocess = Some(Preprocess::default());
        origin.labels = ["red", "green", "blue"].map(String::from).to_vec();
    }
    build(&graph, &device, &mut tuner, Settings { max_batch: 4, ..Settings::default() }, origin, &Silent)
        .unwrap()
}

/// A folder that holds: `e.engine`, `plain.engine` (no preprocessing), `red.png`, `blue.png`, `big.png` (8x8),
/// `x.npy` (a green image and a blue one), `g.qg`, `photos/` with two images.
pub fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    engine(true).save(&at("e.engine")).unwrap();
    engine(false).save(&at("plain.engine")).unwrap();
    std::fs::create_dir(at("photos")).unwrap();
    let picture = |name: &str, rgb: [u8; 3], side: u32| {
        image::RgbImage::from_pixel(side, side, image::Rgb(rgb)).save(at(name)).unwrap();
    };
    picture("red.png", [255, 0, 0], 4);
    picture("blue.png", [0, 0, 255], 4);
    picture("big.png", [0, 0, 255], 8);
    picture("photos/1.png", [0, 255, 0], 4);
    picture("photos/2.png", [255, 0, 0], 4);
    let array = ndarray::Array4::from_shape_fn((2, 3, 4, 4), |(n, c, _, _)| (c == n + 1) as u8 as f32);
    ndarray_npy::write_npy(at("x.npy"), &array).unwrap();
    std::fs::write(at("g.qg"), GRAPH).unwrap();
    dir
}

/// Runs the program in a folder.
pub fn quantize(dir: &Path, line: &str) -> Output {
    assert_cmd::Command::new(env!("CARGO_BIN_EXE_quantize"))
        .args(line.split_whitespace())
        .current_dir(dir)
        .env_remove("QUANTIZE_LOG")
        .env_remove("RUST_BACKTRACE")
        .timeout(std::time::Duration::from_secs(120))
        .output()
        .unwrap()
}

/// Standard output of a run that must succeed.
pub fn good(dir: &Path, line: &str) -> String {
    let output = quantize(dir, line);
    assert!(output.status.success(), "quantize {line}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

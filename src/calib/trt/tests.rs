//! TensorRT's cache: lines of public caches, and every rule of the form.

use super::*;
use crate::base::digest::Digest;
use crate::base::quant::{QuantParams, Range};
use crate::calib::cache::{Activations, Entry, Provenance};
use crate::calib::shards::TensorStats;

fn parse(text: &str) -> Result<(TrtCache, Vec<String>)> {
    TrtCache::parse(text, Path::new("x.cache"))
}

fn good(text: &str) -> TrtCache {
    let (cache, warnings) = parse(text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    cache
}

fn scale(c: &TrtCache, name: &str) -> f32 {
    c.get(name).unwrap().scale().unwrap().get()
}

/// The cache in the README of NVIDIA's sampleINT8 (TensorRT 5.1).
const MNIST: &str = "TRT-5100-EntropyCalibration2
data: 3c000889
conv1: 3c8954be
pool1: 3c8954be
conv2: 3dd33169
pool2: 3dd33169
ip1: 3daeff07
ip2: 3e7d50ec
prob: 3c010a14
";

#[test]
fn public_caches_read_and_are_written_as_they_were() {
    let c = good(MNIST);
    assert_eq!(c.to_string(), MNIST);
    assert_eq!(c.entries.len(), 8);
    assert_eq!(c.header.version_name().unwrap(), "5.1.0");
    // a softmax: the centre of the bin behind 1 of TensorRT's 2048
    assert!((scale(&c, "prob") * 127.0 - 2048.5 / 2048.0).abs() < 1e-6);

    for (header, name) in [
        ("TRT-7203-EntropyCalibration2", "7.2.3"),
        ("TRT-8601-MinMaxCalibration", "8.6.1"),
        ("TRT-100100-EntropyCalibration2", "10.1.0"),
        ("TRT-100300-EntropyCalibration", "10.3.0"),
    ] {
        let c = good(&format!("{header}\nImport_0: 3d418306\n"));
        assert_eq!(
            (c.header.version_name().unwrap().as_str(), c.header.to_string().as_str()),
            (name, header)
        );
        assert_eq!(scale(&c, "Import_0"), 6.0 / 127.0); // MLPerf's SSD-MobileNet: every ReLU6
    }
}

#[test]
fn names_hold_anything_but_a_line_break() {
    let text = "TRT-8203-EntropyCalibration2
167: 3c009976
onnx::Conv_329: 3c96d93c
(Unnamed Layer* 259) [Constant]_output: 3a4fb8dc
/model.22/cv2.0/act: 0/Mul_output_0: 3e0798da
two words: 3F810204
";
    let c = good(text);
    assert_eq!(c.get("onnx::Conv_329").unwrap().bits, 0x3c96_d93c);
    assert_eq!(c.get("(Unnamed Layer* 259) [Constant]_output").unwrap().bits, 0x3a4f_b8dc);
    assert_eq!(c.get("/model.22/cv2.0/act: 0/Mul_output_0").unwrap().bits, 0x3e07_98da);
    assert_eq!(scale(&c, "two words"), 128.0 / 127.0);
    assert_eq!(c.to_string(), text.replace("3F810204", "3f810204"));
}

#[test]
fn the_legacy_header_is_kept() {
    let text = "0 3ff0000000000000 3fefffeb074a771d\ninput: 3da42ae5\n"; // MLPerf's 3D-UNet
    let c = good(text);
    let Header::Legacy { cutoff, quantile } = c.header else { panic!() };
    assert_eq!(cutoff, 1.0);
    assert!((quantile - 0.99999).abs() < 1e-12);
    assert_eq!(c.to_string(), text);
}

#[test]
fn line_ends_of_other_systems_and_a_missing_one_are_fine() {
    let crlf = MNIST.replace('\n', "\r\n");
    for text in
        [crlf.as_str(), MNIST.trim_end(), &format!("\u{feff}{MNIST}\n\n"), &MNIST.replace(": ", ":\t ")]
    {
        assert_eq!(good(text), good(MNIST));
    }
}

#[test]
fn of_a_tensor_that_is_there_twice_the_last_holds() {
    let (c, warnings) =
        parse("TRT-8601-EntropyCalibration2\na: 3f800000\nb: 3f800000\na: 40000000\n").unwrap();
    assert_eq!((c.entries.len(), scale(&c, "a")), (2, 2.0));
    assert_eq!(warnings, ["line 4: tensor `a` is there twice; this scale holds"]);
}

#[test]
fn unusable_scales_are_kept_and_warned_of() {
    let cases = [
        ("bf800000", None, "negative"),
        ("80000000", None, "negative"),
        ("7fc00000", None, "not a number"),
        ("7f800000", None, "infinite"),
        ("ff800000", None, "negative"),
        ("00000000", Some(1.0), "0 or denormal"),
        ("00000001", Some(1.0), "0 or denormal"),
    ];
    for (hex, want, word) in cases {
        let text = format!("TRT-8601-EntropyCalibration2\nt: {hex}\n");
        let (c, warnings) = parse(&text).unwrap();
        assert_eq!(c.entries[0].scale().map(Scale::get), want, "{hex}");
        assert!(warnings.len() == 1 && warnings[0].contains(word), "{warnings:?}");
        assert_eq!(c.to_string(), text);
    }
    assert_eq!(good("TRT-8601-EntropyCalibration2\nt: 800000\n").entries[0].bits, 0x0080_0000); // without zeros
}

#[test]
fn other_texts_are_refused_with_their_line() {
    for (text, words) in [
        ("", "the first line"),
        ("data: 3c000889\n", "the first line"),
        ("TRT-x-EntropyCalibration2\n", "the first line"),
        ("TRT-8601\n", "the first line"),
        ("TRT-8601-\n", "the first line"),
        ("0 3ff0 3fefffeb074a771d\n", "the first line"),
        ("quantize calibration cache, version 2\n", "the first line"),
        ("TRT-8601-A\nconv1 3c8954be\n", "no colon"),
        ("TRT-8601-A\nconv1:\n", "no scale"),
        ("TRT-8601-A\nconv1: 3c8954beef\n", "no scale"),
        ("TRT-8601-A\nconv1: 0.031\n", "no scale"),
        ("TRT-8601-A\nconv1: -3c8954b\n", "no scale"),
        ("TRT-8601-A\n: 3c8954be\n", "no tensor name"),
    ] {
        let e = parse(text).unwrap_err().to_string();
        assert!(e.contains("error[Q0406]") && e.contains(words), "{text:?}: {e}");
        let line = if words == "the first line" { "x.cache:1:1" } else { "x.cache:2:1" };
        assert!(e.contains(line), "{e}");
    }
}

#[test]
fn a_calibration_is_written_with_every_folded_name() {
    let d = Digest::of(b"");
    let (model, data_list, data_content, preprocessing) = (d, d, d, d);
    let activations = Activations::U8;
    let mut cache =
        Cache::new(Provenance { model, data_list, data_content, preprocessing, activations, samples: 0 });
    let mut add = |name: &str, aliases: &[&str], range: Range, imported| {
        let mut e = Entry::new(TensorStats::new(1));
        e.aliases = aliases.iter().map(|a| a.to_string()).collect();
        let params = QuantParams::unsigned(range);
        e.chosen = Some(Chosen { method: "minmax".into(), range, params, imported });
        cache.tensors.insert(name.into(), e);
    };
    add("relu6", &["conv", "bad\nname"], Range::unsigned(6.0), None);
    add("gelu", &[], Range { lo: -0.17, hi: 12.7 }, None);
    add("old", &[], Range::symmetric(1.0), Some(0x3c01_0a14));
    add("zeros", &[], Range::unsigned(0.0), None);
    cache.tensors.insert("undecided".into(), Entry::new(TensorStats::new(1)));
    let text = TrtCache::of(&cache, 100_300, "EntropyCalibration2").to_string();
    assert_eq!(
        text,
        "TRT-100300-EntropyCalibration2\ngelu: 3dcccccd\nold: 3c010a14\nrelu6: 3d418306\nconv: 3d418306\n\
         zeros: 3f800000\n"
    );
    assert_eq!(good(&text).to_string(), text);
}

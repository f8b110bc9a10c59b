//! Reference vectors (tests/data/golden.json): 19 data sets, made anew from their formulas, and the bins and thresholds
//! that an independent model of the definitions (numpy, f64) gives for them; the integers and scales of ONNX Runtime.

use super::histogram::bin_of;
use super::methods::{Levels, METHODS, Options, find};
use super::stats::Stats;
use crate::base::quant::{QuantParams, Range, Scale};
use crate::base::{DType, digest::Digest};
use data::{DATA_SETS, data_set};
use serde_json::Value;

pub mod data;

fn golden() -> Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden.json"));
    serde_json::from_str(text).unwrap()
}

fn stats(name: &str) -> Stats {
    let mut s = Stats::new(1);
    s.update(&data_set(name), 1);
    s
}

/// Rows compared and the sentences of those that differ.
#[derive(Default)]
struct Rows {
    matched: usize,
    differ: Vec<String>,
}

impl Rows {
    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, what: String, ours: T, theirs: T) {
        match ours == theirs {
            true => self.matched += 1,
            false => self.differ.push(format!("{what}: {ours:?}, reference {theirs:?}")),
        }
    }
}

#[test]
fn data_sets_are_those_of_the_file() {
    let golden = golden();
    assert_eq!(golden["results"].as_object().unwrap().len(), DATA_SETS.len());
    for (name, blake3) in DATA_SETS {
        let values = data_set(name);
        let want = &golden["results"][name];
        let head: Vec<String> = values[..4].iter().map(|x| format!("{:08x}", x.to_bits())).collect();
        assert_eq!(Value::from(head), want["first4_hex"], "{name}");
        assert_eq!(values.len(), 65536);
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(Digest::of(&bytes).short(), *blake3, "{name}");
        let s = stats(name);
        assert_eq!(want["zeros"], s.zeros, "{name}");
        let amax = want["own"]["amax"].as_f64().unwrap(); // nine digits
        assert!((f64::from(s.amax()) - amax).abs() <= 1e-8 * amax, "{name}");
    }
}

#[test]
fn thresholds_match() {
    let golden = golden();
    let mut rows = Rows::default();
    for (name, _) in DATA_SETS {
        let (p2, robust) = (&golden["results"][name]["p2"], &golden["results"][name]["robust"]);
        let s = stats(name);
        let m = s.magnitudes();
        let amax = |method: &str, options: &Options| match m.max {
            0.0 => 0.0,
            _ => find(method).unwrap().amax(&m, Levels::S8, options),
        };
        // the thresholds are f32 numbers; serde_json may read an f64 wrong by its last bit, which this rounds away
        let number = |v: &Value| v.as_f64().unwrap() as f32;
        let options = Options::default();
        rows.compare(format!("{name} entropy"), amax("entropy", &options), number(&robust["threshold"]));
        if p2.is_null() {
            continue; // all zero: the file has no bins
        }
        rows.compare(format!("{name} exp"), m.histogram.exp() as i64, p2["exp"].as_i64().unwrap());
        rows.compare(
            format!("{name} last"),
            m.histogram.last().unwrap() as u64,
            p2["last_bin"].as_u64().unwrap(),
        );
        rows.compare(format!("{name} non-zero"), m.non_zero, robust["nonzero"].as_u64().unwrap());
        for (method, key) in [("entropy-trt", "entropy"), ("mse", "mse")] {
            rows.compare(format!("{name} {method}"), amax(method, &options), number(&p2[key]));
        }
        for p in ["99.9", "99.99", "99.999"] {
            let key = format!("pct_{p}");
            let ours = amax("percentile", &Options { percentile: p.parse().unwrap() });
            rows.compare(format!("{name} percentile {p}"), ours, number(&p2[&key]));
        }
        bins_match(&mut rows, name, &s, p2, robust);
    }
    println!("{} golden rows match, {} differ", rows.matched, rows.differ.len());
    assert!(rows.differ.is_empty(), "{:#?}", rows.differ);
}

/// A threshold is the upper border of its bin or the largest magnitude; the file names the bin as well.
fn bins_match(rows: &mut Rows, name: &str, s: &Stats, p2: &Value, robust: &Value) {
    let m = s.magnitudes();
    let last = m.histogram.last().unwrap() as u64;
    let amax = |method: &str| find(method).unwrap().amax(&m, Levels::S8, &Options::default());
    // the number of bins below the threshold, of those up to the last
    let bins = |t: f32| if t == m.max { last + 1 } else { bin_of(t, m.histogram.exp()) as u64 };
    let clamped = |v: &Value, more: u64| {
        let bins = v.as_u64().unwrap() + more;
        let beyond = bins as f64 * m.histogram.width() >= f64::from(m.max);
        if beyond { last + 1 } else { bins }
    };
    rows.compare(format!("{name} entropy bin"), bins(amax("entropy")), clamped(&robust["bin"], 0));
    rows.compare(
        format!("{name} entropy-trt bin"),
        bins(amax("entropy-trt")),
        clamped(&p2["entropy_bin"], 0),
    );
    rows.compare(format!("{name} mse bin"), bins(amax("mse")), clamped(&p2["mse_bin"], 1));
    rows.compare(
        format!("{name} percentile bin"),
        bins(amax("percentile")),
        clamped(&p2["pct_99.99_bin"], 1),
    );
    let clipped = m.histogram.count_from(f64::from(amax("entropy")));
    let clipped = if amax("entropy") < m.max { clipped as f64 / s.count as f64 } else { 0.0 };
    rows.compare(format!("{name} clipped"), clipped, robust["clipped_frac"].as_f64().unwrap());
}

#[test]
fn integers_are_those_of_onnx_runtime() {
    let golden = golden();
    let q = &golden["quantize_linear"];
    let bits = |v: &Value| f32::from_bits(u32::from_str_radix(v.as_str().unwrap(), 16).unwrap());
    let xs: Vec<f32> = q["x_bits"].as_array().unwrap().iter().map(bits).collect();
    let mut rows = Rows::default();
    for (key, dtype, zero_point) in [
        ("int8_zp0_opset10", DType::I8, 0),
        ("int8_zp0_opset13", DType::I8, 0),
        ("int8_zp0_opset19", DType::I8, 0),
        ("int8_zp0_opset21", DType::I8, 0),
        ("int8_zp-1", DType::I8, -1),
        ("uint8_zp0", DType::U8, 0),
        ("uint8_zp1", DType::U8, 1),
        ("uint8_zp128", DType::U8, 128),
    ] {
        let params = QuantParams { dtype, scale: Scale::new(1.0).unwrap(), zero_point };
        for (x, want) in xs.iter().zip(q[key]["ort"].as_array().unwrap()) {
            rows.compare(format!("{key} {x}"), i64::from(params.quantize(*x)), want.as_i64().unwrap());
        }
    }
    for row in q["recip_counterexamples"].as_array().unwrap() {
        let scale = Scale::new(bits(&row["s"])).unwrap();
        let params = QuantParams { dtype: DType::I8, scale, zero_point: 0 };
        rows.compare(
            format!("{row}"),
            i64::from(params.quantize(bits(&row["x"]))),
            row["div"].as_i64().unwrap(),
        );
    }
    println!("{} rows match ONNX Runtime, {} differ: {:#?}", rows.matched, rows.differ.len(), rows.differ);
    // a NaN becomes the zero point here, and whatever an x86 conversion makes of it there: the lowest integer
    assert!(rows.differ.iter().all(|d| d.contains("NaN")) && rows.differ.len() <= 8, "{:#?}", rows.differ);
}

#[test]
fn scales_are_those_of_onnx_runtime() {
    let mut rows = Rows::default();
    for row in golden()["ort_scale_zp"].as_array().unwrap() {
        let (lo, hi) = (row["lo"].as_f64().unwrap() as f32, row["hi"].as_f64().unwrap() as f32);
        let ours = |q: QuantParams| (format!("{:08x}", q.scale.get().to_bits()), i64::from(q.zero_point));
        let theirs = |key: &str| (row[key][0].as_str().unwrap().to_string(), row[key][2].as_i64().unwrap());
        rows.compare(
            format!("u8 {lo} {hi}"),
            ours(QuantParams::unsigned(Range { lo, hi })),
            theirs("u8_asym"),
        );
        let amax = Range { lo, hi }.amax();
        rows.compare(format!("s8 {lo} {hi}"), ours(QuantParams::signed(amax)), theirs("s8_sym"));
    }
    println!("{} scale rows match ONNX Runtime, {} differ", rows.matched, rows.differ.len());
    assert!(rows.differ.is_empty(), "{:#?}", rows.differ);
}

#[test]
fn every_method_keeps_its_bounds_on_every_set() {
    for (name, _) in DATA_SETS {
        let s = stats(name);
        for method in METHODS {
            for levels in [Levels::S8, Levels::U8] {
                let range = super::methods::range(&s, *method, levels, true, &Options::default());
                let tag = format!("{name} {} {levels:?} {range:?}", method.name());
                assert_eq!(range.amax() > 0.0, s.amax() > 0.0, "{tag}");
                assert!(range.amax() <= s.amax() && range.lo <= 0.0 && range.hi >= 0.0, "{tag}");
            }
        }
    }
}

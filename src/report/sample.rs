//! Reports that were never measured, rich enough to try every part of a rendering.

use super::conclude;
use super::model::*;
use std::collections::BTreeMap;

/// One of everything, short enough to read as JSON.
pub fn small() -> Report {
    let mut r = classifier_of(1);
    r.layers =
        r.layers.iter().filter(|l| ["stem/conv", "head/fc"].contains(&l.name.as_str())).cloned().collect();
    r.tensors.truncate(1);
    r.tensors[0].histogram = Some(Bars { exponent: 0, counts: vec![9000, 700, 60, 5, 0, 1], zeros: 1234 });
    r.coverage = Coverage::of(&r.layers);
    if let Some(a) = &mut r.accuracy {
        a.flips.list.truncate(1);
    }
    conclude(&mut r);
    r
}

/// A residual classifier of about sixty layers, as large as a ResNet-50.
pub fn classifier() -> Report {
    classifier_of(9)
}

/// A model that is no classifier: no accuracy, output metrics only, nothing timed.
pub fn regressor() -> Report {
    let mut r = classifier_of(1);
    (r.model, r.accuracy, r.gate) = ("depth".into(), None, None);
    r.latency_ms = Latencies::default();
    let score = |metric: &str, unit: &str, v| Score {
        metric: metric.into(),
        unit: unit.into(),
        n: 64,
        reference: None,
        engine: Some(v),
    };
    r.metrics = vec![score("sqnr_db", "dB", 31.42), score("mse", "", 0.000_41), score("cosine", "", 0.999_6)];
    conclude(&mut r);
    r
}

fn classifier_of(blocks: usize) -> Report {
    let mut r = Report::new("resnet-eurosat");
    r.drift_samples = Some(8);
    r.gate = Some(Gate { max_drop_top1: Some(0.5), ..Gate::default() });
    r.accuracy = Some(accuracy());
    r.layers = layers(blocks);
    r.tensors = tensors(&r.layers);
    r.coverage = Coverage::of(&r.layers);
    r.latency_ms =
        Latencies { reference: Some(percentiles(12.4)), engine: Some(percentiles(3.86)), noise: Vec::new() };
    r.size_bytes = SizeBytes { model: Some(44_712_332), engine: Some(11_492_864) };
    r.memory_bytes =
        MemoryBytes { arena: Some(2_408_448), activations_sum: Some(9_834_496), peak_rss: Some(212_336_640) };
    r.seconds = Seconds {
        import: Some(0.08),
        reference: Some(14.2),
        calibrate: Some(3.1),
        build: Some(9.4),
        evaluate: Some(131.0),
        report: Some(0.02),
    };
    r.rewrites = rewrites();
    r.calibration = Some(CalibrationInfo {
        method: "auto".into(),
        samples: 512,
        skipped: 1,
        source: CalibrationSource::Fresh,
        cache_digest: Some("9c1185a5c5e9fc54612808977ee8f548".into()),
        preprocessing: Some(
            "resize short side to 64 (bilinear), centre crop 64, RGB, /255, mean, std, NCHW".into(),
        ),
    });
    r.provenance = provenance();
    r.warnings =
        vec!["one image of the calibration list could not be decoded and was left out: bad/0001.jpg".into()];
    r.not_checked = [
        "images outside the evaluation list: other cameras, seasons or classes",
        "latency under load: it was measured with nothing else running",
        "batches larger than 1",
    ]
    .map(String::from)
    .to_vec();
    let file = |what: &str, name: &str, bytes| OutputFile {
        what: what.into(),
        path: format!("reports/resnet/{name}"),
        bytes: Some(bytes),
    };
    r.files = vec![
        file("engine", "resnet.engine", 11_492_864),
        file("calibration cache", "calibration.cache", 1_204_224),
    ];
    conclude(&mut r);
    r
}

fn percentiles(median: f64) -> Percentiles {
    let at = |x: f64| (median * x * 1000.0).round() / 1000.0;
    Percentiles {
        min: at(0.96),
        mean: at(1.01),
        median,
        p90: at(1.03),
        p95: at(1.05),
        p99: at(1.17),
        max: at(1.4),
        n: 400,
    }
}

fn accuracy() -> Accuracy {
    let (lost, gained, other) = (14, 8, 3);
    let top = |top1, top5, ci| Some(TopK { top1, top5, top1_ci95: Some(ci) });
    Accuracy {
        n: 5000,
        reference: top(96.18, 99.94, [95.61, 96.68]),
        engine: top(96.06, 99.94, [95.49, 96.57]),
        drop_top1: Some(0.12),
        drop_ci95: Some([-0.06, 0.30]),
        mcnemar_p: Some(0.286_279),
        agreement_top1: Some(99.5),
        mean_kl: Some(0.000_83),
        flips: Flips {
            correct_to_wrong: lost,
            wrong_to_correct: gained,
            wrong_to_other: other,
            unlabelled: 0,
            list: flips(),
        },
    }
}

fn flips() -> Vec<Flip> {
    const NAMES: [&str; 4] = ["Forest", "Pasture", "River", "Highway"];
    let class = |i: usize| Class { index: i, name: Some(NAMES[i].into()) };
    let kinds = [FlipKind::CorrectToWrong, FlipKind::WrongToCorrect, FlipKind::WrongToOther];
    (0..9)
        .map(|i| {
            let (kind, r) = (kinds[(i * i + i / 4) % 3], i % 4);
            let e = (r + 1) % 4;
            let label = match kind {
                FlipKind::CorrectToWrong => r,
                FlipKind::WrongToCorrect => e,
                _ => (r + 2) % 4,
            };
            Flip {
                sample: format!("{}/{}_{}.jpg", NAMES[label], NAMES[label], 1201 + 37 * i),
                kind,
                label: Some(class(label)),
                reference: class(r),
                engine: class(e),
                margin: [2.42, 1.18, 0.74, 0.35, 0.28, 0.24, 0.2, 0.18, 0.16][i],
                thumbnail: (i != 3).then(|| thumbnail(i)),
            }
        })
        .collect()
}

/// A picture without a decoder: two colours and a diagonal, as an address.
fn thumbnail(i: usize) -> String {
    let svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'><rect width='64' height='64' \
         fill='hsl({},34%,38%)'/><path d='M0 {} L64 {} V64 H0Z' fill='hsl({},38%,55%)'/></svg>",
        90 + 17 * i,
        12 + 5 * i,
        50 - 4 * i,
        60 + 29 * i
    );
    super::data_uri("image/svg+xml", svg.as_bytes())
}

/// Stem, `blocks` bottlenecks, pooling, classifier and softmax, with one bad layer and two float ones.
fn layers(blocks: usize) -> Vec<Layer> {
    let mut list = vec![layer("stem/conv", "Conv+Relu", 118_013_952), layer("stem/maxpool", "MaxPool", 0)];
    for b in 0..blocks {
        let name = |part: &str| format!("stage{}.{}/{part}", 1 + b / 3, b % 3);
        if b % 3 == 0 {
            list.push(layer(&name("downsample"), "Conv", 51_380_224));
        }
        list.push(layer(&name("conv1"), "Conv+Relu", 51_380_224));
        list.push(layer(&name("depthwise"), "Conv+Relu", 9_633_792));
        list.push(layer(&name("conv2"), "Conv+Relu", 115_605_504));
        list.push(layer(&name("gate"), "Sigmoid+Mul", 0));
        list.push(layer(&name("conv3"), "Conv+Add+Relu", 51_380_224));
    }
    list.push(layer("head/pool", "GlobalAveragePool", 0));
    list.push(layer("head/fc", "Gemm", 20_480));
    list.push(layer("head/softmax", "Softmax", 0));
    let n = list.len();
    for (i, l) in list.iter_mut().enumerate() {
        measure(l, i, n);
    }
    list
}

fn layer(name: &str, op: &str, macs: u64) -> Layer {
    Layer {
        name: name.into(),
        op: op.into(),
        macs,
        output: format!("{name}_output_0"),
        origin: op.split('+').map(|o| format!("/{name}/{o}")).collect(),
        ..Layer::default()
    }
}

/// Figures that vary in a fixed way from layer to layer.
fn measure(l: &mut Layer, i: usize, n: usize) {
    let wobble = (i as f64 * 2.4).sin();
    let float = match l.op.as_str() {
        "Softmax" => Some(("no INT8 kernel for Softmax: it computes in float", "P0103")),
        "Gemm" => Some(("kept in float by the rule `head/*` of the configuration", "P0201")),
        _ => None,
    };
    let round = |x: f64, unit: f64| (x / unit).round() / unit.recip().round();
    let rounded = |x: f64| (x * 100.0).round() / 100.0;
    let weak = l.op != "MaxPool" && i == 2 * n / 3;
    l.time_us = Some(rounded(8.0 + l.macs as f64 / 1.1e6 * (1.0 + 0.2 * wobble)));
    l.reference_time_us = Some(rounded(9.0 + l.macs as f64 / 3.1e5));
    l.sqnr_db = Some(rounded(44.0 - 17.0 * (i as f64 / n as f64).sqrt() + 1.1 * wobble));
    if let Some((reason, code)) = float {
        (l.precision, l.reason, l.reason_code) = (Precision::Fp32, reason.into(), Some(code.into()));
        l.dtype = "f32".into();
        return;
    }
    l.precision = Precision::Int8;
    l.reason = "an INT8 kernel exists and all scales are known".into();
    l.dtype = if l.op.contains("Relu") { "u8" } else { "i8" }.into();
    l.scale = Some(round(0.02 + 0.004 * wobble, 1e-5) as f32);
    l.zero_point = Some(0);
    if l.op == "MaxPool" {
        (l.local_sqnr_db, l.clipped) = (Some(EXACT_DB), Some(0.0));
    } else {
        let local = if weak { 14.8 } else { 37.0 + 6.0 * wobble };
        l.local_sqnr_db = Some(rounded(local));
        l.rmse_over_scale = Some(if weak { 0.71 } else { rounded(0.30 + 0.02 * wobble) });
        l.clipped = Some(if weak { 0.0132 } else { round(0.0002 + 0.0001 * wobble, 1e-6) });
    }
    if l.macs > 0 {
        l.weight_scale_ratio = Some(rounded(4.0 + 3.0 * wobble));
        let other = |name: &str, time: Option<f64>, verdict: &str| Alternative {
            name: name.into(),
            time_us: time.map(rounded),
            verdict: verdict.into(),
        };
        l.tactic = Some(Tactic {
            name: "cpu/conv-direct-vnni-4x16".into(),
            alternatives: vec![
                other("cpu/conv-im2col-vnni-6x16", l.time_us.map(|t| t * 1.18), "slower"),
                other("cpu/conv-direct-avx2-4x8", None, "pruned: cannot be faster by its roofline"),
            ],
        });
    }
}

fn tensors(layers: &[Layer]) -> Vec<TensorReport> {
    layers.iter().enumerate().filter(|(_, l)| l.scale.is_some()).map(|(i, l)| tensor(i, l, layers)).collect()
}

fn tensor(i: usize, l: &Layer, layers: &[Layer]) -> TensorReport {
    let levels = if l.dtype == "u8" { 255.0 } else { 127.0 };
    let threshold = l.scale.unwrap_or(1.0) * levels;
    let weak = l.clipped > Some(0.01);
    let amax = threshold * if weak { 2.3 } else { 1.08 };
    let thresholds = BTreeMap::from(
        [
            ("minmax", amax),
            ("percentile", threshold * 0.93),
            ("entropy", threshold),
            ("mse", threshold * 1.04),
        ]
        .map(|(m, t)| (m.to_string(), t)),
    );
    TensorReport {
        name: l.output.clone(),
        consumers: layers.get(i + 1).map(|next| next.name.clone()).into_iter().collect(),
        min: if l.dtype == "u8" { 0.0 } else { -amax * 0.8 },
        max: amax,
        amax,
        amax_sample: Some("Industrial/Industrial_417.jpg".into()),
        flags: if weak { vec!["1.32 % of its values are clipped".into()] } else { vec![] },
        thresholds,
        method: "entropy".into(),
        threshold: Some(threshold),
        dtype: l.dtype.clone(),
        scale: l.scale,
        zero_point: l.zero_point,
        clipped: l.clipped,
        sqnr_db: l.local_sqnr_db,
        shared_with: None,
        zero_code: Some(0.31),
        half_spread: Some(if weak { 0.14 } else { 0.013 }),
        histogram: Some(histogram(amax)),
    }
}

/// Half a bell with a long tail up to `amax`, and a lonely value there.
fn histogram(amax: f32) -> Bars {
    let exponent = f64::from(amax).log2().floor() as i32 + 1;
    let mut bins = vec![0u64; 512];
    let last = (f64::from(amax) / 2f64.powi(exponent) * 512.0) as usize;
    for (i, n) in bins.iter_mut().enumerate().take(last) {
        let x = i as f64 / last as f64;
        *n = (3e6 * (-32.0 * x * x).exp() + 2e3 * (-7.0 * x).exp()) as u64;
    }
    bins[last.min(511)] = 2;
    Bars::merged(exponent - 9, &bins, 1_204_112)
}

fn rewrites() -> Vec<Rewrite> {
    let done = |rule: &str, done| Rewrite { rule: rule.into(), done, blocked: vec![] };
    let mut residual = done("fuse-residual-add", 8);
    residual.blocked = vec![RewriteBlocked {
        reason: "both inputs of the Add are read by others".into(),
        count: 1,
        nodes: vec!["/stage3.2/Add".into()],
    }];
    vec![done("fold-constants", 14), done("fold-batchnorm", 53), residual, done("fuse-activation", 49)]
}

fn provenance() -> Provenance {
    let dataset = |role: &str, samples, digest: &str| Dataset {
        role: role.into(),
        path: format!("calib_data/eurosat/{role}.txt"),
        samples,
        digest: digest.into(),
    };
    Provenance {
        version: "0.1.0".into(),
        command: "quantize --config configs/resnet.yaml".into(),
        created: None,
        model_path: "calib_data/resnet.onnx".into(),
        model_digest: "1b7e4c0d9a52f3e8".into(),
        engine_digest: Some("5d0c11aa7e90b2f4".into()),
        config_digest: "77aa3e21c0ffee10".into(),
        config: "model:\n  path: ../calib_data/resnet.onnx\ncalibration:\n  method: auto\n  samples: 512\n"
            .into(),
        datasets: vec![
            dataset("calibration", 512, "aa01bb02cc03dd04"),
            dataset("evaluation", 5000, "0a1b2c3d4e5f6071"),
        ],
        machine: "Intel Xeon (Sapphire Rapids), 16 cores, 128 GiB".into(),
        device: "cpu".into(),
        isa: "avx512-vnni".into(),
        threads: Some(16),
        seeds: BTreeMap::from([("shuffle".into(), 0)]),
    }
}

//! Whole graphs, quantized, on the CPU against the oracle and against FP32.

mod branches;
mod faults;
mod file;
mod halves;
mod in_place;
mod pairs;
mod pixels;
mod plans;
mod sessions;
mod stream;

use crate::base::Tensor;
use crate::device::Device;
use crate::device::cpu::{Cpu, Mode};
use crate::device::interp::Interp;
use crate::eval::drift::Drift;
use crate::ir::{Array, Graph, evaluate};
use crate::quant::{Pattern, Rule, Settings};
use crate::rewrite::RULES;
use crate::testing::quantized::{build, constant, quantize, run, sample};

fn cpu() -> Cpu {
    Cpu { threads: 2, ..Cpu::host() }
}

fn samples(g: &Graph) -> Vec<Vec<Tensor>> {
    (0..4).map(|seed| sample(g, seed)).collect()
}

fn with_scales(g: &mut Graph, settings: &Settings) {
    let samples = samples(g);
    quantize(g, settings, &samples);
}

/// A text with `%conv: ...` lines and constants, rewritten and quantized.
fn quantized(text: &str, settings: &Settings) -> Graph {
    let mut g = Graph::parse(text).unwrap();
    g.verify().unwrap();
    crate::rewrite::run(&mut g, RULES).unwrap();
    with_scales(&mut g, settings);
    g
}

fn sqnr(exact: &[f32], ours: &[f32]) -> f64 {
    let mut d = Drift::default();
    d.update(exact, ours);
    d.sqnr_db().unwrap_or(f64::INFINITY)
}

/// The FP32 outputs of samples one after the other, by the meaning of the operators.
fn exact(g: &Graph, samples: &[Vec<Tensor>]) -> Vec<Vec<f32>> {
    let mut all = vec![Vec::new(); g.outputs.len()];
    for s in samples {
        let inputs: Vec<Array> = s.iter().map(Array::of).collect();
        for (all, y) in all.iter_mut().zip(evaluate(g, &inputs).unwrap()) {
            all.extend(y.reals().into_iter().map(|v| v as f32));
        }
    }
    all
}

/// Runs the graph on the CPU and the oracle and compares: the same bits where every node is 8-bit, else close.
/// Gives the signal to noise against FP32 of the worst output.
fn compare(g: &Graph) -> f64 {
    assert!(g.nodes().all(|(_, n)| n.precision.is_some()), "a node without a reason\n{g:#}");
    let inputs = samples(g);
    let on = |device: &dyn Device| {
        run(&build(g, device, 4).unwrap_or_else(|e| panic!("{e}\n{g:#}")), device, &inputs).unwrap()
    };
    let apart = Cpu { mode: Mode::Throughput, ..cpu() };
    let (ours, oracle, float) = (on(&cpu()), on(&Interp), exact(g, &inputs));
    let bits = |all: &[Vec<f32>]| all.iter().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&on(&apart)) == bits(&ours), "an image a thread gives other numbers\n{g:#}");
    let whole = g.nodes().all(|(_, n)| n.is_int8());
    for (a, b) in ours.iter().zip(&oracle) {
        let equal = a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(equal || (!whole && sqnr(b, a) > 30.0), "{} dB from the oracle\n{g:#}", sqnr(b, a));
    }
    ours.iter().zip(&float).map(|(a, x)| sqnr(x, a)).fold(f64::INFINITY, f64::min)
}

/// The precision of a node, by its name: `int8`, or the reason why not.
fn precision(g: &Graph, name: &str) -> String {
    let (_, n) = g.nodes().find(|(_, n)| n.name == name).unwrap_or_else(|| panic!("no node {name}\n{g:#}"));
    let p = n.precision.as_ref().unwrap();
    if p.int8 { "int8".into() } else { p.reason.code().into() }
}

const IMAGE: &str = "graph g\ninput %x: f32[1,4,6,6]\n";

fn conv(out: &str, from: &str, w: &str, attrs: &str, shape: &str) -> String {
    format!("%{out}: f32[{shape}] = Conv(%{from}, %{w}) {{{attrs}}}  # {out}\n")
}

#[test]
fn random_graphs_equal_the_oracle() {
    for seed in 0..150 {
        for settings in [Settings::default(), Settings { unsigned: false, ..Settings::default() }] {
            let mut g = crate::ir::r#gen::random(seed);
            crate::rewrite::run(&mut g, RULES).unwrap();
            with_scales(&mut g, &settings);
            compare(&g);
        }
    }
}

#[test]
fn a_residual_block() {
    let text = IMAGE.to_string()
        + &constant("w1", &[4, 4, 3, 3], 0.2)
        + &constant("w2", &[4, 4, 3, 3], 0.2)
        + &constant("wd", &[4, 1, 3, 3], 0.3)
        + &constant("g", &[4], 0.3)
        + &constant("h", &[4], 0.3)
        + &constant("m", &[4], 0.1)
        + "const %v: f32[4] = [0.5,1.0,1.5,0.7]\n"
        + &conv("c1", "x", "w1", "pads=[1,1,1,1]", "1,4,6,6")
        + "%bn: f32[1,4,6,6] = BatchNormalization(%c1, %g, %h, %m, %v)  # bn\n"
        + "%r1: f32[1,4,6,6] = Relu(%bn)  # r1\n"
        + &conv("dw", "r1", "wd", "group=4, pads=[1,1,1,1]", "1,4,6,6")
        + &conv("c2", "dw", "w2", "pads=[1,1,1,1]", "1,4,6,6")
        + "%sum: f32[1,4,6,6] = Add(%c2, %r1)  # sum\n%r2: f32[1,4,6,6] = Relu(%sum)  # r2\noutput %r2\n";
    let g = quantized(&text, &Settings::default());
    assert_eq!(g.nodes().count(), 3, "{g:#}");
    assert!(compare(&g) > 15.0);
    let signed = quantized(&text, &Settings { unsigned: false, ..Settings::default() });
    let types = |g: &Graph| {
        g.live_values().iter().filter_map(|&v| g.value(v).quant).map(|q| q.dtype).collect::<Vec<_>>()
    };
    assert!(types(&g).contains(&crate::base::DType::U8));
    assert!(!types(&signed).contains(&crate::base::DType::U8));
    assert!(compare(&signed) > 15.0);
}

/// Pooling, average pooling and a head, whole in 8 bits; the output in F32.
#[test]
fn pools_and_a_head() {
    let text = IMAGE.to_string()
        + &constant("w1", &[8, 4, 3, 3], 0.2)
        + &constant("w2", &[8, 8, 1, 1], 0.3)
        + &constant("fc", &[5, 8], 0.3)
        + &constant("b", &[5], 0.3)
        + &conv("c1", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,8,6,6")
        + "%mp: f32[1,8,3,3] = MaxPool(%c1) {kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]}  # mp\n"
        + "%ap: f32[1,8,3,3] = AveragePool(%mp) {kernel_shape=[3,3], pads=[1,1,1,1]}  # ap\n"
        + &conv("c2", "ap", "w2", "", "1,8,3,3").replace(" {}", "")
        + "%gap: f32[1,8,1,1] = GlobalAveragePool(%c2)  # gap\n%flat: f32[1,8] = Flatten(%gap)  # flat\n"
        + "%y: f32[1,5] = Linear(%flat, %fc, %b)  # head\noutput %y as logits\n";
    let g = quantized(&text, &Settings::default());
    for n in ["c1", "mp", "ap", "c2", "gap", "flat", "head"] {
        assert_eq!(precision(&g, n), "int8", "{n}");
    }
    let q = |name: &str| g.value(g.find_value(name).unwrap()).quant;
    assert_eq!(q("c1"), q("mp")); // max pooling keeps the scale
    assert_ne!(q("mp"), q("ap")); // averaging has its own
    assert!(compare(&g) > 15.0);
}

/// Inputs of a concatenation share a scale unless their ranges differ more than eight times.
#[test]
fn concat_shares_or_rescales() {
    let of = |scale: f32| {
        let text = IMAGE.to_string()
            + &constant("w1", &[3, 4, 1, 1], 0.3)
            + &constant("w2", &[5, 4, 1, 1], 0.3 * scale)
            + &constant("w3", &[2, 8, 1, 1], 0.3)
            + &conv("a", "x", "w1", "group=1", "1,3,6,6")
            + &conv("b", "x", "w2", "group=1", "1,5,6,6")
            + "%cat: f32[1,8,6,6] = Concat(%a, %b) {axis=1}  # cat\n"
            + &conv("y", "cat", "w3", "group=1", "1,2,6,6")
            + "output %y\n";
        let g = quantized(&text.replace("group=1", "pads=[0,0,0,0]"), &Settings::default());
        assert_eq!(precision(&g, "cat"), "int8");
        assert!(compare(&g) > 15.0);
        let q = |name: &str| g.value(g.find_value(name).unwrap()).quant;
        (q("a") == q("b"), q("b") == q("cat") || q("a") == q("cat"))
    };
    assert_eq!(of(1.0), (true, true));
    assert_eq!(of(0.2), (true, true));
    assert!(!of(0.02).0);
    // one u8 and one s8 side
    let text = IMAGE.to_string()
        + &constant("w1", &[3, 4, 1, 1], 0.3)
        + &constant("w2", &[5, 4, 1, 1], 0.3)
        + &constant("w3", &[2, 8, 1, 1], 0.3)
        + &conv("a", "x", "w1", "act=Relu", "1,3,6,6")
        + &conv("b", "x", "w2", "pads=[0,0,0,0]", "1,5,6,6")
        + "%cat: f32[1,8,6,6] = Concat(%a, %b) {axis=1}  # cat\n"
        + &conv("y", "cat", "w3", "pads=[0,0,0,0]", "1,2,6,6")
        + "output %y\n";
    assert!(compare(&quantized(&text, &Settings::default())) > 15.0);
}

/// After GELU a tensor is u8 with a zero point where its readers are unpadded.
#[test]
fn a_zero_point_after_gelu() {
    let text = |pads: &str| {
        IMAGE.to_string()
            + &constant("w1", &[4, 4, 1, 1], 0.3)
            + &constant("w2", &[3, 4, 3, 3], 0.2)
            + &conv("a", "x", "w1", "pads=[0,0,0,0]", "1,4,6,6")
            + "%g: f32[1,4,6,6] = Gelu(%a)  # gelu\n"
            + &conv(
                "y",
                "g",
                "w2",
                &format!("pads={pads}"),
                if pads == "[0,0,0,0]" { "1,3,4,4" } else { "1,3,6,6" },
            )
            + "output %y\n"
    };
    let of = |pads: &str| {
        let g = quantized(&text(pads), &Settings::default());
        assert!(compare(&g) > 15.0);
        g.value(g.find_value("g").unwrap()).quant.unwrap()
    };
    let q = of("[0,0,0,0]");
    assert!(q.zero_point > 0 && q.zero_point < 128, "{q}");
    assert_eq!(of("[1,1,1,1]").zero_point, 0);
}

/// The model's own zero point before padding of every kind: what is padded with is a real 0.
#[test]
fn padding_with_a_zero_point() {
    for middle in [
        "%p: f32[1,4,8,8] @u8(scale=0.04, zero=100) = Pad(%x) {pads=[0,0,1,1,0,0,1,1]}  # p\n",
        "%p: f32[1,4,8,8] @u8(scale=0.04, zero=100) = Pad(%x) {mode=edge, pads=[0,0,1,1,0,0,1,1]}  # p\n",
        "%p: f32[1,4,6,6] @u8(scale=0.04, zero=100) = MaxPool(%x) {kernel_shape=[3,3], pads=[1,1,1,1]}  # p\n",
    ] {
        let shape = if middle.contains("Pool") { "1,2,6,6" } else { "1,2,8,8" };
        let text = "graph g\ninput %x: f32[1,4,6,6] @u8(scale=0.04, zero=100)\n".to_string()
            + &constant("w", &[2, 4, 3, 3], 0.2)
            + middle
            + &conv("y", "p", "w", "pads=[1,1,1,1]", shape)
            + "output %y\n";
        let mut g = Graph::parse(&text).unwrap();
        with_scales(&mut g, &Settings::default());
        assert_eq!(precision(&g, "p"), "int8");
        assert!(compare(&g) > 15.0, "{middle}");
    }
}

/// A model may give a move's output another scale than its input has: then the move is float.
#[test]
fn a_move_between_two_scales_is_float() {
    let text = "graph g\ninput %x: f32[1,4,6,6] @i8(scale=0.04)\n".to_string()
        + &constant("w", &[2, 4, 1, 1], 0.2)
        + "%p: f32[1,4,5,5] @i8(scale=0.03) = MaxPool(%x) {kernel_shape=[2,2]}  # p\n"
        + &conv("y", "p", "w", "pads=[0,0,0,0]", "1,2,5,5")
        + "output %y\n";
    let mut g = Graph::parse(
        &text
            .replace("@i8(scale=0.04)", "@i8(scale=0.04, zero=0)")
            .replace("@i8(scale=0.03)", "@i8(scale=0.03, zero=0)"),
    )
    .unwrap();
    with_scales(&mut g, &Settings::default());
    assert_eq!(precision(&g, "p"), "R11");
    assert!(compare(&g) > 15.0);
}

/// Outputs that are read inside, values read by 8-bit and float nodes, a split, an input that is moved first.
#[test]
fn forks_and_several_outputs() {
    let text = IMAGE.to_string()
        + &constant("w1", &[4, 4, 1, 1], 0.3)
        + &constant("w2", &[4, 2, 1, 1], 0.3)
        + &constant("w3", &[4, 4, 1, 1], 0.3)
        + "%t: f32[1,4,6,6] = Transpose(%x) {perm=[0,1,3,2]}  # t\n"
        + &conv("a", "t", "w1", "act=Relu", "1,4,6,6")
        + "%s: f32[1,4,6,6] = Sigmoid(%a)  # sig\n"
        + "%l: f32[1,2,6,6], %r: f32[1,2,6,6] = Split(%a) {axis=1, num_outputs=2}  # split\n"
        + &conv("b", "l", "w2", "pads=[0,0,0,0]", "1,4,6,6")
        + "%m: f32[1,4,6,6] = Mul(%b, %s)  # mul\n"
        + &conv("y", "m", "w3", "pads=[0,0,0,0]", "1,4,6,6")
        + "output %y\noutput %a as inner\noutput %r\noutput %x as same\n";
    let g = quantized(&text, &Settings::default());
    assert_eq!(["t", "a", "sig", "split", "b", "y"].map(|n| precision(&g, n)), ["int8"; 6]);
    assert!(compare(&g) > 15.0);
}

#[test]
fn nothing_that_multiplies() {
    let text = "graph g\ninput %x: f32[1,4,6,6]\n%y: f32[1,4,6,6] = Relu(%x)  # relu\n%z: f32[1,4,3,3] = MaxPool(%y) {kernel_shape=[2,2], strides=[2,2]}  # pool\noutput %z\n";
    let g = quantized(text, &Settings::default());
    assert!(compare(&g) > 100.0);
    assert_eq!(build(&g, &Interp, 1).unwrap().plan.coverage(), (0.0, 0.0));
}

/// Rules by name and by operator; the last that matches wins.
#[test]
fn the_last_rule_wins() {
    let text = IMAGE.to_string()
        + &constant("w1", &[4, 4, 1, 1], 0.3)
        + &conv("stage1.a", "x", "w1", "pads=[0,0,0,0]", "1,4,6,6")
        + &conv("stage1.b", "stage1.a", "w1", "pads=[0,0,0,0]", "1,4,6,6")
        + &conv("stage2.a", "stage1.b", "w1", "pads=[0,0,0,0]", "1,4,6,6")
        + "output %stage2.a\n";
    let rule = |pattern, int8| Rule { pattern, int8, place: None };
    let (name, op) = (|s: &str| Pattern::Name(s.into()), |s: &str| Pattern::Op(s.into()));
    for (rules, want) in [
        (vec![rule(op("conv"), false)], ["R03", "R03", "R03"]),
        (vec![rule(op("Conv"), false), rule(name("stage1.*"), true)], ["int8", "int8", "R03"]),
        (vec![rule(name("stage1.*"), false), rule(name("*.b"), true)], ["R03", "int8", "int8"]),
        (vec![rule(name("*.b"), true), rule(name("stage1.*"), false)], ["R03", "R03", "int8"]),
        (vec![rule(op("Linear"), false)], ["int8", "int8", "int8"]),
    ] {
        let g = quantized(&text, &Settings { rules, ..Settings::default() });
        assert_eq!(["stage1.a", "stage1.b", "stage2.a"].map(|n| precision(&g, n)), want);
        compare(&g);
    }
    let none = quantized(
        &text,
        &Settings { int8: false, rules: vec![rule(name("stage2.*"), true)], ..Settings::default() },
    );
    assert_eq!(["stage1.a", "stage1.b", "stage2.a"].map(|n| precision(&none, n)), ["R10", "R10", "int8"]);
}

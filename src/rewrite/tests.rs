//! Every rule against its text tests, `tests/data/rewrites/NAME.qg`, and against the meaning of the graphs.
//!
//! A file holds cases: `=== what the case shows`, the graph before, then `--- after` with the graph after where the
//! rule does something, and `--- blocked` with `node: reason` where it says why not. `QUANTIZE_BLESS=1` writes what
//! follows the graph before anew.

use super::{RULES, Record, Rule, run};
use crate::ir::array::Array;
use crate::ir::{Graph, evaluate, r#gen};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

struct Case {
    title: String,
    before: String,
}

fn file_of(rule: &dyn Rule) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/rewrites").join(format!("{}.qg", rule.name()))
}

fn cases(text: &str) -> Vec<Case> {
    let parts = text.split("=== ").skip(1);
    let case = |part: &str| {
        let (title, rest) = part.split_once('\n').unwrap();
        let before = rest.split("\n--- ").next().unwrap().trim();
        Case { title: title.into(), before: before.into() }
    };
    parts.map(case).collect()
}

/// What the rule makes of a case, as the file has it.
fn played(rule: &dyn Rule, case: &Case) -> String {
    let before = Graph::parse(&case.before).unwrap_or_else(|e| panic!("{}: {e}", case.title));
    before.verify().unwrap_or_else(|e| panic!("{}: {e:?}", case.title));
    let mut after = before.clone();
    let record = run(&mut after, &[rule]).unwrap_or_else(|e| panic!("{}: {e}", case.title));
    same_meaning(&before, &after, 1).unwrap_or_else(|e| panic!("{}: {e}\n{after}", case.title));
    let mut text = format!("=== {}\n{}\n", case.title, case.before);
    if !record.done().is_empty() {
        text += &format!("--- after\n{after}");
    }
    let blocked: Vec<String> = record.blocked().map(|(_, node, why)| format!("{node}: {why}\n")).collect();
    if !blocked.is_empty() {
        text += &format!("--- blocked\n{}", blocked.concat());
    }
    text + "\n"
}

/// Do both graphs compute the same, up to the rounding of constants to f32?
fn same_meaning(a: &Graph, b: &Graph, seed: u64) -> Result<(), String> {
    let mut state = seed;
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 22) as f64 - 2.0
    };
    let shapes = a.inputs.iter().map(|&v| a.value(v).fact.shape.clone());
    let inputs: Vec<Array> =
        shapes.map(|s| Array::real(s.clone(), (0..s.numel()).map(|_| number()).collect())).collect();
    if a.output_names != b.output_names {
        return Err("the outputs have other names".into());
    }
    for (x, y) in evaluate(a, &inputs)?.into_iter().zip(evaluate(b, &inputs)?) {
        let (u, v) = (x.reals(), y.reals());
        let size = u.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        let close =
            |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 2e-6 * size;
        if x.shape != y.shape || !u.iter().zip(&v).all(close) {
            return Err(format!("results differ: {u:?} and {v:?}"));
        }
    }
    Ok(())
}

#[test]
fn rules_do_what_their_texts_say() {
    for rule in RULES {
        let file = file_of(*rule);
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let now: String = cases(&text).iter().map(|c| played(*rule, c)).collect();
        let now = format!("{}\n", now.trim_end());
        assert!(now.contains("--- after"), "{} shows no rewrite", file.display());
        if std::env::var_os("QUANTIZE_BLESS").is_some() {
            fs::write(&file, &now).unwrap();
        }
        assert!(now == text || std::env::var_os("QUANTIZE_BLESS").is_some(), "{}:\n{now}", file.display());
    }
}

#[test]
fn every_rule_is_described_and_every_text_belongs_to_a_rule() {
    let names: Vec<&str> = RULES.iter().map(|r| r.name()).collect();
    assert!(RULES.iter().all(|r| r.doc().contains("->")));
    for entry in fs::read_dir(file_of(RULES[0]).parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_string();
        assert!(names.contains(&stem.as_str()), "{stem} is no rule");
    }
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
}

/// All rules on every graph of the texts: they go together, come to rest, and a second run finds nothing.
#[test]
fn all_rules_together_keep_the_meaning_of_every_text() {
    for rule in RULES {
        let text = fs::read_to_string(file_of(*rule)).unwrap();
        for case in cases(&text) {
            let before = Graph::parse(&case.before).unwrap();
            everything(&before, 2).unwrap_or_else(|e| panic!("{}: {}: {e}", rule.name(), case.title));
        }
    }
}

fn everything(before: &Graph, seed: u64) -> Result<Record, String> {
    let mut after = before.clone();
    let record = run(&mut after, RULES).map_err(|e| e.to_string())?;
    same_meaning(before, &after, seed).map_err(|e| format!("{e}\n{before}\n{after}"))?;
    let again = run(&mut after.clone(), RULES).map_err(|e| e.to_string())?;
    match again.done().is_empty() {
        true => Ok(record),
        false => Err(format!("a second run still finds {:?}\n{after}", again.done())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn random_graphs_keep_their_meaning(seed in any::<u64>()) {
        let before = r#gen::random(seed);
        prop_assert_eq!(everything(&before, seed).map(drop), Ok(()));
    }
}

/// A chain of a thousand nodes, all of which fold into one.
#[test]
fn long_chains_fold_away() {
    let mut text = String::from("graph chain\ninput %x0: f32[1,4]\n");
    for i in 1..=1000 {
        text += &format!("%x{i}: f32[1,4] = Relu(%x{})  # relu{i}\n", i - 1);
    }
    let mut g = Graph::parse(&(text + "output %x1000\n")).unwrap();
    let record = run(&mut g, RULES).unwrap();
    assert_eq!((g.order().len(), record.done()["clamp-pair"]), (1, 999));
    assert_eq!(g.node(g.order()[0]).origin.len(), 1000);
}

/// Dead chains go, and scales spread backwards, without a round per node.
#[test]
fn long_chains_spread_backwards() {
    let mut text = String::from("graph chain\ninput %x0: f32[1,4]\n%z: f32[1,4] = Neg(%x0)  # z\n");
    for i in 1..=300 {
        text += &format!("%x{i}: f32[1,4] = Abs(%x{})  # abs{i}\n", i - 1);
    }
    let mut g = Graph::parse(&(text + "output %z\n")).unwrap();
    let record = run(&mut g, RULES).unwrap();
    assert_eq!((g.order().len(), record.done()["dead-code"]), (1, 300));
}

/// A rule that is never content is stopped and named.
#[test]
fn rules_that_never_rest_are_an_error() {
    struct Restless;
    impl Rule for Restless {
        fn name(&self) -> &'static str {
            "restless"
        }
        fn doc(&self) -> &'static str {
            "x -> x"
        }
        fn apply(&self, c: &super::Context, at: crate::ir::NodeId) -> super::Outcome {
            let n = c.node(at);
            Ok(c.fuse(at, &[at], n.op.clone(), n.inputs.clone()).into())
        }
    }
    let mut g = Graph::parse("graph g\ninput %x: f32[1]\n%y: f32[1] = Abs(%x)  # abs\noutput %y\n").unwrap();
    let error = run(&mut g, &[&Restless]).unwrap_err().to_string();
    assert!(error.contains("Q0290") && error.contains("restless"), "{error}");
}

//! The engine file: round trip, damage of every kind.

use super::*;
use crate::base::Shape;
use crate::engine::{Engine, Origin, file};
use crate::plan::{BufferId, Plan};

/// A head of one layer: a small file with every kind of section.
fn small() -> Engine {
    let text = "graph g\ninput %x: f32[1,4]\n".to_string()
        + &constant("w", &[3, 4], 0.3)
        + "%y: f32[1,3] = Linear(%x, %w)  # head\noutput %y\n";
    let e = build(&quantized(&text, &Settings::default()), &cpu(), 2).unwrap();
    Engine {
        origin: Origin { model: "m".into(), labels: vec!["a".into(), "b".into()], ..Origin::default() },
        ..e
    }
}

fn refused(bytes: &[u8]) -> String {
    let e = file::read(bytes.to_vec().into()).expect_err("a damaged file was accepted");
    assert_eq!(e.code.id, "Q0501", "{e}");
    e.what.clone()
}

#[test]
fn round_trip() {
    let e = small();
    let bytes = e.to_bytes().unwrap();
    let back = file::read(bytes.clone().into()).unwrap();
    assert_eq!((&back.origin, &back.plan, back.weights()), (&e.origin, &e.plan, e.weights()));
    assert_eq!(back.to_bytes().unwrap(), bytes);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.engine");
    e.save(&path).unwrap();
    let inputs = samples_of(&e);
    let loaded = Engine::load(&path).unwrap();
    assert_eq!(run(&loaded, &cpu(), &inputs).unwrap(), run(&e, &cpu(), &inputs).unwrap());
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(Engine::load(&path).unwrap_err().to_string().contains("e.engine"));
}

fn samples_of(e: &Engine) -> Vec<Vec<Tensor>> {
    let one = |seed: usize| {
        e.inputs().map(|(_, s)| Tensor::new(s.clone(), &vec![seed as f32 - 0.3; s.numel()])).collect()
    };
    (0..2).map(one).collect()
}

#[test]
fn every_truncation_is_found() {
    let bytes = small().to_bytes().unwrap();
    (0..bytes.len()).for_each(|n| drop(refused(&bytes[..n])));
    refused(&[&bytes[..], &[0]].concat());
    refused(&[&bytes[..], &[0; 64]].concat());
}

#[test]
fn every_flipped_bit_is_found() {
    let mut bytes = small().to_bytes().unwrap();
    for i in 0..bytes.len() * 8 {
        bytes[i / 8] ^= 1 << (i % 8);
        refused(&bytes);
        bytes[i / 8] ^= 1 << (i % 8);
    }
}

#[test]
fn foreign_and_other_versions() {
    let good = small().to_bytes().unwrap();
    for foreign in [&b""[..], b"\x08\x07onnx", b"ftrt0000000000000000", &[0; 4096], &good[1..]] {
        assert!(refused(foreign).contains("no engine file"));
    }
    for (version, word) in [(file::FORM.version + 1, "newer"), (0, "older")] {
        let mut b = good.clone();
        b[8..12].copy_from_slice(&version.to_le_bytes());
        assert!(!refused(&b).contains(word), "a flipped bit is no version");
        let crc = crc32fast::hash(&b[..60]);
        b[60..64].copy_from_slice(&crc.to_le_bytes());
        assert!(refused(&b).contains(word));
    }
}

/// A file whose checksums fit may still hold any plan.
#[test]
fn impossible_plans_are_refused() {
    type Fault = (&'static str, fn(&mut Plan));
    let faults: [Fault; 8] = [
        ("a buffer that is not there", |p| p.steps[0].inputs[0] = BufferId::from(99)),
        ("an output that is not there", |p| p.outputs[0].buffer = BufferId::from(99)),
        ("a buffer outside", |p| p.buffers[0].offset += 1 << 20),
        ("an absurd arena", |p| p.arena = 1 << 60),
        ("no batch", |p| p.max_batch = 0),
        ("an absurd shape", |p| p.buffers[0].operand.shape = Shape::from([usize::MAX, usize::MAX])),
        ("a port of another shape", |p| p.inputs[0].shape = Shape::from([1, 5])),
        ("operands of another shape", |p| p.steps[0].problem.outputs[0].shape = Shape::from([1, 300])),
    ];
    for (what, fault) in faults {
        let e = small();
        let mut plan = e.plan.clone();
        fault(&mut plan);
        let bytes = Engine::new(e.origin.clone(), plan, e.weights().clone()).to_bytes().unwrap();
        assert!(!refused(&bytes).is_empty(), "{what}");
    }
    // constants are looked up when the program is made
    let e = small();
    let mut plan = e.plan.clone();
    plan.steps.iter_mut().flat_map(|s| &mut s.constants).for_each(|r| r.end += 1 << 20);
    let cut = Engine::new(e.origin.clone(), plan, e.weights().clone());
    assert_eq!(crate::engine::Session::new(&cut, &cpu()).err().unwrap().code.id, "Q0501");
}

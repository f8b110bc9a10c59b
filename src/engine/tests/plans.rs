//! The checker finds planted faults.

use super::*;
use crate::base::DType;
use crate::base::quant::Scale;
use crate::plan::{Plan, check::check};

fn network() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w1", &[4, 4, 3, 3], 0.2)
        + &constant("w2", &[4, 4, 3, 3], 0.2)
        + &conv("a", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,4,6,6")
        + &conv("b", "a", "w2", "pads=[1,1,1,1]", "1,4,6,6")
        + "%s: f32[1,4,6,6] = Add(%b, %a)  # sum\n%t: f32[1,4,6,6] = Softmax(%s) {axis=1}  # soft\noutput %t\n";
    let mut g = Graph::parse(&text).unwrap();
    with_scales(&mut g, &Settings::default());
    g
}

#[test]
fn planted_faults_are_found() {
    let g = network();
    let good = build(&g, &Interp, 2).unwrap().plan;
    assert_eq!(check(&good, &g), Ok(()));
    let node = |p: &Plan, name: &str| {
        p.steps.iter().position(|s| s.name == name && s.problem.op().is_some()).unwrap()
    };
    type Fault<'a> = Box<dyn Fn(&mut Plan) + 'a>;
    let faults: Vec<(&str, &str, Fault)> = vec![
        (
            "overlapping buffers",
            "own operands",
            Box::new(|p| {
                let s = p.steps[node(p, "a")].clone();
                p.buffers[s.outputs[0].index()].offset = p.buffers[s.inputs[0].index()].offset;
            }),
        ),
        (
            "a buffer over a live one",
            "not there",
            Box::new(|p| {
                // the residual is overwritten by what is computed before it is read
                let (b, sum) = (p.steps[node(p, "b")].outputs[0], p.steps[node(p, "sum")].inputs[1]);
                p.buffers[b.index()].offset = p.buffers[sum.index()].offset;
                p.arena *= 2;
            }),
        ),
        ("read before write", "not there", Box::new(|p| p.steps.swap(0, 1))),
        ("an unaligned buffer", "buffer", Box::new(|p| p.buffers[1].offset += 4)),
        ("a buffer outside", "arena", Box::new(|p| p.arena -= 64)),
        (
            "another scale",
            "where the graph has",
            Box::new(|p| {
                let b = p.buffers.iter_mut().find(|b| b.quant.is_some()).unwrap();
                b.quant.as_mut().unwrap().scale = Scale::new(0.123).unwrap();
            }),
        ),
        (
            "another type",
            "with",
            Box::new(|p| {
                let b = p.buffers.iter_mut().find(|b| b.quant.is_some()).unwrap();
                b.operand.dtype = DType::F32;
            }),
        ),
        (
            "another shape",
            "other forms",
            Box::new(|p| {
                let i = node(p, "soft");
                p.steps[i].problem.outputs[0].shape = [1, 4, 6, 5].into();
            }),
        ),
        ("a missing node", "", Box::new(|p| drop(p.steps.remove(node(p, "sum"))))),
        ("a missing last node", "has no step", Box::new(|p| drop(p.steps.remove(node(p, "soft"))))),
        (
            "a node twice",
            "computes no node",
            Box::new(|p| {
                let s = p.steps[node(p, "soft")].clone();
                p.steps.push(s);
            }),
        ),
        (
            "another operator",
            "stands where",
            Box::new(|p| {
                let other = p.steps[node(p, "a")].problem.work.clone();
                let i = node(p, "b");
                p.steps[i].problem.work = other;
            }),
        ),
        (
            "another operand",
            "where the node reads",
            Box::new(|p| {
                let i = node(p, "sum");
                p.steps[i].inputs[1] = p.steps[i].inputs[0];
            }),
        ),
        ("another output", "output t is", Box::new(|p| p.outputs[0].buffer = p.inputs[0].buffer)),
    ];
    for (what, sentence, fault) in faults {
        let mut p = good.clone();
        fault(&mut p);
        let found = check(&p, &g).expect_err(what);
        assert!(found.iter().any(|f| f.contains(sentence)), "{what}: {found:?}");
    }
}

/// The arena is smaller than all buffers together, and every random graph's plan passes.
#[test]
fn memory_is_shared() {
    let plan = build(&network(), &Interp, 8).unwrap().plan;
    assert!(plan.arena < plan.buffers_sum(), "{} of {}", plan.arena, plan.buffers_sum());
}

#[test]
fn outputs_that_engines_do_not_have() {
    for (text, what) in [
        ("%y: i64[1,1,6,6] = ArgMax(%x) {axis=1}  # arg\noutput %y\n", "i64"),
        (
            "const %c: f32[1] = [1.0]\n%y: f32[1,4,6,6] = Relu(%x)  # r\noutput %y\noutput %c\n",
            "does not depend",
        ),
    ] {
        let mut g = Graph::parse(&(IMAGE.to_string() + text)).unwrap();
        crate::quant::decide(&mut g, &Settings::default(), |_| false);
        let e = build(&g, &Interp, 1).unwrap_err();
        assert_eq!(e.code.id, "Q0508");
        assert!(e.what.contains(what), "{e}");
    }
}

/// A graph that breaks an invariant is refused before anything relies on it: on any device, also on the oracle.
#[test]
fn graphs_that_do_not_fit_together_are_refused() {
    let text = IMAGE.to_string() + "%y: f32[1,4,6,6] = Relu(%x)  # r\noutput %y\n";
    let whole = || {
        let mut g = Graph::parse(&text).unwrap();
        crate::quant::decide(&mut g, &Settings::default(), |_| false);
        g
    };
    assert!(build(&whole(), &Interp, 1).is_ok());
    type Fault = fn(&mut Graph);
    let faults: [(&str, Fault); 3] = [
        ("a shape that is not the operator's", |g| {
            g.value_mut(g.outputs[0]).fact.shape = crate::base::Shape::new(&[1, 4, 6, 7])
        }),
        ("an input that is no image", |g| {
            g.value_mut(g.inputs[0]).fact.shape = crate::base::Shape::new(&[2, 4, 6, 6])
        }),
        ("an input that is not one", |g| g.inputs.clear()),
    ];
    for (what, fault) in faults {
        let mut g = whole();
        fault(&mut g);
        for device in [&Interp as &dyn Device, &cpu()] {
            let e = build(&g, device, 1).map(|_| ()).unwrap_err();
            assert_eq!(e.code.id, "Q0509", "{what}: {e}");
            assert!(!e.details.is_empty(), "{what}: {e}");
        }
    }
}

//! The checker finds planted faults.

use super::*;
use crate::base::DType;
use crate::base::quant::Scale;
use crate::plan::{Buffer, Plan, check::check};

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

/// A fire module: two convolutions side by side, joined along the channels, then cut along the lines of a plain image.
fn fire() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w1", &[16, 4, 1, 1], 0.4)
        + &constant("w2", &[24, 4, 3, 3], 0.2)
        + &constant("w3", &[8, 40, 1, 1], 0.1)
        + &conv("a", "x", "w1", "act=Relu", "1,16,6,6")
        + &conv("b", "x", "w2", "act=Relu, pads=[1,1,1,1]", "1,24,6,6")
        + "%j: f32[1,40,6,6] = Concat(%a, %b) {axis=1}  # join\n"
        + &conv("c", "j", "w3", "pads=[0,0,0,0]", "1,8,6,6")
        + "%m: f32[1,40,3,3] = MaxPool(%j) {kernel_shape=[2,2], strides=[2,2]}  # pool\n"
        + "%f: f32[1,360] = Flatten(%m)  # flat\noutput %c\noutput %f\n";
    let mut g = Graph::parse(&text).unwrap();
    with_scales(&mut g, &Settings::default());
    g
}

#[test]
fn parts_are_written_where_they_are_joined() {
    let g = fire();
    assert_eq!(["a", "b", "join", "c"].map(|n| precision(&g, n)), ["int8"; 4]);
    compare(&g);
    for device in [&Interp as &dyn Device, &cpu()] {
        let plan = build(&g, device, 3).unwrap().plan;
        let find = |value: &str| plan.buffers.iter().find(|b| b.value == value && b.quant.is_some()).unwrap();
        let (a, b, j) = (find("a"), find("b"), find("j"));
        assert_eq!((a.offset, b.offset), (j.offset, j.offset + 16));
        assert_eq!((a.operand.pitch, b.operand.pitch, j.operand.pitch), (Some(40), Some(40), None));
        let join = plan.steps.iter().find(|s| s.name == "join").unwrap();
        assert_eq!(join.choice.tactic.to_string(), "view/in-place");
        assert_eq!(check(&plan, &g), Ok(()));
    }
}

#[test]
fn planted_faults_of_views_are_found() {
    let g = fire();
    let good = build(&g, &cpu(), 2).unwrap().plan;
    fn buffer<'p>(p: &'p mut Plan, value: &str) -> &'p mut Buffer {
        p.buffers.iter_mut().find(|b| b.value == value && b.quant.is_some()).unwrap()
    }
    let step = |p: &Plan, name: &str| p.steps.iter().position(|s| s.name == name).unwrap();
    type Fault<'a> = Box<dyn Fn(&mut Plan) + 'a>;
    let shift = |p: &mut Plan, value: &str, by: isize| {
        let b = buffer(p, value);
        b.offset = b.offset.wrapping_add_signed(by);
        let within = b.within.as_mut().unwrap();
        within.at = within.at.wrapping_add_signed(by);
    };
    let faults: Vec<(&str, &str, Fault)> = vec![
        ("a part in another place", "no view", Box::new(|p| shift(p, "b", -1))),
        ("parts over one another", "not there", Box::new(|p| shift(p, "b", -16))),
        ("a part that ends outside", "buffer", Box::new(|p| shift(p, "b", 8))),
        ("a part that is not within", "buffer", Box::new(|p| buffer(p, "a").offset += 64)),
        ("rows of the whole apart", "buffer", Box::new(|p| buffer(p, "j").operand.pitch = Some(48))),
        (
            "another scale",
            "scales differ",
            Box::new(|p| buffer(p, "j").quant.as_mut().unwrap().zero_point = 7),
        ),
        (
            "a view of what computes",
            "is no view",
            Box::new(|p| {
                let i = step(p, "pool");
                p.steps[i].choice.tactic = crate::device::Tactic::view();
            }),
        ),
        (
            "a part that is not written",
            "not there",
            Box::new(|p| {
                let (b, join) = (step(p, "b"), step(p, "join"));
                p.steps.swap(b, join);
            }),
        ),
    ];
    for (what, sentence, fault) in faults {
        let mut p = good.clone();
        fault(&mut p);
        let found = check(&p, &g).expect_err(what);
        assert!(found.iter().any(|f| f.contains(sentence)), "{what}: {found:?}");
    }
}

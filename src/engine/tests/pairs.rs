//! Two nodes become one step where a device has a kernel for both that is the faster way.

use super::*;
use crate::base::{Result, Silent};
use crate::device::cuda::Cuda;
use crate::device::{Bound, DeviceId, Executor, Numerics, Problem, Program, Tactic, Tap};
use crate::engine::{self, Engine, Origin, file};
use crate::plan::{Plan, check::check};
use crate::tune::{TimingCache, Tuner};
use std::ops::Range;
use std::time::Duration;

/// The oracle, with kernels for pairs, on a clock of its own: a pair takes so many microseconds, all else ten.
struct Paired(u64);

const PAIR: &str = "pair";

impl Device for Paired {
    fn id(&self) -> DeviceId {
        DeviceId { kind: PAIR.into(), ..Interp.id() }
    }

    fn tactics(&self, p: &Problem, _: &Numerics) -> Vec<Tactic> {
        let family = if p.halves().is_some() { PAIR } else { "reference" };
        vec![Tactic::new(family, "plain")]
    }

    fn pack(&self, p: &Problem, n: &Numerics, t: &Tactic, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        Interp.pack(p, n, t, tensors)
    }

    fn load(&self, program: &Program) -> Result<Box<dyn Executor>> {
        Ok(Box::new(Clocked { run: Interp.load(program)?, pair: self.0, micros: Vec::new() }))
    }
}

struct Clocked {
    run: Box<dyn Executor>,
    pair: u64,
    /// Of the steps that were added.
    micros: Vec<u64>,
}

impl Executor for Clocked {
    fn input(&mut self, i: usize, images: usize) -> &mut [u8] {
        self.run.input(i, images)
    }
    fn pixels(&mut self, images: usize) -> Option<&mut [u8]> {
        self.run.pixels(images)
    }
    fn run(&mut self, images: usize, tap: Option<&mut dyn Tap>) -> Result<()> {
        self.run.run(images, tap)
    }
    fn output(&self, i: usize, images: usize) -> &[u8] {
        self.run.output(i, images)
    }
    fn add(&mut self, steps: &[Bound]) -> Result<Range<usize>> {
        self.micros.extend(steps.iter().map(|s| if s.tactic.family == PAIR { self.pair } else { 10 }));
        self.run.add(steps)
    }
    fn try_steps(&mut self, steps: Range<usize>, images: usize) -> Result<Duration> {
        self.run.try_steps(steps.clone(), images)?;
        Ok(Duration::from_micros(self.micros[steps].iter().sum()))
    }
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.run.write(at, bytes)
    }
    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<()> {
        self.run.read(at, bytes)
    }
}

/// `a` alone reads `x`, `pool` alone reads `a`, `b` and `sum` read `pool`.
fn network() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w1", &[4, 4, 3, 3], 0.2)
        + &constant("w2", &[4, 4, 1, 1], 0.2)
        + &conv("a", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,4,6,6")
        + "%p: f32[1,4,3,3] = MaxPool(%a) {kernel_shape=[2,2], strides=[2,2]}  # pool\n"
        + &conv("b", "p", "w2", "", "1,4,3,3")
        + "%s: f32[1,4,3,3] = Add(%b, %p)  # sum\noutput %s\n";
    let mut g = Graph::parse(&text).unwrap();
    with_scales(&mut g, &Settings::default());
    g
}

/// The engine, where a pair takes so long.
fn timed(g: &Graph, micros: u64) -> Engine {
    within(g, micros, None)
}

/// The same, where there is so much time to find that out.
fn within(g: &Graph, micros: u64, budget: Option<Duration>) -> Engine {
    let device = Paired(micros);
    let mut tuner = Tuner::new(&device, TimingCache::default(), budget);
    let settings = engine::Settings { max_batch: 4, ..Default::default() };
    engine::build(g, &device, &mut tuner, settings, Origin::default(), &Silent).unwrap()
}

/// The steps that nothing computes alone, with those that compute them too.
fn joined(e: &Engine) -> Vec<(&str, &str)> {
    let steps = &e.plan.steps;
    steps.iter().filter_map(|s| Some((steps[s.with?].name.as_str(), s.name.as_str()))).collect()
}

#[test]
fn two_steps_become_one_where_that_is_faster() {
    let g = network();
    let (apart, together) = (timed(&g, 20), timed(&g, 19));
    assert_eq!(joined(&apart), []);
    assert_eq!(joined(&within(&g, 1, Some(Duration::ZERO))), []);
    // `sum` would read what `b` writes, and it is the only one; `pool` has two readers
    assert_eq!(joined(&together), [("a", "pool"), ("b", "sum")]);
    assert!(together.plan.buffers_sum() < apart.plan.buffers_sum());
    let samples = samples(&g);
    let answers = |e: &Engine| run(e, &Paired(0), &samples).unwrap();
    assert_eq!(answers(&together), answers(&apart));
    // a file keeps it
    let again = file::read(together.to_bytes().unwrap().into()).unwrap();
    assert_eq!(again.plan, together.plan);
}

#[test]
fn planted_faults_of_pairs_are_found() {
    let g = network();
    let good = timed(&g, 1).plan;
    assert_eq!(check(&good, &g), Ok(()));
    let step =
        |name: &str| good.steps.iter().position(|s| s.name == name && s.problem.op().is_some()).unwrap();
    let (a, pool, sum) = (step("a"), step("pool"), step("sum"));
    let found = |what: &str, sentence: &str, fault: &dyn Fn(&mut Plan)| {
        let mut p = good.clone();
        fault(&mut p);
        let found = check(&p, &g).expect_err(what);
        assert!(found.iter().any(|f| f.contains(sentence)), "{what}: {found:?}");
    };
    found("nobody computes the first", "not there", &|p| p.steps[pool].with = None);
    found("another is computed", "computes no step", &|p| p.steps[pool].with = Some(sum));
    found("none is there", "computes no step", &|p| p.steps[pool].with = Some(99));
    found("a step that is computed twice", "computes no step", &|p| {
        p.steps[a].choice.tactic = Tactic::new("reference", "plain")
    });
    found("what lies between is somewhere", "computes no step", &|p| {
        let between = p.steps[a].outputs[0];
        p.buffers[between.index()].absent = false;
    });
    found("another tensor is in no memory", "in no memory", &|p| {
        let b = p.steps[sum].outputs[0];
        p.buffers[b.index()].absent = true;
    });
    found("what the first reads is overwritten", "own operands", &|p| {
        let (x, y) = (p.steps[a].inputs[0], p.steps[pool].outputs[0]);
        p.buffers[y.index()].offset = p.buffers[x.index()].offset;
    });
}

/// A file may say anything of what is in memory and what is computed with what.
#[test]
fn files_of_false_pairs_are_refused() {
    let g = network();
    let good = timed(&g, 1);
    let step =
        |name: &str| good.plan.steps.iter().position(|s| s.name == name && s.problem.op().is_some()).unwrap();
    let (a, pool, b, sum) = (step("a"), step("pool"), step("b"), step("sum"));
    let read = |fault: &dyn Fn(&mut Plan)| {
        let mut e = good.clone();
        fault(&mut e.plan);
        file::read(e.to_bytes().unwrap().into()).map(|_| ()).map_err(|e| e.code.id)
    };
    assert_eq!(read(&|_| ()), Ok(()));
    let faults: [&dyn Fn(&mut Plan); 9] = [
        &|p| p.steps[pool].with = None,
        &|p| p.steps[pool].with = Some(99),
        &|p| p.steps[pool].with = Some(sum),
        &|p| p.steps[pool].with = Some(b),
        &|p| p.steps[sum].with = Some(a),
        &|p| p.steps[a].choice.tactic = Tactic::new("reference", "plain"),
        &|p| {
            let y = p.steps[sum].outputs[0];
            p.buffers[y.index()].absent = true;
        },
        &|p| {
            let x = p.inputs[0].buffer;
            p.buffers[x.index()].absent = true;
        },
        &|p| {
            let between = p.steps[a].outputs[0];
            p.buffers[between.index()].operand.shape = [1, usize::MAX / 2, 6, 6].into();
        },
    ];
    for (i, fault) in faults.iter().enumerate() {
        assert_eq!(read(fault), Err("Q0501"), "fault {i}");
    }
}

/// `a` is an output; of it the mean is taken, which a view brings to the last step.
fn head() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w1", &[64, 4, 3, 3], 0.2)
        + &constant("w2", &[3, 64], 0.2)
        + &conv("a", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,64,6,6")
        + "%p: f32[1,64,1,1] = GlobalAveragePool(%a)  # pool\n%f: f32[1,64] = Flatten(%p)  # flat\n"
        + "%y: f32[1,3] = Linear(%f, %w2)  # head\noutput %y\noutput %a\n";
    let mut g = Graph::parse(&text).unwrap();
    with_scales(&mut g, &Settings::default());
    g
}

#[test]
fn a_view_may_lie_between_two_steps_that_become_one() {
    let g = head();
    let (apart, together) = (timed(&g, 20), timed(&g, 19));
    assert_eq!(joined(&apart), []);
    assert_eq!(joined(&together), [("pool", "flat"), ("flat", "head")]);
    let samples = samples(&g);
    let answers = |e: &Engine| run(e, &Paired(0), &samples).unwrap();
    assert_eq!(answers(&together), answers(&apart));
    let again = file::read(together.to_bytes().unwrap().into()).unwrap();
    assert_eq!(again.plan, together.plan);
}

/// Where there is a GPU, and where it is faster: the head of a classifier is one step there.
#[test]
fn a_head_on_the_gpu_gives_the_bits_of_the_oracle() {
    let gpu = match Cuda::open(0) {
        Ok(gpu) => gpu,
        Err(why) => return println!("no GPU: {}", why.what),
    };
    let (g, images) = (head(), samples(&head()));
    let want = run(&build(&g, &Interp, 4).unwrap(), &Interp, &images).unwrap();
    let mut tuner = Tuner::new(&gpu, TimingCache::default(), None);
    let settings = engine::Settings { max_batch: 4, ..Default::default() };
    let e = engine::build(&g, &gpu, &mut tuner, settings, Origin::default(), &Silent).unwrap();
    e.plan.steps.iter().for_each(|s| println!("{}: {}", s.name, s.choice.tactic));
    assert_eq!(run(&e, &gpu, &images).unwrap(), want);
}

#[test]
fn planted_faults_of_views_between_pairs_are_found() {
    let g = head();
    let good = timed(&g, 1);
    assert_eq!(check(&good.plan, &g), Ok(()));
    let step =
        |name: &str| good.plan.steps.iter().position(|s| s.name == name && s.problem.op().is_some()).unwrap();
    let (pool, flat, head) = (step("pool"), step("flat"), step("head"));
    let found = |what: &str, sentence: &str, fault: &dyn Fn(&mut Plan)| {
        let mut e = good.clone();
        fault(&mut e.plan);
        let found = check(&e.plan, &g).expect_err(what);
        assert!(found.iter().any(|f| f.contains(sentence)), "{what}: {found:?}");
        file::read(e.to_bytes().unwrap().into()).err().map(|e| e.code.id)
    };
    let refused = Some("Q0501");
    let fault = found("nobody computes the first", "in no memory", &|p| p.steps[flat].with = None);
    assert_eq!(fault, refused);
    let fault = found("the view is left out", "computes no step", &|p| p.steps[head].with = Some(pool));
    assert_eq!(fault, refused);
    let fault = found("the view is computed with itself", "computes no step", &|p| {
        p.steps[flat].with = Some(flat);
    });
    assert_eq!(fault, refused);
    // a file may say so: it is no harm to memory
    found("the view lies elsewhere", "computes no step", &|p| {
        let read = p.steps[head].inputs[0];
        p.buffers[read.index()].offset = 1;
    });
    found("what lies between computes", "computes no step", &|p| {
        p.steps[flat].numerics = Numerics::Table((0..=255).collect());
    });
}

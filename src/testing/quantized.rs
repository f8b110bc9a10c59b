//! Graphs quantized with ranges from random samples, without images or files, and run whole on a device.

use crate::base::quant::Range;
use crate::base::random::SplitMix64;
use crate::base::{Result, Silent, Tensor};
use crate::device::{Device, Floats};
use crate::engine::{self, Engine, Origin, Session};
use crate::ir::{Array, Graph, evaluate_all};
use crate::quant::annotate::params;
use crate::quant::{self, Settings};
use crate::tune::{TimingCache, Tuner};

/// One image for every input: numbers whose sum of twelve uniform ones makes them about normal.
pub fn sample(g: &Graph, seed: u64) -> Vec<Tensor> {
    let mut random = SplitMix64::new(seed);
    let mut normal = || (0..12).map(|_| random.below(1 << 20) as f32 / (1 << 20) as f32).sum::<f32>() - 6.0;
    let mut one = |shape: &crate::base::Shape| (0..shape.numel()).map(|_| normal()).collect::<Vec<f32>>();
    let shapes = g.inputs.iter().map(|&v| g.value(v).fact.shape.clone());
    shapes.map(|s| Tensor::new(s.clone(), &one(&s))).collect()
}

/// Gives a float graph precisions and the scales of the widest range that each value has over `samples`.
pub fn quantize(g: &mut Graph, settings: &Settings, samples: &[Vec<Tensor>]) {
    let mut ranges: Vec<Option<Range>> = vec![None; g.value_count()];
    for s in samples {
        let inputs: Vec<Array> = s.iter().map(Array::of).collect();
        let values = evaluate_all(g, &inputs).unwrap_or_else(|e| panic!("{e}\n{g:#}"));
        for (range, value) in ranges.iter_mut().zip(values) {
            let Some(v) = value else { continue };
            for x in v.reals().into_iter().map(|x| x as f32) {
                let r = range.get_or_insert(Range { lo: 0.0, hi: 0.0 });
                *r = Range { lo: r.lo.min(x), hi: r.hi.max(x) };
            }
        }
    }
    let mut codings = quant::codings(g, settings);
    ranges.iter_mut().zip(&codings).filter(|(_, c)| c.is_none()).for_each(|(r, _)| *r = None);
    quant::decide(g, settings, |v| ranges[v.index()].is_some());
    quant::unify(g, &mut codings, &mut ranges);
    let all: Vec<_> = codings.iter().zip(&ranges).map(|(c, r)| Some(params((*c)?, (*r)?))).collect();
    quant::annotate(g, &all);
}

/// An engine of the graph by each problem's first tactic.
pub fn build(g: &Graph, device: &dyn Device, max_batch: usize) -> Result<Engine> {
    build_as(g, device, engine::Settings { max_batch, ..Default::default() }, Origin::default())
}

/// The same of this origin.
pub fn build_of(g: &Graph, device: &dyn Device, max_batch: usize, origin: Origin) -> Result<Engine> {
    build_as(g, device, engine::Settings { max_batch, ..Default::default() }, origin)
}

/// The same with these floats.
pub fn build_in(g: &Graph, device: &dyn Device, max_batch: usize, floats: Floats) -> Result<Engine> {
    let settings = engine::Settings { max_batch, floats, ..Default::default() };
    build_as(g, device, settings, Origin::default())
}

fn build_as(g: &Graph, device: &dyn Device, settings: engine::Settings, origin: Origin) -> Result<Engine> {
    let mut tuner = Tuner::new(device, TimingCache::default(), None).unchecked();
    engine::build(g, device, &mut tuner, settings, origin, &Silent)
}

/// Every output of one run over a batch of samples.
pub fn run(engine: &Engine, device: &dyn Device, samples: &[Vec<Tensor>]) -> Result<Vec<Vec<f32>>> {
    let mut session = Session::new(engine, device)?;
    run_in(&mut session, samples)
}

/// Every output of one run of a session over a batch of samples.
pub fn run_in(session: &mut Session, samples: &[Vec<Tensor>]) -> Result<Vec<Vec<f32>>> {
    let n = samples.len();
    for i in 0..session.inputs().len() {
        let values: Vec<f32> = samples.iter().flat_map(|s| s[i].to_f32().into_owned()).collect();
        session.input_mut(i, n).copy_from_slice(&values);
    }
    session.step(n, None)?;
    Ok((0..session.outputs().len()).map(|i| session.output_slice(i, n).to_vec()).collect())
}

/// A line of a graph's text: a constant of about normal numbers times `scale`.
pub fn constant(name: &str, dims: &[usize], scale: f32) -> String {
    let mut random = SplitMix64::new(name.bytes().fold(7, |h, b| h * 31 + u64::from(b)));
    let mut normal = || (0..12).map(|_| random.below(1 << 20) as f32 / (1 << 20) as f32).sum::<f32>() - 6.0;
    let n: usize = dims.iter().product();
    let values: Vec<String> = (0..n).map(|_| format!("{:?}", normal() * scale)).collect();
    let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
    format!("const %{name}: f32[{}] = [{}]\n", dims.join(","), values.join(","))
}

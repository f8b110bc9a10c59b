//! Running an engine on files.

use super::feed;
use crate::base::codes::{data, engine as codes};
use crate::base::{DType, Diagnostic, Monitor, Place, Result, Shape};
use crate::data::array::Array;
use crate::data::{Dataset, Form, Picture, Preprocess, Source, layout_hint};
use crate::device::cpu::Pin;
use crate::engine::{Engine, Session, Wish, host};
use crate::eval::metrics::arg_max;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Inputs of a run; the engine's largest batch without it.
    pub batch: Option<usize>,
    /// Threads; the machine's number without it.
    pub threads: Option<usize>,
    /// Where the threads run.
    pub pin: Pin,
}

/// What the engine gives for one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The file, or the file and the row of an array.
    pub name: String,
    /// The outputs in the engine's order.
    pub outputs: Vec<Vec<f32>>,
}

/// Runs an engine of one input on image files, folders of images and `.npy`/`.npz` arrays, in their order.
///
/// # Errors
/// Files that cannot be read or have another shape, images where the engine knows no preprocessing, a batch beyond
/// the engine's, an interruption.
pub fn infer(
    engine: &Engine,
    inputs: &[PathBuf],
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Vec<Answer>> {
    let shape = only_input(engine)?;
    let batch = options.batch.unwrap_or(engine.plan.max_batch);
    if !(1..=engine.plan.max_batch).contains(&batch) {
        return Err(Diagnostic::new(codes::BAD_INPUT, format!("a batch of {batch} does not fit the engine"))
            .expected(format!("1 to {}", engine.plan.max_batch)));
    }
    let reader = Reader { preprocess: engine.origin.preprocess.as_ref(), shape };
    let mut samples = Vec::new();
    for path in inputs {
        samples.extend(list(path)?);
    }
    let wish = Wish { threads: options.threads, pin: options.pin.clone(), ..Wish::default() };
    let mut session = Session::new(engine, &*host::device(engine, &wish)?)?;
    let per_image: Vec<usize> = engine.outputs().map(|(_, s)| s.numel()).collect();
    let mut answers = Vec::with_capacity(samples.len());
    monitor.stage("run", "inputs", samples.len());
    for chunk in samples.chunks(batch) {
        monitor.check()?;
        if !reader.fill_pixels(&mut session, chunk)? {
            let read: Vec<Vec<f32>> = chunk.par_iter().map(|s| reader.read(s)).collect::<Result<_>>()?;
            feed::fill(&mut session, read.iter().map(|values| &values[..]));
        }
        session.step(chunk.len(), None)?;
        for (i, sample) in chunk.iter().enumerate() {
            let output =
                |(o, &n): (usize, &usize)| session.output_slice(o, chunk.len())[i * n..(i + 1) * n].to_vec();
            answers.push(Answer {
                name: sample.name.clone(),
                outputs: per_image.iter().enumerate().map(output).collect(),
            });
        }
        monitor.advance(chunk.len());
    }
    Ok(answers)
}

/// The `k` largest of an output with their indices, largest first (the first of equals); as probabilities, by a
/// softmax unless they are ones already.
///
/// ```
/// let top = quantize::pipeline::infer::top_k(&[0.0, 3f32.ln(), 0.0], 2, false);
/// assert_eq!((top[0].0, top[1].0), (1, 0));
/// assert!((top[0].1 - 0.6).abs() < 1e-6);
/// ```
pub fn top_k(values: &[f32], k: usize, probabilities: bool) -> Vec<(usize, f64)> {
    if values.is_empty() {
        return Vec::new();
    }
    let largest = f64::from(values[arg_max(values)]);
    let exp = |v: f32| (f64::from(v) - largest).exp();
    let sum: f64 = values.iter().map(|&v| exp(v)).sum();
    let mut order: Vec<usize> = (0..values.len()).collect();
    // a stable sort keeps the first of equals first; what is not a number comes last
    order.sort_by(|&a, &b| values[a].is_nan().cmp(&values[b].is_nan()).then(values[b].total_cmp(&values[a])));
    let probability = |v: f32| if probabilities { f64::from(v) } else { exp(v) / sum };
    order.into_iter().take(k).map(|i| (i, probability(values[i]))).collect()
}

/// The shape of the engine's only input, without the batch axis.
fn only_input(engine: &Engine) -> Result<Shape> {
    match &engine.plan.inputs[..] {
        [one] => Ok(Shape::new(one.shape.get(1..).unwrap_or_default())),
        many => {
            let names: Vec<&str> = many.iter().map(|p| p.name.as_str()).collect();
            Err(Diagnostic::new(
                codes::BAD_INPUT,
                format!("the engine has {} inputs: {}", many.len(), names.join(", ")),
            )
            .expected("an engine of one input")
            .help("feed engines of several inputs through the library: `quantize::engine::Session`"))
        }
    }
}

/// An input before it is read.
struct Sample {
    name: String,
    dataset: Dataset,
    index: usize,
    /// Is it a row of numbers, passed as it is, rather than an image?
    numbers: bool,
}

impl Sample {
    fn place(&self) -> Place {
        Place::Named(self.name.clone())
    }
}

/// The samples of a path.
fn list(path: &Path) -> Result<Vec<Sample>> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_array = matches!(extension.as_str(), "npy" | "npz") && !path.is_dir();
    let form = match path.is_dir() {
        true => Form::Folder(path.into()),
        false if is_array => Form::Array(path.into()),
        false => Form::Files(vec![path.into()]),
    };
    let numbers = is_array && Array::open(path)?.dtype == DType::F32;
    let dataset = Dataset::open(&Source::new(form))?;
    let name = |i: usize| match path.is_dir() {
        true => path.join(dataset.name(i)).display().to_string(),
        false if is_array => format!("{}[{i}]", path.display()),
        false => path.display().to_string(),
    };
    let sample = |index| Sample { name: name(index), dataset: dataset.clone(), index, numbers };
    Ok((0..dataset.len()).map(sample).collect())
}

/// Makes an input of the engine out of a sample.
struct Reader<'a> {
    preprocess: Option<&'a Preprocess>,
    shape: Shape,
}

impl Reader<'_> {
    /// Gives images as pixels, where the engine takes them: a quarter of the bytes, and the same answers to the bit. Not
    /// what is no image, or has another size, which [`Reader::read`] has words for.
    fn fill_pixels(&self, session: &mut Session, samples: &[Sample]) -> Result<bool> {
        let (Some(preprocess), Some(shape)) = (self.preprocess, session.pixels().cloned()) else {
            return Ok(false);
        };
        if samples.iter().any(|s| s.numbers) {
            return Ok(false);
        }
        let read = |s: &Sample| s.dataset.pixels(s.index, preprocess);
        let pictures: Vec<Picture> = samples.par_iter().map(read).collect::<Result<_>>()?;
        let fits = |p: &Picture| [p.height(), p.width(), p.channels()] == shape[1..];
        let Some(to) = session.pixels_mut(samples.len()).filter(|_| pictures.iter().all(fits)) else {
            return Ok(false);
        };
        let each = to.chunks_exact_mut(shape.numel().max(1));
        each.zip(&pictures).for_each(|(to, p)| to.copy_from_slice(p.pixels()));
        Ok(true)
    }

    fn read(&self, sample: &Sample) -> Result<Vec<f32>> {
        let unused = Preprocess::default();
        let preprocess = if sample.numbers { &unused } else { self.preprocess_for(sample)? };
        let read = sample.dataset.load(sample.index, preprocess)?;
        if let Some(odd) = read.values.iter().find(|v| !v.is_finite()) {
            let what = format!("the input holds {odd}, which no engine can compute with");
            return Err(Diagnostic::new(codes::BAD_INPUT, what)
                .at(sample.place())
                .expected("finite numbers"));
        }
        match read.shape == self.shape {
            true => Ok(read.values),
            false => {
                let help = match sample.numbers {
                    true => "a float32 array is given to the engine as it is: save it in the engine's shape",
                    false => layout_hint(&read.shape, &self.shape).unwrap_or(
                        "give images of that size, or build the engine with a step `resize`, or `resize_short` and \
                         `crop`, in `preprocess.steps`; `quantize inspect ENGINE` prints those it carries",
                    ),
                };
                Err(Diagnostic::new(data::SAMPLE_SHAPE, format!("the input has the shape {}", read.shape))
                    .at(sample.place())
                    .expected(format!("{}, as the engine was built for", self.shape))
                    .help(help))
            }
        }
    }

    fn preprocess_for(&self, sample: &Sample) -> Result<&Preprocess> {
        self.preprocess.ok_or_else(|| {
            Diagnostic::new(codes::BAD_INPUT, "the engine does not know how an image becomes its input")
                .at(sample.place())
                .expected(format!(
                    "a .npy or .npz of float32 {}",
                    self.shape.to_string().replacen('[', "[N,", 1)
                ))
                .help("build the engine from a configuration with a `preprocess` section, and it carries it")
        })
    }
}

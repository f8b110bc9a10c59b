//! From a document to a [`Job`].

use super::document::Document;
use super::job::{self, Arithmetic, Job};
use super::paths::{Want, path};
use super::schema;
use crate::base::codes::config::{CONTRADICTION, MISSING_KEY, OUT_OF_RANGE, UNKNOWN_VALUE, WRONG_TYPE};
use crate::base::codes::data::PREPROCESS;
use crate::base::{Result, Shape, machine, nearest};
use crate::data::{Form, Preprocess, Source, source::read_classes};
use crate::device::cpu::Cpus;
use crate::quant::{Pattern, Rule};
use std::path::PathBuf;
use std::time::Duration;

/// Names that other rooms give: what `calibration.method` and `evaluation.metrics` may be.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Calibration methods.
    pub methods: &'a [&'a str],
    /// Metrics.
    pub metrics: &'a [&'a str],
}

/// What other tools call a method or a metric.
const ALIASES: &[(&str, &str)] = &[
    ("kl", "entropy"),
    ("kld", "entropy"),
    ("kl_divergence", "entropy"),
    ("max", "minmax"),
    ("absmax", "minmax"),
    ("amax", "minmax"),
    ("min_max", "minmax"),
    ("accuracy", "top1"),
];

/// Fills in defaults, makes paths whole and checks that files exist and that the keys fit together.
pub fn resolve(document: &Document, names: &Names) -> Result<Job> {
    Resolver { d: document, s: &document.schema, names, notes: Vec::new() }.job()
}

struct Resolver<'a> {
    d: &'a Document,
    s: &'a schema::Schema,
    names: &'a Names<'a>,
    notes: Vec<String>,
}

impl Resolver<'_> {
    fn job(mut self) -> Result<Job> {
        let name = self.name()?;
        let model = self.model()?;
        let preprocess = self.preprocess("preprocess", &self.s.preprocess)?;
        let calibration = self.calibration(&model)?;
        let evaluation = self.evaluation(&model)?;
        let precision = self.precision()?;
        let cpu = self.cpu()?;
        self.gate()?;
        self.trt_cache()?;
        Ok(Job {
            output: self.output(&name)?,
            name,
            target: self.s.target,
            device: self.s.device,
            cpu,
            model,
            preprocess,
            calibration,
            evaluation,
            precision,
            gate: self.s.gate.clone(),
            build: job::Build {
                timing_cache: self.optional("build.timing_cache", &self.s.build.timing_cache, Want::Any)?,
                budget: self.budget()?,
                self_check: self.s.build.self_check,
            },
            trt_cache: self.s.trt_cache.clone(),
            notes: self.notes,
        })
    }

    fn cpu(&mut self) -> Result<schema::Cpu> {
        let threads = self.threads("cpu.threads", self.s.cpu.threads);
        let pin = self.s.cpu.pin.clone();
        let count = if threads == 0 { machine::threads() } else { threads };
        match Cpus::wished(&pin, count) {
            Ok(cpus) => {
                let cpus = cpus.map_or(count, |set| set.iter().count());
                if count > cpus {
                    self.notes.push(format!("{count} threads share the {cpus} CPUs of `cpu.pin`"));
                }
                Ok(schema::Cpu { threads, pin, ..self.s.cpu.clone() })
            }
            Err(e) => match self.d.spot("cpu.pin") {
                Some(spot) => Err(e.at(self.d.place(spot))),
                None => Err(e),
            },
        }
    }

    fn budget(&self) -> Result<Option<Duration>> {
        let Some(seconds) = self.s.build.budget else { return Ok(None) };
        Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| {
            let d = self.d.error(OUT_OF_RANGE, "build.budget", format!("`build.budget` is {seconds}"));
            d.expected("seconds, 0 or more")
        })
    }

    fn name(&self) -> Result<String> {
        let stem = self.d.path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let name = self.s.name.clone().or(stem).unwrap_or_default();
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            let what = format!("`{name}` cannot name files");
            return Err(self.d.error(OUT_OF_RANGE, "name", what).expected("a name without `/`"));
        }
        Ok(name)
    }

    fn optional(&self, key: &str, text: &Option<String>, want: Want) -> Result<Option<PathBuf>> {
        text.as_ref().map(|t| path(self.d, key, t, want)).transpose()
    }

    fn model(&self) -> Result<job::Model> {
        let m = &self.s.model;
        let mut inputs = Vec::new();
        for (name, dims) in &m.inputs {
            let shape = Shape::new(dims);
            if dims.is_empty() || shape.checked_numel().is_none_or(|n| n == 0) {
                let key = format!("model.inputs.{name}");
                return Err(self
                    .d
                    .error(OUT_OF_RANGE, &key, format!("the input `{name}` cannot have the shape {shape}"))
                    .expected("sizes of 1 and more, the batch first, such as [8, 3, 224, 224]"));
            }
            inputs.push((name.clone(), shape));
        }
        let labels = self.optional("model.labels", &m.labels, Want::File)?;
        Ok(job::Model {
            path: path(self.d, "model.path", &m.path, Want::File)?,
            inputs,
            inputs_at: self.d.spot("model.inputs").map(|spot| self.d.place(spot)),
            classes: labels.map(|p| read_classes(&p)).transpose()?,
        })
    }

    fn preprocess(&self, key: &str, p: &schema::Preprocess) -> Result<Preprocess> {
        let resolved = p.resolve();
        match resolved.fault() {
            Some((part, what)) => {
                Err(self.d.error(PREPROCESS, &format!("{key}.{part}"), format!("`{key}`: {what}")))
            }
            None => Ok(resolved),
        }
    }

    fn data(&self, key: &str, data: &schema::Data, model: &job::Model, offset: i64) -> Result<job::Data> {
        let folder = self.optional(&format!("{key}.folder"), &data.folder, Want::Folder)?.map(Form::Folder);
        let list = self.optional(&format!("{key}.list"), &data.list, Want::File)?.map(Form::List);
        let array = self.optional(&format!("{key}.array"), &data.array, Want::File)?.map(Form::Array);
        let mut forms: Vec<Form> = [folder, list, array].into_iter().flatten().collect();
        let form = match (forms.pop(), forms.is_empty()) {
            (Some(form), true) => form,
            (Some(_), false) => {
                let what = format!("`{key}` names more than one source of samples");
                return Err(self.d.error(CONTRADICTION, key, what).expected("one of folder, list, array"));
            }
            (None, _) => {
                let what = format!("`{key}` does not say where the samples are");
                return Err(self.d.error(MISSING_KEY, key, what).expected("one of folder, list, array"));
            }
        };
        let inherited = data.preprocess.over(&self.s.preprocess);
        Ok(job::Data {
            source: Source {
                classes: model.classes.clone(),
                label_offset: offset,
                on_error: data.on_error,
                ..Source::new(form)
            },
            preprocess: self.preprocess(&format!("{key}.preprocess"), &inherited)?,
        })
    }

    fn calibration(&mut self, model: &job::Model) -> Result<job::Calibration> {
        let c = &self.s.calibration;
        self.known("calibration.method", &c.method, self.names.methods)?;
        if !(50.0..=100.0).contains(&c.percentile) {
            let what = format!("`calibration.percentile` is {}", c.percentile);
            let d = self.d.error(OUT_OF_RANGE, "calibration.percentile", what);
            let d = d.expected("the share of values that the range holds, in percent, from 50 to 100");
            return Err(match c.percentile > 0.5 && c.percentile <= 1.0 {
                // at most six decimals: 0.9999 times 100 is not 99.99 in binary
                true => d.help(format!("for this share write {}", (c.percentile * 1e8).round() / 1e6)),
                false => d.help("usual are 99.9 to 99.999"),
            });
        }
        self.positive("calibration.samples", c.samples)?;
        self.positive("calibration.batch", Some(c.batch))?;
        if c.data.is_none() && c.cache.is_none() {
            return Err(self
                .d
                .error(MISSING_KEY, "calibration", "there is nothing to calibrate with")
                .expected(
                    "`calibration.data` with a folder, list or array, or a finished `calibration.cache`",
                ));
        }
        if c.data.is_some() && c.cache.is_some() {
            self.notes.push("`calibration.cache` is used; `calibration.data` is not read".into());
        }
        if c.method != "percentile" && self.d.is_set("calibration.percentile") {
            self.notes.push(format!("`calibration.percentile` does nothing for the method `{}`", c.method));
        }
        Ok(job::Calibration {
            data: c.data.as_ref().map(|d| self.data("calibration.data", d, model, 0)).transpose()?,
            method: c.method.clone(),
            percentile: c.percentile,
            samples: c.samples,
            shuffle: c.shuffle,
            seed: c.seed,
            batch: c.batch,
            threads: self.threads("calibration.threads", c.threads),
            cache: self.optional("calibration.cache", &c.cache, Want::File)?,
        })
    }

    fn evaluation(&mut self, model: &job::Model) -> Result<Option<job::Evaluation>> {
        let e = &self.s.evaluation;
        for (i, metric) in e.metrics.iter().enumerate() {
            self.known(&format!("evaluation.metrics[{i}]"), metric, self.names.metrics)?;
        }
        self.positive("evaluation.samples", e.samples)?;
        self.positive("evaluation.batch", Some(e.batch))?;
        let Some(data) = &e.data else {
            if self.d.is_set("evaluation") {
                self.notes.push("`evaluation.data` is not set, so nothing is evaluated".into());
            }
            return Ok(None);
        };
        let gate = &self.s.gate;
        let of_labels = [("gate.max_drop", gate.max_drop), ("gate.min_top1", gate.min_top1)];
        let judged = of_labels.into_iter().find(|(_, limit)| limit.is_some()).map(|(key, _)| key);
        Ok(Some(job::Evaluation {
            data: self.data("evaluation.data", data, model, e.label_offset)?,
            samples: e.samples,
            metrics: e.metrics.clone(),
            batch: e.batch,
            keep_answers: e.keep_answers,
            labels_needed: judged.and_then(|key| Some((key, self.d.place(self.d.spot(key)?)))),
        }))
    }

    fn precision(&mut self) -> Result<job::Precision> {
        let p = &self.s.precision;
        let mut rules = Vec::new();
        for (i, rule) in p.rules.iter().enumerate() {
            let pattern = match (&rule.name, &rule.op) {
                (Some(glob), None) => Pattern::Name(glob.clone()),
                (None, Some(op)) => Pattern::Op(op.clone()),
                _ => {
                    let key = format!("precision.rules[{i}]");
                    let what = format!("`{key}` must say which nodes it is for");
                    return Err(self.d.error(WRONG_TYPE, &key, what).expected("exactly one of name and op"));
                }
            };
            let place = self.d.spot(&format!("precision.rules[{i}]")).map(|spot| self.d.place(spot));
            rules.push(Rule { pattern, int8: rule.precision == Arithmetic::Int8, place });
        }
        let (activations, bias_correction) = (p.activations, p.bias_correction);
        Ok(job::Precision { activations, bias_correction, default: p.default, fallback: p.fallback, rules })
    }

    fn gate(&self) -> Result<()> {
        let gate = &self.s.gate;
        let gates = [
            ("gate.max_drop", gate.max_drop, "percentage points"),
            ("gate.min_top1", gate.min_top1, "percent"),
            ("gate.min_agreement", gate.min_agreement, "percent"),
        ];
        for (key, value, unit) in gates {
            let Some(value) = value else { continue };
            if !(0.0..=100.0).contains(&value) {
                let d = self.d.error(OUT_OF_RANGE, key, format!("`{key}` is {value}"));
                return Err(d.expected(format!("0 to 100, in {unit}")));
            }
            if self.s.evaluation.data.is_none() {
                return Err(self
                    .d
                    .error(CONTRADICTION, key, format!("`{key}` needs an evaluation, and there is none"))
                    .help("set `evaluation.data`"));
            }
        }
        Ok(())
    }

    fn trt_cache(&self) -> Result<()> {
        let algorithm = &self.s.trt_cache.algorithm;
        if algorithm.is_empty() || !algorithm.chars().all(|c| c.is_ascii_alphanumeric()) {
            let what = format!("`trt_cache.algorithm` is `{algorithm}`");
            let d = self.d.error(OUT_OF_RANGE, "trt_cache.algorithm", what);
            return Err(d.expected("letters and digits, such as EntropyCalibration2"));
        }
        Ok(())
    }

    fn output(&self, name: &str) -> Result<job::Output> {
        let o = &self.s.output;
        let dir = self.optional("output.dir", &o.dir, Want::Any)?;
        if let Some(dir) = dir.as_ref().filter(|d| d.is_file()) {
            let what = format!("`output.dir`: `{}` is a file, not a folder", dir.display());
            return Err(self.d.error(CONTRADICTION, "output.dir", what));
        }
        Ok(job::Output {
            dir: dir.unwrap_or_else(|| PathBuf::from("reports").join(name)),
            trt_cache: o.trt_cache,
            html: o.html,
            markdown: o.markdown,
        })
    }

    fn known(&self, key: &str, found: &str, names: &[&str]) -> Result<()> {
        if names.contains(&found) {
            return Ok(());
        }
        let d = self.d.error(UNKNOWN_VALUE, key, format!("`{key}` is `{found}`"));
        let d = d.expected(format!("one of {}", names.join(", ")));
        let usual =
            ALIASES.iter().find(|(alias, _)| found.eq_ignore_ascii_case(alias)).map(|(_, name)| *name);
        let usual = usual.filter(|name| names.contains(name));
        Err(match usual.or_else(|| nearest::nearest(found, names.iter().copied())) {
            Some(name) => d.help(format!("did you mean `{name}`?")),
            None => d,
        })
    }

    /// A number of threads, less where it is far more than the machine has: a configuration may come from a larger one.
    fn threads(&mut self, key: &str, asked: usize) -> usize {
        let (most, has) = (machine::most_threads(), machine::threads());
        if asked > most {
            self.notes.push(format!("`{key}` is {asked}; {most} are taken, as the machine has {has}"));
        } else if asked > has {
            self.notes.push(format!("`{key}` is {asked}: they share the {has} CPUs that there are"));
        }
        asked.min(most)
    }

    fn positive(&self, key: &str, value: Option<usize>) -> Result<()> {
        match value {
            Some(0) => Err(self.d.error(OUT_OF_RANGE, key, format!("`{key}` is 0")).expected("1 or more")),
            _ => Ok(()),
        }
    }
}

//! The chain: every stage in order, timed, its results on file as soon as they exist.

use super::assemble::{self, EngineFile, Parts};
use super::build::Building;
use super::calibrate::{self as calibration, Calibrated};
use super::import;
use super::{
    Options, Outcome, build as building, doubts, drift, evaluate, fp32, latency, preflight, rules, target,
};
use crate::base::digest::Digest;
use crate::base::{Monitor, Result, files};
use crate::calib::trt::TrtCache;
use crate::config::Job;
use crate::device::Device;
use crate::engine::{Engine, Session};
use crate::report::model::OutputFile;
use crate::report::{self, FORMATS, Format, Report};
use crate::tune::cache::{Check, TimingCache};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The whole chain: caches, engine, reports.
pub fn run(job: &Job, options: &Options, monitor: &dyn Monitor) -> Result<Outcome> {
    Chain::new(job, options, monitor)?.run(Until::Report)
}

/// Up to the caches.
pub fn calibrate(job: &Job, options: &Options, monitor: &dyn Monitor) -> Result<Outcome> {
    Chain::new(job, options, monitor)?.run(Until::Caches)
}

/// Up to the engine.
pub fn build(job: &Job, options: &Options, monitor: &dyn Monitor) -> Result<Outcome> {
    Chain::new(job, options, monitor)?.run(Until::Engine)
}

/// Where a run stops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Caches,
    Engine,
    Report,
}

struct Chain<'a> {
    job: &'a Job,
    options: &'a Options,
    monitor: &'a dyn Monitor,
    device: Arc<dyn Device>,
    timings: TimingCache,
    report: Report,
    /// What was written, with what it is.
    files: Vec<(&'static str, PathBuf)>,
    notes: Vec<String>,
}

impl<'a> Chain<'a> {
    fn new(job: &'a Job, options: &'a Options, monitor: &'a dyn Monitor) -> Result<Self> {
        let device = target::device(job, monitor)?;
        let timings = building::timings(job, monitor)?;
        let report = Report::new(job.name.clone());
        Ok(Chain { job, options, monitor, device, timings, report, files: Vec::new(), notes: Vec::new() })
    }

    fn run(mut self, until: Until) -> Result<Outcome> {
        let (job, options) = (self.job, self.options);
        job.notes.iter().for_each(|note| self.monitor.note(note));
        let _held = preflight::check(job, until == Until::Report)?;
        if let Some(doubt) = doubts::of_preprocessing(job) {
            self.monitor.note(&doubt);
        }
        let mut clock = Instant::now();
        let mut lap = move || std::mem::replace(&mut clock, Instant::now()).elapsed().as_secs_f64();
        self.monitor.stage("import", "model", 1);
        let mut net = import::import(&job.model)?;
        self.monitor.advance(1);
        preflight::check_shapes(job, &net.graph, until == Until::Report)?;
        for warning in rules::check(&net.graph, &job.precision)? {
            self.monitor.note(&warning);
            net.warnings.push(warning);
        }
        self.report.seconds.import = Some(lap());

        let ranges = format!("{}, ranges", job.name);
        let known = self.timings.checked(&ranges);
        let cache = std::mem::take(&mut self.timings);
        let mut reference =
            fp32::Reference::new(self.device.clone(), building::stages_batch(job), cache, self.monitor);
        if until == Until::Report {
            reference.of(&net.graph)?;
            self.report.seconds.reference = Some(lap());
        }

        let calibrated = calibration::calibrate(job, options, &mut net, &mut reference, known, self.monitor)?;
        self.timings = reference.take_timings();
        if let Some(check) = calibrated.check {
            self.timings.set_checked(&ranges, check);
        }
        self.save_caches(&calibrated)?;
        self.report.seconds.calibrate = Some(lap());
        if until == Until::Caches {
            self.save_timings()?;
            return self.finish(Parts::new(job, options, &net, &calibrated));
        }

        let cache = std::mem::take(&mut self.timings);
        let building = Building { job, net: &net, calibrated: &calibrated, device: &*self.device };
        let (mut engine, graph, cache) = building::build(&building, cache, self.monitor)?;
        self.timings = cache;
        engine.origin.calibration_digest = Some(Digest::of(calibrated.text.as_bytes()));
        let file = EngineFile::of(&engine)?;
        self.check_engine(&engine, &file, &graph, &calibrated)?;
        self.save_engine(&file)?;
        self.report.seconds.build = Some(lap());
        let mut parts = Parts::new(job, options, &net, &calibrated);
        parts.engine = Some((&engine, &file));
        parts.graph = Some(&graph);
        if until == Until::Engine {
            self.note_old_report(&file);
            return self.finish(parts);
        }
        let mut int8 = Session::new(&engine, &*self.device)?;
        let (reference, fp32) = reference.of(&net.graph)?;

        if let Some(e) = &job.evaluation {
            let sessions = ((reference, &mut *fp32), &mut int8);
            let kept = e.keep_answers.then(|| job.output.dir.join("fp32.answers"));
            let (labels, probabilities) = (&engine.origin.labels, net.probabilities);
            let found = evaluate::evaluate(e, labels, probabilities, sessions, kept, self.monitor)?;
            self.files.extend(found.answers.iter().map(|path| ("FP32 answers", path.clone())));
            parts.evaluated = Some(found);
        }
        let samples = self.samples(&calibrated)?;
        if let Some((dataset, preprocess)) = &samples {
            let (a, b) = ((reference, &mut *fp32), (&engine, &mut int8));
            parts.drift = drift::measure(&graph, a, b, (dataset, preprocess), self.monitor)?;
        }
        let timed = latency::measure([reference, &engine], [fp32, &mut int8], self.monitor)?;
        self.report.seconds.evaluate = Some(lap());
        parts.reference = Some(reference);
        parts.timed = Some(timed);
        self.finish(parts)
    }

    /// What drift is measured on: the evaluation samples, or the calibration samples where there are none.
    fn samples(&self, c: &Calibrated) -> Result<Option<(crate::data::Dataset, crate::data::Preprocess)>> {
        if let Some(e) = &self.job.evaluation {
            return Ok(Some((e.dataset()?, e.data.preprocess.clone())));
        }
        let data = self.job.calibration.data.as_ref();
        Ok(c.dataset.clone().zip(data.map(|d| d.preprocess.clone())))
    }

    /// The self-check, unless an earlier run of this program has checked an engine of the same bytes.
    fn check_engine(
        &mut self,
        engine: &Engine,
        file: &EngineFile,
        graph: &crate::ir::Graph,
        c: &Calibrated,
    ) -> Result<()> {
        if !self.job.build.self_check {
            self.notes.push("the engine was not compared with the oracle (build.self_check is off)".into());
            return Ok(());
        }
        let (name, check) = (format!("{}.engine", self.job.name), Check::of(file.digest));
        if self.timings.checked(&name) == Some(check) {
            tracing::info!("an engine of the same bytes was compared with the oracle before");
            return Ok(());
        }
        self.monitor.stage("check against the oracle", "images", 1);
        let size = engine.plan.inputs[0].shape.numel();
        let sample = match (self.samples(c)?, self.job.calibration.data.as_ref().zip(c.dataset.as_ref())) {
            (_, Some((data, dataset))) if !dataset.is_empty() => dataset.load(0, &data.preprocess)?.values,
            (Some((dataset, preprocess)), _) if !dataset.is_empty() => dataset.load(0, &preprocess)?.values,
            _ => vec![0.0; size],
        };
        let found = building::self_check(engine, graph, &*self.device, &sample)?;
        tracing::info!("{found}");
        self.timings.set_checked(&name, check);
        self.monitor.advance(1);
        Ok(())
    }

    fn save_caches(&mut self, c: &Calibrated) -> Result<()> {
        let path = calibration::path(self.job);
        files::write(&path, c.text.as_bytes())?;
        self.files.push(("calibration cache", path));
        if self.job.output.trt_cache {
            let path = self.job.output.dir.join("calibration.trt.cache");
            let t = &self.job.trt_cache;
            TrtCache::of(&c.cache, t.version, &t.algorithm).save(&path)?;
            self.files.push(("TensorRT calibration cache", path));
        }
        Ok(())
    }

    fn save_engine(&mut self, file: &EngineFile) -> Result<()> {
        let path = self.job.output.dir.join(format!("{}.engine", self.job.name));
        files::write(&path, &file.bytes)?;
        self.files.push(("engine", path));
        self.save_timings()
    }

    fn save_timings(&mut self) -> Result<()> {
        let path = building::timing_path(self.job);
        self.timings.save(&path)?;
        self.files.push(("timing cache", path));
        Ok(())
    }

    /// A report in the folder that is of another engine than the one just written there.
    fn note_old_report(&self, file: &EngineFile) {
        let path = self.job.output.dir.join("report.json");
        let old = files::read_text(&path).ok().and_then(|text| report::from_json(&text).ok());
        let digest = old.and_then(|report| report.provenance.engine_digest);
        if digest.is_some_and(|d| d != file.digest.to_string()) {
            let dir = self.job.output.dir.display();
            self.monitor
                .note(&format!("report.* in {dir} are of an earlier engine, not of the one just written"));
        }
    }

    fn finish(mut self, parts: Parts) -> Result<Outcome> {
        let start = Instant::now();
        let whole = parts.timed.is_some();
        assemble::fill(&mut self.report, parts, &*self.device, &self.files)?;
        self.report.not_checked.extend(std::mem::take(&mut self.notes));
        self.report.seconds.report = Some(start.elapsed().as_secs_f64());
        if whole {
            self.save_reports()?;
        }
        let files = self.files.into_iter().map(|(_, path)| path).collect();
        Ok(Outcome { report: self.report, files })
    }

    /// Writes the renderings that the configuration wants; `report.json` it always gets.
    fn save_reports(&mut self) -> Result<()> {
        let output = &self.job.output;
        let wanted = |f: &&Format| match f.name {
            "html" => output.html,
            "md" => output.markdown,
            _ => true,
        };
        let formats: Vec<&Format> = FORMATS.iter().filter(wanted).collect();
        for f in &formats {
            // a report cannot know its own size
            let path = shown(&output.dir.join(f.file()));
            self.report.files.push(OutputFile { what: "report".into(), path, bytes: None });
        }
        report::conclude(&mut self.report);
        for f in formats {
            let path = output.dir.join(f.file());
            files::write(&path, (f.render)(&self.report).as_bytes())?;
            self.files.push(("report", path));
        }
        Ok(())
    }
}

/// A path for people: `a/b/../c` is `a/c`.
pub fn shown(path: &Path) -> String {
    use std::path::Component;
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match (part, tidy.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => drop(tidy.pop()),
            (Component::CurDir, _) => {}
            (part, _) => tidy.push(part),
        }
    }
    tidy.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_without_detours() {
        for (path, want) in [
            ("configs/../calib_data/x", "calib_data/x"),
            ("a/b/../../../c", "../c"),
            ("/a/../b", "/b"),
            ("./a", "a"),
        ] {
            assert_eq!(shown(Path::new(path)), want);
        }
    }
}

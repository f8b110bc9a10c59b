//! The caches: ours, TensorRT's, and those of kernels' times and of FP32's answers.

use crate::base::Result;
use crate::calib::{Cache, TrtCache};
use crate::cli::page::{Cell, Page, Table};
use crate::eval::answers::Answers;
use crate::report::words::short;
use crate::tune::TimingCache;
use serde_json::Value;
use std::path::Path;

/// Describes a calibration cache.
pub fn calibration(path: &Path, page: &mut Page) -> Result<()> {
    let cache = Cache::load(path)?;
    let p = &cache.provenance;
    let samples = match cache.is_complete() {
        true => format!("{}", cache.done),
        false => format!("{} of {}: a checkpoint of an interrupted run", cache.done, p.samples),
    };
    page.fact("samples", Cell::new(samples, cache.done));
    page.fact("left out", Cell::count(cache.skipped));
    match &cache.setting {
        Some(s) => page.fact("method", s.method.as_str()),
        None => page.fact("method", Cell::new("not yet decided", Value::Null)),
    }
    page.fact("activations", p.activations.to_string());
    page.fact("model digest", p.model.to_string());
    page.fact("data list digest", p.data_list.to_string());
    page.fact("data content digest", p.data_content.to_string());
    page.fact("preprocessing digest", p.preprocessing.to_string());
    let mut t = Table::new(
        "tensors",
        &["min", "max", "low", "high", "type", "scale", "method", "name", "largest in"],
    );
    for (name, entry) in &cache.tensors {
        let stats = entry.stats.all();
        let chosen = entry.chosen.as_ref();
        t.row([
            number(Some(stats.min)),
            number(Some(stats.max)),
            number(chosen.map(|c| c.range.lo)),
            number(chosen.map(|c| c.range.hi)),
            chosen.map_or("", |c| c.params.dtype.name()).into(),
            number(chosen.map(|c| c.params.scale.get())),
            chosen.map_or("", |c| c.method.as_str()).into(),
            name.as_str().into(),
            stats.amax_sample.as_deref().unwrap_or_default().into(),
        ]);
    }
    page.table(t);
    Ok(())
}

/// Describes a TensorRT calibration cache.
pub fn tensorrt(path: &Path, page: &mut Page) -> Result<()> {
    let (cache, warnings) = TrtCache::load(path)?;
    page.fact("header", cache.header.to_string());
    page.maybe("TensorRT version", cache.header.version_name());
    let mut t = Table::new("tensors", &["bits", "scale", "largest magnitude", "name"]);
    for e in &cache.entries {
        let scale = e.scale().map(|s| s.get());
        t.row([
            format!("{:08x}", e.bits).into(),
            number(scale),
            number(scale.map(|s| s * 127.0)),
            e.name.as_str().into(),
        ]);
    }
    page.table(t);
    warnings.into_iter().for_each(|w| page.note(w));
    Ok(())
}

/// Describes a timing cache: its text is made to be read, so its lines are the description.
pub fn timing(path: &Path, page: &mut Page) -> Result<()> {
    let cache = TimingCache::load(path)?;
    page.fact("problems", Cell::count(cache.len() as u64));
    cache.to_string().lines().skip(1).for_each(|line| page.note(line));
    Ok(())
}

/// Describes a file of FP32 answers.
pub fn answers(path: &Path, page: &mut Page) -> Result<()> {
    let answers = Answers::load(path)?;
    let asked = answers.asked();
    page.fact("model", asked.model.as_str());
    page.fact("output", format!("{} {}", asked.output, asked.shape));
    page.fact("samples", Cell::count(answers.len() as u64));
    page.fact("key", asked.key.to_string());
    Ok(())
}

fn number(v: Option<f32>) -> Cell {
    Cell::new(v.map_or(String::new(), |v| short(f64::from(v))), v.filter(|v| v.is_finite()))
}

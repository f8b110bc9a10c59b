//! Calibration: a cache that fits is used, an unfinished one is continued, anything else is refused or done anew.

use super::import::Network;
use super::observe::{Samples, observe};
use super::ranges::{self, Winners};
use super::{Options, fp32, select};
use crate::base::codes::calibration;
use crate::base::digest::Digest;
use crate::base::quant::{QuantParams, Range};
use crate::base::{Diagnostic, Monitor, Place, Result, files, machine};
use crate::calib::cache::{self, Activations, Cache, Chosen, Entry, Provenance, Setting, differences};
use crate::calib::methods::{self, METHODS, MethodName};
use crate::calib::shards::TensorStats;
use crate::calib::trt::TrtCache;
use crate::config::Job;
use crate::data::Dataset;
use crate::ir::{Graph, ValueId};
use crate::quant;
use crate::report::model::CalibrationSource;
use crate::tune::cache::Check;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A calibration with where it came from.
pub struct Calibrated {
    /// Statistics, candidates, choices.
    pub cache: Cache,
    /// The cache as a file.
    pub text: String,
    /// Fresh, from a cache, imported.
    pub source: CalibrationSource,
    /// The samples, where there were any.
    pub dataset: Option<Dataset>,
    /// The cache and what its ranges are for, where they were made from statistics.
    pub check: Option<Check>,
}

/// Where a run keeps its cache.
pub fn path(job: &Job) -> PathBuf {
    job.output.dir.join("calibration.cache")
}

/// Calibrates `net`, whose graph gets precisions. Ranges that this program has made before from the same statistics,
/// as `known` says, are not made again.
pub fn calibrate(
    job: &Job,
    options: &Options,
    net: &mut Network,
    reference: &mut fp32::Reference,
    known: Option<Check>,
    monitor: &dyn Monitor,
) -> Result<Calibrated> {
    let settings = ranges::settings(&job.precision);
    let codings = quant::codings(&net.graph, &settings);
    let dataset = job.calibration.dataset()?;
    let provenance = provenance(job, net, dataset.as_ref())?;
    let method = method(&job.calibration.method)?;
    let (mut cache, source) = start(job, options, net, &provenance, monitor)?;
    if source == CalibrationSource::Tensorrt {
        decide(&mut net.graph, &settings, &cache);
        ranges::unify_imported(&net.graph, codings, &mut cache);
        return Ok(Calibrated { text: cache.to_string(), cache, source, dataset, check: None });
    }
    let data = job.calibration.data.as_ref().zip(dataset.as_ref());
    if !cache.is_complete() {
        let (data, dataset) = data.ok_or_else(no_data)?;
        let threads = threads(job);
        let samples =
            Samples { dataset, preprocess: &data.preprocess, batch: job.calibration.batch, threads };
        // the first are decoded while the engine is built
        let loader = samples.begin(cache.done)?;
        let (engine, session) = reference.of(&net.graph)?;
        let skipped = observe(engine, session, &samples, loader, &mut cache, &path(job), monitor)?;
        for s in &skipped {
            monitor.note(&format!("calibration sample {} was left out: {}", s.name, s.why));
        }
        cache.provenance = provenance;
    }
    decide(&mut net.graph, &settings, &cache);
    let readers = select::readers_digest(&net.graph, &codings);
    let check =
        |text: &str| Some(Check::of(Digest::of_parts([text.as_bytes(), readers.to_string().as_bytes()])));
    let setting = Setting {
        method: method.name().to_string(),
        percentile: job.calibration.percentile,
        readers: matches!(method, MethodName::Auto).then_some(readers),
    };
    if cache.setting.as_ref() == Some(&setting) && known.is_some() {
        let text = cache.to_string();
        if known == check(&text) {
            return Ok(Calibrated { cache, text, source, dataset, check: known });
        }
    }
    let decided = cache.setting.as_ref() == Some(&setting) && matches!(method, MethodName::Auto);
    if !decided {
        cache.tensors.values_mut().for_each(|e| e.candidates.clear()); // with the errors of an earlier contest
    }
    let method_options = methods::Options { percentile: job.calibration.percentile };
    let winners = match (method, data) {
        // an equal setting over equal statistics, read by equal nodes: the contest would end the same way
        (MethodName::Auto, _) if decided => recorded(&cache),
        (MethodName::Auto, Some((data, dataset))) => {
            ranges::candidates(&net.graph, &codings, &mut cache, &method_options, METHODS);
            let data = (dataset, &data.preprocess);
            let fp32 = reference.of(&net.graph)?;
            select::select(
                &net.graph,
                &codings,
                &mut cache,
                &method_options,
                fp32,
                data,
                (net.probabilities, job.precision.bias_correction),
                monitor,
            )?
        }
        (MethodName::Auto, None) => return Err(cannot_choose(cache.setting.as_ref(), &setting)),
        (MethodName::One(_), _) => Winners::new(),
    };
    let start = Instant::now();
    let by = match &method {
        MethodName::One(m) => std::slice::from_ref(m),
        MethodName::Auto => METHODS,
    };
    ranges::candidates(&net.graph, &codings, &mut cache, &method_options, by);
    tracing::info!("thresholds {:.3} s", start.elapsed().as_secs_f64());
    ranges::choose(&net.graph, codings, &mut cache, method, &winners);
    cache.setting = Some(setting);
    let text = cache.to_string();
    let check = check(&text);
    Ok(Calibrated { cache, text, source, dataset, check })
}

/// The method of this name.
fn method(name: &str) -> Result<MethodName> {
    name.parse()
}

fn threads(job: &Job) -> usize {
    match job.calibration.threads {
        0 => machine::threads(),
        n => n,
    }
}

fn no_data() -> Box<Diagnostic> {
    Diagnostic::new(calibration::NO_SAMPLES, "there are no calibration samples to gather statistics from")
        .help("set `calibration.data`")
}

/// `auto` has no samples to choose by, and the cache's choice is not one for this run.
fn cannot_choose(cached: Option<&Setting>, wanted: &Setting) -> Box<Diagnostic> {
    let same_but_readers = |c: &&Setting| (&c.method, c.percentile) == (&wanted.method, wanted.percentile);
    match cached.filter(same_but_readers) {
        None => no_data(),
        Some(_) => Diagnostic::new(
            calibration::STALE_CACHE,
            "the cache's choice of methods is not for this run",
        )
        .detail("the nodes that read tensors in 8 bits differ (`precision`, or another version's rewrites)")
        .help("set `calibration.data`, so that `auto` can choose again, or name one method"),
    }
}

/// Precisions, where a value has a range if its tensor was seen or imported.
fn decide(g: &mut Graph, settings: &quant::Settings, cache: &Cache) {
    let seen = |e: &Entry| e.chosen.is_some() || e.stats.parts.iter().any(|p| p.count > 0);
    let name = |v: usize| &g.value(ValueId::from(v)).name;
    let known: Vec<bool> =
        (0..g.value_count()).map(|v| cache.tensors.get(name(v)).is_some_and(seen)).collect();
    quant::decide(g, settings, |v| known[v.index()]);
}

/// The methods that an earlier `auto` chose.
fn recorded(cache: &Cache) -> Winners {
    let of = |(name, e): (&String, &Entry)| {
        let m = methods::find(&e.chosen.as_ref()?.method)?;
        Some((name.clone(), m.name()))
    };
    cache.tensors.iter().filter_map(of).collect()
}

fn provenance(job: &Job, net: &Network, dataset: Option<&Dataset>) -> Result<Provenance> {
    use crate::config::schema::Activations as A;
    let data = job.calibration.data.as_ref();
    let nothing = Digest::of(b"");
    Ok(Provenance {
        model: net.digest,
        data_list: dataset.map_or(nothing, Dataset::list_digest),
        data_content: dataset.map_or(Ok(nothing), Dataset::digest)?,
        preprocessing: data.map_or(nothing, |d| d.preprocess.digest()),
        activations: match job.precision.activations {
            A::U8 => Activations::U8,
            A::S8 => Activations::S8,
        },
        samples: dataset.map_or(0, Dataset::len) as u64,
    })
}

/// The cache to begin with: one that fits, an unfinished one, or an empty one.
fn start(
    job: &Job,
    options: &Options,
    net: &Network,
    provenance: &Provenance,
    monitor: &dyn Monitor,
) -> Result<(Cache, CalibrationSource)> {
    let fresh = || (Cache::new(*provenance), CalibrationSource::Fresh);
    if let Some(given) = &job.calibration.cache {
        return given_cache(given, options, net, provenance);
    }
    let own = path(job);
    if !own.exists() {
        return Ok(fresh());
    }
    // this run's own cache of an earlier time: of use, or to be written anew
    let cache = match Cache::load(&own) {
        Ok(cache) => cache,
        Err(e) => {
            monitor.note(&format!("calibrating anew: {}", e.what));
            return Ok(fresh());
        }
    };
    if is_imported(&cache) {
        monitor.note("calibrating anew: the last run's scales were imported, without statistics");
        return Ok(fresh());
    }
    let differing = differences(&cache.provenance, provenance);
    match (differing.is_empty(), options.trust_cache) {
        (true, _) if cache.is_complete() => {
            monitor.note(&format!("the calibration of an earlier run fits and is used: {}", own.display()));
            Ok((cache, CalibrationSource::Cache))
        }
        (true, _) => {
            monitor.note(&format!("going on from a checkpoint after {} images", cache.done));
            Ok((cache, CalibrationSource::Fresh))
        }
        (false, true) if cache.is_complete() => Ok((cache, CalibrationSource::Trusted)),
        (false, _) => {
            monitor.note(&format!("calibrating anew, the cache does not fit: {}", differing.join("; ")));
            Ok(fresh())
        }
    }
}

/// A cache that the configuration names: it must fit, or be trusted.
fn given_cache(
    given: &Path,
    options: &Options,
    net: &Network,
    provenance: &Provenance,
) -> Result<(Cache, CalibrationSource)> {
    if is_tensorrt(given)? {
        return Ok((import_tensorrt(given, net, provenance)?, CalibrationSource::Tensorrt));
    }
    let cache = Cache::load(given)?;
    let differing = cache::differences(&cache.provenance, provenance);
    match (differing.is_empty(), options.trust_cache) {
        // scales without statistics are taken as they are
        _ if is_imported(&cache) && cache.provenance.model == provenance.model => {
            Ok((cache, CalibrationSource::Tensorrt))
        }
        (true, _) => Ok((cache, CalibrationSource::Cache)),
        // a checkpoint cannot be continued with other samples
        (false, true) if cache.is_complete() => Ok((cache, CalibrationSource::Trusted)),
        (false, _) => {
            let e = Diagnostic::new(
                calibration::STALE_CACHE,
                "the calibration cache was made for something else",
            )
            .at(Place::file(given))
            .help("calibrate anew without `calibration.cache`, or accept it with `--trust-cache`");
            Err(differing.into_iter().fold(e, |e, d| e.detail(d)))
        }
    }
}

/// Did its scales come from TensorRT? Such a cache has no statistics.
fn is_imported(cache: &Cache) -> bool {
    cache.tensors.values().any(|e| e.chosen.as_ref().is_some_and(|c| c.imported.is_some()))
}

fn is_tensorrt(path: &Path) -> Result<bool> {
    let text = files::read_text(path)?;
    let first = text.lines().next().unwrap_or_default();
    Ok(first.starts_with("TRT-") || first.starts_with("0 "))
}

/// TensorRT's scales, kept to the bit: symmetric, s8 or (scale times 127/255) u8 by the same amax.
fn import_tensorrt(path: &Path, net: &Network, provenance: &Provenance) -> Result<Cache> {
    let (trt, warnings) = TrtCache::load(path)?;
    warnings.iter().for_each(|w| tracing::warn!("{w}"));
    let mut cache = Cache::new(*provenance);
    let unsigned = provenance.activations == Activations::U8;
    let settings = quant::Settings { unsigned, ..quant::Settings::default() };
    let codings = quant::codings(&net.graph, &settings);
    for v in net.graph.live_values() {
        let value = net.graph.value(v);
        let names = std::iter::once(&value.name).chain(&value.folded);
        let Some(entry) = names.filter_map(|n| trt.get(n)).next() else { continue };
        let (Some(scale), Some(coding)) = (entry.scale(), codings[v.index()]) else { continue };
        let amax = scale.get() * 127.0;
        let (range, params) = match coding {
            quant::Coding::Unsigned => {
                let range = Range::unsigned(amax);
                (range, QuantParams::unsigned(range))
            }
            _ => {
                let range = Range::symmetric(amax);
                (range, QuantParams { dtype: crate::base::DType::I8, scale, zero_point: 0 })
            }
        };
        let chosen = Chosen { method: "tensorrt".into(), range, params, imported: Some(entry.bits) };
        let mut e = Entry::new(TensorStats::new(1));
        e.aliases = value.folded.clone();
        e.chosen = Some(chosen);
        cache.tensors.insert(value.name.clone(), e);
    }
    cache.done = cache.provenance.samples;
    Ok(cache)
}

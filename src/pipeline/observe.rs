//! Statistics of every activation over the calibration samples: streaming, in fixed memory, resumable.

use super::feed;
use super::watch::Watch;
use crate::base::{Monitor, Result};
use crate::calib::cache::Cache;
use crate::data::loader::{Loader, Skipped};
use crate::data::{Dataset, Preprocess};
use crate::engine::{Engine, Session};
use std::path::Path;
use std::time::{Duration, Instant};

/// When the first checkpoint is written, and how long it is at most until the next: each wait is twice the last, and two
/// hundred times what writing took, at least.
const FIRST_CHECKPOINT: Duration = Duration::from_millis(250);
const CHECKPOINT: Duration = Duration::from_secs(10);
const WRITINGS: u32 = 200;
/// There is none where the end is expected sooner than this: the whole is written then.
const NEAR_THE_END: Duration = Duration::from_millis(500);

/// What the samples are and how they come.
pub struct Samples<'a> {
    /// The samples.
    pub dataset: &'a Dataset,
    /// How each becomes the input.
    pub preprocess: &'a Preprocess,
    /// So many at once.
    pub batch: usize,
    /// Threads that decode.
    pub threads: usize,
}

impl Samples<'_> {
    /// Begins to decode them, from the one behind `done` on.
    pub fn begin(&self, done: u64) -> Result<Loader> {
        let loader = Loader::new(self.dataset, self.preprocess, self.batch);
        let mut loader = loader.starting_at(done as usize).threads(self.threads);
        loader.begin()?;
        Ok(loader)
    }
}

/// Runs the samples through the float engine and adds them to `cache`, from `cache.done` on, where `loader` begins; a
/// checkpoint is written to `path` every few seconds, but near the end, and when the user stops. Returns what could not be
/// decoded.
pub fn observe(
    engine: &Engine,
    session: &mut Session,
    samples: &Samples,
    loader: Loader,
    cache: &mut Cache,
    path: &Path,
    monitor: &dyn Monitor,
) -> Result<Vec<Skipped>> {
    let mut watch = Watch::new(engine, cache);
    let mut loader = loader.expect_shape(feed::input_shape(session));
    let readies = Instant::now();
    watch.on_device(session, samples.batch.min(samples.dataset.len().saturating_sub(cache.done as usize)))?;
    let ready = readies.elapsed();
    let mut skipped = Vec::new();
    let (begun, before) = (Instant::now(), cache.done);
    let (mut saved, mut wait) = (begun, FIRST_CHECKPOINT);
    monitor.stage("calibrate", "images", samples.dataset.len());
    monitor.advance(cache.done as usize);
    let (mut waiting, mut running, mut writing) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut waits = Instant::now();
    while let Some(batch) = loader.batch() {
        let batch = batch?;
        waiting += waits.elapsed();
        let runs = Instant::now();
        let n = batch.samples.len();
        if n > 0 {
            feed::fill(session, batch.samples.iter().map(|s| &s.values[..]));
            let filled = runs.elapsed();
            // not before: copying is short, and the device may wait for it
            loader.begin()?;
            watch.run(session, &batch.samples)?;
            tracing::debug!("{n} images: copied in {filled:.1?}, run in {:.1?}", runs.elapsed() - filled);
        }
        cache.done += (n + batch.skipped.len()) as u64;
        cache.skipped += batch.skipped.len() as u64;
        monitor.advance(n + batch.skipped.len());
        skipped.extend(batch.skipped);
        let (ran, rest) = (cache.done - before, (samples.dataset.len() as u64).saturating_sub(cache.done));
        let left = begun.elapsed().mul_f64(rest as f64 / ran.max(1) as f64);
        running += runs.elapsed();
        if monitor.cancelled() || (saved.elapsed() > wait && left > NEAR_THE_END) {
            let lands = Instant::now();
            watch.land(session, 0)?;
            running += lands.elapsed();
            let writes = Instant::now();
            watch.write_to(cache, session)?;
            cache.save(path)?;
            writing += writes.elapsed();
            wait = (2 * wait).max(WRITINGS * writes.elapsed()).min(CHECKPOINT);
            saved = Instant::now();
            monitor.check()?;
        }
        waits = Instant::now();
    }
    let lands = Instant::now();
    let counting = watch.counting();
    watch.finish(cache, session)?;
    running += lands.elapsed();
    let seconds = |d: Duration| format!("{:.3} s", d.as_secs_f64());
    let (waiting, writing) = (seconds(waiting), seconds(writing));
    let passes = match counting {
        Some(counting) => {
            let forward = running.saturating_sub(counting);
            format!("forward pass {}, statistics {}", seconds(forward), seconds(counting))
        }
        None => format!(
            "made ready in {}, forward pass with statistics on the device {}",
            seconds(ready),
            seconds(running)
        ),
    };
    tracing::info!("{passes}, waiting for images {waiting}, checkpoints {writing}");
    Ok(skipped)
}

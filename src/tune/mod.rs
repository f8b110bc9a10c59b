//! Tuning: of the tactics a device has for a problem, the fastest that is right.
//!
//! Every candidate is checked against the oracle on random numbers before it may win, all are timed in turns over
//! many short windows and compared by their minima (a machine that slows down for seconds then slows all of them
//! alike), and every verdict is kept. With a full timing cache nothing is measured and a build is deterministic.

pub mod bench;
pub mod cache;

pub use cache::TimingCache;

use crate::base::codes::engine;
use crate::base::{Diagnostic, Digest, Result, Tensor};
use crate::device::{Device, DeviceId, Numerics, Problem, Tactic};
use bench::Bench;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};

/// What tuning learned about a tactic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// It is right and takes so many nanoseconds.
    Time(u64),
    /// It could not be made to run; why.
    Failed(String),
    /// It computed something else than the oracle; what.
    Wrong(String),
    /// It is right and was not timed: the first that was right, where the order decides.
    Only,
    /// It was not tried: it takes more nanoseconds, at least, than another one does.
    Pruned(u64),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Time(ns) => write!(f, "{:.1} us", *ns as f64 / 1e3),
            Verdict::Failed(why) => write!(f, "failed: {why}"),
            Verdict::Wrong(what) => write!(f, "wrong: {what}"),
            Verdict::Only => f.write_str("right, not timed"),
            Verdict::Pruned(ns) => write!(f, "pruned: takes {:.1} us at least", *ns as f64 / 1e3),
        }
    }
}

/// A tactic with its verdict.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Candidate {
    pub tactic: Tactic,
    pub verdict: Verdict,
}

/// What the tuner chose, with everything it looked at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Choice {
    pub tactic: Tactic,
    pub candidates: Vec<Candidate>,
}

impl Choice {
    /// Nothing to choose, as nothing is computed: that of a view, or of a step that a later one computes too.
    pub fn idle(tactic: Tactic) -> Self {
        let candidate = Candidate { tactic: tactic.clone(), verdict: Verdict::Only };
        Choice { tactic, candidates: vec![candidate] }
    }

    /// How long the chosen tactic takes, in nanoseconds, where that was measured.
    pub fn nanos(&self) -> Option<u64> {
        self.candidates.iter().find(|c| c.tactic == self.tactic).and_then(|c| nanos(&c.verdict))
    }
}

/// A problem, its scales and its constants.
pub type Task<'t> = (&'t Problem, &'t Numerics, &'t [Tensor]);

/// Chooses tactics for one device.
pub struct Tuner<'d> {
    device: &'d dyn Device,
    cache: TimingCache,
    /// No candidate is timed after this moment; the first right one is taken.
    deadline: Option<Instant>,
    how: How,
    /// The largest batch of the engine that tactics are for.
    max_batch: usize,
}

/// How a tactic is chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// The fastest of those that are right.
    Fastest,
    /// The first, in the device's order, that is right.
    FirstRight,
    /// The first.
    First,
}

/// Ends the keys of choices that are made by the order alone.
const IN_ORDER: &str = ", in order";
/// How often each candidate is timed.
const ROUNDS: usize = 7;
/// A candidate this many times slower than the best at its first runs is not timed again.
const HOPELESS: u64 = 4;
/// How long a window is, at least.
const WINDOW: Duration = Duration::from_micros(300);

impl<'d> Tuner<'d> {
    /// A tuner with what earlier builds learned and, where given, so long to time candidates.
    pub fn new(device: &'d dyn Device, cache: TimingCache, budget: Option<Duration>) -> Self {
        Tuner { device, cache, deadline: budget.map(|b| Instant::now() + b), how: How::Fastest, max_batch: 1 }
    }

    /// Takes the device's first tactic for every problem without a look: for engines that compute a node or two to be
    /// compared with others, where tuning would cost more than it saves.
    pub fn unchecked(mut self) -> Self {
        self.how = How::First;
        self
    }

    /// Takes the first tactic, in the device's order, that is right, whatever the clock says. f32 tactics differ in
    /// their last bits, so an engine whose numbers must be the same in every run (the FP32 reference, from which
    /// scales come) must not depend on a measurement.
    pub fn in_order(mut self) -> Self {
        self.how = How::FirstRight;
        self
    }

    /// Tactics are now for an engine with this largest batch.
    pub fn set_batch(&mut self, max_batch: usize) {
        self.max_batch = max_batch;
    }

    /// Lets the device get ready for what it will be asked, where the answer is not known.
    pub fn warm(&self, wanted: &[(&Problem, &Numerics)]) {
        let unknown = |&&(p, n): &&(&Problem, &Numerics)| {
            self.cache.find(&self.key(p, n), &self.device.tactics(p, n)).is_none()
        };
        match self.how {
            How::Fastest => self.device.warm(&wanted.iter().filter(unknown).copied().collect::<Vec<_>>()),
            How::FirstRight | How::First => {}
        }
    }

    /// Is the time for timing over?
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|d| Instant::now() > d)
    }

    /// What the choice for a problem is kept under.
    fn key(&self, p: &Problem, numerics: &Numerics) -> String {
        let key = cache::key(&self.device.id(), p, numerics);
        match (self.how, self.device.trial(1, self.max_batch).images) {
            (How::FirstRight, _) => key + IN_ORDER, // another question than what is fastest
            (_, 1) => key,
            (_, images) => format!("{key}, {images} images"),
        }
    }

    /// What was learned and was known before, to be kept for the next build.
    pub fn into_cache(self) -> TimingCache {
        self.cache
    }

    /// The fastest right tactic of a problem. `tensors` are its constants, `numerics` its scales.
    pub fn best(&mut self, p: &Problem, numerics: &Numerics, tensors: &[Tensor]) -> Result<Choice> {
        let tactics = self.device.tactics(p, numerics);
        let key = self.key(p, numerics);
        if let Some(choice) = self.cache.find(&key, &tactics).filter(|_| self.how != How::First) {
            return Ok(choice);
        }
        if tactics.is_empty() {
            return Err(Diagnostic::new(
                engine::NO_TACTIC,
                format!("{} has no kernel for {p}", self.device.id()),
            )
            .help("keep the node in float with a row of `precision.rules`, or report the operator"));
        }
        let choice = match self.how {
            // not kept: a build with more time shall measure
            How::Fastest if self.is_late() => return self.first_right(p, numerics, tensors, &tactics),
            How::Fastest => self.measure(p, numerics, tensors, tactics)?,
            How::FirstRight => self.first_right(p, numerics, tensors, &tactics)?,
            How::First => {
                let candidates = vec![Candidate { tactic: tactics[0].clone(), verdict: Verdict::Only }];
                return Ok(Choice { tactic: tactics[0].clone(), candidates });
            }
        };
        tracing::debug!(problem = %p, tactic = %choice.tactic, "tuned");
        self.cache.insert(key, &choice);
        Ok(choice)
    }

    /// Is there a tactic for a problem that takes less time than two others take together? No where nothing is timed, or no
    /// more.
    pub fn beats(&mut self, one: Task, others: [Task; 2]) -> Result<bool> {
        if self.how != How::Fastest || self.is_late() || self.device.tactics(one.0, one.1).is_empty() {
            return Ok(false);
        }
        let mut time = |(p, n, tensors): Task| self.best(p, n, tensors).map(|choice| choice.nanos());
        let one = match time(one) {
            Err(e) if e.code == engine::NO_TACTIC => return Ok(false),
            other => other?,
        };
        let [a, b] = others;
        let apart = time(a)?.zip(time(b)?).map(|(a, b)| a + b);
        Ok(one.zip(apart).is_some_and(|(one, apart)| one < apart))
    }

    /// Which of several whole engines is the fastest, by `time` or as it was found before. `what` tells them apart from all
    /// others.
    pub fn fastest(
        &mut self,
        names: &[&str],
        what: Digest,
        time: impl FnMut(usize) -> Result<Duration>,
    ) -> Result<usize> {
        let tactics: Vec<Tactic> = names.iter().map(|name| Tactic::new("engine", name)).collect();
        let key = cache::key_of_engines(&self.device.id(), what);
        let choice = match self.cache.find(&key, &tactics) {
            Some(known) => known,
            None => {
                let times = (0..names.len()).map(time).collect::<Result<Vec<_>>>()?;
                let timed = |(tactic, time): (Tactic, Duration)| Candidate {
                    tactic,
                    verdict: Verdict::Time(time.as_nanos() as u64),
                };
                let all = tactics.iter().cloned().zip(times).map(timed).collect();
                let choice =
                    choose(all).map_err(|_| Diagnostic::new(engine::NO_TACTIC, "no engine was built"))?;
                self.cache.insert(key, &choice);
                choice
            }
        };
        Ok(tactics.iter().position(|t| *t == choice.tactic).unwrap_or(0))
    }

    fn first_right(
        &self,
        p: &Problem,
        numerics: &Numerics,
        tensors: &[Tensor],
        tactics: &[Tactic],
    ) -> Result<Choice> {
        let mut bench = Bench::new(self.device, p, numerics, tensors, 1)?;
        let mut candidates = Vec::new();
        for t in tactics {
            let checked = bench.prepare(self.device, t).map_err(|e| Verdict::Failed(e.what.clone()));
            let verdict = match checked.and_then(|run| bench.check(&run).map_err(Verdict::Wrong)) {
                Ok(()) => Verdict::Only,
                Err(verdict) => verdict,
            };
            let right = verdict == Verdict::Only;
            candidates.push(Candidate { tactic: t.clone(), verdict });
            if right {
                return Ok(Choice { tactic: t.clone(), candidates });
            }
        }
        Err(none_is_right(&self.device.id(), p, &candidates))
    }

    fn measure(
        &self,
        p: &Problem,
        numerics: &Numerics,
        tensors: &[Tensor],
        tactics: Vec<Tactic>,
    ) -> Result<Choice> {
        let mut bench = Bench::new(self.device, p, numerics, tensors, self.max_batch)?;
        let mut verdicts: Vec<Verdict> = Vec::new();
        let mut running = Vec::new();
        let mut best = u64::MAX;
        for (i, t) in tactics.iter().enumerate() {
            let least = self.device.least_time(p, t, bench.images()).as_nanos() as u64;
            if least > best {
                verdicts.push(Verdict::Pruned(least));
                continue;
            }
            verdicts.push(match bench.prepare(self.device, t) {
                Err(e) => Verdict::Failed(e.what.clone()),
                Ok(run) => match bench.check(&run) {
                    Err(what) => Verdict::Wrong(what),
                    Ok(()) => {
                        let once = bench.once(&run)?.as_nanos() as u64;
                        best = best.min(once);
                        running.push((i, run));
                        Verdict::Time(once)
                    }
                },
            });
        }
        // the first look tells who cannot win; its time stays on record
        running.retain(|(i, _)| nanos(&verdicts[*i]).is_some_and(|t| t <= best.saturating_mul(HOPELESS)));
        // one alone too: its time is compared with those of other problems, by `beats` and by mixed engines
        for _ in 0..ROUNDS {
            for (i, run) in &running {
                if self.is_late() {
                    break;
                }
                let time = bench.window(run, WINDOW)?.as_nanos() as u64;
                verdicts[*i] = match &verdicts[*i] {
                    Verdict::Time(best) => Verdict::Time(time.min(*best)),
                    other => other.clone(),
                };
            }
        }
        let candidates: Vec<Candidate> = tactics
            .into_iter()
            .zip(verdicts)
            .map(|(tactic, verdict)| Candidate { tactic, verdict })
            .collect();
        choose(candidates).map_err(|all| none_is_right(&self.device.id(), p, &all))
    }
}

fn none_is_right(device: &DeviceId, p: &Problem, all: &[Candidate]) -> Box<Diagnostic> {
    let e = Diagnostic::new(engine::NO_TACTIC, format!("no tactic of {device} computes {p}"));
    all.iter().fold(e, |e, c| e.detail(format!("{}: {}", c.tactic, c.verdict)))
}

fn nanos(v: &Verdict) -> Option<u64> {
    match v {
        Verdict::Time(ns) => Some(*ns),
        _ => None,
    }
}

/// The fastest candidate; the first of equals.
pub(crate) fn choose(candidates: Vec<Candidate>) -> std::result::Result<Choice, Vec<Candidate>> {
    let time = |c: &Candidate| match c.verdict {
        Verdict::Time(ns) => Some(ns),
        Verdict::Only => Some(0),
        _ => None,
    };
    let best =
        candidates.iter().filter(|c| time(c).is_some()).min_by_key(|c| time(c)).map(|c| c.tactic.clone());
    match best {
        Some(tactic) => Ok(Choice { tactic, candidates }),
        None => Err(candidates),
    }
}

#[cfg(test)]
mod tests;

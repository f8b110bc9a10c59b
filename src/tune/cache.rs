//! The timing cache: what builds learned, as text, one candidate a line, so that a second build measures nothing and
//! checks nothing again.
//!
//! ```text
//! quantize timing cache 1
//! [cpu/avx512-vnni x2, 0.1.0] Conv{...} u8[1,64,56,56]:nhwc, const i8[64,64,3,3] -> u8[1,64,56,56]:nhwc, multiply
//!   igemm/avx512-vnni  time 812345
//!   direct/avx512-vnni  wrong byte 3 of output 0 is 1, the oracle has 2
//! checked resnet
//!   0f1e2d... by 3c4b5a...
//! ```
//!
//! A key holds everything that decides a verdict: device, instruction set, threads, this program's version, the problem,
//! and the form of its numerics: whether there are zero points or a residual. Scales are no part of it: they change no
//! kernel's time, and what a kernel computes with them is checked when the engine is built. The last lines say, for each
//! run's name, what was checked last and by which program (digests of both): the engine's file, and the ranges of the
//! calibration cache. The same need not be done again.

use super::{Candidate, Choice, Verdict, choose};
use crate::base::codes::engine;
use crate::base::{Diagnostic, Digest, Place, Result, files, machine};
use crate::device::{DeviceId, Numerics, Problem, Tactic};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

const HEADER: &str = "quantize timing cache 1";
const HELP: &str = "delete the file: it only saves time, and the next build makes it anew";

/// Begins the lines that say what was checked.
const CHECKED: &str = "checked ";

/// Something that a program made or looked at, and would find the same again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Check {
    /// Of what was checked.
    pub of: Digest,
    /// The program that did: [`machine::program`].
    pub by: Digest,
}

impl Check {
    /// A check by the running program.
    pub fn of(of: Digest) -> Self {
        Check { of, by: machine::program() }
    }
}

/// Verdicts by device, problem and numerics; checks by the name of the run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TimingCache {
    entries: BTreeMap<String, Vec<Candidate>>,
    checks: BTreeMap<String, Check>,
}

impl TimingCache {
    /// The cache in this file; an empty one where there is no file.
    pub fn load(path: &Path) -> Result<Self> {
        match path.exists() {
            true => Self::parse(&files::read_text(path)?).map_err(|e| e.at(Place::file(path))),
            false => Ok(TimingCache::default()),
        }
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, self.to_string().as_bytes())
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Does it know nothing?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The choice among exactly these tactics. A cache that knows other tactics (another version's) is no help.
    pub fn find(&self, key: &str, tactics: &[Tactic]) -> Option<Choice> {
        let known = self.entries.get(key)?;
        let decided = known.last().is_some_and(|c| c.verdict == Verdict::Only); // nothing after it was looked at
        let same = (known.len() == tactics.len() || decided && known.len() < tactics.len())
            && known.iter().zip(tactics).all(|(c, t)| c.tactic == *t);
        same.then(|| choose(known.clone()).ok()).flatten()
    }

    /// Keeps a choice.
    pub fn insert(&mut self, key: String, choice: &Choice) {
        self.entries.insert(key, choice.candidates.clone());
    }

    /// The last check of this name.
    pub fn checked(&self, name: &str) -> Option<Check> {
        self.checks.get(name).copied()
    }

    /// Keeps a check in the place of the last one of its name.
    pub fn set_checked(&mut self, name: &str, check: Check) {
        self.checks.insert(name.to_string(), check);
    }

    /// The cache in this text.
    ///
    /// # Errors
    /// With the first line that is not of the form.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |n: usize, why: &str| {
            Diagnostic::new(engine::TIMING_CACHE, format!("line {}: {why}", n + 1)).help(HELP)
        };
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, l)| l) != Some(HEADER) {
            return Err(bad(0, "this is no timing cache of this version").expected(format!("`{HEADER}`")));
        }
        let mut cache = TimingCache::default();
        let mut current: Option<&str> = None;
        for (n, line) in lines {
            let Some(verdict) = line.strip_prefix("  ") else {
                current = Some(line);
                if !line.starts_with(CHECKED) {
                    cache.entries.insert(line.to_string(), Vec::new());
                }
                continue;
            };
            let key = current.ok_or_else(|| bad(n, "a verdict before the first problem"))?;
            match key.strip_prefix(CHECKED) {
                Some(name) => {
                    let check = parse_check(verdict).ok_or_else(|| bad(n, "these are no two digests"))?;
                    cache.checks.insert(name.to_string(), check);
                }
                None => {
                    let c = parse_candidate(verdict).ok_or_else(|| bad(n, "this is no verdict"))?;
                    cache.entries.entry(key.to_string()).or_default().push(c);
                }
            }
        }
        Ok(cache)
    }
}

/// What verdicts are kept under.
pub fn key(device: &DeviceId, p: &Problem, numerics: &Numerics) -> String {
    format!("[{device}, {}] {p}, {}", env!("CARGO_PKG_VERSION"), numerics.form())
}

/// What verdicts on whole engines are kept under: the digest of their plans.
pub fn key_of_engines(device: &DeviceId, plans: Digest) -> String {
    format!("[{device}, {}] engines {plans}", env!("CARGO_PKG_VERSION"))
}

fn parse_check(line: &str) -> Option<Check> {
    let (of, by) = line.split_once(" by ")?;
    let digest = |text: &str| Digest::try_from(text.to_string()).ok();
    Some(Check { of: digest(of)?, by: digest(by)? })
}

fn parse_candidate(line: &str) -> Option<Candidate> {
    let (tactic, verdict) = line.split_once("  ")?;
    let (word, rest) = verdict.split_once(' ').unwrap_or((verdict, ""));
    let verdict = match word {
        "time" => Verdict::Time(rest.parse().ok()?),
        "failed" => Verdict::Failed(rest.to_string()),
        "wrong" => Verdict::Wrong(rest.to_string()),
        "only" => Verdict::Only,
        "pruned" => Verdict::Pruned(rest.parse().ok()?),
        _ => return None,
    };
    Some(Candidate { tactic: tactic.parse().ok()?, verdict })
}

impl fmt::Display for TimingCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        for (key, candidates) in &self.entries {
            writeln!(f, "{key}")?;
            for c in candidates {
                let one_line = |s: &str| s.replace('\n', "; ");
                match &c.verdict {
                    Verdict::Time(ns) => writeln!(f, "  {}  time {ns}", c.tactic)?,
                    Verdict::Failed(why) => writeln!(f, "  {}  failed {}", c.tactic, one_line(why))?,
                    Verdict::Wrong(what) => writeln!(f, "  {}  wrong {}", c.tactic, one_line(what))?,
                    Verdict::Only => writeln!(f, "  {}  only", c.tactic)?,
                    Verdict::Pruned(ns) => writeln!(f, "  {}  pruned {ns}", c.tactic)?,
                }
            }
        }
        for (name, check) in &self.checks {
            writeln!(f, "{CHECKED}{name}\n  {} by {}", check.of, check.by)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::quant::QuantParams;
    use crate::base::{DType, Shape};
    use crate::device::{Layout, Operand, Work};

    /// Whatever may change a verdict changes the key.
    #[test]
    fn keys_tell_apart_what_decides() {
        let id = |arch: &str, width| DeviceId { kind: "cpu".into(), arch: arch.into(), width };
        let problem = |to: DType| {
            let operand = |dtype| Operand::new(dtype, Shape::new(&[1, 4]), Layout::Plain);
            Problem { work: Work::Reformat, inputs: vec![operand(DType::F32)], outputs: vec![operand(to)] }
        };
        let scaled = |amax| Numerics::Quantize(QuantParams::signed(amax));
        let (p, n) = (problem(DType::I8), scaled(1.0));
        let keys = [
            key(&id("avx2", 1), &p, &n),
            key(&id("avx2", 2), &p, &n),
            key(&id("scalar", 1), &p, &n),
            key(&id("avx2", 1), &problem(DType::F32), &n),
            key(&id("avx2", 1), &p, &Numerics::Float),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len(), "{keys:#?}");
        assert_eq!(key(&id("avx2", 1), &p, &scaled(2.0)), keys[0]); // a scale changes no kernel's time
    }

    #[test]
    fn prints_and_parses() {
        let candidate = |t: &str, verdict| Candidate { tactic: t.parse().unwrap(), verdict };
        let all = vec![
            candidate("igemm/avx2", Verdict::Time(1234)),
            candidate("direct/plain", Verdict::Wrong("byte 3".into())),
            candidate("depthwise/x", Verdict::Failed("no".into())),
            candidate("depthwise/y", Verdict::Pruned(99_999)),
        ];
        let check = Check { of: Digest::of(b"engine"), by: Digest::of(b"program") };
        let cache = TimingCache {
            entries: [("[cpu/avx2 x2] Conv{} -> f32[1]".to_string(), all)].into(),
            checks: [("a run, by me".to_string(), check)].into(),
        };
        assert_eq!(TimingCache::parse(&cache.to_string()).unwrap(), cache);
        for bad in [
            "",
            "x",
            "quantize timing cache 1\n  igemm/a  time 1",
            "quantize timing cache 1\nk\n  igemm time",
            "quantize timing cache 1\nchecked c\n  00 by 11",
        ] {
            assert!(TimingCache::parse(bad).is_err(), "{bad:?}");
        }
    }
}

//! Progress on standard error: a bar on a terminal, plain lines elsewhere; and Ctrl-C, SIGTERM and SIGHUP.

use super::eprintln_quietly;
use crate::base::Monitor;
use crate::report::words::{count, seconds, short};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Without a terminal, a line is printed after so long, or after a tenth of the stage.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// But not more often than this.
const LINE_AT_MOST: Duration = Duration::from_secs(5);

/// How often Ctrl-C was pressed, or the process asked to end (SIGTERM, SIGHUP).
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// The bar on the screen. Whatever else is printed goes above it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints a line on standard error without tearing the bar.
pub fn above_bar(line: &str) {
    let bar = lock(&BAR).clone();
    match bar {
        Some(bar) => bar.suspend(|| eprintln_quietly(line)),
        None => eprintln_quietly(line),
    }
}

/// The progress of a command. One at a time.
pub struct Progress {
    how: How,
    stage: Mutex<Option<Stage>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Bars,
    Lines,
    Silent,
}

struct Stage {
    name: String,
    unit: String,
    /// 0: unknown.
    total: usize,
    done: usize,
    began: Instant,
    /// When the last line was printed, and what was done then.
    said: (Instant, usize),
}

impl Progress {
    /// Progress for a command; `quiet` leaves only notes. From here on Ctrl-C, SIGTERM and SIGHUP ask
    /// stages to stop.
    pub fn new(quiet: bool) -> Self {
        let how = match (quiet, stderr().is_terminal()) {
            (true, _) => How::Silent,
            (false, true) => How::Bars,
            (false, false) => How::Lines,
        };
        // without a handler they end the process at once, which is no worse than the second one
        let _ = ctrlc::set_handler(interrupted);
        Progress { how, stage: Mutex::new(None) }
    }

    /// The last stage is done.
    pub fn finish(&self) {
        let ended = lock(&self.stage).take();
        if let Some(stage) = ended {
            take_bar();
            self.say(&stage.finished());
        }
    }

    /// The last stage will not be done.
    pub fn abandon(&self) {
        let ended = lock(&self.stage).take();
        take_bar();
        if let Some(stage) = ended {
            self.say(&stage.stopped());
        }
    }

    fn say(&self, line: &str) {
        if self.how != How::Silent {
            above_bar(line);
        }
    }
}

impl Monitor for Progress {
    fn stage(&self, name: &str, unit: &str, total: usize) {
        self.finish();
        let now = Instant::now();
        let stage =
            Stage { name: name.into(), unit: unit.into(), total, done: 0, began: now, said: (now, 0) };
        match self.how {
            How::Bars => *lock(&BAR) = Some(bar(&stage)),
            How::Lines | How::Silent => {} // a stage has a line at its end, and on the way where it is long
        }
        *lock(&self.stage) = Some(stage);
    }

    fn advance(&self, n: usize) {
        let line = {
            let mut guard = lock(&self.stage);
            let Some(stage) = guard.as_mut() else { return };
            stage.done += n;
            if self.how == How::Lines { stage.line(Instant::now()) } else { None }
        };
        match self.how {
            How::Bars => {
                if let Some(bar) = &*lock(&BAR) {
                    bar.inc(n as u64);
                }
            }
            How::Lines => line.iter().for_each(|l| above_bar(l)),
            How::Silent => {}
        }
    }

    fn note(&self, text: &str) {
        above_bar(&format!("note: {text}"));
    }

    fn cancelled(&self) -> bool {
        INTERRUPTS.load(Ordering::Relaxed) > 0
    }
}

impl Stage {
    /// `1 image`, `1,200 images`.
    fn amount(&self, n: usize) -> String {
        let unit = if n == 1 { self.unit.trim_end_matches('s') } else { &self.unit };
        format!("{} {unit}", count(n as u64))
    }

    fn rate(&self, elapsed: f64) -> String {
        match self.done as f64 / elapsed.max(1e-9) {
            many if many >= 10.0 => format!("{}/s", count(many.round() as u64)),
            few => format!("{}/s", short(few)),
        }
    }

    /// A line, if it is time for one. The end has a line of its own.
    fn line(&mut self, now: Instant) -> Option<String> {
        let silent = now - self.said.0;
        let tenth = self.total > 0 && self.done * 10 / self.total > self.said.1 * 10 / self.total;
        let due = silent >= LINE_EVERY || (tenth && silent >= LINE_AT_MOST);
        if !due || (self.total > 0 && self.done >= self.total) {
            return None;
        }
        self.said = (now, self.done);
        let elapsed = (now - self.began).as_secs_f64();
        let rate = self.rate(elapsed);
        Some(match self.total {
            0 => format!("{}: {}, {rate}", self.name, self.amount(self.done)),
            total => {
                let left = elapsed / self.done.max(1) as f64 * (total - self.done) as f64;
                format!(
                    "{}: {}/{} {} ({} %), {rate}, {} left",
                    self.name,
                    count(self.done as u64),
                    count(total as u64),
                    self.unit,
                    self.done * 100 / total,
                    seconds(Some(left))
                )
            }
        })
    }

    fn finished(&self) -> String {
        let elapsed = self.began.elapsed().as_secs_f64();
        let time = seconds(Some(elapsed));
        match self.done {
            0 => format!("{}: done in {time}", self.name),
            1 => format!("{}: {} in {time}", self.name, self.amount(1)),
            n => format!("{}: {} in {time} ({})", self.name, self.amount(n), self.rate(elapsed)),
        }
    }

    fn stopped(&self) -> String {
        match self.total {
            0 => format!("{}: stopped", self.name),
            total if self.done >= total => self.finished(), // what came after the stage failed
            total => format!("{}: stopped at {} of {} {}", self.name, self.done, total, self.unit),
        }
    }
}

fn bar(stage: &Stage) -> ProgressBar {
    let (bar, template) = match stage.total {
        0 => (ProgressBar::no_length(), "{prefix:<12} {spinner} {human_pos} {msg}  {per_sec}  {elapsed}"),
        n => (
            ProgressBar::new(n as u64),
            "{prefix:<12} {bar:32} {human_pos}/{human_len} {msg}  {per_sec}  {eta} left",
        ),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(stage.name.clone());
    bar.set_message(stage.unit.clone());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn take_bar() {
    let bar = lock(&BAR).take();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Ctrl-C or a signal: the first time stages are asked to stop, the second time the process ends.
fn interrupted() {
    if INTERRUPTS.fetch_add(1, Ordering::Relaxed) > 0 {
        std::process::exit(i32::from(super::exit::INTERRUPTED));
    }
    above_bar("stopping at the next step; press Ctrl-C again to stop at once");
}

/// What a panicking thread left is still good enough to show.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_at_tenths_and_after_silence() {
        let began = Instant::now();
        let at = |s: u64| began + Duration::from_secs(s);
        let mut stage = Stage {
            name: "calibrate".into(),
            unit: "images".into(),
            total: 1000,
            done: 0,
            began,
            said: (began, 0),
        };
        assert_eq!([stage.amount(1), stage.amount(1000)], ["1 image", "1,000 images"]);
        stage.done = 50;
        assert_eq!(stage.line(at(2)), None, "not yet a tenth");
        stage.done = 100;
        assert_eq!(stage.line(at(5)).unwrap(), "calibrate: 100/1,000 images (10 %), 20/s, 45.0 s left");
        stage.done = 101;
        assert_eq!(stage.line(at(9)), None);
        assert!(stage.line(at(35)).is_some(), "silent for too long");
        stage.done = 1000;
        assert_eq!(stage.line(at(60)), None, "the end has its own line");
        stage.total = 0;
        assert_eq!(stage.line(at(100)).unwrap(), "calibrate: 1,000 images, 10/s");
        assert_eq!(stage.stopped(), "calibrate: stopped");
    }
}

//! Latencies of two engines in one run: batch 1, all threads, in turns, so that a machine that slows down slows both.

use super::taps::Profile;
use crate::base::{Monitor, Result};
use crate::engine::{Engine, Session};
use std::time::{Duration, Instant};

/// How long both are timed together, and how often at least.
const LENGTH: Duration = Duration::from_millis(2000);
const LEAST: usize = 20;
/// Runs whose steps are timed.
const PROFILED: usize = 5;

/// Times in milliseconds, in the order measured, and each step's shortest time.
pub struct Timed {
    /// Of the reference and of the engine.
    pub millis: [Vec<f64>; 2],
    /// Likewise.
    pub profiles: [Profile; 2],
}

/// Times a float engine and a quantized one. Their inputs hold whatever was written last.
pub fn measure(engines: [&Engine; 2], sessions: [&mut Session; 2], monitor: &dyn Monitor) -> Result<Timed> {
    let [fp32, int8] = sessions;
    let mut timed = Timed { millis: Default::default(), profiles: engines.map(|e| Profile::new(&e.plan)) };
    monitor.stage("time", "runs", LEAST);
    fp32.time(1)?;
    int8.time(1)?;
    let start = Instant::now();
    while timed.millis[0].len() < LEAST || start.elapsed() < LENGTH {
        monitor.check()?;
        timed.millis[0].push(fp32.time(1)?.as_secs_f64() * 1e3);
        timed.millis[1].push(int8.time(1)?.as_secs_f64() * 1e3);
        if timed.millis[0].len() <= LEAST {
            monitor.advance(1);
        }
        if timed.millis[0].len() >= LEAST && start.elapsed() > 5 * LENGTH {
            break;
        }
    }
    for _ in 0..PROFILED {
        fp32.profile(1, &mut timed.profiles[0])?;
        int8.profile(1, &mut timed.profiles[1])?;
    }
    Ok(timed)
}

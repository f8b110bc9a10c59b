//! The machine that a run is on, and its clock.

use super::Digest;
use std::fs::read_to_string;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Threads that the machine runs at once.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// More threads than so many only take memory and time from one another.
pub fn most_threads() -> usize {
    4 * threads()
}

/// The processor's name, where the system tells it.
pub fn processor() -> Option<String> {
    field("/proc/cpuinfo", "model name")
}

/// Identifies the running program: its version and its own bytes, as far as the system shows them. What it computed
/// is good for the next run while this stays the same.
pub fn program() -> Digest {
    static PROGRAM: OnceLock<Digest> = OnceLock::new();
    *PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().ok().and_then(|path| super::files::map(&path).ok());
        Digest::of_parts([env!("CARGO_PKG_VERSION").as_bytes(), own.as_deref().unwrap_or_default()])
    })
}

/// The first value of `key` in a file of lines `key : value`.
pub fn field(path: &str, key: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    let of_key =
        |line: &str| line.split_once(':').filter(|(k, _)| k.trim() == key).map(|(_, v)| v.trim().to_string());
    text.lines().find_map(of_key)
}

/// The time now: `2026-01-31 14:05 UTC`.
pub fn now() -> String {
    moment(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

/// So many seconds after the beginning of 1970, by the rules of the Gregorian calendar: in years that begin with March,
/// a leap day is the last.
fn moment(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (seconds % 86_400 / 3_600, seconds % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::moment;

    /// Against GNU `date -u -d @N`.
    #[test]
    fn moments() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59 UTC"),
            (1_767_225_600, "2026-01-01 00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(moment(seconds), want);
        }
    }
}

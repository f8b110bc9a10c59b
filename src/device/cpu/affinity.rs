//! Which CPUs the threads of a session run on. Without a wish they run where the system puts them, among the CPUs that
//! the process may use.

use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use std::str::FromStr;

/// A wish for threads to stay where they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Pin {
    /// The system places them.
    #[default]
    None,
    /// Each on a CPU of its own: one of each core first, then the cores' other CPUs.
    Cores,
    /// On these CPUs, by their numbers.
    Cpus(Vec<usize>),
}

impl Pin {
    /// The forms that [`FromStr`] takes.
    pub const FORMS: &str = "none, cores, or numbers of CPUs such as 0,2 or 0-3";
}

/// Highest number of a CPU, and one more: the size of the system's own sets.
const MOST: usize = 1024;

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |t: &str| t.trim().parse::<usize>().ok().filter(|&n| n < MOST);
        let part = |t: &str| match t.split_once('-') {
            Some((a, b)) => Some(number(a)?..=number(b)?),
            None => number(t).map(|n| n..=n),
        };
        match text.trim() {
            "none" => Ok(Pin::None),
            "cores" => Ok(Pin::Cores),
            list => {
                let parts: Option<Vec<_>> = list.split(',').map(part).collect();
                let cpus: Vec<usize> = parts.into_iter().flatten().flatten().collect();
                let bad = cpus.is_empty() || list.split(',').any(|t| part(t).is_some_and(|r| r.is_empty()));
                if bad { Err(format!("expected {}", Pin::FORMS)) } else { Ok(Pin::Cpus(cpus)) }
            }
        }
    }
}

/// A set of CPUs, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cpus([u64; MOST / 64]);

impl Cpus {
    /// The set of these.
    fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Cpus::default();
        numbers.into_iter().filter(|&n| n < MOST).for_each(|n| set.0[n / 64] |= 1 << (n % 64));
        set
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MOST).filter(|n| self.0[n / 64] >> (n % 64) & 1 == 1)
    }

    /// The CPUs for so many threads, as they were wished for; `None` where the system is to place them.
    ///
    /// # Errors
    /// A CPU that is not there or that the process may not use; a system that does not pin threads.
    pub fn wished(pin: &Pin, threads: usize) -> Result<Option<Self>> {
        if *pin == Pin::None {
            return Ok(None);
        }
        let allowed = system::allowed()
            .ok_or_else(|| Diagnostic::new(machine::PIN, "this system does not pin threads to CPUs"))?;
        match pin {
            Pin::Cpus(cpus) => match cpus.iter().find(|&&c| !allowed.iter().any(|a| a == c)) {
                Some(missing) => {
                    Err(Diagnostic::new(machine::PIN, format!("this process has no CPU {missing}"))
                        .expected(format!("of {allowed}"))
                        .help("`taskset -p PID` and the container's settings say what a process may use"))
                }
                None => Ok(Some(Cpus::of(cpus.iter().copied()))),
            },
            _ => Ok(Some(allowed.one_of_each_core_first(threads))),
        }
    }

    /// The first so many, where a core's further CPUs come after those of all cores.
    fn one_of_each_core_first(&self, count: usize) -> Self {
        let (mut cores, mut first, mut further) = (Vec::new(), Vec::new(), Vec::new());
        for cpu in self.iter() {
            let core = system::core(cpu);
            match cores.contains(&core) {
                true => further.push(cpu),
                false => {
                    cores.push(core);
                    first.push(cpu);
                }
            }
        }
        Cpus::of(first.into_iter().chain(further).take(count.max(1)))
    }

    /// The CPU of a worker: in turn, where there are more workers than CPUs.
    pub fn of_worker(&self, worker: usize) -> Option<usize> {
        self.iter().nth(worker % self.iter().count().max(1))
    }
}

impl std::fmt::Display for Cpus {
    /// `0-3, 8`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for n in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == n => *last = n,
                _ => runs.push((n, n)),
            }
        }
        let shown = |(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
        f.write_str(&runs.iter().map(shown).collect::<Vec<_>>().join(", "))
    }
}

/// The calling thread on one CPU, until this is dropped: then it may run where it could before.
pub struct Pinned(Option<Cpus>);

/// Puts the calling thread on a CPU. Where the system refuses (the CPU went away), the thread stays where it is.
pub fn pin(cpu: usize) -> Pinned {
    Pinned(system::of_thread().filter(|_| system::set(&Cpus::of([cpu]))))
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            system::set(before);
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::Cpus;

    fn get(id: libc::pid_t) -> Option<Cpus> {
        let mut set = Cpus::default();
        // SAFETY: the set has the size that is stated; the call writes nothing else.
        let failed = unsafe { libc::sched_getaffinity(id, size_of_val(&set.0), set.0.as_mut_ptr().cast()) };
        (failed == 0 && set != Cpus::default()).then_some(set)
    }

    /// Where the process may run: what its first thread may use.
    pub fn allowed() -> Option<Cpus> {
        // SAFETY: the call takes and changes nothing.
        get(unsafe { libc::getpid() })
    }

    /// Where the calling thread may run.
    pub fn of_thread() -> Option<Cpus> {
        get(0)
    }

    /// Lets the calling thread run on these only. Did it work?
    pub fn set(cpus: &Cpus) -> bool {
        // SAFETY: the set has the size that is stated; the call only reads it.
        unsafe { libc::sched_setaffinity(0, size_of_val(&cpus.0), cpus.0.as_ptr().cast()) == 0 }
    }

    /// What the CPUs of one core have in common.
    pub fn core(cpu: usize) -> String {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(path).unwrap_or_else(|_| cpu.to_string())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Cpus;

    pub fn allowed() -> Option<Cpus> {
        None
    }
    pub fn of_thread() -> Option<Cpus> {
        None
    }
    pub fn set(_: &Cpus) -> bool {
        false
    }
    pub fn core(cpu: usize) -> String {
        cpu.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        assert_eq!("none".parse(), Ok(Pin::None));
        assert_eq!("cores".parse(), Ok(Pin::Cores));
        assert_eq!("0".parse(), Ok(Pin::Cpus(vec![0])));
        assert_eq!("0, 2-4,9".parse(), Ok(Pin::Cpus(vec![0, 2, 3, 4, 9])));
        for bad in ["", "all", "1,", "-1", "4-2", "0,4-2", "1024", "0x1"] {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn workers_take_turns() {
        let cpus = Cpus::of([1, 5, 6, 7]);
        assert_eq!((0..5).map(|w| cpus.of_worker(w).unwrap()).collect::<Vec<_>>(), [1, 5, 6, 7, 1]);
        assert_eq!(cpus.to_string(), "1, 5-7");
        assert_eq!(Cpus::default().of_worker(0), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_is_pinned_and_let_go() {
        let before = system::of_thread().unwrap();
        for cpu in before.iter().take(3) {
            let pinned = pin(cpu);
            assert_eq!(system::of_thread().unwrap(), Cpus::of([cpu]));
            drop(pinned);
            assert_eq!(system::of_thread().unwrap(), before);
        }
        let missing = (0..MOST).find(|&n| !system::allowed().unwrap().iter().any(|c| c == n)).unwrap();
        let e = Cpus::wished(&Pin::Cpus(vec![missing]), 1).unwrap_err();
        assert!(e.to_string().contains(&format!("no CPU {missing}")), "{e}");
        let cores = Cpus::wished(&Pin::Cores, 1).unwrap().unwrap();
        assert_eq!(cores.iter().count(), 1);
        assert_eq!(Cpus::wished(&Pin::None, 4).unwrap(), None);
    }
}

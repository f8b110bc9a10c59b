//! What is not timed, and that bounds hold.

use super::*;
use crate::base::DType;
use crate::device::cpu::{Cpu, Isa};
use crate::device::interp::Interp;
use crate::device::{Executor, Layout, Operand, Program, Work};
use crate::testing::problems;

/// The oracle under several names, of which some say that they are slow.
struct Named(Vec<(&'static str, Duration)>);

impl Device for Named {
    fn id(&self) -> DeviceId {
        DeviceId { kind: "named".into(), arch: "none".into(), width: 1 }
    }

    fn tactics(&self, _: &Problem, _: &Numerics) -> Vec<Tactic> {
        self.0.iter().map(|(name, _)| Tactic::new(name, "plain")).collect()
    }

    fn pack(&self, p: &Problem, n: &Numerics, t: &Tactic, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        Interp.pack(p, n, t, tensors)
    }

    fn least_time(&self, _: &Problem, t: &Tactic, _: usize) -> Duration {
        self.0.iter().find(|(name, _)| *name == t.family).map_or(Duration::ZERO, |(_, least)| *least)
    }

    fn load(&self, program: &Program) -> Result<Box<dyn Executor>> {
        Interp.load(program)
    }
}

#[test]
fn what_cannot_win_is_not_tried() {
    let operand = Operand::new(DType::F32, [1, 4].into(), Layout::Plain);
    let p = Problem { work: Work::Reformat, inputs: vec![operand.clone()], outputs: vec![operand] };
    let verdicts = |all: &[(&'static str, u64)]| {
        let device = Named(all.iter().map(|&(name, s)| (name, Duration::from_secs(s))).collect());
        let mut tuner = Tuner::new(&device, TimingCache::default(), None);
        let choice = tuner.best(&p, &Numerics::Float, &[]).unwrap();
        // what was kept is what was found
        let again = TimingCache::parse(&tuner.into_cache().to_string()).unwrap();
        assert_eq!(Tuner::new(&device, again, None).best(&p, &Numerics::Float, &[]).unwrap(), choice);
        choice.candidates.into_iter().map(|c| c.verdict).collect::<Vec<_>>()
    };
    let hour = Verdict::Pruned(3_600_000_000_000);
    let timed = |v: &Verdict| matches!(v, Verdict::Time(_));
    let v = verdicts(&[("a", 0), ("slow", 3600), ("b", 0)]);
    assert!(timed(&v[0]) && v[1] == hour && timed(&v[2]), "{v:?}");
    assert_eq!(v[1].to_string(), "pruned: takes 3600000000.0 us at least");
    // nothing is known to be faster yet
    let v = verdicts(&[("slow", 3600), ("b", 0)]);
    assert!(timed(&v[0]) && timed(&v[1]), "{v:?}");
}

#[test]
fn engines_are_timed_once() {
    let names = ["int8", "fp16", "mixed"];
    let what = Digest::of(b"three plans");
    let mut tuner = Tuner::new(&Interp, TimingCache::default(), None);
    let time = |i: usize| Ok(Duration::from_millis([3, 1, 2][i]));
    assert_eq!(tuner.fastest(&names, what, time).unwrap(), 1);
    let kept = TimingCache::parse(&tuner.into_cache().to_string()).unwrap();
    let mut tuner = Tuner::new(&Interp, kept, None);
    assert_eq!(tuner.fastest(&names, what, |_| panic!("it is known")).unwrap(), 1);
    // two of them are another question, and so are other plans
    let other = Digest::of(b"other plans");
    assert_eq!(tuner.fastest(&names[..1], what, time).unwrap(), 0);
    assert_eq!(tuner.fastest(&names, other, |i| Ok(Duration::from_millis(i as u64))).unwrap(), 0);
}

/// A bound is one: no tactic of any problem of the conformance suite is faster than it may be. (Noise makes runs longer,
/// never shorter.)
#[test]
fn no_kernel_is_faster_than_its_bound() {
    let cases = problems::all();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let cpu = Cpu { isa, threads: 1, ..Cpu::host() };
        for case in cases.iter().step_by(7) {
            let mut bench = Bench::new(&cpu, &case.problem, &case.numerics, &case.constants, 1).unwrap();
            for t in cpu.tactics(&case.problem, &case.numerics) {
                let run = bench.prepare(&cpu, &t).unwrap();
                let best = (0..3).map(|_| bench.once(&run).unwrap()).min().unwrap();
                let least = cpu.least_time(&case.problem, &t, 1);
                assert!(best >= least, "{} by {t} took {best:?}, not {least:?}", case.problem);
            }
        }
    }
}

//! The GPU's kernels compile for every architecture, whether or not such a GPU is there.

use super::problems::Case;
use crate::base::DType;
use crate::device::cuda::{Arch, Cuda};
use crate::device::{Device, Numerics, Tactic};
use std::collections::HashSet;

/// Which kernels of a problem are compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Of each family its default, and each of its switches once: few enough for every test.
    Switches,
    /// Every variant of every family.
    All,
}

/// Compiles kernels for an architecture, and what counts what they write. Returns how many, or what does not compile.
pub fn compile(arch: Arch, cases: &[Case], which: Which) -> Result<usize, String> {
    let gpu = Cuda::absent(arch);
    let of = |case: &Case| gpu.tactics(&case.problem, &case.numerics);
    let all = cases.iter().flat_map(|case| of(case).into_iter().map(move |t| (case, t)));
    let all: Vec<(&Case, Tactic)> = all.collect();
    let wanted = match which {
        Which::Switches => covering(&all.iter().map(|(case, t)| switches(case, t)).collect::<Vec<_>>()),
        Which::All => (0..all.len()).collect(),
    };
    for (case, tactic) in wanted.iter().map(|&i| &all[i]) {
        gpu.pack(&case.problem, &case.numerics, tactic, &case.constants)
            .map_err(|e| format!("{} by {tactic}: {e}", case.problem))?;
    }
    gpu.counting_code().map_err(|e| e.to_string())?;
    Ok(wanted.len() + 1)
}

/// Few sets in which every word of all sets is: always the one with most that is new (Chvatal, "A Greedy Heuristic for the
/// Set-Covering Problem", 1979), the first of equals.
fn covering(sets: &[Vec<String>]) -> Vec<usize> {
    let (mut seen, mut taken) = (HashSet::new(), Vec::new());
    loop {
        let new = |i: &usize| sets[*i].iter().filter(|w| !seen.contains(*w)).count();
        let Some(best) = (0..sets.len()).rev().max_by_key(new).filter(|i| new(i) > 0) else { return taken };
        seen.extend(&sets[best]);
        taken.push(best);
    }
}

/// Families that have ways of their own to multiply halves and TF32. To all others halves are a type like any other.
const OF_FLOATS: [&str; 4] = ["conv-wgmma", "conv-splitk", "depthwise-tma", "igemm"];

/// What a kernel has of its family: itself, the words of its variant, and how floats are multiplied.
fn switches(case: &Case, tactic: &Tactic) -> Vec<String> {
    let words = tactic.variant.split('-').map(|w| w.trim_matches(|c: char| c.is_ascii_digit()));
    let mut operands = case.problem.inputs.iter().chain(&case.problem.outputs);
    let floats = match operands.any(|o| o.dtype == DType::F16) {
        true => "halves",
        false if case.numerics == Numerics::Tf32 => "tf32",
        false => "",
    };
    let floats = if OF_FLOATS.contains(&tactic.family.as_str()) { floats } else { "" };
    words.chain([floats]).map(|word| format!("{} {word}", tactic.family)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::nvrtc;
    use crate::testing::problems;

    /// Compiles for all architectures, beside one another.
    fn compile_all(which: Which) {
        let version = match nvrtc::open() {
            Ok(found) => found.version,
            Err(why) => {
                return println!("NVRTC: absent, {} architectures skipped ({})", Arch::ALL.len(), why.what);
            }
        };
        let cases = [problems::all(), problems::in_halves(), problems::in_tf32()].concat();
        std::thread::scope(|scope| {
            let all = Arch::ALL.map(|arch| {
                scope.spawn({
                    let cases = &cases;
                    move || (arch, compile(arch, cases, which))
                })
            });
            for (arch, kernels) in all.map(|t| t.join().unwrap()) {
                println!("NVRTC {}.{}: {} kernels for {arch}", version.0, version.1, kernels.unwrap());
            }
        });
    }

    #[test]
    fn kernels_compile_for_every_architecture() {
        compile_all(Which::Switches);
    }

    /// The suite has pairs of each kind that Hopper computes in one step.
    #[test]
    fn pairs_have_kernels() {
        let (hopper, cases) = (Cuda::absent(Arch::of(9, 0)), problems::all());
        for family in ["conv-pool", "depthwise-conv", "pool-linear"] {
            let has = |c: &&Case| hopper.tactics(&c.problem, &c.numerics).iter().any(|t| t.family == family);
            assert!(cases.iter().filter(has).count() >= 4, "{family}");
        }
    }

    /// Hours: `tests/compile_kernels.sh` runs it.
    #[test]
    #[ignore = "the full product takes hours"]
    fn every_kernel_compiles_for_every_architecture() {
        compile_all(Which::All);
    }
}

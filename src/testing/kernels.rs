//! The GPU's kernels compile for every architecture, whether or not such a GPU is there.

use super::problems::Case;
use crate::base::DType;
use crate::device::cuda::{Arch, Cuda};
use crate::device::{Device, Numerics, Tactic};
use std::collections::HashSet;

/// Which kernels of a problem are compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// What families would try first: of each its first variant, each that differs from others in more than numbers once.
    First,
    /// Every variant of every family.
    All,
}

/// Compiles kernels for an architecture, and what counts what they write. Returns how many, or what does not compile.
pub fn compile(arch: Arch, cases: &[Case], which: Which) -> Result<usize, String> {
    let gpu = Cuda::absent(arch);
    let mut seen: HashSet<String> = HashSet::new();
    for case in cases {
        let mut families = HashSet::new();
        for tactic in gpu.tactics(&case.problem, &case.numerics) {
            let wanted = match which {
                Which::First => {
                    families.insert(tactic.family.clone()) && seen.insert(switches(case, &tactic))
                }
                Which::All => seen.insert(format!("{} by {tactic}", case.problem)),
            };
            if wanted {
                gpu.pack(&case.problem, &case.numerics, &tactic, &case.constants)
                    .map_err(|e| format!("{} by {tactic}: {e}", case.problem))?;
            }
        }
    }
    gpu.counting_code().map_err(|e| e.to_string())?;
    Ok(seen.len() + 1)
}

/// Families that multiply halves and TF32 by instructions of their own. To all others halves are a type like any other.
const OF_FLOATS: [&str; 3] = ["conv-wgmma", "conv-splitk", "igemm"];

/// The parts of a tactic that are no numbers, and how floats are multiplied.
fn switches(case: &Case, tactic: &Tactic) -> String {
    let name = tactic.to_string().replace(|c: char| c.is_ascii_digit(), "");
    if !OF_FLOATS.contains(&tactic.family.as_str()) {
        return name;
    }
    let mut operands = case.problem.inputs.iter().chain(&case.problem.outputs);
    let floats = match operands.any(|o| o.dtype == DType::F16) {
        true => ", halves",
        false if case.numerics == Numerics::Tf32 => ", tf32",
        false => "",
    };
    name + floats
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
        compile_all(Which::First);
    }

    /// The suite has pairs of each kind that Hopper computes in one step.
    #[test]
    fn pairs_have_kernels() {
        let (hopper, cases) = (Cuda::absent(Arch::of(9, 0)), problems::all());
        for family in ["conv-pool", "depthwise-conv"] {
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

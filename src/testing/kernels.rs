//! The GPU's kernels compile for every architecture, whether or not such a GPU is there.

use super::problems::Case;
use crate::base::DType;
use crate::device::cuda::{Arch, Cuda};
use crate::device::{Device, Numerics};
use std::collections::HashSet;

/// Compiles for an architecture what families would try first: of each family its first variant for every problem, each
/// that differs from others in more than numbers once; and what counts what they write. Returns how many, or what does
/// not compile.
pub fn compile(arch: Arch, cases: &[Case]) -> Result<usize, String> {
    let gpu = Cuda::absent(arch);
    let mut seen: HashSet<String> = HashSet::new();
    for case in cases {
        let mut families = HashSet::new();
        let tactics = gpu.tactics(&case.problem, &case.numerics);
        for tactic in tactics.into_iter().filter(|t| families.insert(t.family.clone())) {
            let mut operands = case.problem.inputs.iter().chain(&case.problem.outputs);
            let halves = match operands.any(|o| o.dtype == DType::F16) {
                true => ", halves",
                false if case.numerics == Numerics::Tf32 => ", tf32",
                false => "",
            };
            let switches = tactic.to_string().replace(|c: char| c.is_ascii_digit(), "");
            if seen.insert(switches + halves) {
                gpu.pack(&case.problem, &case.numerics, &tactic, &case.constants)
                    .map_err(|e| format!("{} by {tactic}: {e}", case.problem))?;
            }
        }
    }
    gpu.counting_code().map_err(|e| e.to_string())?;
    Ok(seen.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::nvrtc;
    use crate::testing::problems;

    #[test]
    fn kernels_compile_for_every_architecture() {
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
                    move || (arch, compile(arch, cases))
                })
            });
            for (arch, kernels) in all.map(|t| t.join().unwrap()) {
                println!("NVRTC {}.{}: {} kernels for {arch}", version.0, version.1, kernels.unwrap());
            }
        });
    }
}

//! Instruction sets: what the CPU has, and what the operating system lets us use.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An instruction set for kernels, each including the ones before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Isa {
    /// Whatever the compiler makes of plain Rust.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL) and VNNI.
    Avx512Vnni,
    /// AMX tiles of 8-bit integers, with the operating system's permission.
    Amx,
}

impl Isa {
    /// Every instruction set, weakest first.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Avx2, Isa::Avx512Vnni, Isa::Amx];

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512Vnni => "avx512-vnni",
            Isa::Amx => "amx",
        }
    }

    /// Can this machine run it?
    pub fn available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => has_avx2(),
            Isa::Avx512Vnni => has_avx2() && has_avx512_vnni(),
            Isa::Amx => has_avx512_vnni() && amx().is_ok(),
        }
    }

    /// The strongest that this machine can run.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|i| i.available()).unwrap_or(Isa::Scalar)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Isa::ALL.into_iter().find(|i| i.name() == s).ok_or_else(|| format!("unknown instruction set `{s}`"))
    }
}

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
fn has_avx512_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// Does the CPU have AMX with 8-bit integers, and does the operating system permit it? The reason if not.
#[cfg(all(target_arch = "x86_64", feature = "simd", target_os = "linux"))]
pub fn amx() -> Result<(), &'static str> {
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    let leaf7 = std::arch::x86_64::__cpuid_count(7, 0);
    if leaf7.edx & (TILE | INT8) != TILE | INT8 {
        return Err("the CPU has no AMX-INT8");
    }
    // Linux keeps the tile registers off until a process asks: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
    // SAFETY: the call takes two numbers and touches no memory; threads made later inherit the permission.
    match unsafe { libc::syscall(libc::SYS_arch_prctl, 0x1023, 18) } {
        0 => Ok(()),
        _ => Err("the CPU has AMX, but the operating system does not permit its tile registers"),
    }
}

/// Elsewhere there is none.
#[cfg(not(all(target_arch = "x86_64", feature = "simd", target_os = "linux")))]
pub fn amx() -> Result<(), &'static str> {
    Err("AMX is used on x86-64 Linux only")
}

#[cfg(not(all(target_arch = "x86_64", feature = "simd")))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(all(target_arch = "x86_64", feature = "simd")))]
fn has_avx512_vnni() -> bool {
    false
}

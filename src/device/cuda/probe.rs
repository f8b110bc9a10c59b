//! What of CUDA the machine has. The only door to the driver: it is loaded at run time, and a machine without one
//! is a normal machine.

use cudarc::driver::{result, sys};
use std::fmt;
use std::str::FromStr;

/// A GPU.
#[derive(Clone, PartialEq, Debug)]
pub struct Gpu {
    /// The marketing name.
    pub name: String,
    /// What its machine code is for.
    pub arch: Arch,
    /// Bytes of memory.
    pub memory: usize,
    /// Multiprocessors.
    pub multiprocessors: usize,
    /// Bytes of shared memory that a block may ask for.
    pub shared: usize,
    /// Bytes of the second-level cache.
    pub l2: usize,
    /// Cycles a second, at most.
    pub clock: usize,
    /// Bytes a second that its memory moves, at most.
    pub bandwidth: usize,
}

/// An architecture of GPUs, by compute capability.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Arch {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Arch {
    /// Those that kernels are compiled for in tests: Turing to Blackwell.
    pub const ALL: [Arch; 7] = [
        Arch::of(7, 5),
        Arch::of(8, 0),
        Arch::of(8, 6),
        Arch::of(8, 9),
        Arch::of(9, 0),
        Arch::of(10, 0),
        Arch::of(12, 0),
    ];

    /// The oldest that kernels are made for: the first with products of 8-bit matrices.
    pub const OLDEST: Arch = Arch::of(7, 5);

    /// The architecture with this compute capability.
    pub const fn of(major: u32, minor: u32) -> Arch {
        Arch { major, minor }
    }

    /// Are there instructions beyond what later architectures keep (`sm_90a`)?
    fn is_accelerated(self) -> bool {
        matches!(self.major, 9 | 10)
    }
}

/// `sm_90a`: the name by which code is compiled for it.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}{}", self.major, self.minor, if self.is_accelerated() { "a" } else { "" })
    }
}

impl FromStr for Arch {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let digits = s.strip_prefix("sm_").map(|s| s.trim_end_matches('a')).filter(|d| d.len() >= 2);
        let number = digits.and_then(|d| d.parse::<u32>().ok());
        number.map(|n| Arch::of(n / 10, n % 10)).ok_or_else(|| format!("`{s}` is no architecture (sm_90a)"))
    }
}

impl Gpu {
    /// A GPU of an architecture that is not here, to compile for: the least that its kind has.
    pub fn absent(arch: Arch) -> Gpu {
        let shared = match (arch.major, arch.minor) {
            (7, _) => 64,
            (8, 0) => 163,
            (8, _) | (12, _) => 99,
            _ => 227,
        };
        let name = format!("a GPU of {arch}");
        Gpu {
            name,
            arch,
            memory: 8 << 30,
            multiprocessors: 40,
            shared: shared << 10,
            l2: 4 << 20,
            clock: 1_500_000_000,
            bandwidth: 10_000_000_000_000,
        }
    }
}

/// The GPUs, or why there are none, in a sentence.
pub fn gpus() -> Result<Vec<Gpu>, String> {
    // SAFETY: only looks whether the library can be opened. Without this question cudarc panics where it is missing.
    if !unsafe { sys::is_culib_present() } {
        return Err("no NVIDIA driver (libcuda) was found".into());
    }
    let version = version().map_err(|e| format!("the NVIDIA driver does not say its version: {e}"))?;
    if version < LEAST_DRIVER {
        let shown = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
        let (has, wants) = (shown(version), shown(LEAST_DRIVER));
        return Err(format!("the NVIDIA driver is for CUDA {has}; {wants} is needed (driver 525 or newer)"));
    }
    result::init().map_err(|e| format!("the NVIDIA driver does not start: {e}"))?;
    let count =
        result::device::get_count().map_err(|e| format!("the NVIDIA driver lists no devices: {e}"))?;
    (0..count).map(|i| gpu(i).map_err(|e| format!("GPU {i} does not answer: {e}"))).collect()
}

/// The CUDA version of the oldest driver that has every function used here: a missing one would be a panic.
const LEAST_DRIVER: i32 = 12_000;

/// The CUDA version that the driver serves: 1000 times the major number and 10 times the minor.
fn version() -> Result<i32, result::DriverError> {
    let mut version = 0;
    // SAFETY: a place for a number; the library is there, as the caller has asked.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok(version)
}

fn gpu(ordinal: i32) -> Result<Gpu, result::DriverError> {
    use sys::CUdevice_attribute as A;
    let device = result::device::get(ordinal)?;
    // SAFETY: `device` came from the driver a line above.
    let attribute = |a| unsafe { result::device::get_attribute(device, a) }.map(|n| n.max(0) as usize);
    let arch = Arch::of(
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? as u32,
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)? as u32,
    );
    Ok(Gpu {
        name: result::device::get_name(device)?,
        arch,
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device) }?,
        multiprocessors: attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared: attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        l2: attribute(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
        clock: 1000 * attribute(A::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?, // in kHz
        // twice a cycle of so many kHz, over a bus of so many bits
        bandwidth: 2000
            * attribute(A::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?
            * attribute(A::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?
            / 8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_names() {
        for (arch, name) in
            [(Arch::of(7, 5), "sm_75"), (Arch::of(9, 0), "sm_90a"), (Arch::of(12, 0), "sm_120")]
        {
            assert_eq!((arch.to_string().as_str(), name.parse()), (name, Ok(arch)));
        }
        assert!("sm_9".parse::<Arch>().is_err() && "avx2".parse::<Arch>().is_err());
        assert!(Arch::ALL.is_sorted() && Arch::ALL[0] == Arch::OLDEST);
    }
}

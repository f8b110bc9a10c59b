//! What of CUDA the machine has. The only door to the driver: it is loaded at run time, and a machine without one
//! is a normal machine.

use cudarc::driver::{result, sys};

/// A GPU.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// The marketing name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// Bytes of memory.
    pub memory: usize,
}

/// The GPUs, or why there are none, in a sentence.
pub fn gpus() -> Result<Vec<Gpu>, String> {
    // SAFETY: only looks whether the library can be opened. Without this question cudarc panics where it is missing.
    if !unsafe { sys::is_culib_present() } {
        return Err("no NVIDIA driver (libcuda) was found".into());
    }
    result::init().map_err(|e| format!("the NVIDIA driver does not start: {e}"))?;
    let count =
        result::device::get_count().map_err(|e| format!("the NVIDIA driver lists no devices: {e}"))?;
    (0..count).map(|i| gpu(i).map_err(|e| format!("GPU {i} does not answer: {e}"))).collect()
}

fn gpu(ordinal: i32) -> Result<Gpu, result::DriverError> {
    use sys::CUdevice_attribute as A;
    let device = result::device::get(ordinal)?;
    // SAFETY: `device` came from the driver a line above.
    let attribute = |a| unsafe { result::device::get_attribute(device, a) };
    Ok(Gpu {
        name: result::device::get_name(device)?,
        capability: (
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device) }?,
    })
}

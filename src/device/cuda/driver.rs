//! The CUDA driver behind a safe face: contexts, memory, modules, streams, events, graphs. Everything unsafe of this
//! backend that is not a kernel is here.
//!
//! A driver call answers with a code; [`Context`] makes each one a sentence that says what was tried. Objects keep
//! their context alive and give back what they hold when dropped.

mod queue;

pub use queue::{Event, Graph, Shape, Stream};

use super::probe::{self, Arch, Gpu};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};
use std::ffi::CString;
use std::ptr;
use std::sync::Arc;

/// A GPU in use: the primary context of a device, which libraries in this process share.
pub struct Context {
    raw: sys::CUcontext,
    device: sys::CUdevice,
    /// What the GPU is.
    pub gpu: Gpu,
}

// SAFETY: a context may be used from any thread that has made it current, which `bind` does.
unsafe impl Send for Context {}
// SAFETY: as above; the driver synchronizes its own state.
unsafe impl Sync for Context {}

impl Context {
    /// Opens GPU number `ordinal`.
    ///
    /// # Errors
    /// `NO_DEVICE` where there is no driver or no such GPU.
    pub fn open(ordinal: usize) -> Result<Arc<Context>> {
        let missing =
            |why| Diagnostic::new(machine::NO_DEVICE, format!("GPU {ordinal} cannot be used: {why}"));
        let gpus = probe::gpus().map_err(missing)?;
        let gpu = gpus.get(ordinal).cloned().ok_or_else(|| {
            missing(format!("the driver lists {}", gpus.len())).help("GPUs are counted from 0: see `device`")
        })?;
        if gpu.arch < Arch::OLDEST {
            return Err(missing(format!("{} is {}, older than {}", gpu.name, gpu.arch, Arch::OLDEST)));
        }
        let device = check("find the GPU", result::device::get(ordinal as i32))?;
        // SAFETY: `device` came from the driver a line above.
        let raw = check("open the GPU", unsafe { result::primary_ctx::retain(device) })?;
        Ok(Arc::new(Context { raw, device, gpu }))
    }

    /// Makes this context the calling thread's.
    pub fn bind(&self) -> Result<()> {
        // SAFETY: `raw` is held until drop.
        check("use the GPU", unsafe { result::ctx::set_current(self.raw) })
    }

    /// Free and total bytes of its memory.
    pub fn memory(&self) -> Result<(usize, usize)> {
        self.bind()?;
        check("ask for free memory", result::mem_get_info())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained in `open`, released once.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// A driver's answer, with what was tried.
pub fn check<T>(what: &str, r: std::result::Result<T, DriverError>) -> Result<T> {
    r.map_err(|e| {
        let name = e.error_string().map(|s| s.to_string_lossy().into_owned());
        let why = name.unwrap_or_else(|_| format!("error {}", e.0 as u32));
        let code = match e.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => machine::NO_MEMORY,
            _ => machine::CUDA,
        };
        Diagnostic::new(code, format!("the GPU driver could not {what}: {why}"))
    })
}

/// Bytes on the GPU.
pub struct Memory {
    context: Arc<Context>,
    address: u64,
    bytes: usize,
}

impl Memory {
    /// So many bytes, all zero.
    ///
    /// # Errors
    /// `NO_MEMORY` with the sizes.
    pub fn zeroed(context: &Arc<Context>, bytes: usize) -> Result<Memory> {
        context.bind()?;
        let room = bytes.max(1);
        // SAFETY: the context is current.
        let address = check("reserve memory", unsafe { result::malloc_sync(room) }).map_err(|e| {
            let free = result::mem_get_info().map_or(0, |(free, _)| free);
            e.detail(format!("{room} bytes were asked for, {free} of {} are free", context.gpu.memory))
                .help("take a smaller batch, or end other programs on this GPU")
        })?;
        let memory = Memory { context: context.clone(), address, bytes };
        memory.clear()?;
        Ok(memory)
    }

    /// Makes all of it zero and waits.
    pub fn clear(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: so many bytes, and one at least, were reserved at `address`.
        check("clear memory", unsafe { result::memset_d8_sync(self.address, 0, self.bytes.max(1)) })?;
        settled()
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// A copy of `data`.
    pub fn of(context: &Arc<Context>, data: &[u8]) -> Result<Memory> {
        let memory = Memory::zeroed(context, data.len())?;
        memory.write(0, data)?;
        Ok(memory)
    }

    /// Its address on the GPU.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Copies `data` to byte `at` and waits.
    ///
    /// # Panics
    /// Where it does not fit.
    pub fn write(&self, at: usize, data: &[u8]) -> Result<()> {
        assert!(at + data.len() <= self.bytes, "a copy ends outside the memory");
        self.context.bind()?;
        // SAFETY: in bounds by the assertion.
        check("copy to the GPU", unsafe { result::memcpy_htod_sync(self.address + at as u64, data) })?;
        settled()
    }

    /// Copies from byte `at` to `data` and waits.
    ///
    /// # Panics
    /// Where it does not fit.
    pub fn read(&self, at: usize, data: &mut [u8]) -> Result<()> {
        assert!(at + data.len() <= self.bytes, "a copy starts or ends outside the memory");
        self.context.bind()?;
        // SAFETY: in bounds by the assertion.
        check("copy from the GPU", unsafe { result::memcpy_dtoh_sync(data, self.address + at as u64) })
    }
}

/// Waits for what was cleared or copied without a queue: those calls may return before it is done, and our queues do not
/// wait for it.
fn settled() -> Result<()> {
    // SAFETY: no stream stands for the default one, which is always there.
    check("finish a copy", unsafe { result::stream::synchronize(ptr::null_mut()) })
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: reserved in `zeroed`, freed once. Freeing waits for the work that was queued.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

/// Host memory that the GPU copies from and to by itself.
pub struct Pinned {
    context: Arc<Context>,
    start: *mut u8,
    bytes: usize,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for Pinned {}

impl Pinned {
    /// So many bytes, all zero.
    pub fn zeroed(context: &Arc<Context>, bytes: usize) -> Result<Pinned> {
        context.bind()?;
        let portable = sys::CU_MEMHOSTALLOC_PORTABLE;
        // SAFETY: the context is current.
        let raw =
            check("reserve pinned host memory", unsafe { result::malloc_host(bytes.max(1), portable) })?;
        let start = raw.cast::<u8>();
        // SAFETY: `bytes.max(1)` bytes were reserved a line above.
        unsafe { ptr::write_bytes(start, 0, bytes.max(1)) };
        Ok(Pinned { context: context.clone(), start, bytes })
    }
}

impl std::ops::Deref for Pinned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: reserved, initialized, owned.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }
}

impl std::ops::DerefMut for Pinned {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: reserved in `zeroed`, freed once.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}

/// Machine code on the GPU.
pub struct Module {
    context: Arc<Context>,
    raw: sys::CUmodule,
}

// SAFETY: a module belongs to its context, not to a thread.
unsafe impl Send for Module {}

impl Module {
    /// Loads a cubin.
    ///
    /// # Errors
    /// `CUDA` where the driver refuses it, as it does another architecture's.
    pub fn load(context: &Arc<Context>, cubin: &[u8]) -> Result<Module> {
        context.bind()?;
        // SAFETY: a cubin is an ELF file; the driver checks its header and sizes.
        let raw = check("load a kernel", unsafe { result::module::load_data(cubin.as_ptr().cast()) })?;
        Ok(Module { context: context.clone(), raw })
    }

    /// One of its kernels, allowed to use `shared` bytes of dynamic shared memory, whatever it has besides.
    pub fn function(&self, name: &str, shared: u32) -> Result<Function> {
        self.context.bind()?;
        let cut = |_| Diagnostic::new(machine::INTERNAL, "a kernel's name has a zero byte");
        let c = CString::new(name).map_err(cut)?;
        // SAFETY: the module is loaded.
        let f = check(&format!("find kernel {name}"), unsafe { result::module::get_function(self.raw, c) })?;
        if shared > 0 {
            let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: `f` came from the driver a line above.
            let set = unsafe { result::function::set_function_attribute(f, most, shared as i32) };
            check(&format!("give {name} {shared} bytes of shared memory"), set)?;
        }
        Ok(Function(f))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: loaded once, unloaded once; whoever launches its kernels keeps it.
        let _ = unsafe { result::module::unload(self.raw) };
    }
}

/// A kernel of a loaded module.
#[derive(Clone, Copy, Debug)]
pub struct Function(sys::CUfunction);

// SAFETY: a handle that belongs to its context, not to a thread.
unsafe impl Send for Function {}

//! The CUDA driver behind a safe face: contexts, memory, modules, streams, events, graphs. Everything unsafe of this
//! backend that is not a kernel is here.
//!
//! A driver call answers with a code; [`Context`] makes each one a sentence that says what was tried. Objects keep
//! their context alive and give back what they hold when dropped.

use super::probe::{self, Arch, Gpu};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};
use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

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
        // SAFETY: at least so many bytes were reserved at `address`.
        check("clear memory", unsafe { result::memset_d8_sync(self.address, 0, self.bytes.max(1)) })?;
        // SAFETY: the default stream is always there. The driver may return before the memory is clear, and streams of
        // ours do not wait for this one.
        check("clear memory", unsafe { result::stream::synchronize(ptr::null_mut()) })
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
        check("copy to the GPU", unsafe { result::memcpy_htod_sync(self.address + at as u64, data) })
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

    /// One of its kernels, allowed to use `shared` bytes of dynamic shared memory.
    pub fn function(&self, name: &str, shared: u32) -> Result<Function> {
        self.context.bind()?;
        let cut = |_| Diagnostic::new(machine::INTERNAL, "a kernel's name has a zero byte");
        let c = CString::new(name).map_err(cut)?;
        // SAFETY: the module is loaded.
        let f = check(&format!("find kernel {name}"), unsafe { result::module::get_function(self.raw, c) })?;
        if shared > 48 * 1024 {
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

/// How a kernel is launched.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Blocks of a cluster; 1 for none.
    pub cluster: u32,
    /// May it start while the kernel before it ends? It then waits by itself (`griddepcontrol.wait`).
    pub chained: bool,
}

/// A queue of work.
pub struct Stream {
    context: Arc<Context>,
    raw: sys::CUstream,
}

// SAFETY: a stream belongs to its context, not to a thread.
unsafe impl Send for Stream {}

impl Stream {
    /// A new queue.
    pub fn new(context: &Arc<Context>) -> Result<Stream> {
        context.bind()?;
        let kind = result::stream::StreamKind::NonBlocking;
        let raw = check("make a stream", result::stream::create(kind))?;
        Ok(Stream { context: context.clone(), raw })
    }

    /// Queues a kernel. Parameters are copied at once.
    ///
    /// # Safety
    /// `params` are the kernel's parameters, in number and size, and what they point to is on this GPU and outlives the
    /// run; the kernel stays within it.
    pub unsafe fn launch(&self, f: Function, shape: &Shape, params: &mut [*mut c_void]) -> Result<()> {
        let mut attributes = [empty_attribute(), empty_attribute()];
        let mut used = 0;
        if shape.cluster > 1 {
            attributes[used].id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
            attributes[used].value.clusterDim.x = shape.cluster;
            attributes[used].value.clusterDim.y = 1;
            attributes[used].value.clusterDim.z = 1;
            used += 1;
        }
        if shape.chained && self.context.gpu.arch >= Arch::of(9, 0) {
            use sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION as CHAINED;
            attributes[used].id = CHAINED;
            attributes[used].value.programmaticStreamSerializationAllowed = 1;
            used += 1;
        }
        let [x, y, z] = shape.grid;
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: shape.block,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shape.shared,
            hStream: self.raw,
            attrs: attributes.as_mut_ptr(),
            numAttrs: used as u32,
        };
        // SAFETY: the caller's promise; `config` and its attributes live until the call returns.
        let code = unsafe { sys::cuLaunchKernelEx(&config, f.0, params.as_mut_ptr(), ptr::null_mut()) };
        check("start a kernel", code.result())
    }

    /// Queues a copy of the first `len` bytes of `from` to byte `at` of `to`.
    ///
    /// # Safety
    /// Neither is dropped, nor `from` written, before the copy is done.
    pub unsafe fn upload(&self, from: &Pinned, len: usize, to: &Memory, at: usize) -> Result<()> {
        assert!(at + len <= to.bytes, "a copy ends outside the memory");
        // SAFETY: in bounds by the assertion and the slice; lifetimes by the caller's promise.
        check("copy to the GPU", unsafe {
            result::memcpy_htod_async(to.address + at as u64, &from[..len], self.raw)
        })
    }

    /// Queues a copy of `len` bytes from byte `at` of `from` to the start of `to`.
    ///
    /// # Safety
    /// Neither is dropped, nor `to` read, before the copy is done.
    pub unsafe fn download(&self, from: &Memory, at: usize, to: &mut Pinned, len: usize) -> Result<()> {
        assert!(at + len <= from.bytes, "a copy starts or ends outside the memory");
        // SAFETY: in bounds by the assertion and the slice; lifetimes by the caller's promise.
        check("copy from the GPU", unsafe {
            result::memcpy_dtoh_async(&mut to[..len], from.address + at as u64, self.raw)
        })
    }

    /// Waits until all that was queued is done.
    ///
    /// # Errors
    /// What went wrong in any kernel since the last wait.
    pub fn wait(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the stream is alive.
        check("finish its work", unsafe { result::stream::synchronize(self.raw) })
    }

    /// Records what `queue` queues on this stream as a graph, instead of running it.
    pub fn capture(&self, queue: impl FnOnce() -> Result<()>) -> Result<Graph> {
        self.context.bind()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive and captures nothing yet: captures are begun and ended here only.
        check("record a graph", unsafe { result::stream::begin_capture(self.raw, mode) })?;
        let queued = queue();
        // SAFETY: the capture was begun above.
        let graph = check("record a graph", unsafe { result::stream::end_capture(self.raw) });
        queued?;
        let graph = graph?;
        let mut raw = ptr::null_mut();
        // SAFETY: `graph` came from the driver; it is not needed once it is instantiated.
        let made = unsafe { sys::cuGraphInstantiateWithFlags(&mut raw, graph, 0) }.result();
        // SAFETY: as above.
        let _ = unsafe { result::graph::destroy(graph) };
        check("prepare a graph", made)?;
        Ok(Graph { context: self.context.clone(), raw })
    }

    /// Queues a graph.
    pub fn run(&self, graph: &Graph) -> Result<()> {
        // SAFETY: both are alive; what the graph's kernels touch outlives it, as `launch` demanded.
        check("run a graph", unsafe { result::graph::launch(graph.raw, self.raw) })
    }

    /// Queues a mark of the time.
    pub fn mark(&self, event: &Event) -> Result<()> {
        // SAFETY: both are alive.
        check("record a time", unsafe { result::event::record(event.raw, self.raw) })
    }
}

fn empty_attribute() -> sys::CUlaunchAttribute {
    // SAFETY: an attribute is plain numbers, for which zeros are valid; the driver ignores what is not counted.
    unsafe { std::mem::zeroed() }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made once, destroyed once; the driver ends what is queued first.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

/// Recorded work, ready to run again and again.
pub struct Graph {
    context: Arc<Context>,
    raw: sys::CUgraphExec,
}

// SAFETY: a graph belongs to its context, not to a thread.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made once, destroyed once.
        let _ = unsafe { result::graph::exec_destroy(self.raw) };
    }
}

/// A mark in a stream.
pub struct Event {
    context: Arc<Context>,
    raw: sys::CUevent,
}

// SAFETY: an event belongs to its context, not to a thread.
unsafe impl Send for Event {}

impl Event {
    /// A mark that keeps the time.
    pub fn new(context: &Arc<Context>) -> Result<Event> {
        context.bind()?;
        let raw = check("make an event", result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT))?;
        Ok(Event { context: context.clone(), raw })
    }

    /// The time from `start` to this mark; both were passed.
    pub fn since(&self, start: &Event) -> Result<Duration> {
        // SAFETY: both are alive.
        let ms = check("read a time", unsafe { result::event::elapsed(start.raw, self.raw) })?;
        Ok(Duration::from_secs_f64(f64::from(ms.max(0.0)) / 1e3))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made once, destroyed once.
        let _ = unsafe { result::event::destroy(self.raw) };
    }
}

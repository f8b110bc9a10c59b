//! Queues of work: streams, what they launch and copy, graphs that are recorded from them, marks in them.

use super::{Arch, Context, Function, Memory, Pinned, check};
use crate::base::Result;
use cudarc::driver::{result, sys};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

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
// SAFETY: as above; the driver synchronizes its own state.
unsafe impl Sync for Stream {}

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

    /// Queues a copy of `from` to byte `at` of `to`.
    ///
    /// # Safety
    /// `from` is pinned. Neither is dropped, nor `from` written, before the copy is done.
    pub unsafe fn upload(&self, from: &[u8], to: &Memory, at: usize) -> Result<()> {
        assert!(at + from.len() <= to.bytes, "a copy ends outside the memory");
        // SAFETY: in bounds by the assertion and the slice; lifetimes by the caller's promise.
        check("copy to the GPU", unsafe { result::memcpy_htod_async(to.address + at as u64, from, self.raw) })
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

    /// Queues a copy of `len` bytes from byte `at` of `from` to byte `to_at` of `to`.
    ///
    /// # Safety
    /// Neither is dropped before the copy is done, nor touched by what is not queued before or behind it.
    pub unsafe fn copy(&self, from: &Memory, at: usize, to: &Memory, to_at: usize, len: usize) -> Result<()> {
        assert!(at + len <= from.bytes && to_at + len <= to.bytes, "a copy ends outside the memory");
        let (from, to) = (from.address + at as u64, to.address + to_at as u64);
        // SAFETY: in bounds by the assertion; lifetimes by the caller's promise.
        check("copy on the GPU", unsafe { result::memcpy_dtod_async(to, from, len, self.raw) })
    }

    /// Queues nothing more before this mark of another queue is passed.
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both are alive.
        check("wait for another queue", unsafe { result::stream::wait_event(self.raw, event.raw, flags) })
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

    /// Brings a graph to the GPU, as its first run would.
    pub fn prepare(&self, graph: &Graph) -> Result<()> {
        // SAFETY: both are alive.
        check("bring a graph to the GPU", unsafe { sys::cuGraphUpload(graph.raw, self.raw) }.result())
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

    /// Waits until this mark is passed.
    pub fn wait(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the event is alive.
        check("finish its work", unsafe { result::event::synchronize(self.raw) })
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

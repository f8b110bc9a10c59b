//! Several batches in flight: while one is computed, the next is copied to the GPU and the last one's outputs from it.
//!
//! Each batch in flight has memory of its own for what it reads and writes, on the host (where the GPU can copy by
//! itself) and on the GPU; the arena is one and the same, as batches are computed one after the other. A batch passes
//! three queues: the upload's, the executor's own, in which its inputs are moved into the arena, computed with, and its
//! outputs moved out, and the download's. Events hand it on.

use super::driver::{Context, Event, Memory, Pinned, Stream};
use crate::base::{Result, copy};
use crate::device::{Phases, Slot};
use std::sync::Arc;

/// Bytes that are on their way to the GPU while the next are copied to where it can reach them.
const PIECE: usize = 8 << 20;

/// Batches in flight, in a ring.
pub struct Flights {
    up: Stream,
    down: Stream,
    ring: Vec<Flight>,
    /// The one that was begun first of those that were not waited for.
    first: usize,
    count: usize,
}

/// A batch in flight.
struct Flight {
    /// By the input's number, pixels last; made when first used.
    inputs: Vec<Option<Staged>>,
    outputs: Vec<Staged>,
    marks: [Event; 6],
}

/// Where bytes wait on their way between host and arena.
struct Staged {
    host: Pinned,
    gpu: Memory,
}

impl Staged {
    fn new(context: &Arc<Context>, bytes: usize) -> Result<Staged> {
        Ok(Staged { host: Pinned::zeroed(context, bytes)?, gpu: Memory::zeroed(context, bytes)? })
    }
}

/// A part of the arena that is copied for so many images.
#[derive(Clone, Copy)]
pub struct Part {
    /// Which it is of those that a batch may read, or write.
    pub number: usize,
    /// Where it is.
    pub slot: Slot,
    /// Its bytes in this batch.
    pub bytes: usize,
    /// Its bytes in the largest batch.
    pub most: usize,
}

impl Flights {
    /// Room for so many batches of `inputs` things to read and outputs of so many bytes.
    pub fn new(context: &Arc<Context>, batches: usize, inputs: usize, outputs: &[usize]) -> Result<Flights> {
        let flight = |_| -> Result<Flight> {
            let event = || Event::new(context);
            Ok(Flight {
                inputs: (0..inputs).map(|_| None).collect(),
                outputs: outputs.iter().map(|&bytes| Staged::new(context, bytes)).collect::<Result<_>>()?,
                marks: [event()?, event()?, event()?, event()?, event()?, event()?],
            })
        };
        let ring = (0..batches).map(flight).collect::<Result<_>>()?;
        Ok(Flights { up: Stream::new(context)?, down: Stream::new(context)?, ring, first: 0, count: 0 })
    }

    /// The place in the ring of the batch that is begun next.
    fn next(&self) -> usize {
        (self.first + self.count) % self.ring.len()
    }

    /// Are there as many as there may be?
    pub fn full(&self) -> bool {
        self.count == self.ring.len()
    }

    /// Begins a batch: its inputs, with their bytes, on their way into the arena of `main`.
    pub fn begin(
        &mut self,
        context: &Arc<Context>,
        main: &Stream,
        arena: &Memory,
        inputs: &[(Part, &[u8])],
    ) -> Result<()> {
        let next = self.next();
        let flight = &mut self.ring[next];
        self.up.mark(&flight.marks[0])?;
        for (part, bytes) in inputs {
            let place = &mut flight.inputs[part.number];
            let staged = match place {
                Some(staged) => staged,
                None => place.insert(Staged::new(context, part.most)?),
            };
            for (i, piece) in bytes.chunks(PIECE).enumerate() {
                let range = i * PIECE..i * PIECE + piece.len();
                copy::by_threads(piece, &mut staged.host[range.clone()]);
                // SAFETY: both live as long as the streams, and nobody writes them before this batch was waited for.
                unsafe { self.up.upload(&staged.host, range.clone(), &staged.gpu, range.start) }?;
            }
        }
        self.up.mark(&flight.marks[1])?;
        main.wait_for(&flight.marks[1])?;
        main.mark(&flight.marks[2])?;
        for (part, _) in inputs {
            if let Some(staged) = &flight.inputs[part.number] {
                // SAFETY: as above; what reads the arena is queued behind.
                unsafe { main.copy(&staged.gpu, 0, arena, part.slot.offset, part.bytes) }?;
            }
        }
        Ok(())
    }

    /// Ends the batch that was begun last: its outputs on their way to the host.
    pub fn end(&mut self, main: &Stream, arena: &Memory, outputs: &[Part]) -> Result<()> {
        let next = self.next();
        let flight = &mut self.ring[next];
        for (part, staged) in outputs.iter().zip(&flight.outputs) {
            // SAFETY: as in `begin`.
            unsafe { main.copy(arena, part.slot.offset, &staged.gpu, 0, part.bytes) }?;
        }
        main.mark(&flight.marks[3])?;
        self.down.wait_for(&flight.marks[3])?;
        self.down.mark(&flight.marks[4])?;
        for (part, staged) in outputs.iter().zip(&mut flight.outputs) {
            // SAFETY: as in `begin`.
            unsafe { self.down.download(&staged.gpu, 0, &mut staged.host, part.bytes) }?;
        }
        self.down.mark(&flight.marks[5])?;
        self.count += 1;
        Ok(())
    }

    /// Waits for the batch that was begun first. Its number in the ring, and how long its parts took.
    pub fn wait(&mut self) -> Result<Option<(usize, Phases)>> {
        if self.count == 0 {
            return Ok(None);
        }
        let at = self.first;
        (self.first, self.count) = ((at + 1) % self.ring.len(), self.count - 1);
        let [a, b, c, d, e, f] = &self.ring[at].marks;
        f.wait()?;
        Ok(Some((at, Phases { upload: b.since(a)?, compute: d.since(c)?, download: f.since(e)? })))
    }

    /// Output `i` of the batch with this number.
    pub fn output(&self, at: usize, i: usize) -> &[u8] {
        &self.ring[at].outputs[i].host
    }
}

impl Drop for Flights {
    /// Nothing is given back that is still copied.
    fn drop(&mut self) {
        let _ = self.up.wait();
        let _ = self.down.wait();
    }
}

//! The queues beside the one that computes: what the next batch is copied on, and what is counted on.

use crate::base::Result;
use crate::device::cuda::driver::{Context, Event, Memory, Stream};
use std::sync::Arc;

/// Where inputs wait on the GPU while the batch before theirs is still computed.
pub struct Staging {
    /// The queue of copies.
    pub up: Stream,
    /// For each input.
    pub places: Vec<Memory>,
    /// They are on the GPU.
    pub arrived: Event,
    /// They were copied into the arena.
    pub free: Event,
}

impl Staging {
    /// Places of so many bytes.
    pub fn new(context: &Arc<Context>, bytes: impl Iterator<Item = usize>) -> Result<Self> {
        let places = bytes.map(|bytes| Memory::zeroed(context, bytes)).collect::<Result<_>>()?;
        let (arrived, free) = (Event::new(context)?, Event::new(context)?);
        Ok(Staging { up: Stream::new(context)?, places, arrived, free })
    }
}

impl Drop for Staging {
    /// Nothing is given back that is still copied.
    fn drop(&mut self) {
        let _ = self.up.wait();
    }
}

/// The queue of what counts, and for each thing watched when it has been written, and when it was counted.
pub struct Beside {
    /// The queue.
    pub stream: Stream,
    /// It has been written.
    pub written: Vec<Event>,
    /// It has been counted.
    pub counted: Vec<Event>,
}

impl Beside {
    /// For so many things watched.
    pub fn new(context: &Arc<Context>, watched: usize) -> Result<Self> {
        let events = || (0..watched).map(|_| Event::new(context)).collect::<Result<_>>();
        Ok(Beside { stream: Stream::new(context)?, written: events()?, counted: events()? })
    }
}

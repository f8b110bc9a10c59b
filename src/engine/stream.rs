//! Batch after batch: several in flight in one session.
//!
//! ```no_run
//! # use quantize::engine::{Engine, Session};
//! # fn main() -> quantize::base::Result<()> {
//! # let engine = Engine::load("resnet.engine".as_ref())?;
//! # let batches: Vec<ndarray::ArrayD<u8>> = vec![];
//! let mut session = Session::on_host(&engine)?;
//! let room = session.in_flight(3)?; // 3 on a GPU; 1 where there is nothing to overlap
//! for batch in &batches {
//!     if session.pending() == room {
//!         let scores = session.wait()?; // of the batch that was submitted first
//!     }
//!     session.submit(batch.view())?; // returns as soon as the batch is copied
//! }
//! while let Some(scores) = session.wait()? {}
//! # Ok(())
//! # }
//! ```

use super::{Batch, Session};
use crate::base::codes::engine;
use crate::base::{Diagnostic, Result};
use crate::device::{Phases, Source};
use ndarray::{ArrayViewD, CowArray, IxDyn};

impl Session {
    /// Makes room for so many batches in flight, submitted and not yet waited for; returns how many there may be. On a
    /// GPU one is then computed while the next is copied there and the last one's outputs are copied back; three keep
    /// all of them busy. Elsewhere a batch is done when it is submitted, and one is all there is. What was in flight is
    /// given up.
    pub fn in_flight(&mut self, batches: usize) -> Result<usize> {
        self.pending.clear();
        self.room = self.executor.in_flight(batches)?;
        Ok(self.room)
    }

    /// Batches that were submitted and not yet waited for.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Begins a batch, which is the caller's again when this returns: a copy is made, by several threads where one would
    /// hold up the GPU.
    ///
    /// # Errors
    /// `BAD_INPUT` where the batch does not fit, or where there is no room for another (see [`Session::in_flight`]).
    pub fn submit<'a>(&mut self, batch: impl Into<Batch<'a>>) -> Result<()> {
        if self.room == 0 {
            self.in_flight(1)?;
        }
        if self.pending.len() >= self.room {
            let what = format!("{} batches are in flight, as many as there is room for", self.pending.len());
            return Err(
                Diagnostic::new(engine::BAD_INPUT, what).help("wait for one before you submit another")
            );
        }
        let batch = batch.into();
        let n = self.images(&batch)?;
        match &batch {
            Batch::Floats(arrays) => {
                let rows: Vec<CowArray<f32, IxDyn>> = arrays.iter().map(|x| x.as_standard_layout()).collect();
                let bytes: Vec<&[u8]> = rows.iter().map(|x| bytes(x)).collect();
                self.executor.submit(Source::Inputs(&bytes), n)?;
            }
            Batch::Pixels(x) => self.executor.submit(Source::Pixels(bytes(&x.as_standard_layout())), n)?,
        }
        self.pending.push_back(n);
        Ok(())
    }

    /// Waits for the batch that was submitted first: a view `[n, ..]` per output, good until the next call; `None` where
    /// nothing is in flight.
    pub fn wait(&mut self) -> Result<Option<Vec<ArrayViewD<'_, f32>>>> {
        Ok(self.wait_timed()?.map(|(n, _)| self.all_outputs(n)))
    }

    /// The same for callers that read [`Session::output`] themselves: images, and the parts of the run where the device
    /// measures them.
    pub fn wait_timed(&mut self) -> Result<Option<(usize, Phases)>> {
        match self.pending.pop_front() {
            Some(n) => Ok(Some((n, self.executor.wait()?))),
            None => Ok(None),
        }
    }
}

/// The bytes of an array in the order of its shape.
fn bytes<'x, T: bytemuck::Pod>(x: &'x CowArray<T, IxDyn>) -> &'x [u8] {
    x.as_slice().map(bytemuck::cast_slice).unwrap_or_default()
}

//! Batches, decoded ahead by several threads and handed out in order.

use super::dataset::{Dataset, Sample};
use super::preprocess::layout_hint;
use super::{OnError, Preprocess};
use crate::base::codes::{data, machine};
use crate::base::{Diagnostic, Place, Result, Shape, Tensor};
use rayon::ThreadPool;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

/// Samples that follow one another in a dataset.
#[derive(Debug)]
pub struct Batch {
    /// The place of the first of them in the dataset.
    pub first_index: usize,
    /// The samples, in order: as many as the batch has, less the skipped, fewer at the end. All of one shape.
    pub samples: Vec<Sample>,
    /// What was left out of this batch because it could not be decoded.
    pub skipped: Vec<Skipped>,
}

/// A sample that could not be decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// Its place in the dataset.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Why, in a sentence.
    pub why: String,
}

impl Batch {
    /// The samples as one tensor `[n, ...]`, where `n` may be 0 only if all of them were skipped.
    pub fn tensor(&self) -> Tensor {
        let row = self.samples.first().map_or(&[0][..], |s| &s.shape[..]);
        let shape: Vec<usize> = std::iter::once(self.samples.len()).chain(row.iter().copied()).collect();
        let values: Vec<f32> = self.samples.iter().flat_map(|s| s.values.iter().copied()).collect();
        Tensor::new(shape, &values)
    }
}

/// An iterator over the batches of a dataset. What it yields depends on neither the batch's size (but for its
/// borders) nor the number of threads. It holds at most a batch and two samples a thread decoded in memory, and
/// ends after an error.
pub struct Loader {
    dataset: Dataset,
    preprocess: Arc<Preprocess>,
    batch: usize,
    threads: usize,
    shape: Option<Shape>,
    stopped: Arc<AtomicBool>,
    pool: Option<ThreadPool>,
    waiting: VecDeque<Receiver<Result<Sample>>>,
    sent: usize,
    next: usize,
}

impl Loader {
    /// Batches of `batch` samples (at least 1), by as many threads as the machine has cores.
    pub fn new(dataset: &Dataset, preprocess: &Preprocess, batch: usize) -> Loader {
        Loader {
            dataset: dataset.clone(),
            preprocess: Arc::new(preprocess.clone()),
            batch: batch.max(1),
            threads: 0,
            shape: None,
            stopped: Arc::default(),
            pool: None,
            waiting: VecDeque::new(),
            sent: 0,
            next: 0,
        }
    }

    /// Decodes by `n` threads; 0 for as many as the machine has cores.
    pub fn threads(mut self, n: usize) -> Self {
        self.threads = n;
        self
    }

    /// Begins at this sample instead of the first: where an interrupted run stopped.
    pub fn starting_at(mut self, index: usize) -> Loader {
        (self.next, self.sent) = (index, index);
        self
    }

    /// Every sample must have this shape (without the batch axis). Otherwise that of the first counts.
    pub fn expect_shape(mut self, shape: Shape) -> Self {
        self.shape = Some(shape);
        self
    }

    /// Sends as many samples to be decoded as may be in memory. The iterator does so before it hands out a batch; whoever
    /// takes one by [`Loader::batch`] does it when the time is right.
    ///
    /// # Errors
    /// `IO` where no thread can be started.
    pub fn begin(&mut self) -> Result<()> {
        let pool = match &mut self.pool {
            Some(pool) => pool,
            // a pool of its own: waiting for a sample can then never block the thread that would decode it
            none => none.insert(thread_pool(self.threads)?),
        };
        let ahead = self.batch + 2 * pool.current_num_threads();
        while self.waiting.len() < ahead && self.sent < self.dataset.len() {
            let (sender, receiver) = sync_channel(1);
            let (dataset, preprocess, stopped, i) =
                (self.dataset.clone(), self.preprocess.clone(), self.stopped.clone(), self.sent);
            pool.spawn_fifo(move || {
                if !stopped.load(Ordering::Relaxed) {
                    let _ = sender.send(dataset.load(i, &preprocess)); // nobody waits any more: fine
                }
            });
            self.waiting.push_back(receiver);
            self.sent += 1;
        }
        Ok(())
    }

    /// The next batch, and nothing is decoded beyond what was sent. None at the end, and after an error.
    pub fn batch(&mut self) -> Option<Result<Batch>> {
        if self.next >= self.dataset.len() {
            return None;
        }
        let batch = self.next_batch();
        if batch.is_err() {
            self.next = self.dataset.len();
        }
        Some(batch)
    }

    fn next_batch(&mut self) -> Result<Batch> {
        self.begin()?;
        let (first_index, end) = (self.next, (self.next + self.batch).min(self.dataset.len()));
        let mut batch = Batch { first_index, samples: Vec::new(), skipped: Vec::new() };
        for index in first_index..end {
            let received = self.waiting.pop_front().and_then(|r| r.recv().ok());
            self.next += 1;
            match received.unwrap_or_else(|| Err(broken_decoder(self.dataset.name(index)))) {
                Ok(sample) => batch.samples.push(self.checked(sample)?),
                Err(e) if self.dataset.on_error() == OnError::Skip && is_unreadable(&e) => {
                    let name = self.dataset.name(index).to_string();
                    batch.skipped.push(Skipped { index, name, why: e.what.clone() });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(batch)
    }

    fn checked(&mut self, sample: Sample) -> Result<Sample> {
        let shape = self.shape.get_or_insert_with(|| sample.shape.clone());
        if *shape == sample.shape {
            return Ok(sample);
        }
        let hint = layout_hint(&sample.shape, shape)
            .unwrap_or("add a step `resize`, or `resize_short` and `crop`, to `preprocess.steps`");
        Err(Diagnostic::new(
            data::SAMPLE_SHAPE,
            format!("the sample has the shape {} after preprocessing", sample.shape),
        )
        .at(Place::Named(sample.name))
        .expected(format!("{shape}"))
        .help(hint))
    }
}

fn is_unreadable(e: &Diagnostic) -> bool {
    e.code == data::UNDECODABLE || e.code == machine::IO
}

fn broken_decoder(name: &str) -> Box<Diagnostic> {
    Diagnostic::new(data::UNDECODABLE, "the image's decoder broke down").at(Place::Named(name.into()))
}

fn thread_pool(threads: usize) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("loader-{i}"))
        .panic_handler(|_| {}) // a decoder that panics leaves its sample unsent, which `next_batch` reports
        .build()
        .map_err(|e| Diagnostic::new(machine::IO, format!("cannot start threads: {e}")))
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch()?;
        Some(batch.and_then(|batch| self.begin().map(|()| batch)))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed); // what is still waiting in the pool then does nothing
    }
}

#[cfg(test)]
mod tests;

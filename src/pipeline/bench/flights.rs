//! Batches in flight, from memory that is the caller's alone.

use super::{Input, Options, Run, no_pixels, numbers, values};
use crate::base::{Result, Shape};
use crate::engine::{Batch, Session};
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use std::collections::VecDeque;
use std::time::Instant;

/// Batches to submit again and again, and when those in flight began.
pub struct Flights {
    batches: Vec<Given>,
    next: usize,
    room: usize,
    begun: VecDeque<Instant>,
}

/// A batch in the caller's memory.
enum Given {
    Floats(Vec<ArrayD<f32>>),
    Pixels(ArrayD<u8>),
}

impl Flights {
    /// One batch more than can be in flight, each somewhere else: none is in a cache since it was last read.
    pub fn new(session: &mut Session, options: &Options) -> Result<Flights> {
        let room = session.in_flight(options.in_flight.unwrap_or(1))?;
        let dims = |one: &Shape| {
            let mut dims = one.0.clone();
            dims[0] *= options.batch;
            dims
        };
        let given = |seed: u64| -> Result<Given> {
            Ok(match options.input {
                Input::F32 => {
                    let input = |(_, one): &(String, Shape)| {
                        let mut x = ArrayD::zeros(IxDyn(&dims(one)));
                        numbers(x.as_slice_mut().unwrap_or_default(), seed);
                        x
                    };
                    Given::Floats(session.inputs().iter().map(input).collect())
                }
                Input::U8 => {
                    let mut x = ArrayD::zeros(IxDyn(&dims(session.pixels().ok_or_else(no_pixels)?)));
                    values(x.as_slice_mut().unwrap_or_default(), seed);
                    Given::Pixels(x)
                }
            })
        };
        let batches = (0..=room as u64).map(given).collect::<Result<_>>()?;
        Ok(Flights { batches, next: 0, room, begun: VecDeque::new() })
    }

    /// Submits a batch; the one that was waited for to make room, if any.
    pub fn next(&mut self, session: &mut Session) -> Result<Option<Run>> {
        let landed = if session.pending() == self.room { self.wait(session)? } else { None };
        self.begun.push_back(Instant::now());
        match &self.batches[self.next] {
            Given::Floats(all) => {
                let views: Vec<ArrayViewD<f32>> = all.iter().map(|x| x.view()).collect();
                session.submit(Batch::Floats(&views))?;
            }
            Given::Pixels(x) => session.submit(x.view())?,
        }
        self.next = (self.next + 1) % self.batches.len();
        Ok(landed)
    }

    /// Waits for all that are in flight.
    pub fn land(&mut self, session: &mut Session) -> Result<Vec<Run>> {
        std::iter::from_fn(|| self.wait(session).transpose()).collect()
    }

    fn wait(&mut self, session: &mut Session) -> Result<Option<Run>> {
        let landed = session.wait_timed()?;
        Ok(landed
            .zip(self.begun.pop_front())
            .map(|((_, parts), begun)| Run { total: begun.elapsed(), parts }))
    }
}

//! Counting what runs write where it lies, on the device: what a device may do of what a [`Tap`](super::Tap) would do on
//! the host. Plain numbers; what they are for is not a device's business.

use super::Operand;
use crate::base::Result;

/// Images are counted in so many groups.
pub const GROUPS: usize = 4;

/// Bins of each sign.
pub const BINS: usize = 4096;

/// So many batches may be begun and not ended: while one is counted, the next is on its way.
pub const BEGUN: usize = 2;

/// An executor that counts.
pub trait Counter {
    /// What is counted from now on; nothing is counted yet. Runs of so many images are made ready.
    fn watch(&mut self, what: &[Watched], images: usize) -> Result<()>;
    /// Begins to run and count as many images as there are groups in the list: image `i` in group `groups[i]`, below
    /// [`GROUPS`]. At most [`BEGUN`] batches are begun and not ended. The inputs may be written again when it returns.
    fn begin(&mut self, groups: &[usize]) -> Result<()>;
    /// Waits for the end of the batch that was begun first. For each thing watched, what was seen of each image.
    fn end(&mut self) -> Result<Vec<Seen>>;
    /// For each thing watched, what was counted in each group since it was last asked. All that was begun has ended.
    fn take(&mut self) -> Result<Vec<[Counts; GROUPS]>>;
}

/// Something to count: an f32 tensor.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which one.
    pub port: Port,
    /// How it is stored.
    pub operand: Operand,
    /// Channels that are told apart; 1 tells none apart.
    pub channels: usize,
    /// Values between two channels: value `i` of those that are stored is of channel `i / inner % channels`.
    pub inner: usize,
}

/// A tensor of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// An input of the caller's.
    Input(usize),
    /// What a step writes: its number, the output's.
    Output(usize, usize),
}

/// What was seen of an image of a tensor.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen {
    /// The largest finite magnitude.
    pub amax: f32,
    /// Are all values finite?
    pub finite: bool,
}

/// What was counted of a tensor. Exact, so in any order: values that are not finite are only counted, -0 is 0.
#[derive(Clone, PartialEq, Debug)]
pub struct Counts {
    /// Finite values.
    pub count: u64,
    /// Values equal to 0.
    pub zeros: u64,
    /// NaN and infinities.
    pub non_finite: u64,
    /// The smallest finite value; +inf before the first.
    pub min: f32,
    /// The largest finite value; -inf before the first.
    pub max: f32,
    /// The values above 0, then the magnitudes of those below: the exponent of the least power of two above all of them,
    /// and how many are in each of as many equal bins from 0 to it. None where there is no such value.
    pub sides: [Option<(i32, Box<[u64; BINS]>)>; 2],
    /// The largest finite magnitude of each channel; empty where they are not told apart.
    pub amax: Vec<f32>,
    /// The sum of each channel's values, each in units of 2^-32 rounded half to even, within 64 bits.
    pub sums: Vec<i128>,
}

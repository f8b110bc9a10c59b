//! Calibration: which range of a tensor its 8-bit integers cover.
//!
//! Three steps, each a value that the next one takes:
//!
//! 1. [`TensorStats`]: what is seen of a tensor while samples run, in fixed memory ([`stats`], [`histogram`],
//!    [`shards`]).
//! 2. [`methods`]: from statistics to a [`Range`](crate::base::quant::Range). A method is one file and one row of
//!    [`METHODS`].
//! 3. [`cache`] and [`trt`]: the result as a file, ours and TensorRT's.
//!
//! [`flags`] says in words what is odd about a tensor. This room sees numbers only: no graph, no device, no image.
//!
//! What must hold, and is tested:
//! - Statistics depend on which values were seen and in which sample, on nothing else: order, batch size, threads and
//!   merging leave the same bits.
//! - `0 < threshold <= largest magnitude` where there is a value other than 0; scaling values by a power of two scales
//!   the threshold by exactly that; sign and order do not matter.
//! - Writing and reading a cache changes no bit, so that a resumed calibration ends in the same file; a changed byte
//!   is noticed.
//!
//! ```
//! use quantize::base::quant::QuantParams;
//! use quantize::calib::methods::{Levels, MethodName, Options, range};
//! use quantize::calib::shards::TensorStats;
//!
//! let mut stats = TensorStats::new(1);
//! for sample in 0..10 {
//!     let values: Vec<f32> = (0..1000).map(|i| (i % 60) as f32 / 10.0).collect();
//!     stats.update(sample, &values, 1);
//! }
//! let MethodName::One(method) = "minmax".parse()? else { unreachable!() };
//! let range = range(&stats.all(), method, Levels::U8, false, &Options::default());
//! assert_eq!(range.hi, 5.9);
//! assert_eq!(QuantParams::unsigned(range).scale.get(), 5.9 / 255.0);
//! # Ok::<(), Box<quantize::base::Diagnostic>>(())
//! ```

pub mod cache;
pub mod flags;
#[cfg(test)]
mod golden;
pub mod histogram;
pub mod means;
pub mod methods;
pub mod noise;
pub mod shards;
pub mod stats;
mod tally;
pub mod trt;

pub use cache::Cache;
pub use methods::{METHODS, Method, MethodName};
pub use shards::TensorStats;
pub use stats::Stats;
pub use trt::TrtCache;

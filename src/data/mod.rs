//! Datasets and preprocessing: from files to the numbers that a model reads.
//!
//! A [`Dataset`] is an ordered list of samples (a folder of classes, a list file, an array); [`Preprocess`] says
//! how an image becomes numbers; a [`Loader`] decodes batches ahead, in parallel and in order.
//!
//! What must hold: the same files give the same samples in the same order, whatever the batch, the number of
//! threads or the machine.
//!
//! ```no_run
//! use quantize::data::{Dataset, Loader, Preprocess, Source};
//! # fn main() -> quantize::base::Result<()> {
//! let dataset = Dataset::open(&Source::folder("calib"))?.take(100);
//! for batch in Loader::new(&dataset, &Preprocess::default(), 16) {
//!     let images = batch?.tensor(); // [16, 3, H, W]
//! }
//! # Ok(())
//! # }
//! ```

pub mod array;
pub mod dataset;
pub mod loader;
pub mod picture;
pub mod preprocess;
pub mod resize;
pub mod shuffle;
pub mod source;

pub use array::write_npz;
pub use dataset::{Dataset, Sample};
pub use loader::{Batch, Loader, Skipped};
pub use picture::Picture;
pub use preprocess::{Channels, Layout, Preprocess, Size, Step, layout_hint};
pub use resize::Interpolation;
pub use source::{Form, OnError, Source};

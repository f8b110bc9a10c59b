//! The words everybody uses; knows nothing of networks.
//!
//! Numbers ([`DType`], [`Shape`], [`Tensor`], [`quant`]), errors ([`Diagnostic`] and the table of [`codes`]),
//! content keys ([`digest`]), repeatable random numbers ([`random`]), files written whole or not at all ([`files`]),
//! binary files of checksummed parts ([`sections`]), loops for wide registers ([`wide()`]), and the two things a
//! long stage owes its caller: progress and cancellation ([`monitor`]).

pub mod aligned;
pub mod codes;
pub mod copy;
pub mod cut;
pub mod diag;
pub mod digest;
pub mod dtype;
pub mod files;
pub mod index;
pub mod machine;
pub mod monitor;
pub mod nearest;
pub mod quant;
pub mod random;
pub mod sections;
pub mod shape;
pub mod tensor;
pub mod wide;

pub use aligned::Aligned;
pub use codes::Code;
pub use diag::{Diagnostic, Place, Result};
pub use digest::Digest;
pub use dtype::DType;
pub use monitor::{Monitor, Silent};
pub use shape::Shape;
pub use tensor::{Element, Tensor};
pub use wide::wide;

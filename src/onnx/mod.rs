//! Reading ONNX models: a file becomes a [`crate::ir::Graph`] for one image, or one clear error.
//!
//! ```text
//! file ─ proto ─► messages ─ order ─► sorted nodes ─ draft, dialect ─► nodes in today's terms
//!                                                        │
//!            inputs (shapes, batch), tensor, external ───┤
//!                                                        ▼
//!                              build: parse, infer, fold what is constant, take Q/DQ pairs in
//!                                                        │
//!                                                        ▼
//!                                                   Graph, verified
//! ```
//!
//! The operators are not known here: which exist, what their attributes mean and which inputs are parameters is the
//! table of [`crate::ir::ops`]. The exceptions: `dialect` (what older operator sets and other domains call things),
//! `chain` (operators of any number of inputs), `qdq` and `weights` (quantization is no node here), and `fold`
//! (operators that need only a shape).
//!
//! A file is not trusted: nothing is allocated before its size is known to be backed by the file or by a budget,
//! and every name, size, path and number is checked.

mod attrs;
mod build;
mod chain;
mod dialect;
mod draft;
mod external;
mod fold;
mod import;
mod inputs;
mod notes;
mod order;
mod ports;
pub mod proto;
mod qdq;
mod slots;
mod tensor;
mod weights;

#[cfg(any(test, feature = "testing"))]
pub mod fuzz;
#[cfg(test)]
mod tests;

pub use import::{Batch, ImportOptions, Imported, import, import_bytes};
pub use ports::{Port, ports};

//! The integration tests, in one binary: each further one would link the whole crate again.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod bad_input;
mod calibration;
mod cli;
mod docs;
mod evaluation;
mod fixture;
mod layering;
mod quantization;
mod rebuild;
mod signals;
mod tables;

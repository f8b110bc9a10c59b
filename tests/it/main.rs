//! The integration tests, in one binary: each further one would link the whole crate again.

mod bad_input;
mod cli;
mod fixture;
mod layering;
mod tables;

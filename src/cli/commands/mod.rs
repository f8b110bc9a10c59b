//! The subcommands, a file each: resolve, call the rooms below, print.

pub mod bench;
pub mod chain;
pub mod completions;
pub mod doctor;
pub mod explain;
pub mod inspect;
pub mod list;
pub mod rebuild;
pub mod report;
pub mod run;
pub mod schema;

//! NVIDIA GPUs. So far: what is found on the machine.

pub mod probe;

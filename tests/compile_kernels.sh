#!/usr/bin/env bash
# Compiles the full product: every variant of every family of GPU kernels, for every problem of the conformance suite and every
# architecture. Needs NVRTC (`pip install nvidia-cuda-nvrtc` into the active virtual environment) and hours, but no GPU.
# `cargo test` compiles each kind of kernel once. What is compiled is kept in QUANTIZE_KERNELS, by its text, so that a second
# run takes up where the first was stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export QUANTIZE_KERNELS=${QUANTIZE_KERNELS:-$PWD/target/kernels}
cargo test --release --lib every_kernel_compiles -- --ignored --nocapture

//! Products of two activations (attention), f32: the right matrix is packed into panels for each image.

use super::tile::{F32, GROUP, MR, NR, Product, Reach, tile};
use crate::base::{DType, Result};
use crate::device::cpu::simd::{Simd, with_simd};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::matmul::MatMulDims;
use std::marker::PhantomData;

/// The family.
pub struct BatchMatMul;

impl Family for BatchMatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn doc(&self) -> &'static str {
        "MatMul of two activations, f32"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let float = p.inputs.iter().all(|i| i.dtype == DType::F32 && !i.constant);
        match p.op() {
            Some(Op::MatMul(_)) if float && p.is_stored(Layout::Plain) => {
                vec![isa.min(Isa::Avx512Vnni).name()]
            }
            _ => vec![],
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let Ok(dims) = MatMulDims::of(&p.inputs[0].shape, &p.inputs[1].shape) else {
            unreachable!("a problem's shapes were inferred")
        };
        Ok(with_simd!(isa, S => Box::new(Batches::<S> { dims, simd: PhantomData })))
    }
}

struct Batches<S> {
    dims: MatMulDims,
    simd: PhantomData<S>,
}

impl<S: Simd> Batches<S> {
    /// Matrix `i` of an image, its right side packed into `panel` a block of columns at a time.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; no other task has this matrix.
    #[inline(always)]
    unsafe fn multiply(&self, io: &Io, image: usize, i: usize, panel: &mut [f32]) {
        let d = &self.dims;
        let a = &io.input::<f32>(0, image)[d.matrix[0][i] * d.m * d.k..][..d.m * d.k];
        let b = &io.input::<f32>(1, image)[d.matrix[1][i] * d.k * d.n..][..d.k * d.n];
        // SAFETY: the caller's promise.
        let y = unsafe { io.output::<f32>(0, image, i * d.m * d.n..(i + 1) * d.m * d.n) };
        let zeros = [0f32; NR];
        // SAFETY: the caller's promise.
        let mut acc = unsafe { [[S::splat(0); 1]; MR] };
        for first in (0..d.n).step_by(NR) {
            let n = NR.min(d.n - first);
            for (to, from) in panel.chunks_exact_mut(NR).zip(b.chunks_exact(d.n)) {
                to[..n].copy_from_slice(&from[first..first + n]);
                to[n..].fill(0.0);
            }
            for (c, r) in
                (0..n).step_by(S::LANES).flat_map(|c| (0..d.m).step_by(F32::rows::<S>()).map(move |r| (c, r)))
            {
                let (count, lanes) = (F32::rows::<S>().min(d.m - r), S::LANES.min(n - c));
                let rows: [usize; MR] = std::array::from_fn(|i| i * d.k * 4);
                // SAFETY: the panel has whole rows of `NR`, `a` has `count` rows from `r` on, `y` likewise.
                unsafe {
                    let reach = Reach {
                        base: a[r * d.k..].as_ptr().cast(),
                        taps: &[0],
                        groups: d.k,
                        panel: panel.as_ptr().cast::<u8>().add(c * GROUP),
                        skip: 0,
                        start: zeros.as_ptr().cast(),
                    };
                    tile::<S, F32, 1>(reach, &rows[..count], &mut acc);
                    for (i, acc) in acc.iter().enumerate().take(count) {
                        S::store_n(y[(r + i) * d.n + first + c..].as_mut_ptr().cast(), acc[0], lanes);
                    }
                }
            }
        }
    }
}

impl<S: Simd> Kernel for Batches<S> {
    fn tasks(&self) -> usize {
        self.dims.batch.numel()
    }

    fn scratch(&self) -> usize {
        self.dims.k * NR * 4
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let panel = bytemuck::cast_slice_mut(&mut scratch[..self.dims.k * NR * 4]);
        // SAFETY: `load` chose `S` for a CPU that has it; tasks differ in the matrix.
        unsafe {
            S::within(
                #[inline(always)]
                || self.multiply(io, image, task, panel),
            );
        }
    }
}

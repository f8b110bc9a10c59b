//! Products of two activations (attention), f32: the right matrix is packed into panels for each image.

use super::igemm::with_isa;
use super::product::{F32, MR, NR, Product, Tile};
use crate::base::{DType, Result};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::matmul::MatMulDims;

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
        Ok(Box::new(Product2 { dims, tile: F32::tile(isa), isa }))
    }
}

struct Product2 {
    dims: MatMulDims,
    tile: Tile<F32>,
    isa: Isa,
}

impl Product2 {
    fn multiply(&self, io: &Io, image: usize, i: usize, panel: &mut [f32]) {
        let d = &self.dims;
        let a = &io.input::<f32>(0, image)[d.matrix[0][i] * d.m * d.k..][..d.m * d.k];
        let b = &io.input::<f32>(1, image)[d.matrix[1][i] * d.k * d.n..][..d.k * d.n];
        // SAFETY: tasks differ in the matrix.
        let y = unsafe { io.output::<f32>(0, image, i * d.m * d.n..(i + 1) * d.m * d.n) };
        let mut acc = [[0f32; NR]; MR];
        for c in (0..d.n).step_by(NR) {
            let n = NR.min(d.n - c);
            for (to, from) in panel.chunks_exact_mut(NR).zip(b.chunks_exact(d.n)) {
                to[..n].copy_from_slice(&from[c..c + n]);
                to[n..].fill(0.0);
            }
            for r in (0..d.m).step_by(MR) {
                let rows = MR.min(d.m - r);
                (self.tile)(rows, &a[r * d.k..], d.k, d.k, panel, &[0.0; NR], &mut acc);
                for (row, acc) in acc.iter().enumerate().take(rows) {
                    y[(r + row) * d.n + c..][..n].copy_from_slice(&acc[..n]);
                }
            }
        }
    }
}

impl Kernel for Product2 {
    fn tasks(&self) -> usize {
        self.dims.batch.numel()
    }

    fn scratch(&self) -> usize {
        self.dims.k * NR * 4
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let panel = bytemuck::cast_slice_mut(&mut scratch[..self.dims.k * NR * 4]);
        with_isa(
            self.isa,
            #[inline(always)]
            || self.multiply(io, image, task, panel),
        );
    }
}

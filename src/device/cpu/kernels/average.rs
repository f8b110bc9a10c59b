//! Mean over windows or whole images. 8-bit: an exact i32 sum, one multiplication, one rounding.

use super::pool::dims;
use crate::base::codes::machine;
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::simd::with_isa;
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::numerics::Output;
use crate::device::{Bound, Layout, Numerics, Problem};
use crate::ir::Op;
use crate::ir::ops::{Geometry, Pool, PoolFn};

/// Channels summed at once.
const LANES: usize = 64;

/// The family.
pub struct AveragePool;

impl Family for AveragePool {
    fn name(&self) -> &'static str {
        "average"
    }

    fn doc(&self) -> &'static str {
        "mean over windows or the whole image, f32 and 8-bit"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        match p.op() {
            Some(Op::Pool(Pool { f: PoolFn::Average { .. }, .. })) if p.is_stored(Layout::ChannelsLast) => {
                vec![isa.min(Isa::Avx512Vnni).name()]
            }
            _ => vec![],
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let (channels, g) = dims(&step.problem);
        let Some(Op::Pool(pool)) = step.problem.op() else { unreachable!("`variants` asked for a Pool") };
        let dtype = step.problem.inputs[0].dtype;
        let int = match (&step.numerics, dtype) {
            (Numerics::Average { zero_point, ratio, output }, _) => Some((*zero_point, *ratio, *output)),
            (_, DType::F32) => None,
            _ => return Err(Diagnostic::new(machine::INTERNAL, format!("{} has no scales", step.problem))),
        };
        Ok(Box::new(Mean { channels, g, pool: pool.clone(), isa, dtype, int }))
    }
}

struct Mean {
    channels: usize,
    g: Geometry,
    pool: Pool,
    isa: Isa,
    dtype: DType,
    /// Zero point, ratio of the scales, output.
    int: Option<(i32, f64, Output)>,
}

impl Mean {
    /// The sums of a window for the channels from `c`.
    #[inline(always)]
    fn sums<T: bytemuck::Pod, A: Copy + std::ops::AddAssign>(
        &self,
        x: &[T],
        at: [usize; 2],
        c: usize,
        sums: &mut [A],
        wide: impl Fn(T) -> A,
    ) {
        let g = &self.g;
        for h in (0..g.kernel[0]).filter_map(|i| g.source(0, at[0], i)) {
            for w in (0..g.kernel[1]).filter_map(|j| g.source(1, at[1], j)) {
                let x = &x[(h * g.input[1] + w) * self.channels + c..][..sums.len()];
                sums.iter_mut().zip(x).for_each(|(s, &x)| *s += wide(x));
            }
        }
    }

    #[inline(always)]
    fn floats(&self, io: &Io, image: usize, at: [usize; 2], c: usize, n: usize) {
        let mut sums = [0f32; LANES];
        self.sums(io.input::<f32>(0, image), at, c, &mut sums[..n], |x| x);
        let count = self.pool.divisor(&self.g, at[0], at[1]) as f32;
        // SAFETY: tasks differ in their output row.
        let y = unsafe { io.output::<f32>(0, image, self.place(at, c, n)) };
        y.iter_mut().zip(&sums).for_each(|(y, s)| *y = s / count);
    }

    #[inline(always)]
    fn integers(
        &self,
        io: &Io,
        image: usize,
        at: [usize; 2],
        c: usize,
        n: usize,
        (zp, ratio, out): (i32, f64, Output),
    ) {
        let mut sums = [0i32; LANES];
        match self.dtype {
            DType::U8 => self.sums(io.input::<u8>(0, image), at, c, &mut sums[..n], |x| i32::from(x) - zp),
            _ => self.sums(io.input::<i8>(0, image), at, c, &mut sums[..n], |x| i32::from(x) - zp),
        }
        let factor = Numerics::factor(ratio, self.pool.divisor(&self.g, at[0], at[1]));
        let range = self.place(at, c, n);
        // SAFETY: tasks differ in their output row.
        unsafe {
            match out.quant {
                Some(_) => {
                    let y = io.output::<u8>(0, image, range);
                    y.iter_mut().zip(&sums).for_each(|(y, &s)| *y = out.store(s as f32 * factor) as u8);
                }
                None => {
                    let y = io.output::<f32>(0, image, range);
                    y.iter_mut().zip(&sums).for_each(|(y, &s)| *y = out.clamp(s as f32 * factor));
                }
            }
        }
    }

    fn place(&self, at: [usize; 2], c: usize, n: usize) -> std::ops::Range<usize> {
        let first = (at[0] * self.g.output[1] + at[1]) * self.channels + c;
        first..first + n
    }
}

impl Kernel for Mean {
    fn tasks(&self) -> usize {
        self.g.output[0]
    }

    fn run(&self, io: &Io, image: usize, oh: usize, _: &mut [u8]) {
        with_isa(
            self.isa,
            #[inline(always)]
            || {
                for ow in 0..self.g.output[1] {
                    for c in (0..self.channels).step_by(LANES) {
                        let n = LANES.min(self.channels - c);
                        match self.int {
                            Some(int) => self.integers(io, image, [oh, ow], c, n, int),
                            None => self.floats(io, image, [oh, ow], c, n),
                        }
                    }
                }
            },
        );
    }
}

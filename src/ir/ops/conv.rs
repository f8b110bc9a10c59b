//! `Conv`: convolution over height and width.
//!
//! Inputs: `x [1, C, H, W]`, `w [M, C/groups, kh, kw]`, optionally `bias [M]`, optionally a fused residual of the
//! output's shape `[1, M, OH, OW]`.

use super::{Fused, Operator, Role, Window};
use crate::base::{Shape, wide};
use crate::ir::array::{Array, Data};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;
use crate::ir::ops::Geometry;
use rayon::prelude::*;
use std::ops::Range;

/// Convolution, with what is fused into it.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct Conv {
    pub window: Window,
    pub groups: usize,
    pub fused: Fused,
}

impl Conv {
    /// The window on this input, with the kernel of this weight.
    pub fn geometry(&self, x: &Shape, w: &Shape) -> Check<Geometry> {
        let kernel = [w[2], w[3]];
        if self.window.kernel != [0, 0] && self.window.kernel != kernel {
            return Err(format!(
                "kernel_shape {:?} differs from the weight's {kernel:?}",
                self.window.kernel
            ));
        }
        self.window.on([x[2], x[3]], kernel)
    }
}

impl Operator for Conv {
    const KINDS: &'static [&'static str] = &["Conv"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        let groups = attrs.int("group")?.unwrap_or(1);
        let groups = usize::try_from(groups).ok().filter(|&g| g > 0).ok_or(format!("group is {groups}"))?;
        let window = Window { kernel: [0, 0], ..Window::parse(attrs)? }; // the weight has it
        Ok(Conv { window, groups, fused: Fused::parse(attrs)? })
    }

    fn kind(&self) -> &'static str {
        "Conv"
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new().with_unless(self.groups == 1, "group", Attr::Int(self.groups as i64));
        self.fused.write(self.window.write(attrs))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        self.fused.arity(inputs)?;
        let (x, w) = (&inputs[0].shape, &inputs[1].shape);
        if x.rank() != 4 || w.rank() != 4 {
            return Err(format!("input {x} and weight {w}: only two spatial axes are supported (rank 4)"));
        }
        if x[1] != w[1].saturating_mul(self.groups) || w[0] % self.groups != 0 {
            return Err(format!("input {x}, weight {w} and {} groups do not fit", self.groups));
        }
        let g = self.geometry(x, w)?;
        let out = Shape::from([x[0], w[0], g.output[0], g.output[1]]);
        self.fused.check(inputs, w[0], &out)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: out }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let (x, w) = (inputs[0], inputs[1]);
        let g = self.geometry(&x.shape, &w.shape)?;
        let shape = Shape::from([x.shape[0], w.shape[0], g.output[0], g.output[1]]);
        // integers too are multiplied as f64, which holds every sum of fewer than 2^53 exactly
        let mut y = convolve(&x.reals(), &w.reals(), &x.shape, &w.shape, self.groups, &g);
        let data = match (&x.data, &w.data) {
            (Data::Int(_), Data::Int(_)) => Data::Int(y.into_iter().map(|sum| sum as i64).collect()),
            _ => {
                let area = g.output[0] * g.output[1];
                self.fused.apply(&mut y, inputs, |i| i / area % w.shape[0]);
                Data::Real(y)
            }
        };
        Ok(vec![Array { shape, data }])
    }

    fn role(&self) -> Role {
        Role::Multiply { channel_axis: 0 }
    }

    fn macs(&self, inputs: &[Fact], output: &Fact) -> u64 {
        let w = &inputs[1].shape;
        output.shape.numel() as u64 * (w.numel() / w[0].max(1)) as u64
    }

    fn fused(&self) -> Fused {
        self.fused
    }
}

/// The sums alone, without bias. Each output map is the sum of its channels' shifted planes, one tap after the other:
/// every output adds up its products in the order channel, line, column.
fn convolve(x: &[f64], w: &[f64], xs: &Shape, ws: &Shape, groups: usize, g: &Geometry) -> Vec<f64> {
    let (channels, plane) = (xs[1], xs[2] * xs[3]);
    let (maps, depth, taps) = (ws[0], ws[1], ws[2] * ws[3]);
    let area = g.output[0] * g.output[1];
    let lines: Vec<_> = (0..ws[2]).map(|i| covered(g, 0, i)).collect();
    let columns: Vec<_> = (0..ws[3]).map(|j| covered(g, 1, j)).collect();
    let mut y = vec![0.0; xs[0] * maps * area];
    y.par_chunks_mut(area.max(1)).enumerate().for_each(|(map, y)| {
        let (n, m) = (map / maps, map % maps);
        let first = n * channels + m / (maps / groups) * depth;
        wide(
            #[inline(always)]
            || {
                for c in 0..depth {
                    let x = &x[(first + c) * plane..][..plane];
                    for tap in 0..taps {
                        let w = w[(m * depth + c) * taps + tap];
                        add_plane(y, x, w, &lines[tap / ws[3]], &columns[tap % ws[3]], g);
                    }
                }
            },
        );
    });
    y
}

/// The output lines (axis 0) or columns (axis 1) that the `k`-th of the kernel reads something for, and the first that it
/// reads.
fn covered(g: &Geometry, axis: usize, k: usize) -> (Range<usize>, usize) {
    let mut reading = (0..g.output[axis]).filter_map(|o| Some((o, g.source(axis, o, k)?)));
    let Some((from, first)) = reading.next() else { return (0..0, 0) };
    (from..reading.next_back().map_or(from, |(o, _)| o) + 1, first)
}

/// Adds `x` times `w` to an output plane, where `x` lies under it at these lines and columns.
#[inline(always)] // to be compiled for wide registers
fn add_plane(
    y: &mut [f64],
    x: &[f64],
    w: f64,
    (lines, top): &(Range<usize>, usize),
    (columns, left): &(Range<usize>, usize),
    g: &Geometry,
) {
    let [from, to] = [g.input[1], g.output[1]];
    if columns.len() == from && from == to && g.strides == [1, 1] {
        // whole lines, one after the other, are one
        return add_line(&mut y[lines.start * to..lines.end * to], &x[top * from..], w, 1);
    }
    for (n, o) in lines.clone().enumerate() {
        let line = top + n * g.strides[0];
        let x = &x[line * from + left..(line + 1) * from];
        add_line(&mut y[o * to..][columns.clone()], x, w, g.strides[1]);
    }
}

#[inline(always)]
fn add_line(y: &mut [f64], x: &[f64], w: f64, stride: usize) {
    if stride > 1 {
        return y.iter_mut().zip(x.iter().step_by(stride)).for_each(|(y, &x)| *y += x * w);
    }
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x * w;
    }
}

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
        let mut y = convolve(&x.as_reals(), &w.as_reals(), &x.shape, &w.shape, self.groups, &g);
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

/// Maps of a group whose sums are made side by side, where a group has some.
const SIDE_BY_SIDE: usize = 32;

/// The sums alone, without bias: every output adds up its products in the order channel, line, column.
fn convolve(x: &[f64], w: &[f64], xs: &Shape, ws: &Shape, groups: usize, g: &Geometry) -> Vec<f64> {
    let (channels, plane) = (xs[1], xs[2] * xs[3]);
    let (maps, depth, taps) = (ws[0] / groups, ws[1], ws[2] * ws[3]);
    let area = g.output[0] * g.output[1];
    let mut y = vec![0.0; xs[0] * ws[0] * area];
    let side = if maps < SIDE_BY_SIDE / 4 { 1 } else { SIDE_BY_SIDE };
    let reads = [reads(g, 0), reads(g, 1)];
    let of_group = |(at, y): (usize, &mut [f64])| {
        let (n, group) = (at / groups, at % groups);
        let x = &x[(n * channels + group * depth) * plane..][..depth * plane];
        let w = &w[group * maps * depth * taps..][..maps * depth * taps];
        let some = |(y, w): (&mut [f64], &[f64])| {
            wide(
                #[inline(always)]
                || match side {
                    1 => sums::<1>(y, x, w, g, &reads),
                    _ => sums::<SIDE_BY_SIDE>(y, x, w, g, &reads),
                },
            );
        };
        y.par_chunks_mut((side * area).max(1)).zip(w.par_chunks((side * depth * taps).max(1))).for_each(some);
    };
    y.par_chunks_mut((maps * area).max(1)).enumerate().for_each(of_group);
    y
}

/// For each output line (axis 0) or column (axis 1), those of the input that its window reads, with the kernel's.
fn reads(g: &Geometry, axis: usize) -> Vec<Vec<(usize, usize)>> {
    let of = |o| (0..g.kernel[axis]).filter_map(|k| Some((g.source(axis, o, k)?, k))).collect();
    (0..g.output[axis]).map(of).collect()
}

/// The sums of up to `N` maps over all channels of `x`.
#[inline(always)] // to be compiled for wide registers
fn sums<const N: usize>(
    y: &mut [f64],
    x: &[f64],
    w: &[f64],
    g: &Geometry,
    [lines, columns]: &[Vec<Vec<(usize, usize)>>; 2],
) {
    let (plane, taps) = (g.input[0] * g.input[1], g.kernel[0] * g.kernel[1]);
    let area = lines.len() * columns.len();
    let products = x.len() / plane.max(1) * taps;
    // the maps' weights side by side
    let mut weights = vec![[0.0; N]; products];
    for (map, w) in w.chunks(products.max(1)).enumerate() {
        weights.iter_mut().zip(w).for_each(|(side, &w)| side[map] = w);
    }
    for at in 0..area {
        let (lines, columns) = (&lines[at / columns.len()], &columns[at % columns.len()]);
        let mut sum = [0.0; N];
        for (x, weights) in x.chunks_exact(plane.max(1)).zip(weights.chunks_exact(taps.max(1))) {
            for (line, i) in lines {
                for (column, j) in columns {
                    let (x, w) = (x[line * g.input[1] + column], &weights[i * g.kernel[1] + j]);
                    for (sum, w) in sum.iter_mut().zip(w) {
                        *sum += x * w;
                    }
                }
            }
        }
        y.chunks_mut(area).zip(sum).for_each(|(y, sum)| y[at] = sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::SplitMix64;

    /// Fewer maps in a group than are summed side by side, as many and more, with every kind of window: the definition's
    /// sums, to the last bit.
    #[test]
    fn maps_side_by_side_have_the_sums_of_the_definition() {
        let mut random = SplitMix64::new(1);
        for (groups, maps, depth) in [(1, 3, 2), (1, 40, 5), (2, 64, 3), (7, 1, 1), (2, 9, 4)] {
            for (kernel, strides, dilations, begin, end) in [
                ([1, 1], [1, 1], [1, 1], [0, 0], [0, 0]),
                ([3, 3], [1, 1], [1, 1], [1, 1], [1, 1]),
                ([3, 2], [2, 3], [1, 2], [2, 0], [0, 1]),
                ([1, 5], [1, 1], [1, 1], [0, 4], [0, 4]),
            ] {
                let input = [7, 6];
                let of = |a: usize| {
                    (input[a] + begin[a] + end[a] - (kernel[a] - 1) * dilations[a] - 1) / strides[a] + 1
                };
                let g = Geometry { input, output: [of(0), of(1)], kernel, strides, dilations, begin, end };
                let xs = Shape::from([1, groups * depth, input[0], input[1]]);
                let ws = Shape::from([groups * maps, depth, kernel[0], kernel[1]]);
                let mut numbers =
                    |s: &Shape| -> Vec<f64> { (0..s.numel()).map(|_| random.signed_unit().into()).collect() };
                let (x, w) = (numbers(&xs), numbers(&ws));
                let sum = |m: usize, at: usize| {
                    let mut sum = 0.0;
                    for (c, i, j) in (0..depth * kernel[0] * kernel[1])
                        .map(|k| (k / kernel[1] / kernel[0], k / kernel[1] % kernel[0], k % kernel[1]))
                    {
                        let line = g.source(0, at / g.output[1], i);
                        let Some((l, k)) = line.zip(g.source(1, at % g.output[1], j)) else { continue };
                        let channel = m / maps * depth + c;
                        sum += x[(channel * input[0] + l) * input[1] + k]
                            * w[((m * depth + c) * kernel[0] + i) * kernel[1] + j];
                    }
                    sum
                };
                let area = g.output[0] * g.output[1];
                let want: Vec<f64> = (0..groups * maps * area).map(|i| sum(i / area, i % area)).collect();
                assert_eq!(convolve(&x, &w, &xs, &ws, groups, &g), want, "{groups} {maps} {depth} {g:?}");
            }
        }
    }
}

//! `Conv`: convolution over height and width.
//!
//! Inputs: `x [1, C, H, W]`, `w [M, C/groups, kh, kw]`, optionally `bias [M]`, optionally a fused residual of the
//! output's shape `[1, M, OH, OW]`.

use super::{Fused, Operator, Role, Window};
use crate::base::Shape;
use crate::ir::array::{Array, Data, Number};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;
use crate::ir::ops::Geometry;

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
        let data = match (&x.data, &w.data) {
            (Data::Int(a), Data::Int(b)) => Data::Int(convolve(a, b, &x.shape, &w.shape, self.groups, &g)),
            _ => {
                let mut y = convolve(&x.reals(), &w.reals(), &x.shape, &w.shape, self.groups, &g);
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

/// The sums alone, without bias.
fn convolve<T: Number>(x: &[T], w: &[T], xs: &Shape, ws: &Shape, groups: usize, g: &Geometry) -> Vec<T> {
    let (channels, height, width) = (xs[1], xs[2], xs[3]);
    let (maps, depth, kh, kw) = (ws[0], ws[1], ws[2], ws[3]);
    let mut y = Vec::with_capacity(xs[0] * maps * g.output[0] * g.output[1]);
    for n in 0..xs[0] {
        for m in 0..maps {
            let first = m / (maps / groups) * depth;
            for oh in 0..g.output[0] {
                for ow in 0..g.output[1] {
                    let mut sum = T::ZERO;
                    for c in 0..depth {
                        for i in 0..kh {
                            let Some(h) = g.source(0, oh, i) else { continue };
                            for j in 0..kw {
                                let Some(v) = g.source(1, ow, j) else { continue };
                                let a = x[((n * channels + first + c) * height + h) * width + v];
                                sum = sum + a * w[((m * depth + c) * kh + i) * kw + j];
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

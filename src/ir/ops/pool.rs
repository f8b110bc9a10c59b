//! `MaxPool`, `AveragePool` and their global forms, over height and width. Input and output: `[1, C, H, W]`.

use super::{Geometry, Operator, Pads, Role, Window, arity};
use crate::base::Shape;
use crate::ir::array::{Array, Data, Number};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// What a pooling takes of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolFn {
    /// The largest element; padding does not count.
    Max,
    /// The mean; `include_pad` divides by the whole window, zeros of the padding among it.
    Average {
        /// Count the padding.
        include_pad: bool,
    },
}

/// Pooling over windows, or over the whole image.
#[derive(Clone, PartialEq, Debug)]
pub struct Pool {
    /// What it takes.
    pub f: PoolFn,
    /// The window; `None` is the whole image.
    pub window: Option<Window>,
}

impl Pool {
    /// The window on an input of this shape.
    pub fn geometry(&self, x: &Shape) -> Check<Geometry> {
        let size = [x[2], x[3]];
        match &self.window {
            Some(w) => w.on(size, w.kernel),
            None => Window::new(size, [1, 1]).on(size, size),
        }
    }

    /// How many elements the mean at output (`oh`, `ow`) divides by.
    pub fn divisor(&self, g: &Geometry, oh: usize, ow: usize) -> usize {
        let count = |axis: usize, o: usize| match self.f {
            // ONNX: the padding counts, what hangs over it (ceil_mode) does not
            PoolFn::Average { include_pad: true } => (0..g.kernel[axis])
                .filter(|k| {
                    o * g.strides[axis] + k * g.dilations[axis] < g.input[axis] + g.begin[axis] + g.end[axis]
                })
                .count(),
            _ => (0..g.kernel[axis]).filter(|&k| g.source(axis, o, k).is_some()).count(),
        };
        count(0, oh) * count(1, ow)
    }
}

impl Operator for Pool {
    const KINDS: &'static [&'static str] = &["MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"];

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let f = match kind {
            "MaxPool" | "GlobalMaxPool" => PoolFn::Max,
            _ => PoolFn::Average { include_pad: attrs.flag("count_include_pad", false)? },
        };
        if attrs.flag("storage_order", false)? {
            return Err("storage_order=1 (column-major indices) is not supported".into());
        }
        let window = match kind.starts_with("Global") {
            true => None,
            false => Some(Window::parse(attrs)?),
        };
        if window.as_ref().is_some_and(|w| w.kernel == [0, 0]) {
            return Err("attribute `kernel_shape` is missing".into());
        }
        Ok(Pool { f, window })
    }

    fn kind(&self) -> &'static str {
        match (self.f, &self.window) {
            (PoolFn::Max, Some(_)) => "MaxPool",
            (PoolFn::Max, None) => "GlobalMaxPool",
            (PoolFn::Average { .. }, Some(_)) => "AveragePool",
            (PoolFn::Average { .. }, None) => "GlobalAveragePool",
        }
    }

    fn attrs(&self) -> Attrs {
        let include = matches!(self.f, PoolFn::Average { include_pad: true });
        let attrs = Attrs::new().with_unless(!include, "count_include_pad", Attr::Int(1));
        self.window.as_ref().map_or(attrs.clone(), |w| w.write(attrs))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        let x = &inputs[0].shape;
        if x.rank() != 4 {
            return Err(format!("input {x}: only two spatial axes are supported (rank 4)"));
        }
        if let Some(Pads::Explicit(p)) = self.window.as_ref().map(|w| w.pads) {
            let k = self.window.as_ref().map_or([0; 2], |w| w.kernel);
            if (0..4).any(|i| p[i] >= k[i % 2].max(1)) {
                return Err(format!("pads {p:?} are as large as the window {k:?}"));
            }
        }
        let g = self.geometry(x)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: [x[0], x[1], g.output[0], g.output[1]].into() }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        let g = self.geometry(&x.shape)?;
        let shape = Shape::from([x.shape[0], x.shape[1], g.output[0], g.output[1]]);
        let data = match (&x.data, self.f) {
            (Data::Int(v), PoolFn::Max) => Data::Int(fold(v, &x.shape, &g, i64::LOWEST, i64::max)),
            (Data::Real(v), PoolFn::Max) => Data::Real(fold(v, &x.shape, &g, f64::LOWEST, f64::max)),
            // sums of integers: the quantized node multiplies by its own factor
            (Data::Int(v), PoolFn::Average { .. }) => Data::Int(fold(v, &x.shape, &g, 0, |a, b| a + b)),
            (Data::Real(v), PoolFn::Average { .. }) => {
                let mut y = fold(v, &x.shape, &g, 0.0, |a, b| a + b);
                let area = g.output[0] * g.output[1];
                for (i, y) in y.iter_mut().enumerate() {
                    *y /= self.divisor(&g, i % area / g.output[1], i % g.output[1]) as f64;
                }
                Data::Real(y)
            }
        };
        Ok(vec![Array { shape, data }])
    }

    fn role(&self) -> Role {
        match self.f {
            PoolFn::Max => Role::Move,
            PoolFn::Average { .. } => Role::Average,
        }
    }
}

/// Folds every window with `f`, from `start`.
fn fold<T: Number>(x: &[T], xs: &Shape, g: &Geometry, start: T, f: fn(T, T) -> T) -> Vec<T> {
    let mut y = Vec::with_capacity(xs[0] * xs[1] * g.output[0] * g.output[1]);
    for image in x.chunks_exact((xs[2] * xs[3]).max(1)) {
        for oh in 0..g.output[0] {
            for ow in 0..g.output[1] {
                let mut acc = start;
                for i in 0..g.kernel[0] {
                    let Some(h) = g.source(0, oh, i) else { continue };
                    for j in 0..g.kernel[1] {
                        let Some(w) = g.source(1, ow, j) else { continue };
                        acc = f(acc, image[h * xs[3] + w]);
                    }
                }
                y.push(acc);
            }
        }
    }
    y
}

//! Products of two matrices that are both computed: MatMul with its batches, Gemm. f32 and f16 in f32; other types in f64, as the
//! definition has them.

use super::values::{self, Kind};
use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing};
use crate::base::{DType, Result, Shape};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Axis, Text};
use crate::device::{Numerics, Operand, Problem};
use crate::ir::Op;
use crate::ir::array::broadcast_strides;

/// The family.
pub struct Product;

/// Rows and columns that a block computes.
const TILE: usize = 64;

impl Family for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn doc(&self) -> &'static str {
        "products of computed matrices, batched or not, tiles in shared memory"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        let stored = |o: &Operand| o.dtype != DType::BF16;
        let known = spec.numerics == &Numerics::Float && p.inputs.iter().chain(&p.outputs).all(stored);
        if known && countable(p) && Matrices::of(p).is_some() { vec!["tiles".into()] } else { vec![] }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let m = Matrices::of(p).ok_or_else(|| missing(p))?;
        let kind = Kind::of(p.inputs.iter().map(|o| o.dtype));
        // the definition's products are of reals
        let kind = if kind == Kind::Float { kind } else { Kind::Double };
        let mut text = values::numbers(Text::default().parameters(p), kind)
            .define("SUM_T", "N")
            .define("STORED(t)", values::write(p.outputs[0].dtype, "t"))
            .defines(&[("ROWS", m.rows), ("COLUMNS", m.columns), ("DEEP", m.depth)])
            .defines(&[("A_ROW", m.a.apart[0]), ("A_COLUMN", m.a.apart[1])])
            .defines(&[("B_ROW", m.b.apart[0]), ("B_COLUMN", m.b.apart[1])])
            .defines(&[("Y_ROW", m.y.apart[0]), ("Y_COLUMN", m.y.apart[1])])
            .walk("x0_matrix", &m.a.batch)
            .walk("x1_matrix", &m.b.batch)
            .walk("y0_matrix", &m.y.batch);
        if let Some(Op::Gemm(g)) = p.op() {
            text = text.number("ALPHA", g.alpha);
            if let Some(c) = p.inputs.get(2) {
                let y = &p.outputs[0].shape;
                text = text.number("BETA", g.beta).walk("x2_at", &broadcast(c, y));
            }
        }
        Ok(text.raw(include_str!("../kernels/product.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let m = Matrices::of(spec.problem).ok_or_else(|| missing(spec.problem))?;
        let tiles = m.rows.div_ceil(TILE) * m.columns.div_ceil(TILE) * m.count;
        let args = Args::default().operands(at).constants(at);
        Ok(vec![Launch::images("product", tiles * BLOCK as usize, BLOCK, at, args)])
    }
}

/// Matrices of an operand: elements from row to row and from column to column, and the axes from one to the next.
struct Side {
    apart: [usize; 2],
    batch: Vec<Axis>,
}

/// `y[rows, columns] = a[rows, depth] b[depth, columns]`, `count` times.
struct Matrices {
    rows: usize,
    depth: usize,
    columns: usize,
    count: usize,
    a: Side,
    b: Side,
    y: Side,
}

impl Matrices {
    fn of(p: &Problem) -> Option<Matrices> {
        let (a, b, y) = (p.inputs.first()?, p.inputs.get(1)?, p.outputs.first()?);
        let (a, b, y) = (Stored::of(a), Stored::of(b), Stored::of(y));
        let (a, b, y) = match p.op()? {
            // a vector is a row on the left and a column on the right, and the result has no such axis
            Op::MatMul(_) => {
                let (row, column) = (a.rank() == 1, b.rank() == 1);
                let y = if row { y.with_axis(usize::from(!column)) } else { y };
                let y = if column { y.with_axis(0) } else { y };
                (if row { a.with_axis(1) } else { a }, if column { b.with_axis(0) } else { b }, y)
            }
            Op::Gemm(g) => {
                (if g.trans_a { a.transposed() } else { a }, if g.trans_b { b.transposed() } else { b }, y)
            }
            _ => return None,
        };
        let heads = Shape(y.shape[..y.rank() - 2].to_vec());
        let side = |s: &Stored| s.side(&heads);
        let [rows, depth] = a.last_two();
        Some(Matrices {
            rows,
            depth,
            columns: b.last_two()[1],
            count: heads.numel(),
            a: side(&a),
            b: side(&b),
            y: side(&y),
        })
    }
}

/// Sizes and strides of an operand's axes.
struct Stored {
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Stored {
    fn of(o: &Operand) -> Stored {
        Stored { shape: o.shape.to_vec(), strides: o.strides() }
    }

    fn rank(&self) -> usize {
        self.shape.len()
    }

    fn last_two(&self) -> [usize; 2] {
        [self.shape[self.rank() - 2], self.shape[self.rank() - 1]]
    }

    /// With an axis of one element, so many before the end.
    fn with_axis(mut self, from_end: usize) -> Stored {
        let at = self.rank() - from_end;
        self.shape.insert(at, 1);
        self.strides.insert(at, 0);
        self
    }

    fn transposed(mut self) -> Stored {
        self.shape.reverse();
        self.strides.reverse();
        self
    }

    /// The last two axes, and the others as they are met along these.
    fn side(&self, heads: &Shape) -> Side {
        let n = self.rank() - 2;
        let skip = heads.rank() - n;
        let stride = |i: usize| match i.checked_sub(skip) {
            Some(own) if self.shape[own] > 1 => self.strides[own],
            _ => 0,
        };
        let batch = heads.iter().enumerate().map(|(i, &count)| Axis { count, stride: stride(i) }).collect();
        Side { apart: [self.strides[n], self.strides[n + 1]], batch }
    }
}

/// The walk over a constant or computed addend that meets every element of an output of this shape, row-major.
fn broadcast(c: &Operand, y: &Shape) -> Vec<Axis> {
    let strides = broadcast_strides(&c.shape, y);
    y.iter().zip(strides).map(|(&count, stride)| Axis { count, stride }).collect()
}

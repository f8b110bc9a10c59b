//! Conversions between layouts, and between types and scales on the way. Those that keep the layout are `elementwise`.

use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing, values};
use crate::base::Result;
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::Text;
use crate::device::{Layout, Problem, Work};

/// The family.
pub struct Reformat;

/// Most channels of a pixel that one thread takes.
const FEW: usize = 16;
/// Rows and columns of a tile.
const TILE: usize = 32;

/// A matrix that is transposed: rows and columns as they are read, elements from row to row, read and written.
struct Matrix {
    rows: usize,
    columns: usize,
    pitch: [usize; 2],
}

impl Matrix {
    fn of(p: &Problem) -> Option<Matrix> {
        let (x, y) = (&p.inputs[0], &p.outputs[0]);
        let &[1, c, h, w] = &x.shape[..] else { return None };
        match (&p.work, x.layout, y.layout) {
            (Work::Reformat, Layout::Plain, Layout::ChannelsLast) if x.pitch.is_none() => {
                Some(Matrix { rows: c, columns: h * w, pitch: [h * w, y.pitch.unwrap_or(c)] })
            }
            (Work::Reformat, Layout::ChannelsLast, Layout::Plain) if y.pitch.is_none() => {
                Some(Matrix { rows: h * w, columns: c, pitch: [x.pitch.unwrap_or(c), h * w] })
            }
            _ => None,
        }
    }

    /// Does a thread take a pixel?
    fn by_pixels(&self, p: &Problem) -> bool {
        p.outputs[0].layout == Layout::ChannelsLast && self.rows <= FEW
    }
}

impl Family for Reformat {
    fn name(&self) -> &'static str {
        "reformat"
    }

    fn doc(&self) -> &'static str {
        "conversions between layouts, and between types and scales on the way"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        match Matrix::of(p).filter(|_| countable(p) && values::value(Text::default(), spec).is_some()) {
            Some(m) if m.by_pixels(p) => vec!["pixels".into()],
            Some(_) => vec!["tiles".into()],
            None => vec![],
        }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let m = Matrix::of(p).ok_or_else(|| missing(p))?;
        let text = Text::default().parameters(p).define("Y_PITCH", m.pitch[1]);
        let text = match m.by_pixels(p) {
            true => {
                let bytes = m.pitch[1] * p.outputs[0].dtype.size();
                let align = 1 << bytes.trailing_zeros().min(4);
                text.defines(&[("CHANNELS", m.rows), ("PIXELS", m.columns), ("ROWS_ALIGN", align)])
            }
            false => text.defines(&[("ROWS", m.rows), ("COLUMNS", m.columns), ("X_PITCH", m.pitch[0])]),
        };
        let text = values::value(text, spec).ok_or_else(|| missing(p))?;
        Ok(text.raw(include_str!("../kernels/reformat.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let m = Matrix::of(spec.problem).ok_or_else(|| missing(spec.problem))?;
        let args = Args::default().operands(at);
        Ok(vec![match (m.by_pixels(spec.problem), at.aligned(16)) {
            (true, true) => Launch::images("pixels", m.columns, BLOCK, at, args),
            (true, false) => Launch::images("pixels_anywhere", m.columns, BLOCK, at, args),
            (false, _) => {
                let tiles = m.rows.div_ceil(TILE) * m.columns.div_ceil(TILE);
                Launch::images("tiles", tiles * BLOCK as usize, BLOCK, at, args)
            }
        }])
    }
}

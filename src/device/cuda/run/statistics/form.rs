//! How what is watched lies, and how blocks divide it.

use super::{CHANNELS, MOST_LANES, STEPS, THREADS};
use crate::device::counter::Watched;

/// An image as the kernel sees it: rows that lie apart.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Form {
    /// Rows.
    pub rows: usize,
    /// Numbers of a row.
    pub cols: usize,
    /// Numbers from row to row.
    pub pitch: usize,
    /// 0 where channels are not told apart.
    pub channels: usize,
    /// Are the columns the channels?
    pub columns: bool,
    /// Where columns are not the channels: rows that are of the same one.
    pub rows_a_channel: usize,
}

impl Form {
    /// Of something watched.
    pub fn of(w: &Watched) -> Self {
        let (o, n) = (&w.operand, w.operand.shape.numel());
        let channels = if w.channels > 1 { w.channels } else { 0 };
        let columns = channels > 0 && w.inner == 1 && (o.pitch.is_none() || o.row() == channels);
        let cols = match (columns, o.pitch, channels) {
            (true, ..) => channels,
            (_, Some(_), _) => o.row(),
            (_, None, 0) => n,
            _ => w.inner,
        }
        .max(1);
        let pitch = o.pitch.unwrap_or(cols);
        Form { rows: n / cols, cols, pitch, channels, columns, rows_a_channel: (w.inner / cols).max(1) }
    }

    /// Words of a group.
    pub fn words(&self) -> usize {
        CHANNELS + 2 * self.channels + self.channels.div_ceil(2)
    }

    /// How the kernel divides images that begin at multiples of so many bytes.
    pub fn split(&self, aligned: bool) -> Split {
        let vector =
            if aligned && self.cols.is_multiple_of(4) && self.pitch.is_multiple_of(4) { 4 } else { 1 };
        let (vectors, unroll) = (self.cols / vector, if vector == 1 { 8 } else { 4 });
        let (strips, lanes) = match self.columns {
            true => (vectors.div_ceil(MOST_LANES), vectors.div_ceil(vectors.div_ceil(MOST_LANES))),
            false => (1, 1),
        };
        let items = match self.columns {
            true => strips * self.rows.div_ceil(THREADS / lanes * unroll * STEPS),
            false => self.rows * self.cols.div_ceil(THREADS * vector * unroll * STEPS),
        };
        Split { vector, lanes, strips, items }
    }
}

/// Pieces of images.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Split {
    /// Numbers that a thread reads at once.
    pub vector: usize,
    /// Vectors of columns that the threads of a block share.
    pub lanes: usize,
    /// Strips of vectors, side by side.
    pub strips: usize,
    /// Pieces of an image that blocks take one after the other.
    pub items: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{DType, Shape};
    use crate::device::counter::Port;
    use crate::device::{Layout, Operand};

    fn form(shape: &[usize], layout: Layout, pitch: Option<usize>, channels: usize, inner: usize) -> Form {
        let operand = Operand { pitch, ..Operand::new(DType::F32, Shape::new(shape), layout) };
        Form::of(&Watched { port: Port::Input(0), operand, channels, inner })
    }

    /// Rows, columns, from row to row, rows of a channel; whether columns are the channels.
    fn parts(f: Form) -> ([usize; 4], bool) {
        ([f.rows, f.cols, f.pitch, f.rows_a_channel], f.columns)
    }

    #[test]
    fn images_are_rows_that_lie_apart() {
        let last = |pitch| parts(form(&[1, 96, 7, 5], Layout::ChannelsLast, pitch, 96, 1));
        assert_eq!(last(None), ([35, 96, 96, 1], true));
        assert_eq!(last(Some(128)), ([35, 96, 128, 1], true));
        let first = |pitch| parts(form(&[1, 3, 8, 9], Layout::Plain, pitch, 3, 72));
        assert_eq!(first(None), ([3, 72, 72, 1], false));
        assert_eq!(first(Some(12)), ([24, 9, 12, 8], false));
        assert_eq!(parts(form(&[1, 40, 1, 1], Layout::Plain, Some(3), 40, 1)), ([40, 1, 3, 1], false));
        assert_eq!(parts(form(&[77], Layout::Plain, None, 1, 1)), ([1, 77, 77, 1], false));
    }

    #[test]
    fn threads_share_columns_in_strips() {
        let f = form(&[1, 2048, 7, 7], Layout::ChannelsLast, None, 2048, 1);
        assert_eq!(f.split(true), Split { vector: 4, lanes: 32, strips: 16, items: 16 });
        assert_eq!(f.split(false), Split { vector: 1, lanes: 32, strips: 64, items: 64 });
        let f = form(&[1, 96, 28, 28], Layout::ChannelsLast, None, 96, 1);
        assert_eq!(f.split(true), Split { vector: 4, lanes: 24, strips: 1, items: 5 });
    }
}

//! Pixels of a picture to what a model reads: a table for each channel.

use super::elementwise::{BLOCK, chunk};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Numerics, Operand, PixelTables, Problem, Work};
use bytemuck::Pod;

/// The family.
pub struct Lookup;

impl Family for Lookup {
    fn name(&self) -> &'static str {
        "pixels"
    }

    fn doc(&self) -> &'static str {
        "pixels of a picture to what a model reads, by a table for each channel"
    }

    fn variants(&self, p: &Problem, _: Isa) -> Vec<&'static str> {
        match p.work {
            Work::Pixels => vec!["tables"],
            _ => vec![],
        }
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        match &step.numerics {
            Numerics::Pixels(t) if t.fits(p) => Ok(match p.outputs[0].dtype.size() {
                1 => Box::new(Tables::<u8>::new(p, t)),
                2 => Box::new(Tables::<u16>::new(p, t)),
                4 => Box::new(Tables::<u32>::new(p, t)),
                _ => Box::new(Tables::<u64>::new(p, t)),
            }),
            _ => Err(Diagnostic::new(machine::INTERNAL, format!("{p} has no tables"))),
        }
    }
}

/// Tables of numbers that are stored as a `T`.
struct Tables<T> {
    from: Vec<usize>,
    tables: Vec<[T; 256]>,
    pixels: usize,
    x: Grid,
    y: Grid,
}

/// How far apart neighbouring pixels and channels lie, in elements.
#[derive(Clone, Copy)]
struct Grid {
    pixel: usize,
    channel: usize,
}

impl Grid {
    fn of(o: &Operand, axis: usize) -> Grid {
        let strides = o.strides();
        // rows of pixels follow one another
        Grid { pixel: strides[if axis == 3 { 2 } else { 3 }], channel: strides[axis] }
    }
}

impl<T: Pod> Tables<T> {
    fn new(p: &Problem, t: &PixelTables) -> Self {
        let (x, y) = (&p.inputs[0], &p.outputs[0]);
        let table = |bytes: &Vec<u8>| {
            let numbers: Vec<T> = bytemuck::pod_collect_to_vec(bytes);
            std::array::from_fn(|v| numbers[v])
        };
        Tables {
            from: t.from.clone(),
            tables: t.tables.iter().map(table).collect(),
            pixels: x.shape.numel() / t.from.len().max(1),
            x: Grid::of(x, t.axis),
            y: Grid::of(y, t.axis),
        }
    }

    /// Pixels whose `C` channels lie side by side, on both sides.
    fn side_by_side<const C: usize>(&self, x: &[u8], y: &mut [T]) {
        let tables: [&[T; 256]; C] = std::array::from_fn(|c| &self.tables[c]);
        let from: [usize; C] = std::array::from_fn(|c| self.from[c].min(C - 1));
        for (x, y) in x.as_chunks::<C>().0.iter().zip(y.as_chunks_mut::<C>().0) {
            *y = std::array::from_fn(|c| tables[c][usize::from(x[from[c]])]);
        }
    }
}

impl<T: Pod + Send + Sync> Kernel for Tables<T> {
    fn tasks(&self) -> usize {
        self.pixels.div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let (x, y, range) = (self.x, self.y, chunk(task, self.pixels));
        let pixels = io.input::<u8>(0, image);
        if range.is_empty() {
            return;
        }
        // of a picture of one pixel the strides do not tell how its channels lie
        if [x.channel, y.channel, x.pixel, y.pixel] == [1, 1, 3, 3] && self.from.len() == 3 {
            // SAFETY: tasks differ in their pixels.
            let to = unsafe { io.output::<T>(0, image, range.start * y.pixel..range.end * y.pixel) };
            return self.side_by_side::<3>(&pixels[range.start * x.pixel..range.end * x.pixel], to);
        }
        for (c, (table, from)) in self.tables.iter().zip(&self.from).enumerate() {
            let [first, last] = [range.start, range.end - 1].map(|p| c * y.channel + p * y.pixel);
            // SAFETY: as above; one channel is written after the other.
            let to = unsafe { io.output::<T>(0, image, first..last + 1) };
            let values = pixels[from * x.channel..].iter().skip(range.start * x.pixel).step_by(x.pixel);
            to.iter_mut().step_by(y.pixel).zip(values).for_each(|(y, v)| *y = table[usize::from(*v)]);
        }
    }
}

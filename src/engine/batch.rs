//! What a session runs: arrays of floats, or pictures.

use super::Session;
use crate::base::codes::engine;
use crate::base::{Diagnostic, Result, Shape};
use bytemuck::Pod;
use ndarray::ArrayViewD;

/// A batch of images. [`Session::run`] takes what can become one.
#[derive(Clone, Debug)]
pub enum Batch<'a> {
    /// `&[x.view()]`: for each input an array `[n, ..]` of numbers as the model reads them.
    Floats(&'a [ArrayViewD<'a, f32>]),
    /// `x.view()`: pictures `[n, H, W, C]`, 8 bits a channel, red before green before blue, cropped and resized, with
    /// nothing else done to them: scale, mean, deviation and the order of channels are the engine's. For engines that
    /// were built with a `preprocess` section.
    Pixels(ArrayViewD<'a, u8>),
}

impl<'a> From<&'a [ArrayViewD<'a, f32>]> for Batch<'a> {
    fn from(x: &'a [ArrayViewD<'a, f32>]) -> Self {
        Batch::Floats(x)
    }
}

impl<'a, const N: usize> From<&'a [ArrayViewD<'a, f32>; N]> for Batch<'a> {
    fn from(x: &'a [ArrayViewD<'a, f32>; N]) -> Self {
        Batch::Floats(x)
    }
}

impl<'a> From<ArrayViewD<'a, u8>> for Batch<'a> {
    fn from(x: ArrayViewD<'a, u8>) -> Self {
        Batch::Pixels(x)
    }
}

impl Session {
    /// Writes a batch into the session's inputs; returns its size.
    pub fn fill<'a>(&mut self, batch: impl Into<Batch<'a>>) -> Result<usize> {
        let batch = batch.into();
        let n = self.images(&batch)?;
        match &batch {
            Batch::Floats(arrays) => {
                let input = |(i, x)| copy(x, bytemuck::cast_slice_mut(self.executor.input(i, n)));
                arrays.iter().enumerate().for_each(input);
            }
            Batch::Pixels(x) => copy(x, self.executor.pixels(n).unwrap_or_default()),
        }
        Ok(n)
    }

    /// The number of images of a batch.
    ///
    /// # Errors
    /// `BAD_INPUT` where it does not fit the engine.
    pub(super) fn images(&self, batch: &Batch) -> Result<usize> {
        let rows = |shape: &[usize]| shape.first().copied().unwrap_or(0);
        match batch {
            Batch::Floats(arrays) => {
                if arrays.len() != self.inputs.len() {
                    let what = format!("{} inputs were given", arrays.len());
                    let want = format!("{} inputs", self.inputs.len());
                    return Err(Diagnostic::new(engine::BAD_INPUT, what).expected(want));
                }
                let n = arrays.first().map_or(0, |x| rows(x.shape()));
                for (x, (name, shape)) in arrays.iter().zip(&self.inputs) {
                    self.stacked(&format!("input {name}"), shape, x.shape(), n)?;
                }
                Ok(n)
            }
            Batch::Pixels(x) => {
                let none = || {
                    Diagnostic::new(engine::BAD_INPUT, "the engine takes no pixels").help(
                        "build it from a configuration with a `preprocess` section; its only input must be a picture",
                    )
                };
                let shape = self.pixels.as_ref().ok_or_else(none)?;
                self.stacked("the array of pictures", shape, x.shape(), rows(x.shape()))?;
                Ok(rows(x.shape()))
            }
        }
    }

    /// Is an array of this shape `n` images, and can a run have so many?
    fn stacked(&self, what: &str, one: &Shape, got: &[usize], n: usize) -> Result<()> {
        if got.first() == Some(&n) && got.get(1..) == Some(&one[1..]) && (1..=self.max_batch).contains(&n) {
            return Ok(());
        }
        let mut want = one.to_string();
        want.replace_range(..2, &format!("[1..{}", self.max_batch));
        Err(Diagnostic::new(engine::BAD_INPUT, format!("{what} has shape {got:?}")).expected(want))
    }
}

/// Copies the elements in the order of the shape.
fn copy<T: Pod>(from: &ArrayViewD<T>, to: &mut [T]) {
    match from.as_slice() {
        Some(from) => to.copy_from_slice(from),
        None => to.iter_mut().zip(from.iter()).for_each(|(to, from)| *to = *from),
    }
}

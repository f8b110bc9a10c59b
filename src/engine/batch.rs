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
        match batch.into() {
            Batch::Floats(arrays) => self.fill_floats(arrays),
            Batch::Pixels(pictures) => self.fill_pixels(&pictures),
        }
    }

    fn fill_floats(&mut self, arrays: &[ArrayViewD<f32>]) -> Result<usize> {
        if arrays.len() != self.inputs.len() {
            let what = format!("{} inputs were given", arrays.len());
            return Err(
                Diagnostic::new(engine::BAD_INPUT, what).expected(format!("{} inputs", self.inputs.len()))
            );
        }
        let n = arrays.first().map_or(0, |x| x.shape().first().copied().unwrap_or(0));
        for (i, x) in arrays.iter().enumerate() {
            let (name, shape) = &self.inputs[i];
            self.stacked(&format!("input {name}"), shape, x.shape(), n)?;
            copy(x, bytemuck::cast_slice_mut(self.executor.input(i, n)));
        }
        Ok(n)
    }

    fn fill_pixels(&mut self, pictures: &ArrayViewD<u8>) -> Result<usize> {
        let none = || {
            Diagnostic::new(engine::BAD_INPUT, "the engine takes no pixels").help(
                "build it from a configuration with a `preprocess` section; its only input must be a picture",
            )
        };
        let n = pictures.shape().first().copied().unwrap_or(0);
        let shape = self.pixels.as_ref().ok_or_else(none)?;
        self.stacked("the array of pictures", shape, pictures.shape(), n)?;
        copy(pictures, self.executor.pixels(n).ok_or_else(none)?);
        Ok(n)
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

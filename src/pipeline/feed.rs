//! Samples into the only input of a session.

use crate::base::Shape;
use crate::engine::Session;
use rayon::prelude::*;

/// The shape of one sample, without the batch axis.
pub fn input_shape(session: &Session) -> Shape {
    Shape::new(&session.inputs()[0].1[1..])
}

/// Writes samples, each as many numbers as [`input_shape`] has, one after the other.
pub fn fill<'s>(session: &mut Session, samples: impl ExactSizeIterator<Item = &'s [f32]>) {
    let each = session.inputs()[0].1.numel();
    let samples: Vec<&[f32]> = samples.collect();
    let input = session.input_mut(0, samples.len());
    // on all threads: one is no match for a GPU
    input.par_chunks_exact_mut(each.max(1)).zip(samples).for_each(|(to, from)| to.copy_from_slice(from));
}

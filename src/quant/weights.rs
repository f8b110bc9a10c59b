//! Scales of weights: one per output channel, from the channel's largest magnitude.

use crate::base::quant::{Scale, quantize_weight};
use crate::base::{Tensor, wide};
use crate::ir::ChannelScales;
use rayon::prelude::*;

/// Threads share the runs of a weight, so many numbers at a time at least.
const SHARE: usize = 1 << 14;

/// `amax / 127` for each index of `axis`; 1 for a channel of zeros.
pub fn channel_scales(w: &Tensor, axis: usize) -> ChannelScales {
    let (run, channels) = (run(w, axis), w.shape()[axis]);
    let values = w.to_f32();
    let runs: Vec<f32> = values.par_chunks(run).with_min_len(SHARE / run).map(amax).collect();
    let mut amax = vec![0f32; channels];
    runs.iter().enumerate().for_each(|(i, &m)| amax[i % channels] = amax[i % channels].max(m));
    ChannelScales { axis, scales: amax.into_iter().map(Scale::symmetric).collect() }
}

/// The weight as s8 in [-127, 127].
pub fn quantize(w: &Tensor, channels: &ChannelScales) -> Tensor {
    let (run, values) = (run(w, channels.axis), w.to_f32());
    let mut q = vec![0i8; values.len()];
    let runs = q.par_chunks_mut(run).zip(values.par_chunks(run)).with_min_len(SHARE / run);
    runs.enumerate().for_each(|(i, (q, values))| {
        let scale = channels.scales[i % channels.scales.len()];
        wide(
            #[inline(always)]
            || q.iter_mut().zip(values).for_each(|(q, &v)| *q = quantize_weight(v, scale)),
        );
    });
    Tensor::new(w.shape().clone(), &q)
}

/// How many neighbours are of one channel.
fn run(w: &Tensor, axis: usize) -> usize {
    w.shape()[axis + 1..].iter().product::<usize>().max(1)
}

/// The largest magnitude, by eight side by side.
fn amax(values: &[f32]) -> f32 {
    let mut amax = [0f32; 8];
    wide(
        #[inline(always)]
        || {
            for values in values.chunks(8) {
                amax.iter_mut().zip(values).for_each(|(m, v)| *m = m.max(v.abs()));
            }
        },
    );
    amax.into_iter().fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Along any axis, with channels of zeros, more runs than a thread takes and lengths that fill no register.
    #[test]
    fn every_number_is_divided_by_the_scale_of_its_channel() {
        for (shape, axis) in [([3, 5, 7], 0), ([3, 5, 7], 1), ([3, 5, 7], 2), ([600, 3, 33], 0)] {
            let value =
                |i: usize| if i.is_multiple_of(11) { 0.0 } else { (i as f32 * 0.37).sin() * (i % 13) as f32 };
            let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
            let w = Tensor::new(shape, &values);
            let inner: usize = shape[axis + 1..].iter().product();
            let of = |channel| move |(i, _): &(usize, &f32)| i / inner % shape[axis] == channel;
            let found = channel_scales(&w, axis);
            let q = quantize(&w, &found);
            for (channel, &scale) in found.scales.iter().enumerate() {
                let own = || values.iter().enumerate().filter(of(channel));
                assert_eq!(scale, Scale::symmetric(own().fold(0.0, |m, (_, v)| m.max(v.abs()))));
                let bytes = q.as_slice::<i8>().unwrap();
                assert!(own().all(|(i, &v)| bytes[i] == quantize_weight(v, scale)), "{shape:?} {axis}");
            }
        }
    }
}

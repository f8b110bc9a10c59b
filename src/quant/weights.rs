//! Scales of weights: one per output channel, from the channel's largest magnitude.

use crate::base::Tensor;
use crate::base::quant::{Scale, quantize_weight};
use crate::ir::ChannelScales;

/// `amax / 127` for each index of `axis`; 1 for a channel of zeros.
pub fn channel_scales(w: &Tensor, axis: usize) -> ChannelScales {
    let inner: usize = w.shape()[axis + 1..].iter().product();
    let mut amax = vec![0f32; w.shape()[axis]];
    for (i, v) in w.to_f32().iter().enumerate() {
        let c = i / inner.max(1) % amax.len();
        amax[c] = amax[c].max(v.abs());
    }
    ChannelScales { axis, scales: amax.into_iter().map(Scale::symmetric).collect() }
}

/// The weight as s8 in [-127, 127].
pub fn quantize(w: &Tensor, channels: &ChannelScales) -> Tensor {
    let inner: usize = w.shape()[channels.axis + 1..].iter().product();
    let scale = |i: usize| channels.scales[i / inner.max(1) % channels.scales.len()];
    let q: Vec<i8> = w.to_f32().iter().enumerate().map(|(i, &v)| quantize_weight(v, scale(i))).collect();
    Tensor::new(w.shape().clone(), &q)
}

//! The mean of whole images and the products of their channels in 8 bits, as one step: the head of a classifier.
//! See `kernels/pool_linear.cu` for how.

use super::multiply::{self, Sizes};
use super::{Args, BLOCK, BY_DP4A, Family, Launch, Places, Spec, missing};
use crate::base::{DType, Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use crate::device::cuda::text::Text;
use crate::device::numerics::Output;
use crate::device::{Layout, Numerics, Problem};
use crate::ir::Op;
use std::fmt;
use std::str::FromStr;

/// The family.
pub struct PoolLinear;

/// Warps of a block.
const WARPS: usize = BLOCK as usize / 32;
/// Bytes of weights that a lane has of each output in a step.
const LANE: usize = 16;
/// Channels whose sums a thread has.
const CHANNELS: usize = 8;
/// Threads that share the pixels of these, at most.
const MOST_ROWS: usize = 16;
/// Registers of a thread for weights, at most.
const MOST_WEIGHTS: usize = 64;
/// Blocks of a cluster, at most.
const MOST_CLUSTER: usize = 8;

/// `8x1-cluster8`: blocks of 8 outputs of one image, in clusters of 8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Variant {
    outputs: usize,
    images: usize,
    cluster: usize,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}-cluster{}", self.outputs, self.images, self.cluster)
    }
}

impl FromStr for Variant {
    type Err = ();
    fn from_str(s: &str) -> std::result::Result<Self, ()> {
        let (size, cluster) = s.split_once("-cluster").ok_or(())?;
        let (outputs, images) = size.split_once('x').ok_or(())?;
        let number = |s: &str| s.parse().map_err(|_| ());
        Ok(Variant { outputs: number(outputs)?, images: number(images)?, cluster: number(cluster)? })
    }
}

/// A pair as this family computes it.
struct Kernel<'a> {
    /// Of the products.
    sizes: Sizes,
    /// Pixels of an image, bytes of one, and are they signed?
    members: usize,
    pitch: usize,
    signed: bool,
    /// Of the images.
    zero_point: i32,
    /// Of a sum.
    factor: f32,
    /// The mean as it would be stored.
    mean: &'a Output,
    signed_mean: bool,
}

impl<'a> Kernel<'a> {
    /// The kernel of a pair's halves, if it can be.
    fn of(first: &Spec<'a>, second: &Spec) -> Option<Self> {
        let Some(Op::Pool(pool)) = first.problem.op() else { return None };
        let (x, y) = (&first.problem.inputs[0], &first.problem.outputs[0]);
        let Numerics::Average { zero_point, ratio, output } = first.numerics else { return None };
        let Numerics::Multiply { .. } = second.numerics else { return None };
        let (g, sizes) = (pool.geometry(&x.shape).ok()?, Sizes::of(second.problem)?);
        let w = &sizes.window;
        let whole = g.kernel == g.input && g.output == [1, 1] && g.begin == [0, 0] && g.end == [0, 0];
        let alone = [w.kernel, w.input, w.output] == [[1, 1]; 3] && w.begin == [0, 0] && sizes.groups == 1;
        let members = g.kernel[0] * g.kernel[1];
        let kernel = Kernel {
            members,
            pitch: multiply::pitch(x, x.shape[1]),
            signed: x.dtype == DType::I8,
            zero_point: *zero_point,
            factor: Numerics::factor(*ratio, members),
            mean: output,
            signed_mean: y.dtype == DType::I8,
            sizes,
        };
        let stored = first.problem.is_stored(Layout::ChannelsLast) && x.dtype.is_int8() && y.dtype.is_int8();
        // a sum of an image is exact in 32 bits, and a thread reads 8 channels at once
        let fits = members < 1 << 23 && kernel.pitch.is_multiple_of(CHANNELS);
        (whole && alone && stored && fits).then_some(kernel)
    }

    /// Channels of a block's part of the means.
    fn share(&self, v: &Variant) -> usize {
        self.sizes.channels.div_ceil(LANE).div_ceil(v.cluster) * LANE
    }

    /// Bytes of a row of weights: the channels of all parts.
    fn depth(&self, v: &Variant) -> usize {
        self.share(v) * v.cluster
    }

    /// Threads that take neighbouring channels, and those that share their pixels.
    fn columns_and_rows(&self, v: &Variant) -> [usize; 2] {
        let threads = BLOCK as usize;
        let columns = (self.share(v) / CHANNELS).min(threads);
        [columns, (threads / columns).clamp(1, MOST_ROWS)]
    }

    /// Bytes of shared memory: sums of every row of threads, and all means.
    fn shared(&self, v: &Variant) -> usize {
        v.images * (self.columns_and_rows(v)[1] * self.share(v) * 4 + self.depth(v))
    }

    /// Blocks along the outputs: whole clusters.
    fn blocks(&self, v: &Variant) -> usize {
        self.sizes.outputs.div_ceil(v.outputs).next_multiple_of(v.cluster)
    }

    /// Blocks from few outputs of one image, which occupy the whole GPU, to many of several, which read least. Where there
    /// are clusters, once without.
    fn candidates(&self, spec: &Spec) -> Vec<Variant> {
        let most = if spec.gpu.arch.major >= 9 { MOST_CLUSTER } else { 1 };
        let parts = self.sizes.channels.div_ceil(LANE);
        let cluster = (1..=most).rev().find(|n| n.is_power_of_two() && *n <= parts).unwrap_or(1);
        let sizes = [1, 4].into_iter().flat_map(|images| [1, 2, 4].map(|n| (n * WARPS, images)));
        let alone = (cluster > 1).then_some(Variant { outputs: WARPS, images: 1, cluster: 1 });
        let all = sizes.map(|(outputs, images)| Variant { outputs, images, cluster }).chain(alone);
        let fits = |v: &Variant| {
            let registers = v.outputs / WARPS * self.depth(v).div_ceil(32 * LANE) * (LANE / 4);
            // no more outputs a block where fewer are one cluster already
            let fewer = Variant { outputs: v.outputs / 2, ..*v };
            let useful = v.outputs == WARPS || self.blocks(&fewer) > v.cluster;
            useful && registers <= MOST_WEIGHTS && self.shared(v) <= spec.gpu.shared
        };
        all.filter(fits).collect()
    }

    fn text(&self, v: &Variant, second: &Spec) -> Result<Text> {
        let [columns, rows] = self.columns_and_rows(v);
        let text = multiply::text(second)?.defines(&[
            ("MEMBERS", self.members),
            ("IN_PITCH", self.pitch),
            ("IN_SIGNED", self.signed.into()),
            ("MEAN_SIGNED", self.signed_mean.into()),
            ("OUTPUTS_EACH", v.outputs),
            ("IMAGES", v.images),
            ("CLUSTER", v.cluster),
            ("SHARE", self.share(v)),
            ("COLUMNS", columns),
            ("ROWS", rows),
            ("WIDTH", 32),
        ]);
        let mean = if self.signed_mean { DType::I8 } else { DType::U8 };
        let text = (text.define("ZEROS", format!("({})", i64::from(self.zero_point) * self.members as i64)))
            .number("FACTOR", self.factor)
            .store("mean", self.mean, mean);
        let text = text.raw(include_str!("../kernels/finish.cuh")).raw(include_str!("../kernels/fold.cuh"));
        let text = text.raw(include_str!("../kernels/dp4a.cuh"));
        let text = if v.cluster > 1 { text.raw(include_str!("../kernels/cluster.cuh")) } else { text };
        Ok(text.raw(include_str!("../kernels/pool_linear.cu")))
    }
}

impl Family for PoolLinear {
    fn name(&self) -> &'static str {
        "pool-linear"
    }

    fn doc(&self) -> &'static str {
        "mean of whole images and the products of its channels, 8-bit: dp4a, means shared by a cluster"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let candidates = |first: &Spec, second: &Spec| Some(Kernel::of(first, second)?.candidates(spec));
        let all = spec.halves(candidates).flatten().unwrap_or_default();
        all.iter().map(Variant::to_string).collect()
    }

    fn products_per_cycle(&self, _: &Problem) -> Option<f64> {
        Some(BY_DP4A)
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        with(spec, |kernel, v, second| Ok(kernel.text(v, second)?.source()))
    }

    /// Weights in rows of whole parts, scales, and what the zero point of the mean adds to each sum.
    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        with(spec, |kernel, v, second| {
            let (c, depth) = (kernel.sizes.channels, kernel.depth(v));
            let [m, b] = multiply::scales(second, tensors);
            let zeros = multiply::offsets(multiply::zero_point(second), &tensors[0]);
            let weights = multiply::padded(&tensors[0], 1, [c, c], [kernel.sizes.outputs, depth]);
            Ok(vec![weights, m, b, bytemuck::cast_slice(&zeros).to_vec()])
        })
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        with(spec, |kernel, v, second| {
            let x = at.inputs[0];
            let eights = |n: u64| n.is_multiple_of(CHANNELS as u64);
            if !eights(x.address) || !(eights(x.stride) || at.images == 1) {
                return Err(missing(second.problem));
            }
            let shape = Shape {
                grid: [kernel.blocks(v) as u32, at.images.div_ceil(v.images as u32), 1],
                block: BLOCK,
                shared: kernel.shared(v) as u32,
                cluster: v.cluster as u32,
                chained: true,
            };
            let args = Args::default().operands(at).constants(at).with(at.images);
            Ok(vec![Launch { kernel: "pool_linear", shape, args }])
        })
    }
}

/// What is made of the pair's kernel, its variant and the spec of the products.
fn with<T>(spec: &Spec, make: impl Fn(&Kernel, &Variant, &Spec) -> Result<T>) -> Result<T> {
    let refused = || missing(spec.problem);
    let v = spec.variant.parse().map_err(|()| refused())?;
    spec.halves(|first, second| {
        // a file may name what was never offered
        let kernel = Kernel::of(first, second).filter(|k| k.candidates(spec).contains(&v));
        make(&kernel.ok_or_else(refused)?, &v, second)
    })
    .unwrap_or_else(|| Err(refused()))
}

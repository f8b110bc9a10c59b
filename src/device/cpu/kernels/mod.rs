//! Kernels of the CPU, one family a file, one row each in [`FAMILIES`].

use super::Family;

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
mod amx;
mod average;
mod bands;
mod depthwise;
mod depthwise_conv;
mod direct;
mod divide;
mod edges;
mod elementwise;
mod epilogue;
mod functions;
mod igemm;
mod matmul;
mod members;
mod mixed;
mod moves;
mod normalize;
mod peak;
mod pixels;
mod plain;
mod pool;
mod reduce;
mod reformat;
mod resize;
mod rows;
mod tile;
mod window;

pub use peak::peak;

/// The table of families, in the order in which a tuner meets them.
pub static FAMILIES: &[&dyn Family] = &[
    &igemm::Igemm,                  // Conv, Linear: pixels by packed weights, in tiles
    &depthwise::Depthwise,          // Conv with one channel a group
    &depthwise_conv::DepthwiseConv, // Conv with one channel a group and the 1x1 Conv behind it
    &direct::Direct,                // any Conv: plain loops over channels-last images
    &matmul::BatchMatMul,           // MatMul of two activations, f32
    &pool::MaxPool,                 // maximum over windows
    &average::AveragePool,          // mean over windows
    &elementwise::Map,              // functions of one tensor: f32, or a table of 256 bytes
    &elementwise::Pairs,            // functions of two tensors
    &mixed::Mixed,                  // Cast, Where, comparisons; functions of other types than f32
    &moves::Move,                   // Transpose, Concat, Slice, Pad, ...: an index for each element
    &rows::Rows,                    // Softmax, LayerNormalization
    &normalize::Normalization,      // GroupNormalization, InstanceNormalization, LRN
    &resize::Interpolation,         // Resize, linear
    &reduce::Reduction,             // mean, sum, extremes over axes
    &members::Members,              // any reduction over any axes, ArgMax
    &reformat::Convert,             // between types, scales and layouts
    &pixels::Lookup,                // pixels of a picture, by tables
    &plain::Plain,                  // any float operator by its definition
];

//! The rules, one file each, in the order in which they run.

mod activation;
mod batch_norm;
mod batch_norm_fold;
mod bias;
mod clamp_pair;
mod dead_code;
mod fold_constants;
mod gelu;
mod gemm_to_linear;
mod global_pool;
mod hard_swish;
mod identity;
mod layer_norm;
mod matmul_to_linear;
mod mean_to_pool;
mod min_max_to_clip;
mod pad;
mod quant_through_moves;
mod reshape_chain;
mod residual;
mod scale;
mod silu;
mod sub_constant;
mod transpose_pair;

use super::Rule;

/// Every rule, in order: what is superfluous goes first, then come the patterns that later rules would take apart,
/// normal forms, what folds into weights, and at last what fuses into an epilogue.
pub static RULES: &[&dyn Rule] = &[
    // what is superfluous
    &dead_code::DeadCode,
    &fold_constants::FoldConstants,
    &quant_through_moves::QuantThroughMoves,
    &identity::DropIdentity,
    &transpose_pair::TransposePair,
    &reshape_chain::ReshapeChain,
    // functions written out
    &layer_norm::LayerNormPattern,
    &gelu::Gelu,
    &silu::Silu,
    &hard_swish::HardSwish,
    // normal forms
    &gemm_to_linear::GemmToLinear,
    &matmul_to_linear::MatMulToLinear,
    &sub_constant::SubConstant,
    &mean_to_pool::MeanToPool,
    &global_pool::GlobalPool,
    &min_max_to_clip::MinMaxToClip,
    &clamp_pair::ClampPair,
    // into weights and windows
    &bias::Bias,
    &scale::ScaleWeights,
    &batch_norm_fold::BatchNormFold,
    &batch_norm::BatchNormAlone,
    &pad::PadIntoWindow,
    // into epilogues
    &residual::Residual,
    &activation::ActivationFold,
];

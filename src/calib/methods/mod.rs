//! Calibration methods: from the statistics of a tensor to the range its integers cover.
//!
//! A method is one file and one row of [`METHODS`]. It sees magnitudes only ([`Magnitudes`]); [`range`] applies it to
//! the sides of a tensor that its integer type has. `auto` is no method: it compares the others' ranges by the
//! error they cause, which takes running the network, and [`choose`] then picks.

mod divergence;
mod entropy;
mod entropy_trt;
mod minmax;
mod mse;
mod percentile;

use super::stats::{Magnitudes, Stats};
use crate::base::codes::calibration::UNKNOWN_METHOD;
use crate::base::nearest::nearest;
use crate::base::quant::Range;
use crate::base::{Diagnostic, Result};
use std::fmt;
use std::str::FromStr;

/// Every method, in the order in which users see them and in which ties of `auto` are decided.
pub static METHODS: &[&dyn Method] =
    &[&minmax::MinMax, &percentile::Percentile, &entropy::Entropy, &entropy_trt::EntropyTrt, &mse::Mse];

/// The name that stands for choosing a method per tensor.
pub const AUTO: &str = "auto";

/// A way to choose the largest magnitude that integers represent; what is larger is clipped.
pub trait Method: Sync {
    /// The name in configurations and reports.
    fn name(&self) -> &'static str;

    /// What it does, in a line.
    fn doc(&self) -> &'static str;

    /// May `auto` choose it? Not a method that clips without a bound: held-out samples of calibration data are too few to
    /// show what such a threshold does to the rare tensors that need their whole range.
    fn is_bounded(&self) -> bool {
        true
    }

    /// The threshold: above 0 and at most `m.max` where there is a magnitude above 0, which the caller sees to.
    fn amax(&self, m: &Magnitudes, levels: Levels, options: &Options) -> f32;
}

/// The integers that magnitudes are mapped to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Levels {
    /// Half of a signed byte: 0 to 127.
    S8,
    /// An unsigned byte: 0 to 255.
    U8,
}

impl Levels {
    /// The integer that stands for the threshold: 127 or 255.
    pub fn max_code(self) -> u32 {
        match self {
            Levels::S8 => 127,
            Levels::U8 => 255,
        }
    }

    /// The number of integers from 0 on: 128 or 256.
    pub fn codes(self) -> usize {
        self.max_code() as usize + 1
    }
}

/// Settings of methods.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Options {
    /// For `percentile`: the share of values, in percent, that is not clipped.
    pub percentile: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { percentile: 99.99 }
    }
}

/// The range of a tensor by `method`: `[-T, T]` for `S8`, `[0, T]` for `U8`, and for `U8` with a zero point
/// (`asymmetric`) a threshold for each sign from its own histogram, the other sign's values counting as zeros. An
/// all-zero tensor has the range `[0, 0]`.
pub fn range(
    stats: &Stats,
    method: &dyn Method,
    levels: Levels,
    asymmetric: bool,
    options: &Options,
) -> Range {
    let amax = |m: Magnitudes| if m.max > 0.0 { method.amax(&m, levels, options) } else { 0.0 };
    match levels {
        Levels::S8 => Range::symmetric(amax(stats.magnitudes())),
        Levels::U8 => {
            let lo = if asymmetric { amax(stats.negative_side()) } else { 0.0 };
            Range { lo: 0.0 - lo, hi: amax(stats.positive_side()) }
        }
    }
}

/// The method with the smallest error, and the others from better to worse. Ties go to the method that comes first
/// in `errors`; an error that is NaN is the worst. `None` where there is no candidate.
pub fn choose<T: Copy>(errors: &[(T, f64)]) -> Option<(T, Vec<(T, f64)>)> {
    let mut sorted = errors.to_vec();
    // a stable sort; `abs` sends a negative NaN where the positive one is, and errors are not negative
    sorted.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let winner = sorted.first()?.0;
    sorted.remove(0);
    Some((winner, sorted))
}

/// A method's name as the user gives it: one of [`METHODS`] or `auto`.
#[derive(Clone, Copy)]
pub enum MethodName {
    /// The same method for every tensor.
    One(&'static dyn Method),
    /// Per tensor the method whose error at the consumers' outputs is the smallest.
    Auto,
}

impl MethodName {
    /// Every name there is.
    pub fn all() -> impl Iterator<Item = &'static str> {
        METHODS.iter().map(|m| m.name()).chain([AUTO])
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            MethodName::One(m) => m.name(),
            MethodName::Auto => AUTO,
        }
    }
}

/// The method with this name, if there is one.
pub fn find(name: &str) -> Option<&'static dyn Method> {
    METHODS.iter().copied().find(|m| m.name() == name)
}

impl FromStr for MethodName {
    type Err = Box<Diagnostic>;

    fn from_str(s: &str) -> Result<Self> {
        if s == AUTO {
            return Ok(MethodName::Auto);
        }
        find(s).map(MethodName::One).ok_or_else(|| {
            let names: Vec<_> = MethodName::all().collect();
            let d = Diagnostic::new(UNKNOWN_METHOD, format!("unknown calibration method `{s}`"))
                .expected(format!("one of {}", names.join(", ")));
            match nearest(s, names) {
                Some(n) => d.help(format!("did you mean `{n}`?")),
                None => d,
            }
        })
    }
}

impl PartialEq for MethodName {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;

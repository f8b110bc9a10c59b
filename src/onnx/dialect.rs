//! Older operator sets and other domains in today's terms, the terms of [`crate::ir::ops`]. One row a difference.

use super::chain::is_chain;
use super::draft::Draft;
use crate::base::Shape;
use crate::ir::attrs::Check;
use crate::ir::{Attr, ops};

/// Operators of other domains that mean a standard one: domain, their name, the standard name.
static FOREIGN: &[(&str, &str, &str)] = &[
    ("com.microsoft", "Gelu", "Gelu"),
    ("com.microsoft", "QuantizeLinear", "QuantizeLinear"),
    ("com.microsoft", "DequantizeLinear", "DequantizeLinear"),
];

/// The standard operator that an operator of this domain means, if there is one.
pub(super) fn standard(domain: &str, kind: &str) -> Option<String> {
    match domain {
        "" => Some(kind.to_string()),
        _ => FOREIGN.iter().find(|f| f.0 == domain && f.1 == kind).map(|f| f.2.to_string()),
    }
}

/// Is this standard operator in the table of operators, or read by the importer itself?
pub(super) fn is_known(kind: &str) -> bool {
    ops::row(kind).is_some() || is_chain(kind) || ["Constant", "Swish"].contains(&kind)
}

/// A difference: what an operator meant before a version of the standard operator set.
struct Older {
    kind: &'static str,
    /// The first version that no longer needs it.
    before: i64,
    /// Rewrites the node, given the shape of its first input if that is known.
    rewrite: fn(&mut Draft, Option<&Shape>) -> Check<()>,
}

static OLDER: &[Older] = &[
    Older { kind: "Softmax", before: 13, rewrite: flattening },
    Older { kind: "LogSoftmax", before: 13, rewrite: flattening },
    Older { kind: "Split", before: i64::MAX, rewrite: count_parts },
    Older { kind: "Swish", before: i64::MAX, rewrite: swish },
];

/// Brings a node into today's terms.
pub(super) fn modernize(d: &mut Draft, first_input: Option<&Shape>) -> Check<()> {
    let rows: Vec<_> = OLDER.iter().filter(|o| o.kind == d.kind && d.opset < o.before).collect();
    rows.into_iter().try_for_each(|o| (o.rewrite)(d, first_input))
}

/// Before opset 13 the sum of Softmax ran over `axis` (1 by default) and all axes after it. The same as today's where
/// only one of them is longer than 1.
fn flattening(d: &mut Draft, x: Option<&Shape>) -> Check<()> {
    let stated = d.attrs.int("axis")?.unwrap_or(1);
    let Some(x) = x else { return Ok(()) };
    let axis = x.axis(stated).ok_or_else(|| format!("has axis {stated} for input {x}"))?;
    let longer: Vec<usize> = (axis..x.rank()).filter(|&a| x[a] != 1).collect();
    let (own, flatten) = match longer[..] {
        [] => (axis, false),
        [one] => (one, false),
        _ => (axis, true),
    };
    d.attrs.0.insert("axis".into(), Attr::Int(own as i64));
    if flatten {
        d.attrs.0.insert("flatten".into(), Attr::Int(1));
    }
    Ok(())
}

/// Without sizes, Split makes equal parts, as many as it has outputs. Stated as `num_outputs` since opset 18.
fn count_parts(d: &mut Draft, _: Option<&Shape>) -> Check<()> {
    let stated = d.inputs.len() > 1 || ["split", "num_outputs"].iter().any(|a| d.attrs.0.contains_key(*a));
    if !stated {
        d.attrs.0.insert("num_outputs".into(), Attr::Int(d.outputs.len() as i64));
    }
    Ok(())
}

/// `Swish` (opset 24) with alpha 1 is the function known here as Silu.
fn swish(d: &mut Draft, _: Option<&Shape>) -> Check<()> {
    match d.attrs.float("alpha")? {
        None | Some(1.0) => d.kind = "Silu".into(),
        Some(alpha) => return Err(format!("alpha={alpha} is not supported, only 1")),
    }
    Ok(())
}

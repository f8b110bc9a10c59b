//! Which nodes compute in 8 bits, and why the others do not.

use super::Settings;
use crate::base::Place;
use crate::base::quant::MAX_REDUCTION;
use crate::ir::ops::{BinaryFn, Role};
use crate::ir::{Graph, Node, NodeId, Op, Precision, Reason, ValueId};
use std::fmt;

/// A row of `precision.rules`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which nodes.
    pub pattern: Pattern,
    /// 8 bits or float.
    pub int8: bool,
    /// Where it is written, for messages about it.
    pub place: Option<Place>,
}

/// Which nodes a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// Nodes whose name (or the name of an ONNX node in them) matches: `*` is any text, `?` any character.
    Name(String),
    /// Nodes of this operator type, by our name or ONNX's.
    Op(String),
}

impl Pattern {
    /// Is the rule about this node?
    pub fn matches(&self, n: &Node) -> bool {
        match self {
            Pattern::Op(kind) => {
                let written: &[&str] = if matches!(n.op, Op::Linear(_)) { &["Gemm", "MatMul"] } else { &[] };
                std::iter::once(n.op.kind())
                    .chain(written.iter().copied())
                    .any(|k| k.eq_ignore_ascii_case(kind))
            }
            Pattern::Name(glob) => {
                glob_matches(glob, &n.name) || n.origin.iter().any(|name| glob_matches(glob, name))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Name(p) => write!(f, "name: {p}"),
            Pattern::Op(k) => write!(f, "op: {k}"),
        }
    }
}

/// Does `text` match `glob`, where `*` is any text and `?` any character?
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (g, t) = (g + 1, t + 1),
            _ => match star {
                // the last star takes one character more
                Some((sg, st)) => {
                    star = Some((sg, st + 1));
                    (g, t) = (sg + 1, st + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

/// Sets [`Node::precision`] of every node. `has_range` says which values a calibration knows.
pub fn decide(g: &mut Graph, settings: &Settings, has_range: impl Fn(ValueId) -> bool) {
    let order: Vec<NodeId> = g.order().to_vec();
    let mut decided: Vec<Option<Precision>> =
        vec![None; order.iter().map(|n| n.index() + 1).max().unwrap_or(0)];
    let producers = g.producers();
    let consumers = g.consumers();
    // a transformer adds to one stream through all its layers: rounded to 8 bits at each sum, it would lose more than
    // an 8-bit addition saves
    let normalized = |n: &Node| {
        n.outputs
            .iter()
            .any(|v| consumers[v.index()].iter().any(|&c| matches!(g.node(c).op, Op::LayerNorm(_))))
    };
    // forward: what multiplies stands on its own; what moves or combines needs 8-bit data to come in
    for &id in &order {
        let comes_in_8_bits = |v: ValueId| match producers[v.index()] {
            None => g.value(v).constant.is_none(),
            Some(p) => decided[p.index()].as_ref().is_some_and(|p| p.int8),
        };
        let comes_in_8_bits = |v| comes_in_8_bits(v) && !normalized(g.node(id));
        let p = precision(g, g.node(id), settings, &has_range, comes_in_8_bits);
        decided[id.index()] = Some(p);
    }
    // backward: what only moves or combines stays float unless somebody wants its 8 bits
    for &id in order.iter().rev() {
        let n = g.node(id);
        let wanted = n.outputs.iter().any(|v| {
            consumers[v.index()].iter().any(|c| decided[c.index()].as_ref().is_some_and(|p| p.int8))
        });
        let follows = !matches!(n.op.role(), Role::Multiply { .. } | Role::Average);
        let d = &mut decided[id.index()];
        if follows && !wanted && d.as_ref().is_some_and(|p| p.int8 && !matches!(p.reason, Reason::Rule(_))) {
            *d = Some(Precision { int8: false, reason: Reason::FloatNeighbours });
        }
    }
    for id in order {
        g.node_mut(id).precision = decided[id.index()].take();
    }
}

fn precision(
    g: &Graph,
    n: &Node,
    settings: &Settings,
    has_range: impl Fn(ValueId) -> bool,
    comes_in_8_bits: impl Fn(ValueId) -> bool,
) -> Precision {
    let float = |reason| Precision { int8: false, reason };
    let rule = settings.rules.iter().rev().find(|r| r.pattern.matches(n));
    match rule {
        Some(r) if !r.int8 => return float(Reason::Rule(format!("{} -> float", r.pattern))),
        None if !settings.int8 => return float(Reason::FloatEngine),
        _ => {}
    }
    if let Err(reason) = possible(g, n) {
        return float(reason);
    }
    let activations = || n.inputs.iter().copied().filter(|&v| g.value(v).constant.is_none());
    let known = |v: ValueId| has_range(v) || g.value(v).quant.is_some();
    if let Some(v) = activations().chain(n.outputs.iter().copied()).find(|&v| !known(v)) {
        // an output without a scale is no obstacle to a node that may write f32
        let output = n.outputs.contains(&v);
        if !output || !matches!(n.op.role(), Role::Multiply { .. } | Role::Average) {
            return float(Reason::NoScale(g.value(v).name.clone()));
        }
    }
    if let (Role::Move, [x, ..]) = (n.op.role(), &n.inputs[..]) {
        // where the model gave an output a scale: integers are moved as they are, so the input must have the same
        let own = |y: &ValueId| g.value(*y).quant;
        if n.outputs.iter().filter_map(own).any(|y| g.value(*x).quant != Some(y)) {
            return float(Reason::ScalesDiffer(g.value(*x).name.clone()));
        }
    }
    match (n.op.role(), rule) {
        (_, Some(r)) => Precision { int8: true, reason: Reason::Rule(format!("{} -> int8", r.pattern)) },
        (Role::Multiply { .. }, _) => Precision { int8: true, reason: Reason::Quantized },
        (Role::Combine | Role::Concat, _) if activations().any(&comes_in_8_bits) => {
            Precision { int8: true, reason: Reason::Quantized }
        }
        (Role::Average | Role::Table, _) if activations().all(&comes_in_8_bits) => {
            Precision { int8: true, reason: Reason::Quantized }
        }
        (Role::Move, _) if activations().all(&comes_in_8_bits) => {
            Precision { int8: true, reason: Reason::FollowsNeighbours }
        }
        _ => float(Reason::FloatNeighbours),
    }
}

/// Is there an integer form of this node at all?
fn possible(g: &Graph, n: &Node) -> Result<(), Reason> {
    let no_form = || Reason::NoIntegerForm(n.op.kind().to_string());
    match n.op.role() {
        Role::Multiply { .. } => {
            let Some(w) = g.constant_input(n, 1) else { return Err(Reason::TwoActivations) };
            let reduction = w.numel() / w.shape().first().copied().unwrap_or(1).max(1);
            if reduction > MAX_REDUCTION {
                return Err(Reason::LongReduction(reduction));
            }
            if w.to_f32().iter().any(|w| !w.is_finite()) {
                return Err(Reason::BadWeights(g.value(n.inputs[1]).name.clone()));
            }
            Ok(())
        }
        Role::Product => Err(Reason::TwoActivations),
        Role::Combine => {
            let same = n.inputs.iter().all(|&v| {
                g.value(v).constant.is_none() && g.value(v).fact.shape == g.value(n.outputs[0]).fact.shape
            });
            let known = matches!(&n.op, Op::Binary(b) if matches!(b.f, BinaryFn::Add | BinaryFn::Mul));
            if same && known { Ok(()) } else { Err(no_form()) }
        }
        // a table adds the input's rounding to the output's: only where the function does not magnify it
        Role::Table => match &n.op {
            Op::Unary(u) if u.f.is_gentle() => Ok(()),
            _ => Err(no_form()),
        },
        Role::Concat | Role::Move => {
            let plain = n.inputs.iter().all(|&v| g.value(v).constant.is_none());
            if plain { Ok(()) } else { Err(no_form()) }
        }
        Role::Average => match &n.op {
            Op::Pool(_) => Ok(()),
            _ => Err(no_form()),
        },
        Role::Float => Err(no_form()),
    }
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn globs() {
        for (glob, text, want) in [
            ("*", "", true),
            ("stage2.*", "stage2.0.conv1", true),
            ("stage2.*.conv1", "stage2.0.conv1", true),
            ("stage2.*.conv1", "stage2.0.conv2", false),
            ("conv?", "conv1", true),
            ("conv?", "conv", false),
            ("*a*b*", "xxaxxbxx", true),
            ("a*b", "ab", true),
            ("", "x", false),
            ("", "", true),
            ("stage2.*", "stage1.0.conv1", false),
            ("*.conv?", "a.conv1", true),
            ("*.conv?", "a.conv12", false),
            ("*a*b*", "xaxxbx", true),
            ("*a*b*", "xbxxax", false),
            ("conv", "conv1", false),
        ] {
            assert_eq!(glob_matches(glob, text), want, "{glob} {text}");
        }
    }
}

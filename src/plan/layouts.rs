//! In which order the axes of each value lie in memory.
//!
//! Convolutions, poolings and interpolations want channels last; what works element by element, and what only moves, takes what
//! comes; everything else wants the order of its shape. Conversions stand where the two meet.

use crate::device::Layout;
use crate::ir::ops::Role;
use crate::ir::{Fact, Graph, Node, Op};

/// What an operator asks of its operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Channels last, inputs and outputs.
    ChannelsLast,
    /// The order of the shape.
    Plain,
    /// Inputs and output alike, whichever it is.
    Same,
    /// Each operand as it comes.
    Any,
}

/// The wish of a node.
pub fn wish(op: &Op, inputs: &[Fact], output: &Fact) -> Wish {
    let image = output.shape.rank() == 4;
    match op {
        Op::Conv(_) | Op::Pool(_) => Wish::ChannelsLast,
        Op::Resize(r) if image && r.nearest.is_none() => Wish::ChannelsLast,
        Op::Unary(_) if image => Wish::Same,
        // an operand of lower rank or with one pixel is the same bytes either way
        Op::Binary(_) if image && inputs.iter().all(|i| broadcasts_alike(i, output)) => Wish::Same,
        _ if matches!(op.role(), Role::Move | Role::Concat) => Wish::Any,
        _ => Wish::Plain,
    }
}

fn broadcasts_alike(i: &Fact, output: &Fact) -> bool {
    let (s, o) = (&i.shape, &output.shape);
    s == o
        || s.numel() == 1
        || (s.rank() <= 4
            && s.rank() >= 3
            && s[s.rank() - 1] * s[s.rank() - 2] == 1
            && s[s.rank() - 3] == o[1])
}

/// For each value, the layout its readers would like best.
pub fn preferred(g: &Graph) -> Vec<Layout> {
    let mut best = vec![Layout::Plain; g.value_count()];
    for (_, n) in g.nodes().rev() {
        let out = n.outputs.first().map_or(Layout::Plain, |v| best[v.index()]);
        let layout = match wish_of(g, n) {
            Wish::ChannelsLast => Layout::ChannelsLast,
            Wish::Plain => continue,
            Wish::Same | Wish::Any => out,
        };
        for v in n.inputs.iter().filter(|v| g.value(**v).fact.shape.rank() == 4) {
            if layout == Layout::ChannelsLast {
                best[v.index()] = layout;
            }
        }
    }
    best
}

/// The wish of a node of a graph.
pub fn wish_of(g: &Graph, n: &Node) -> Wish {
    wish(&n.op, &g.input_facts(n), &g.value(n.outputs[0]).fact)
}

//! Rows of `precision.rules` that are about no node of the model.

use crate::base::codes::config::NO_SUCH_NODE;
use crate::base::{Diagnostic, Result, nearest};
use crate::config::job::Precision;
use crate::ir::Graph;
use crate::quant::Pattern;
use std::collections::BTreeSet;

/// Warnings about rows for operators that the fused graph does not have: a configuration may serve several models.
///
/// # Errors
/// A row for a name that no node has: most likely a misspelling, and the node would silently be quantized.
pub fn check(graph: &Graph, precision: &Precision) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for rule in &precision.rules {
        if graph.nodes().any(|(_, n)| rule.pattern.matches(n)) {
            continue;
        }
        match &rule.pattern {
            Pattern::Op(kind) => warnings.push(no_operator(graph, kind)),
            Pattern::Name(pattern) => {
                let e = no_node(graph, pattern);
                return Err(match &rule.place {
                    Some(place) => e.at(place.clone()),
                    None => e,
                });
            }
        }
    }
    Ok(warnings)
}

fn no_operator(graph: &Graph, kind: &str) -> String {
    let kinds: BTreeSet<&str> = graph.nodes().map(|(_, n)| n.op.kind()).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    format!("`precision.rules`: no node is a {kind} (after fusion there are {})", kinds.join(", "))
}

fn no_node(graph: &Graph, pattern: &str) -> Box<Diagnostic> {
    let names: BTreeSet<&str> = graph
        .nodes()
        .flat_map(|(_, n)| n.origin.iter().chain(std::iter::once(&n.name)))
        .map(String::as_str)
        .collect();
    let e = Diagnostic::new(NO_SUCH_NODE, format!("no node is called `{pattern}`"))
        .expected("a pattern that matches a node's name");
    let bare = pattern.replace(['*', '?'], "");
    let within = names.iter().copied().find(|n| !bare.is_empty() && n.contains(&bare));
    match within.or_else(|| nearest::nearest(&bare, names.iter().copied())).or(names.first().copied()) {
        Some(name) => e.help(format!("there is `{name}`; `quantize inspect MODEL --nodes` prints all names")),
        None => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::job::{Activations, Arithmetic, Fallback};
    use crate::quant::Rule;

    fn checked(pattern: Pattern) -> Result<Vec<String>> {
        let graph = Graph::parse(
            "graph g\ninput %x: f32[1,3]\nconst %w: f32[3,3] = [1,0,0,0,1,0,0,0,1]\n\
             %y: f32[1,3] = Linear(%x, %w)  # stage1.head\noutput %y\n",
        )
        .unwrap();
        let rule = Rule { pattern, int8: false, place: None };
        let precision = Precision {
            activations: Activations::U8,
            bias_correction: true,
            default: Arithmetic::Int8,
            fallback: Fallback::Fp32,
            rules: vec![rule],
        };
        check(&graph, &precision)
    }

    #[test]
    fn a_row_must_be_about_a_node() {
        let named = |pattern: &str| checked(Pattern::Name(pattern.into()));
        assert_eq!(named("stage1.*").unwrap(), [""; 0]);
        let e = named("stage2.haed").unwrap_err().to_string();
        assert!(e.contains("Q0109") && e.contains("there is `stage1.head`"), "{e}");
        assert!(named("head").unwrap_err().to_string().contains("there is `stage1.head`"));
    }

    #[test]
    fn operators_go_by_both_names_and_absent_ones_warn() {
        for kind in ["Linear", "Gemm", "matmul"] {
            assert_eq!(checked(Pattern::Op(kind.into())).unwrap(), [""; 0], "{kind}");
        }
        let warned = checked(Pattern::Op("Cnov".into())).unwrap();
        assert!(warned[0].contains("no node is a Cnov (after fusion there are Linear)"), "{warned:?}");
    }
}

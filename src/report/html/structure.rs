//! What the graph rewrites did, and what kept them from doing more.

use super::parts::{heads, names};
use crate::report::model::Report;
use crate::report::words;
use maud::{Markup, html};

/// The section.
pub fn body(report: &Report) -> Option<Markup> {
    if report.rewrites.is_empty() {
        return None;
    }
    Some(html! {
        div.sheet { table.plain.wide {
            (heads(&[("rule", ""), ("done", ""), ("blocked", ""), ("because", "left")]))
            tbody {
                @for r in &report.rewrites {
                    tr {
                        th scope="row" { code { (r.rule) } }
                        td { (words::count(r.done)) }
                        td { (words::count(r.blocked.iter().map(|b| b.count).sum())) }
                        td.left {
                            @for b in &r.blocked {
                                p { (b.reason) @if !b.nodes.is_empty() { ": " (names(&b.nodes)) } }
                            }
                        }
                    }
                }
            }
        } }
    })
}

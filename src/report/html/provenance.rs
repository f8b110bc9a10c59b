//! How the ranges were found, how to do the run again, and what it does not tell.

use super::parts::{facts, heads, lead};
use crate::report::model::Report;
use crate::report::words;
use maud::{Markup, html};

/// The calibration card.
pub fn calibration(report: &Report) -> Option<Markup> {
    let c = report.calibration.as_ref()?;
    let flagged = report.tensors.iter().filter(|t| !t.flags.is_empty()).count() as u64;
    let left_out =
        if c.skipped > 0 { format!(", {} left out", words::count(c.skipped)) } else { String::new() };
    Some(facts(vec![
        ("Method", c.method.clone()),
        ("Samples", format!("{}{left_out}", words::count(c.samples))),
        ("Ranges", c.source.words().into()),
        ("Preprocessing", c.preprocessing.clone().unwrap_or_default()),
        ("Tensors", format!("{} calibrated, {} flagged", report.tensors.len(), flagged)),
        ("Cache digest", c.cache_digest.clone().unwrap_or_default()),
    ]))
}

/// Digests, command, machine, configuration, files.
pub fn reproduce(report: &Report) -> Option<Markup> {
    let p = &report.provenance;
    let seeds: Vec<String> = p.seeds.iter().map(|(name, seed)| format!("{name} {seed}")).collect();
    let device: Vec<&str> =
        [p.device.as_str(), p.isa.as_str()].into_iter().filter(|s| !s.is_empty()).collect();
    let rows = vec![
        ("Command", p.command.clone()),
        ("Version", p.version.clone()),
        ("When", p.created.clone().unwrap_or_default()),
        ("Machine", p.machine.clone()),
        ("Device", device.join(", ")),
        ("Threads", p.threads.map(words::count).unwrap_or_default()),
        ("Seeds", seeds.join(", ")),
        ("Model", p.model_path.clone()),
        ("Model digest", p.model_digest.clone()),
        ("Engine digest", p.engine_digest.clone().unwrap_or_default()),
        ("Configuration digest", p.config_digest.clone()),
    ];
    Some(html! {
        (facts(rows))
        @if !p.datasets.is_empty() {
            div.sheet { table.plain.wide {
                (heads(&[("data", ""), ("path", "left"), ("samples", ""), ("digest", "left")]))
                tbody {
                    @for d in &p.datasets {
                        tr {
                            th scope="row" { (d.role) }
                            td.left { code { (d.path) } }
                            td { (words::count(d.samples)) }
                            td.left { code { (d.digest) } }
                        }
                    }
                }
            } }
        }
        @if !report.files.is_empty() {
            div.sheet { table.plain.wide {
                (heads(&[("written", ""), ("path", "left"), ("size", "")]))
                tbody {
                    @for f in &report.files {
                        tr {
                            th scope="row" { (f.what) }
                            td.left { code { (f.path) } }
                            td { (words::bytes(f.bytes)) }
                        }
                    }
                }
            } }
        }
        @if !p.config.is_empty() {
            details.more { summary { "Configuration file" } pre { (p.config) } }
        }
    })
}

/// What was not checked.
pub fn limits(report: &Report) -> Option<Markup> {
    (!report.not_checked.is_empty()).then(|| {
        html! {
            (lead("This page says nothing about:"))
            ul { @for item in &report.not_checked { li { (item) } } }
        }
    })
}

//! The page for people: one file, complete in itself, that opens no connection.
//!
//! Order: verdict, accuracy, changed answers, cost, layers, drift along the network, tensors, rewrites, calibration,
//! how to do it again, and what was not checked. To add a section: a file here, and a row in [`SECTIONS`].

mod accuracy;
mod cost;
mod drift;
mod flips;
mod header;
mod layers;
mod parts;
mod provenance;
mod structure;
mod svg;
mod tensors;

#[cfg(test)]
mod tests;

use super::Report;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A section of the page.
struct Section {
    /// Its anchor.
    id: &'static str,
    /// Its heading.
    title: &'static str,
    /// Its content; `None` where the report has nothing to say.
    body: fn(&Report) -> Option<Markup>,
}

/// The sections in order.
static SECTIONS: &[Section] = &[
    Section { id: "accuracy", title: "Accuracy", body: accuracy::body },
    Section { id: "changed", title: "Changed answers", body: flips::body },
    Section { id: "cost", title: "Speed, size, memory", body: cost::body },
    Section { id: "layers", title: "Layers", body: layers::body },
    Section { id: "drift", title: "Error along the network", body: drift::body },
    Section { id: "tensors", title: "Activation ranges", body: tensors::body },
    Section { id: "rewrites", title: "Graph rewrites", body: structure::body },
    Section { id: "calibration", title: "Calibration", body: provenance::calibration },
    Section { id: "reproduce", title: "Reproduce", body: provenance::reproduce },
    Section { id: "limits", title: "Not checked", body: provenance::limits },
];

/// The browser is told to load nothing at all, whatever a name or a picture of the report may hold.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The page.
pub fn render(report: &Report) -> String {
    let sections: Vec<(&Section, Markup)> =
        SECTIONS.iter().filter_map(|s| Some((s, (s.body)(report)?))).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (report.model) " · quantize" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (header::header(report))
                nav aria-label="Sections" {
                    @for (s, _) in &sections { a href={ "#" (s.id) } { (s.title) } }
                }
                main {
                    @for (s, body) in &sections {
                        section id=(s.id) aria-labelledby={ (s.id) "-title" } {
                            h2 id={ (s.id) "-title" } { (s.title) }
                            (body)
                        }
                    }
                }
                (header::footer(report))
                script { (PreEscaped(include_str!("script.js"))) }
            }
        }
    };
    page.into_string()
}

//! Pieces that several sections use.

use crate::report::model::Precision;
use maud::{Markup, html};

/// A grey sentence under a heading.
pub fn lead(words: &str) -> Markup {
    html! { p.lead { (words) } }
}

/// A precision as a small coloured label.
pub fn precision(p: Precision) -> Markup {
    let class = if p == Precision::Int8 { "chip int8" } else { "chip float" };
    html! { span class=(class) { (p.label()) } }
}

/// Names with their values, those that have any.
pub fn facts(rows: Vec<(&str, String)>) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// The heading row of a table: names, each with the class of its column.
pub fn heads(columns: &[(&str, &str)]) -> Markup {
    html! { thead { tr { @for (name, class) in columns { th class=(class) scope="col" { (name) } } } } }
}

/// Names of nodes or files in code type, with commas.
pub fn names<S: AsRef<str>>(list: &[S]) -> Markup {
    html! {
        @for (i, name) in list.iter().enumerate() { @if i > 0 { ", " } code { (name.as_ref()) } }
    }
}

/// The class that colours an SQNR: below 10 dB suspicious, from 30 dB of no concern.
pub fn heat(db: Option<f64>) -> &'static str {
    match db {
        Some(db) if db < 10.0 => "heat4",
        Some(db) if db < 20.0 => "heat3",
        Some(db) if db < 25.0 => "heat2",
        Some(db) if db < 30.0 => "heat1",
        _ => "",
    }
}

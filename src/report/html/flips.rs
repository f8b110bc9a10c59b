//! The samples whose class changed, those of which FP32 was surest first.

use super::parts::lead;
use crate::report::model::{Flip, FlipKind, Report};
use crate::report::words;
use maud::{Markup, html};

/// How many are shown.
const SHOWN: usize = 12;

/// The section.
pub fn body(report: &Report) -> Option<Markup> {
    let f = &report.accuracy.as_ref()?.flips;
    if f.total() == 0 {
        return Some(lead("No sample changed its class."));
    }
    let counts = [
        (f.correct_to_wrong, FlipKind::CorrectToWrong),
        (f.wrong_to_correct, FlipKind::WrongToCorrect),
        (f.wrong_to_other, FlipKind::WrongToOther),
        (f.unlabelled, FlipKind::Unlabelled),
    ];
    Some(html! {
        p.counts {
            @for (n, kind) in counts.iter().filter(|(n, _)| *n > 0) {
                span class={ "count " (class(*kind)) } { b { (words::count(*n)) } " " (kind_words(*kind)) }
            }
        }
        @if !f.list.is_empty() {
            div.cards { @for flip in f.list.iter().take(SHOWN) { (card(flip)) } }
            p.lead {
                "Largest margin first: how far FP32's answer lay before its second. A flip with a large margin is a \
                 defect; small margins are coin tosses that fell the other way."
                @if f.total() > f.list.len().min(SHOWN) as u64 {
                    " " (words::count(f.total() - f.list.len().min(SHOWN) as u64)) " more are not shown."
                }
            }
        }
    })
}

fn card(flip: &Flip) -> Markup {
    html! {
        div class={ "card " (class(flip.kind)) } {
            @match picture(flip) {
                Some(address) => img src=(address) alt="" width="64" height="64";,
                None => div.nothumb aria-hidden="true" {},
            }
            div {
                p.change { (flip.reference) span.arrow { " → " } (flip.engine) }
                @if let Some(label) = &flip.label { p.muted { "label " (label) } }
                p.muted { "margin " (words::fixed(flip.margin, 2)) ", " (kind_words(flip.kind)) }
                p.path title=(flip.sample) { (flip.sample) }
            }
        }
    }
}

/// Only pictures inside the page: an address of anything else is not followed.
fn picture(flip: &Flip) -> Option<&str> {
    flip.thumbnail.as_deref().filter(|t| t.starts_with("data:image/"))
}

fn class(kind: FlipKind) -> &'static str {
    match kind {
        FlipKind::CorrectToWrong => "lost",
        FlipKind::WrongToCorrect => "gained",
        FlipKind::WrongToOther | FlipKind::Unlabelled => "other",
    }
}

fn kind_words(kind: FlipKind) -> &'static str {
    match kind {
        FlipKind::CorrectToWrong => "right to wrong",
        FlipKind::WrongToCorrect => "wrong to right",
        FlipKind::WrongToOther => "wrong to wrong",
        FlipKind::Unlabelled => "changed",
    }
}

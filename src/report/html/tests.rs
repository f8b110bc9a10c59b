//! What can be said of a page without a browser.

use super::render;
use crate::report::model::{Flip, Report};
use crate::report::sample;

/// Elements without an end tag.
const VOID: &[&str] = &["meta", "img", "link", "br", "hr", "input"];

/// Checks that every opened element is closed in order, and returns how many there are.
fn balanced(page: &str) -> usize {
    let (mut open, mut seen, mut rest) = (Vec::new(), 0, page);
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric()).collect();
        rest = &rest[end + 1..];
        if tag.starts_with('!') || VOID.contains(&name.as_str()) {
            continue;
        } else if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else {
            if name == "script" || name == "style" {
                rest = &rest[rest.find("</").expect("it ends")..];
            }
            open.push(name);
            seen += 1;
        }
    }
    assert!(open.is_empty(), "{open:?}");
    seen
}

#[test]
fn pages_are_well_formed() {
    assert!(balanced(&render(&sample::classifier())) > 1000);
    balanced(&render(&sample::regressor()));
    balanced(&render(&Report::new("empty")));
}

#[test]
fn the_page_is_complete_in_itself_and_small() {
    let report = sample::classifier();
    let page = render(&report);
    assert!(report.layers.len() >= 45);
    assert!(page.len() < 500 * 1024, "{} bytes", page.len());
    for address in ["http://", "https://", "src=\"/", "@import", "url("] {
        assert!(!page.contains(address), "{address}");
    }
}

#[test]
fn everything_is_on_it() {
    let report = sample::classifier();
    let page = render(&report);
    let layers = report.layers.iter().flat_map(|l| [&l.name, &l.reason]);
    let tensors = report.tensors.iter().map(|t| &t.name);
    let rules = report.rewrites.iter().map(|r| &r.rule);
    for words in layers.chain(tensors).chain(rules).chain(&report.not_checked).chain(&report.warnings) {
        assert!(page.contains(words.as_str()), "{words}");
    }
    for section in super::SECTIONS {
        assert!(page.contains(&format!("id=\"{}\"", section.id)), "{}", section.id);
    }
}

#[test]
fn names_are_data_not_markup() {
    let mut report = sample::small();
    let evil = "<script>alert(1)</script>\"'&";
    report.model = evil.into();
    report.layers[0].name = evil.into();
    report.tensors[0].name = evil.into();
    let flips: &mut Vec<Flip> = &mut report.accuracy.as_mut().unwrap().flips.list;
    flips[0].thumbnail = Some("https://example.com/x.png".into());
    let page = render(&report);
    balanced(&page);
    assert!(!page.contains("<script>alert") && !page.contains("example.com"));
}

#[test]
fn odd_numbers_draw() {
    let mut report = sample::small();
    for l in &mut report.layers {
        (l.sqnr_db, l.local_sqnr_db, l.time_us) = (Some(-200.0), Some(200.0), Some(0.0));
    }
    for t in &mut report.tensors {
        t.thresholds.insert("nan".into(), f32::NAN);
        t.histogram.as_mut().unwrap().counts = vec![0, 1];
    }
    let a = report.accuracy.as_mut().unwrap();
    (a.drop_top1, a.drop_ci95) = (Some(0.0), Some([0.0, 0.0]));
    report.gate = None;
    let page = render(&report);
    balanced(&page);
    assert!(!page.contains("NaN\"") && !page.contains("inf\""));
}

/// `cargo test -- --ignored sample_page` writes the page to the temporary folder, to look at.
#[test]
#[ignore = "for looking at the page in a browser"]
fn sample_page() {
    let path = std::env::temp_dir().join("quantize-sample-report.html");
    std::fs::write(&path, render(&sample::classifier())).unwrap();
    println!("{}", path.display());
}

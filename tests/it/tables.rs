//! Every row of every table says what it is, under a name of its own.

use quantize::{base, calib, device, eval, ir, report, rewrite};
use std::collections::BTreeSet;

/// `rows` are names and docs.
fn told<'a>(table: &str, rows: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut names = BTreeSet::new();
    for (name, doc) in rows {
        assert!(names.insert(name.to_string()), "{table}: {name} is there twice");
        assert!(doc.trim().len() > 8, "{table}: {name} has no doc");
    }
    assert!(!names.is_empty(), "{table} is empty");
}

#[test]
fn every_row_has_a_name_and_a_doc() {
    told("operators", ir::ops::OPERATORS.iter().flat_map(|r| r.kinds.iter().map(|k| (*k, r.doc))));
    told("methods", calib::METHODS.iter().map(|m| (m.name(), m.doc())));
    told("checks", calib::flags::CHECKS.iter().map(|c| (c.name, c.doc)));
    told("metrics", eval::metrics::METRICS.iter().map(|m| (m.name(), m.doc())));
    told("tactics", device::cpu::FAMILIES.iter().map(|f| (f.name(), f.doc())));
    told("rewrites", rewrite::RULES.iter().map(|r| (r.name(), r.doc())));
    told("report formats", report::FORMATS.iter().map(|f| (f.name, f.doc)));
    told("codes", base::codes::all().map(|c| (c.id, c.explanation)));
    told("reasons", ir::precision::REASONS.iter().map(|r| (r.0, r.2)));
}

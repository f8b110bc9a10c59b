//! `quantize list`: what there is, from the tables that the code itself works by.

use crate::base::{Result, codes};
use crate::calib::METHODS;
use crate::calib::methods::AUTO;
use crate::cli::args::{List, TableName};
use crate::cli::page::{Page, Table};
use crate::cli::print;
use crate::device::{cpu, cuda};
use crate::eval::metrics::METRICS;
use crate::ir::ops::OPERATORS;
use crate::ir::precision::REASONS;
use crate::rewrite::RULES;
use clap::ValueEnum;
use std::io::Write;

/// Prints one table, or all of them.
pub fn run(args: &List, out: &mut dyn Write) -> Result<()> {
    let mut page = Page::default();
    for &name in TableName::value_variants().iter().filter(|&&n| args.table.is_none_or(|t| t == n)) {
        page.table(table(name));
    }
    print(out, &page.render(args.json))
}

fn table(name: TableName) -> Table {
    match name {
        TableName::Operators => operators(),
        TableName::Methods => methods(),
        TableName::Rewrites => rewrites(),
        TableName::Tactics => tactics(),
        TableName::Metrics => metrics(),
        TableName::Codes => all_codes(),
    }
}

fn operators() -> Table {
    let mut t = Table::new("operators", &["operator", "what it does"]);
    let mut rows: Vec<(&str, &str)> =
        OPERATORS.iter().flat_map(|r| r.kinds.iter().map(|&k| (k, r.doc.trim()))).collect();
    rows.sort_unstable();
    rows.into_iter().for_each(|(kind, doc)| t.row([kind.into(), doc.into()]));
    t
}

fn methods() -> Table {
    let mut t = Table::new("methods", &["method", "what it does"]);
    METHODS.iter().for_each(|m| t.row([m.name().into(), m.doc().into()]));
    t.row([
        AUTO.into(),
        "per tensor the method whose error at the consumers' outputs is the smallest".into(),
    ]);
    t
}

fn rewrites() -> Table {
    let mut t = Table::new("rewrites", &["rewrite", "before -> after"]);
    RULES.iter().for_each(|r| t.row([r.name().into(), r.doc().into()]));
    t
}

fn tactics() -> Table {
    let mut t = Table::new("tactics", &["device", "tactic", "what it computes"]);
    cpu::FAMILIES.iter().for_each(|f| t.row(["cpu".into(), f.name().into(), f.doc().into()]));
    cuda::FAMILIES.iter().for_each(|f| t.row(["cuda".into(), f.name().into(), f.doc().into()]));
    t
}

fn metrics() -> Table {
    let mut t = Table::new("metrics", &["metric", "unit", "what it measures"]);
    METRICS.iter().for_each(|m| t.row([m.name().into(), m.unit().into(), m.doc().into()]));
    t
}

fn all_codes() -> Table {
    let mut t = Table::new("codes", &["code", "meaning"]);
    codes::all().for_each(|c| t.row([c.id.into(), c.title.into()]));
    REASONS.iter().for_each(|r| t.row([r.0.into(), r.1.into()]));
    t
}

//! `quantize run ENGINE INPUTS...`.

use super::rebuild;
use crate::base::codes::machine::USAGE;
use crate::base::{Diagnostic, Monitor, Result, Shape};
use crate::cli::page::{Cell, Page, Table};
use crate::cli::progress::Progress;
use crate::cli::{args, print};
use crate::data::write_npz;
use crate::engine::Engine;
use crate::pipeline::infer::{Answer, Options, infer, top_k};
use crate::report::words::{fixed, plural};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Runs an engine on files; prints the most likely classes, or writes all outputs.
pub fn run(args: &args::Run, out: &mut dyn Write, progress: &Progress) -> Result<()> {
    if let Some(path) = args.out.as_deref().filter(|p| p.extension().is_none_or(|e| e != "npz")) {
        return Err(Diagnostic::new(USAGE, format!("--out {} is no .npz file", path.display()))
            .expected("a name that ends in `.npz`"));
    }
    let engine = Engine::load(&rebuild::engine(&args.engine, args.rebuild.as_deref(), 0, progress)?)?;
    let options = Options { batch: args.batch, threads: args.threads, pin: args.pin.clone() };
    let answers = infer(&engine, &args.inputs, &options, progress)?;
    progress.finish();
    match &args.out {
        Some(path) => {
            write(&engine, &answers, path)?;
            progress.note(&format!(
                "{} written to {}",
                plural(answers.len() as u64, "answer"),
                path.display()
            ));
            Ok(())
        }
        None if args.json => print(out, &format!("{:#}\n", to_json(&engine, &answers, args.top))),
        None => print(out, &text(&engine, &answers, args.top)),
    }
}

/// One array per output: the answers along the first axis.
fn write(engine: &Engine, answers: &[Answer], path: &Path) -> Result<()> {
    let arrays: Vec<(&str, Shape, Vec<f32>)> = engine
        .outputs()
        .enumerate()
        .map(|(o, (name, shape))| {
            let mut dims = shape.0.clone();
            match dims.first_mut() {
                Some(rows) => *rows *= answers.len(),
                None => dims.push(answers.len()),
            }
            (name, Shape(dims), answers.iter().flat_map(|a| a.outputs[o].iter().copied()).collect())
        })
        .collect();
    let views: Vec<(&str, &Shape, &[f32])> = arrays.iter().map(|(n, s, v)| (*n, s, v.as_slice())).collect();
    write_npz(path, &views)
}

/// The name of class `i`, where the engine knows it.
fn class(engine: &Engine, i: usize) -> String {
    engine.origin.labels.get(i).cloned().unwrap_or_else(|| format!("class {i}"))
}

fn text(engine: &Engine, answers: &[Answer], k: usize) -> String {
    let mut page = Page::default();
    if k == 1 {
        page.table(one_line_each(engine, answers));
        return page.render(false);
    }
    for a in answers {
        let Some(output) = a.outputs.first() else { continue };
        let mut table = Table::new("", &["%", "class"]).titled(&a.name);
        for (i, p) in top_k(output, k, engine.origin.probabilities) {
            table.row([Cell::new(fixed(100.0 * p, 2), p), class(engine, i).into()]);
        }
        page.table(table);
    }
    page.render(false)
}

/// The best class of every input, a line each.
fn one_line_each(engine: &Engine, answers: &[Answer]) -> Table {
    let mut table = Table::new("answers", &["%", "class", "input"]);
    for a in answers {
        let best = a.outputs.first().map(|o| top_k(o, 1, engine.origin.probabilities)).unwrap_or_default();
        for (i, p) in best {
            table.row([Cell::new(fixed(100.0 * p, 2), p), class(engine, i).into(), a.name.as_str().into()]);
        }
    }
    table
}

fn to_json(engine: &Engine, answers: &[Answer], k: usize) -> Value {
    let top = |a: &Answer| -> Value {
        let best = a.outputs.first().map(|o| top_k(o, k, engine.origin.probabilities)).unwrap_or_default();
        let row = |(i, p)| json!({ "class": i, "name": engine.origin.labels.get(i), "probability": p });
        best.into_iter().map(row).collect()
    };
    answers.iter().map(|a| json!({ "input": a.name, "top": top(a) })).collect()
}

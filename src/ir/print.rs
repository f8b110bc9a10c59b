//! The text form of graphs, written. [`Graph::parse`] reads it.
//!
//! ```text
//! graph resnet
//! input %image: f32[1,3,64,64]
//! const %w: f32[2,3] = [0.5,1.0,-2.0,0.25,0.0,1.5]
//! %y: f32[1,2] @u8(scale=0.0235, zero=3) = Linear(%image, %w) {act=Relu}  # head.fc from [head.fc, head.relu]
//! output %y as logits
//! ```
//!
//! A line is a statement. After a value's type may stand its quantization (`@u8(..)`), scales per channel
//! (`@channels(axis=0, scales=[..])`) and the names folded into it (`@folded(a, b)`); after `#` the node's name, the
//! ONNX nodes it came from where they are others, and its precision with the reason (as JSON). Names that are not
//! plain words are quoted as JSON strings. Numbers are the shortest that read back the same.
//!
//! `{}` writes all of it, constants with all their numbers; `{:#}` abbreviates constants of more than 16 numbers to
//! the start of their digest, for people to read.

use super::array::{Array, Data};
use super::attrs::Attr;
use super::graph::{Graph, Node, ValueId};
use crate::base::digest::Digest;
use crate::base::{DType, Tensor};
use std::fmt::{Display, Formatter, Result, Write};

/// Constants of more numbers are abbreviated in the short form.
const SHORT: usize = 16;

/// Can this stand in a name that is not quoted?
pub(super) fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '-' | '+')
}

/// A name, quoted unless it is a plain word. A colon at the end would be taken for punctuation.
fn name(s: &str) -> String {
    match !s.is_empty() && s.chars().all(is_plain) && !s.ends_with(':') {
        true => s.to_string(),
        false => serde_json::Value::from(s).to_string(),
    }
}

fn names(list: &[String]) -> String {
    list.iter().map(|s| name(s)).collect::<Vec<_>>().join(", ")
}

fn numbers(t: &Tensor) -> String {
    let list: Vec<String> = match (t.dtype(), Array::of(t).data) {
        (DType::F64, Data::Real(v)) => v.iter().map(|x| format!("{x:?}")).collect(),
        (_, Data::Real(v)) => v.iter().map(|&x| format!("{:?}", x as f32)).collect(),
        (_, Data::Int(v)) => v.iter().map(i64::to_string).collect(),
    };
    format!("[{}]", list.join(","))
}

fn attr(a: &Attr) -> String {
    match a {
        // a word that starts like a number would be read as one
        Attr::Str(s) if s.starts_with(|c: char| c.is_ascii_alphabetic()) && s.parse::<f32>().is_err() => {
            name(s)
        }
        Attr::Str(s) => serde_json::Value::from(s.as_str()).to_string(),
        Attr::Tensor(t) => format!("{}{}{}", t.dtype(), t.shape(), numbers(t)),
        other => other.to_string(),
    }
}

/// A value where it is defined: name, type, and what is known of its storage.
fn definition(g: &Graph, id: ValueId) -> String {
    let v = g.value(id);
    let mut text = format!("%{}: {}{}", name(&v.name), v.fact.dtype, v.fact.shape);
    if let Some(q) = v.quant {
        text += &format!(" @{}(scale={:?}, zero={})", q.dtype, q.scale.get(), q.zero_point);
    }
    if let Some(c) = &v.channels {
        let scales: Vec<String> = c.scales.iter().map(|s| format!("{:?}", s.get())).collect();
        text += &format!(" @channels(axis={}, scales=[{}])", c.axis, scales.join(","));
    }
    if !v.folded.is_empty() {
        text += &format!(" @folded({})", names(&v.folded));
    }
    text
}

fn constant(g: &Graph, id: ValueId, t: &Tensor, short: bool) -> String {
    match short && t.numel() > SHORT {
        true => format!("const {} #{}", definition(g, id), Digest::of(t.bytes()).short()),
        false => format!("const {} = {}", definition(g, id), numbers(t)),
    }
}

fn node(g: &Graph, n: &Node) -> std::result::Result<String, std::fmt::Error> {
    let outputs: Vec<String> = n.outputs.iter().map(|&v| definition(g, v)).collect();
    let inputs: Vec<String> = n.inputs.iter().map(|&v| format!("%{}", name(&g.value(v).name))).collect();
    let mut text = format!("{} = {}({})", outputs.join(", "), n.op.kind(), inputs.join(", "));
    let attrs: Vec<String> = n.op.attrs().0.iter().map(|(k, v)| format!("{k}={}", attr(v))).collect();
    if !attrs.is_empty() {
        write!(text, " {{{}}}", attrs.join(", "))?;
    }
    write!(text, "  # {}", name(&n.name))?;
    if n.origin[..] != [n.name.clone()] {
        write!(text, " from [{}]", names(&n.origin))?;
    }
    if let Some(p) = &n.precision {
        let reason = serde_json::to_string(&p.reason).map_err(|_| std::fmt::Error)?;
        write!(text, " {} {reason}", if p.int8 { "int8" } else { "float" })?;
    }
    Ok(text)
}

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "graph {}", name(&self.name))?;
        for &v in &self.inputs {
            writeln!(f, "input {}", definition(self, v))?;
        }
        let mut written = vec![false; self.value_count()];
        let mut constants = |f: &mut Formatter<'_>, read: &[ValueId]| -> Result {
            for &v in read {
                if let Some(t) = self.value(v).constant.as_ref().filter(|_| !written[v.index()]) {
                    writeln!(f, "{}", constant(self, v, t, f.alternate()))?;
                    written[v.index()] = true;
                }
            }
            Ok(())
        };
        for (_, n) in self.nodes() {
            constants(f, &n.inputs)?;
            writeln!(f, "{}", node(self, n)?)?;
        }
        constants(f, &self.outputs)?;
        for (&v, as_name) in self.outputs.iter().zip(&self.output_names) {
            writeln!(f, "output %{} as {}", name(&self.value(v).name), name(as_name))?;
        }
        Ok(())
    }
}

//! Attributes of operators, under their ONNX names. One form serves the ONNX importer, the text form and the key of
//! a tuning problem: whoever reads a node reads these.

use crate::base::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Attr {
    Int(i64),
    Float(f32),
    Str(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Tensor(Tensor),
}

/// The attributes of a node. Readers *take* them, so that what is left is what nobody understood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attrs(pub BTreeMap<String, Attr>);

/// A sentence about an attribute or a shape, without the place; the caller adds it.
pub type Check<T> = std::result::Result<T, String>;

impl Attrs {
    /// No attributes.
    pub fn new() -> Self {
        Attrs::default()
    }

    /// With one more.
    pub fn with(mut self, name: &str, attr: Attr) -> Self {
        self.0.insert(name.to_string(), attr);
        self
    }

    /// With one more, unless it is the default.
    pub fn with_unless(self, is_default: bool, name: &str, attr: Attr) -> Self {
        if is_default { self } else { self.with(name, attr) }
    }

    /// Takes an integer.
    pub fn int(&mut self, name: &str) -> Check<Option<i64>> {
        self.take(name, "an integer", |a| match a {
            Attr::Int(i) => Some(i),
            Attr::Ints(v) if v.len() == 1 => Some(v[0]),
            Attr::Tensor(t) if t.numel() == 1 => Some(t.to_i64()[0]),
            _ => None,
        })
    }

    /// Takes a flag: an integer that is 0 or 1.
    pub fn flag(&mut self, name: &str, default: bool) -> Check<bool> {
        Ok(self.int(name)?.map_or(default, |i| i != 0))
    }

    /// Takes a number.
    pub fn float(&mut self, name: &str) -> Check<Option<f32>> {
        self.take(name, "a number", |a| match a {
            Attr::Float(f) => Some(f),
            Attr::Int(i) => Some(i as f32),
            Attr::Tensor(t) if t.numel() == 1 => Some(t.to_f64()[0] as f32),
            _ => None,
        })
    }

    /// Takes a list of integers.
    pub fn ints(&mut self, name: &str) -> Check<Option<Vec<i64>>> {
        self.take(name, "a list of integers", |a| match a {
            Attr::Ints(v) => Some(v),
            Attr::Int(i) => Some(vec![i]),
            Attr::Tensor(t) if !t.dtype().is_float() => Some(t.to_i64()),
            _ => None,
        })
    }

    /// Takes a list of numbers.
    pub fn floats(&mut self, name: &str) -> Check<Option<Vec<f32>>> {
        self.take(name, "a list of numbers", |a| match a {
            Attr::Floats(v) => Some(v),
            Attr::Ints(v) => Some(v.into_iter().map(|i| i as f32).collect()),
            Attr::Tensor(t) => Some(t.to_f32().into_owned()),
            _ => None,
        })
    }

    /// Takes a word.
    pub fn text(&mut self, name: &str) -> Check<Option<String>> {
        self.take(name, "a word", |a| match a {
            Attr::Str(s) => Some(s),
            _ => None,
        })
    }

    /// Takes a tensor.
    pub fn tensor(&mut self, name: &str) -> Check<Option<Tensor>> {
        self.take(name, "a tensor", |a| match a {
            Attr::Tensor(t) => Some(t),
            Attr::Int(i) => Some(Tensor::scalar(i)),
            Attr::Float(f) => Some(Tensor::scalar(f)),
            Attr::Ints(v) => Some(Tensor::new([v.len()], &v)),
            Attr::Floats(v) => Some(Tensor::new([v.len()], &v)),
            Attr::Str(_) => None,
        })
    }

    /// The names nobody took.
    pub fn left(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn take<T>(&mut self, name: &str, want: &str, read: impl FnOnce(Attr) -> Option<T>) -> Check<Option<T>> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(a) => {
                let shown = a.to_string();
                read(a)
                    .map(Some)
                    .ok_or_else(|| format!("attribute `{name}` is {shown}, where {want} is expected"))
            }
        }
    }
}

/// Non-negative integers from an attribute's list.
pub fn sizes(name: &str, v: &[i64]) -> Check<Vec<usize>> {
    v.iter()
        .map(|&i| usize::try_from(i).map_err(|_| format!("attribute `{name}` holds {i}, which is negative")))
        .collect()
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attr::Int(i) => write!(f, "{i}"),
            Attr::Float(x) => write!(f, "{x:?}"),
            Attr::Str(s) => write!(f, "{s}"),
            Attr::Ints(v) => list(f, v.iter().map(|i| i.to_string())),
            Attr::Floats(v) => list(f, v.iter().map(|x| format!("{x:?}"))),
            Attr::Tensor(t) => {
                write!(f, "{}{}", t.dtype(), t.shape())?;
                match t.dtype().is_float() {
                    true => list(f, t.to_f64().iter().map(|x| format!("{x:?}"))),
                    false => list(f, t.to_i64().iter().map(|x| x.to_string())),
                }
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = String>) -> fmt::Result {
    write!(f, "[{}]", items.collect::<Vec<_>>().join(","))
}

impl fmt::Display for Attrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        write!(f, "{{{}}}", items.join(", "))
    }
}

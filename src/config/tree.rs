//! YAML as a tree in which every key and value knows where it was written.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Options, Spanned, budget, options};
use std::fmt;

/// Where something of the configuration was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spot {
    /// Line and column of the file, from 1.
    File(usize, usize),
    /// The `--set` argument of this number, from 0.
    Argument(usize),
}

/// A value with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it begins.
    pub spot: Spot,
}

/// What YAML knows of values.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // the names say it
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map, and its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub spot: Spot,
    /// What it is set to.
    pub node: Node,
}

/// Why a text is no tree.
pub struct SyntaxError {
    /// A sentence.
    pub what: String,
    /// Line and column, where known.
    pub position: Option<(usize, usize)>,
}

impl Node {
    /// An empty map, at the start of the file.
    pub fn empty() -> Node {
        Node { value: Value::Map(Vec::new()), spot: Spot::File(1, 1) }
    }

    /// Reads one YAML document; an empty one is an empty map.
    pub fn parse(text: &str) -> Result<Node, SyntaxError> {
        if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            return Ok(Node::empty());
        }
        serde_saphyr::from_str_with_options::<Node>(text, limits()).map_err(|e| syntax_error(&e))
    }

    /// The entry of a map with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == key),
            _ => None,
        }
    }

    /// Says of the whole tree that it was written in this argument.
    pub fn moved_to(mut self, argument: usize) -> Node {
        self.spot = Spot::Argument(argument);
        self.value = match self.value {
            Value::List(nodes) => Value::List(nodes.into_iter().map(|n| n.moved_to(argument)).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|e| Entry { spot: self.spot, node: e.node.moved_to(argument), ..e })
                    .collect(),
            ),
            scalar => scalar,
        };
        self
    }
}

/// Far above every real configuration, far below what hurts.
fn limits() -> Options {
    options! {
        budget: budget! { max_nodes: 20_000, max_events: 50_000, max_depth: 32, max_aliases: 100, max_documents: 2 },
        strict_booleans: true,
        with_snippet: false,
    }
}

fn syntax_error(e: &Error) -> SyntaxError {
    let e = match e.without_snippet() {
        Error::AliasError { error, .. } => error,
        other => other,
    };
    let position = e.location().map(|l| (l.line() as usize, l.column() as usize)).filter(|p| p.0 > 0);
    let what = match e {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` is given twice"),
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } => {
            "the text is too large or its aliases expand too far".into()
        }
        Error::NonFiniteFloat { value, .. } => format!("`{value}` is no finite number"),
        Error::MultipleDocuments { .. } => "a second document begins where the first should end".into(),
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            // the place is shown by us
            line.split(" at line ").next().unwrap_or(line).to_string()
        }
    };
    SyntaxError { what, position }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Value>::deserialize(d)?;
        let at = spanned.referenced;
        Ok(Node { value: spanned.value, spot: Spot::File(at.line() as usize, at.column() as usize) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
        d.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(AnyValue)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(i64::try_from(v).map_or(Value::Float(v as f64), Value::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Text(v.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
            let at = key.referenced;
            let spot = Spot::File(at.line() as usize, at.column() as usize);
            entries.push(Entry { key: key.value, spot, node });
        }
        Ok(Value::Map(entries))
    }
}

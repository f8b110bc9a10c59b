//! From a tree to the schema's structs: a serde deserializer whose errors know the key and the place.

#![allow(clippy::result_large_err)] // a configuration has at most one error

use super::tree::{Entry, Node, Spot, Value};
use crate::base::Code;
use crate::base::codes::config;
use crate::base::nearest;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, Expected, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// What is wrong with a tree.
#[derive(Debug)]
pub struct Fault {
    pub code: Code,
    pub what: String,
    pub expected: Option<String>,
    pub help: Option<String>,
    /// Where; set by the innermost value that the error passes.
    pub spot: Option<Spot>,
}

impl Fault {
    fn new(code: Code, what: String) -> Fault {
        Fault { code, what, expected: None, help: None, spot: None }
    }

    fn expected(mut self, text: String) -> Fault {
        self.expected = Some(text);
        self
    }

    fn one_of(mut self, found: &str, names: &[&str]) -> Fault {
        self.help = nearest::nearest(found, names.iter().copied()).map(|n| format!("did you mean `{n}`?"));
        self.expected(format!("one of {}", names.join(", ")))
    }

    fn at(mut self, spot: Spot) -> Fault {
        self.spot.get_or_insert(spot);
        self
    }

    /// Puts the full name of the key before a sentence that was made without knowing it.
    fn of_key(mut self, path: &str) -> Fault {
        self.what = self.what.replacen('\u{0}', &quoted(path), 1);
        self
    }
}

fn quoted(path: &str) -> String {
    if path.is_empty() { "the configuration".into() } else { format!("`{path}`") }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

// A NUL stands for the name of the key, which the value that the error passes puts in.
impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Fault {
        Fault::new(config::WRONG_TYPE, format!("\u{0}: {text}"))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::new(config::WRONG_TYPE, format!("\u{0} is {}", found_words(&found)))
            .expected(expected_words(expected))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault { code: config::OUT_OF_RANGE, ..de::Error::invalid_type(found, expected) }
    }

    fn invalid_length(n: usize, expected: &dyn Expected) -> Fault {
        Fault::new(config::WRONG_TYPE, format!("\u{0} has {n} entries")).expected(expected_words(expected))
    }

    fn unknown_variant(found: &str, names: &'static [&'static str]) -> Fault {
        Fault::new(config::UNKNOWN_VALUE, format!("\u{0} is `{found}`")).one_of(found, names)
    }

    fn unknown_field(found: &str, names: &'static [&'static str]) -> Fault {
        Fault::new(config::UNKNOWN_KEY, format!("unknown key `{found}` in \u{0}")).one_of(found, names)
    }

    fn missing_field(name: &'static str) -> Fault {
        Fault::new(config::MISSING_KEY, format!("\u{0} lacks the key `{name}`"))
    }
}

fn found_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(v) => format!("`{v}`"),
        Unexpected::Signed(v) => format!("the number {v}"),
        Unexpected::Unsigned(v) => format!("the number {v}"),
        Unexpected::Float(v) => format!("the number {v}"),
        Unexpected::Str(v) => format!("the text `{v}`"),
        Unexpected::Unit | Unexpected::Option => "empty".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a group of keys".into(),
        Unexpected::UnitVariant => "a name alone".into(),
        other => other.to_string(),
    }
}

fn expected_words(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative".into(),
        "i32" | "i64" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a string" => "text (in quotes, if it looks like a number)".into(),
        "newtype variant" => "`name: value`".into(),
        "unit variant" => "a name alone".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "a group of keys".into(),
        t if t.starts_with("struct ") => "a group of keys".into(),
        t if t.starts_with("enum ") => "a name".into(),
        _ => text,
    }
}

/// A node, with the dotted name of its key and the place that errors of the whole node are shown at.
struct At<'a> {
    node: &'a Node,
    path: String,
    spot: Spot,
}

/// Makes a `T` of a tree.
pub fn from_node<'a, T: de::Deserialize<'a>>(node: &'a Node) -> Result<T, Fault> {
    T::deserialize(At { node, path: String::new(), spot: node.spot })
}

impl<'a> At<'a> {
    fn finish<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|f| f.of_key(&self.path).at(self.spot))
    }

    fn visit<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(*v),
            Value::Int(v) => visitor.visit_i64(*v),
            Value::Float(v) => visitor.visit_f64(*v),
            Value::Text(v) => visitor.visit_borrowed_str(v),
            Value::List(nodes) => {
                visitor.visit_seq(List { rest: nodes.iter().enumerate(), path: &self.path })
            }
            Value::Map(entries) => {
                visitor.visit_map(Map { rest: entries.iter(), value: None, path: &self.path })
            }
        }
    }
}

impl<'de> Deserializer<'de> for At<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let result = self.visit(visitor);
        self.finish(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let result = match &self.node.value {
            // `calibration:` with nothing below it is a group of no keys; a list is none
            Value::Null => visitor.visit_map(Map { rest: [].iter(), value: None, path: &self.path }),
            Value::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.visit(visitor),
        };
        self.finish(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let result = match &self.node.value {
            Value::Text(name) => visitor.visit_enum(StrDeserializer::new(name)),
            Value::Map(entries) if entries.len() == 1 => {
                let map = Map { rest: entries.iter(), value: None, path: &self.path };
                visitor.visit_enum(de::value::MapAccessDeserializer::new(map))
            }
            Value::Map(entries) if !entries.is_empty() => {
                let keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
                Err(Fault::new(config::WRONG_TYPE, format!("\u{0} has the keys {}", keys.join(", ")))
                    .expected(format!("exactly one of {}", names.join(", "))))
            }
            _ => self.visit(visitor).map_err(|f| f.expected(format!("one of {}", names.join(", ")))),
        };
        self.finish(result)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

struct List<'a, 'p> {
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'p str,
}

impl<'de> de::SeqAccess<'de> for List<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((i, node)) = self.rest.next() else { return Ok(None) };
        let at = At { node, path: format!("{}[{i}]", self.path), spot: node.spot };
        seed.deserialize(at).map(Some)
    }
}

struct Map<'a, 'p> {
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    path: &'p str,
}

impl<'de> de::MapAccess<'de> for Map<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(entry);
        let key = StrDeserializer::<Fault>::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|f| f.of_key(self.path).at(entry.spot))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{}", self.path, entry.key);
        // a group is shown by its key, a single value by itself
        let spot = match entry.node.value {
            Value::Map(_) | Value::Null => entry.spot,
            _ => entry.node.spot,
        };
        seed.deserialize(At { node: &entry.node, path, spot })
    }
}

/// The keys that a struct of the schema takes, in the order of their declaration.
pub fn keys_of<'a, T: de::Deserialize<'a>>() -> &'static [&'static str] {
    struct Keys<'k>(&'k mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Keys<'_> {
        type Error = Fault;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            MapDeserializer::new(std::iter::empty::<(&str, &str)>()).deserialize_any(visitor)
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            keys: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Fault> {
            *self.0 = keys;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
            seq tuple tuple_struct map identifier ignored_any option newtype_struct enum
        }
    }

    let mut keys: &'static [&'static str] = &[];
    let _ = T::deserialize(Keys(&mut keys)); // what it makes of no keys is of no interest
    keys
}

//! Values that may be written in more than one form.

use crate::device::cpu::Pin;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A number, or a fraction such as `1/255`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Factor(pub f64);

/// One number, or a list of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Numbers(pub Vec<f64>);

/// A size in pixels: one number for a square, or `{width: W, height: H}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pixels {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

macro_rules! number_visits {
    ($value:ty, $from:expr) => {
        fn visit_f64<E: Error>(self, v: f64) -> Result<$value, E> {
            Ok($from(v))
        }

        fn visit_i64<E: Error>(self, v: i64) -> Result<$value, E> {
            Ok($from(v as f64))
        }

        fn visit_u64<E: Error>(self, v: u64) -> Result<$value, E> {
            Ok($from(v as f64))
        }
    };
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Factor, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Factor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a fraction such as 1/255")
            }

            number_visits!(Factor, Factor);

            fn visit_str<E: Error>(self, text: &str) -> Result<Factor, E> {
                let (a, b) = text
                    .split_once('/')
                    .ok_or_else(|| E::invalid_type(serde::de::Unexpected::Str(text), &self))?;
                match (a.trim().parse::<f64>(), b.trim().parse::<f64>()) {
                    (Ok(a), Ok(b)) if b != 0.0 => Ok(Factor(a / b)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        d.deserialize_any(V)
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.0)
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> Cow<'static, str> {
        "Factor".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[^/]+/[^/]+$"}]})
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Numbers, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Numbers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a list of numbers")
            }

            number_visits!(Numbers, |v| Numbers(vec![v]));

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Numbers, A::Error> {
                let mut numbers = Vec::new();
                while let Some(v) = seq.next_element()? {
                    numbers.push(v);
                }
                Ok(Numbers(numbers))
            }
        }
        d.deserialize_any(V)
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl JsonSchema for Numbers {
    fn schema_name() -> Cow<'static, str> {
        "Numbers".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]})
    }
}

/// The long form of [`Pixels`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WidthHeight {
    width: u32,
    height: u32,
}

impl<'de> Deserialize<'de> for Pixels {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Pixels, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Pixels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of pixels, or {width: W, height: H}")
            }

            fn visit_i64<E: Error>(self, v: i64) -> Result<Pixels, E> {
                let side = u32::try_from(v)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(v), &self))?;
                Ok(Pixels { width: side, height: side })
            }

            fn visit_u64<E: Error>(self, v: u64) -> Result<Pixels, E> {
                self.visit_i64(i64::try_from(v).unwrap_or(i64::MAX))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pixels, A::Error> {
                let WidthHeight { width, height } =
                    WidthHeight::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Pixels { width, height })
            }
        }
        d.deserialize_any(V)
    }
}

impl Serialize for Pixels {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        WidthHeight { width: self.width, height: self.height }.serialize(s)
    }
}

impl JsonSchema for Pixels {
    fn schema_name() -> Cow<'static, str> {
        "Pixels".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let side = json_schema!({"type": "integer", "minimum": 1});
        json_schema!({"anyOf": [side, {
            "type": "object",
            "properties": {"width": side, "height": side},
            "required": ["width", "height"],
            "additionalProperties": false,
        }]})
    }
}

/// Where threads run: a word, or numbers of CPUs.
pub mod pin {
    use super::*;
    use serde::de::Unexpected;

    /// Reads a word, one CPU, or a list.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Pin, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Pin;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Pin::FORMS)
            }

            fn visit_u64<E: Error>(self, cpu: u64) -> Result<Pin, E> {
                self.visit_str(&cpu.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Pin, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pin, A::Error> {
                let mut cpus: Vec<String> = Vec::new();
                while let Some(cpu) = seq.next_element::<usize>()? {
                    cpus.push(cpu.to_string());
                }
                self.visit_str(&cpus.join(","))
            }
        }
        d.deserialize_any(V)
    }

    /// Writes the form that is read.
    pub fn serialize<S: Serializer>(pin: &Pin, s: S) -> Result<S::Ok, S::Error> {
        match pin {
            Pin::None => s.serialize_str("none"),
            Pin::Cores => s.serialize_str("cores"),
            Pin::Cpus(cpus) => cpus.serialize(s),
        }
    }
}

/// The JSON Schema of [`pin`].
pub struct PinForm;

impl JsonSchema for PinForm {
    fn schema_name() -> Cow<'static, str> {
        "Pin".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string", "pattern": "^(none|cores|[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)$"},
            {"type": "integer", "minimum": 0},
            {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
        ]})
    }
}

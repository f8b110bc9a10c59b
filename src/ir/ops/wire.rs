//! Operators in files: kind and attributes, as the text form and ONNX have them.

use super::Op;
use crate::ir::attrs::Attrs;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (self.kind(), self.attrs()).serialize(s)
    }
}

impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let (kind, attrs) = <(String, Attrs)>::deserialize(d)?;
        Op::parse(&kind, attrs).map_err(serde::de::Error::custom)
    }
}

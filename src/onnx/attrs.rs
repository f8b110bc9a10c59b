//! Attributes of the file as [`Attrs`].

use super::external::ExternalData;
use super::proto::{AttributeProto, AttributeType, NodeProto};
use super::tensor::{self, malformed};
use crate::base::Result;
use crate::base::shape::MAX_ELEMENTS;
use crate::ir::{Attr, Attrs};

/// The attributes of a node, and the names of those that no operator here understands: subgraphs, lists of words,
/// sparse tensors, types.
pub(super) fn read(node: &NodeProto, external: &mut ExternalData) -> Result<(Attrs, Vec<String>)> {
    let (mut attrs, mut refused) = (Attrs::new(), Vec::new());
    for a in &node.attribute {
        let attr = match kind(a) {
            AttributeType::Float => Attr::Float(a.f.unwrap_or(0.0)),
            AttributeType::Int => Attr::Int(a.i.unwrap_or(0)),
            AttributeType::Floats => Attr::Floats(a.floats.clone()),
            AttributeType::Ints => Attr::Ints(a.ints.clone()),
            AttributeType::String => Attr::Str(text(a)?),
            AttributeType::Tensor => match &a.t {
                Some(t) => Attr::Tensor(tensor::read(t, &a.name, external)?),
                None => return Err(malformed(format!("attribute `{}` holds no tensor", a.name))),
            },
            other => {
                refused.push(format!("attribute `{}` ({other:?})", a.name));
                continue;
            }
        };
        if attrs.0.insert(a.name.clone(), attr).is_some() {
            return Err(malformed(format!("attribute `{}` stands there twice", a.name)));
        }
    }
    Ok((attrs, refused))
}

/// The attribute's type; old files do not state it.
fn kind(a: &AttributeProto) -> AttributeType {
    match AttributeType::try_from(a.r#type) {
        _ if !a.ref_attr_name.is_empty() => AttributeType::Undefined, // a function's parameter
        Ok(AttributeType::Undefined) if a.f.is_some() => AttributeType::Float,
        Ok(AttributeType::Undefined) if a.i.is_some() => AttributeType::Int,
        Ok(AttributeType::Undefined) if a.s.is_some() => AttributeType::String,
        Ok(AttributeType::Undefined) if a.t.is_some() => AttributeType::Tensor,
        Ok(AttributeType::Undefined) if !a.floats.is_empty() => AttributeType::Floats,
        Ok(AttributeType::Undefined) if !a.ints.is_empty() => AttributeType::Ints,
        Ok(kind) => kind,
        Err(_) => AttributeType::Undefined,
    }
}

fn text(a: &AttributeProto) -> Result<String> {
    std::str::from_utf8(a.s.as_deref().unwrap_or_default())
        .map(str::to_string)
        .map_err(|_| malformed(format!("attribute `{}` is not text (UTF-8)", a.name)))
}

/// Integers that are sizes, axes or bounds, brought within ±2^31. No tensor has more elements, so a larger one (an
/// "until the end" of i64::MAX) means the same, and the arithmetic of shapes cannot overflow.
pub(super) fn tame(attr: Attr) -> Attr {
    let limit = MAX_ELEMENTS as i64;
    let clamp = |i: i64| i.clamp(-limit, limit);
    match attr {
        Attr::Int(i) => Attr::Int(clamp(i)),
        Attr::Ints(v) => Attr::Ints(v.into_iter().map(clamp).collect()),
        Attr::Tensor(t) => match t.as_slice::<i64>() {
            Some(v) => {
                let v: Vec<i64> = v.iter().map(|&i| clamp(i)).collect();
                Attr::Tensor(crate::base::Tensor::new(t.shape().clone(), &v))
            }
            None => Attr::Tensor(t),
        },
        other => other,
    }
}

//! Tensors of the file as [`Tensor`]s.
//!
//! Nothing is allocated before the number of bytes that the file really holds is known to fit the shape it states.

use super::external::ExternalData;
use super::proto::TensorProto;
use crate::base::codes::model::{ELEMENT_TYPE, MALFORMED};
use crate::base::shape::MAX_ELEMENTS;
use crate::base::{DType, Diagnostic, Place, Result, Shape, Tensor};
use bytes::Bytes;

/// How an element type of the file is held here.
enum Held {
    /// As the type it is.
    As(DType),
    /// Widened to a larger integer type.
    Widened(DType, fn(&[u8]) -> Option<i64>),
    /// Not at all.
    Refused,
}

/// An element type of the file.
struct Element {
    number: i32,
    name: &'static str,
    /// Bytes an element takes in raw data.
    size: usize,
    held: Held,
}

const fn row(number: i32, name: &'static str, size: usize, held: Held) -> Element {
    Element { number, name, size, held }
}

/// `TensorProto.DataType`.
static ELEMENTS: &[Element] = &[
    row(1, "float", 4, Held::As(DType::F32)),
    row(2, "uint8", 1, Held::As(DType::U8)),
    row(3, "int8", 1, Held::As(DType::I8)),
    row(4, "uint16", 2, Held::Widened(DType::I32, |b| Some(u16::from_le_bytes(b.try_into().ok()?).into()))),
    row(5, "int16", 2, Held::Widened(DType::I32, |b| Some(i16::from_le_bytes(b.try_into().ok()?).into()))),
    row(6, "int32", 4, Held::As(DType::I32)),
    row(7, "int64", 8, Held::As(DType::I64)),
    row(8, "string", 0, Held::Refused),
    row(9, "bool", 1, Held::As(DType::Bool)),
    row(10, "float16", 2, Held::As(DType::F16)),
    row(11, "double", 8, Held::As(DType::F64)),
    row(12, "uint32", 4, Held::Widened(DType::I64, |b| Some(u32::from_le_bytes(b.try_into().ok()?).into()))),
    row(
        13,
        "uint64",
        8,
        Held::Widened(DType::I64, |b| u64::from_le_bytes(b.try_into().ok()?).try_into().ok()),
    ),
    row(14, "complex64", 8, Held::Refused),
    row(15, "complex128", 16, Held::Refused),
    row(16, "bfloat16", 2, Held::As(DType::BF16)),
    row(17, "float8e4m3fn", 1, Held::Refused),
    row(18, "float8e4m3fnuz", 1, Held::Refused),
    row(19, "float8e5m2", 1, Held::Refused),
    row(20, "float8e5m2fnuz", 1, Held::Refused),
    row(21, "uint4", 0, Held::Refused),
    row(22, "int4", 0, Held::Refused),
    row(23, "float4e2m1", 0, Held::Refused),
    row(24, "float8e8m0", 1, Held::Refused),
    row(25, "uint2", 0, Held::Refused),
    row(26, "int2", 0, Held::Refused),
];

fn element(number: i32) -> Result<&'static Element> {
    let known = ELEMENTS.iter().find(|e| e.number == number);
    known.ok_or_else(|| malformed(format!("its element type is number {number}, which ONNX does not have")))
}

fn refused(e: &Element) -> Box<Diagnostic> {
    Diagnostic::new(ELEMENT_TYPE, format!("its elements are {}, which is not supported", e.name))
        .expected("float, float16, bfloat16, double, bool, or integers of 8 to 64 bits")
}

/// The type in which a graph's input or output of this element type is held.
pub(super) fn element_type(number: i32) -> Result<DType> {
    let e = element(number)?;
    match e.held {
        Held::As(dtype) => Ok(dtype),
        _ => Err(refused(e)),
    }
}

/// The name of a data type's number, for messages.
pub(super) fn element_name(number: i64) -> String {
    let known = ELEMENTS.iter().find(|e| i64::from(e.number) == number);
    known.map_or_else(|| format!("type {number}"), |e| e.name.to_string())
}

/// The tensor of a message, under a name for errors.
pub(super) fn read(t: &TensorProto, name: &str, external: &mut ExternalData) -> Result<Tensor> {
    read_unplaced(t, external).map_err(|e| e.at(Place::Named(format!("tensor {name}"))))
}

fn read_unplaced(t: &TensorProto, external: &mut ExternalData) -> Result<Tensor> {
    let e = element(t.data_type)?;
    if matches!(e.held, Held::Refused) {
        return Err(refused(e));
    }
    if t.segment.is_some() {
        return Err(malformed("it is cut in segments, which ONNX has given up"));
    }
    let shape = shape(&t.dims)?;
    let want = shape.numel() * e.size; // 2^31 elements of 8 bytes at most
    let bytes = match (t.data_location, &t.raw_data) {
        (1, _) => external.bytes(t, want)?,
        (_, Some(raw)) if !raw.is_empty() || has_no_typed_data(t) => raw.clone(),
        _ => typed_bytes(t, e, shape.numel())?,
    };
    if bytes.len() != want {
        return Err(malformed(format!(
            "it holds {} bytes of data where {}{shape} needs {want}",
            bytes.len(),
            e.name
        )));
    }
    tensor_of(e, shape, &bytes)
}

/// A shape of the file: not negative, and of a size that can be.
pub(super) fn shape(dims: &[i64]) -> Result<Shape> {
    let sizes: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape =
        Shape(sizes.ok_or_else(|| malformed(format!("its shape {} has a negative size", list(dims))))?);
    match is_sane(&shape) {
        true => Ok(shape),
        false => Err(malformed(format!("its shape {} is of an absurd size", list(dims)))
            .expected(format!("at most {MAX_ELEMENTS} elements"))),
    }
}

/// Can a tensor of this shape be? Counted without axes of size 0, so that strides cannot overflow either.
pub(super) fn is_sane(shape: &Shape) -> bool {
    let without_zeros = Shape(shape.iter().map(|&d| d.max(1)).collect());
    shape.rank() <= 64 && without_zeros.checked_numel().is_some()
}

fn list(dims: &[i64]) -> String {
    let mut shown: Vec<String> = dims.iter().take(8).map(i64::to_string).collect();
    if dims.len() > 8 {
        shown.push(format!(".. ({} axes)", dims.len()));
    }
    format!("[{}]", shown.join(","))
}

fn has_no_typed_data(t: &TensorProto) -> bool {
    t.float_data.is_empty()
        && t.int32_data.is_empty()
        && t.int64_data.is_empty()
        && t.double_data.is_empty()
        && t.uint64_data.is_empty()
}

/// The bytes that raw data would have held, of a message with typed data.
fn typed_bytes(t: &TensorProto, e: &Element, numel: usize) -> Result<Bytes> {
    let (count, bytes): (usize, Vec<u8>) = match e.number {
        1 => (t.float_data.len(), t.float_data.iter().flat_map(|v| v.to_le_bytes()).collect()),
        11 => (t.double_data.len(), t.double_data.iter().flat_map(|v| v.to_le_bytes()).collect()),
        7 => (t.int64_data.len(), t.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect()),
        12 | 13 => (t.uint64_data.len(), low_bytes(t.uint64_data.iter().map(|&v| v as i64), e)?),
        _ => (t.int32_data.len(), low_bytes(t.int32_data.iter().map(|&v| v.into()), e)?),
    };
    match (count, numel) {
        (0, 1..) => Err(malformed(format!("it has {numel} elements by its shape, and no data"))),
        _ if count != numel => Err(malformed(format!("it holds {count} elements, and {numel} by its shape"))),
        _ => Ok(bytes.into()),
    }
}

/// The low bytes of integers that are stored in a wider field.
fn low_bytes(values: impl Iterator<Item = i64>, e: &Element) -> Result<Vec<u8>> {
    let bits = 8 * e.size;
    let range = match e.name.starts_with("int") {
        _ if bits == 64 => i64::MIN..=i64::MAX,
        true => -(1 << (bits - 1))..=(1 << (bits - 1)) - 1,
        false => 0..=(1 << bits) - 1,
    };
    let mut bytes = Vec::new();
    for v in values {
        if !range.contains(&v) {
            return Err(malformed(format!("it holds {v}, which is no {}", e.name)));
        }
        bytes.extend_from_slice(&v.to_le_bytes()[..e.size]);
    }
    Ok(bytes)
}

fn tensor_of(e: &Element, shape: Shape, bytes: &[u8]) -> Result<Tensor> {
    let misfit = || malformed(format!("its data does not fit {}{shape}", e.name));
    match e.held {
        Held::As(DType::Bool) => {
            let flags: Vec<u8> = bytes.iter().map(|&b| u8::from(b != 0)).collect();
            Tensor::from_bytes(DType::Bool, shape.clone(), &flags).ok_or_else(misfit)
        }
        Held::As(dtype) => Tensor::from_bytes(dtype, shape.clone(), bytes).ok_or_else(misfit),
        Held::Widened(dtype, widen) => {
            let values: Option<Vec<i64>> = bytes.chunks_exact(e.size).map(widen).collect();
            let values = values.ok_or_else(|| {
                Diagnostic::new(ELEMENT_TYPE, format!("it holds a {} beyond {}", e.name, i64::MAX))
            })?;
            Ok(crate::ir::Array::int(shape, values).to_tensor(dtype))
        }
        Held::Refused => Err(refused(e)),
    }
}

/// An error about the file's form.
pub(super) fn malformed(what: impl Into<String>) -> Box<Diagnostic> {
    Diagnostic::new(MALFORMED, what)
}

use super::*;
use crate::base::{DType, Tensor};
use crate::ir::Attr;

/// One operator of every row, from attributes as they stand in models.
fn samples() -> Vec<(&'static str, Attrs)> {
    let ints = |v: &[i64]| Attr::Ints(v.to_vec());
    let word = |s: &str| Attr::Str(s.into());
    let none = Attrs::new;
    vec![
        ("Conv", none().with("strides", ints(&[2, 1])).with("group", Attr::Int(2))),
        ("Linear", none().with("act", word("Relu"))),
        ("Gemm", none().with("transB", Attr::Int(1)).with("alpha", Attr::Float(0.5))),
        ("MatMul", none()),
        ("Clip", none().with("min", Attr::Float(0.0))),
        ("Not", none()),
        ("Add", none()),
        ("AveragePool", none().with("kernel_shape", ints(&[3, 2])).with("ceil_mode", Attr::Int(1))),
        ("Reshape", none().with("shape", ints(&[1, -1]))),
        ("Transpose", none().with("perm", ints(&[0, 2, 1]))),
        ("Concat", none().with("axis", Attr::Int(-1))),
        ("Split", none().with("axis", Attr::Int(1)).with("num_outputs", Attr::Int(3))),
        ("Split", none().with("split", ints(&[1, 2]))),
        ("Slice", none().with("starts", ints(&[0])).with("ends", ints(&[-1])).with("steps", ints(&[2]))),
        ("Gather", none().with("axis", Attr::Int(1))),
        ("Expand", none().with("shape", ints(&[2, 1]))),
        ("Tile", none().with("repeats", ints(&[2, 1]))),
        ("Pad", none().with("pads", ints(&[0, 1])).with("value", Attr::Float(f32::NEG_INFINITY))),
        ("Pad", none().with("pads", ints(&[0, 1])).with("mode", word("edge")).with("axes", ints(&[1]))),
        ("Identity", none()),
        ("Dropout", none().with("ratio", Attr::Float(0.5))),
        ("Resize", none().with("sizes", ints(&[1, 2, 3, 4])).with("nearest_mode", word("floor"))),
        (
            "Upsample",
            none().with("scales", Attr::Floats(vec![1.0, 1.0, 2.0, 2.0])).with("mode", word("linear")),
        ),
        ("DepthToSpace", none().with("blocksize", Attr::Int(2)).with("mode", word("CRD"))),
        ("SpaceToDepth", none().with("blocksize", Attr::Int(2))),
        ("Softmax", none().with("flatten", Attr::Int(1))),
        ("LogSoftmax", none().with("axis", Attr::Int(1))),
        ("LayerNormalization", none().with("axis", Attr::Int(1)).with("epsilon", Attr::Float(1e-6))),
        ("InstanceNormalization", none()),
        ("GroupNormalization", none().with("num_groups", Attr::Int(2))),
        ("BatchNormalization", none().with("momentum", Attr::Float(0.9)).with("epsilon", Attr::Float(1e-3))),
        ("LRN", none().with("size", Attr::Int(5))),
        ("ReduceMean", none().with("axes", ints(&[2, 3])).with("keepdims", Attr::Int(0))),
        ("ArgMax", none().with("axis", Attr::Int(1)).with("keepdims", Attr::Int(0))),
        ("Cast", none().with("to", Attr::Int(7))),
        ("Where", none()),
        ("Shape", none().with("start", Attr::Int(1)).with("end", Attr::Int(-1))),
        ("Size", none()),
        (
            "ConstantOfShape",
            none().with("shape", ints(&[2])).with("value", Attr::Tensor(Tensor::new([1], &[7i64]))),
        ),
        ("Range", ["start", "limit", "delta"].iter().fold(none(), |a, n| a.with(n, Attr::Int(3)))),
        ("QuantizeLinear", none().with("axis", Attr::Int(0)).with("output_dtype", Attr::Int(3))),
        ("DequantizeLinear", none()),
    ]
}

#[test]
fn every_row_has_a_sample_that_round_trips() {
    let mut seen = vec![false; OPERATORS.len()];
    for (kind, attrs) in samples() {
        let op = Op::parse(kind, attrs).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(Op::parse(op.kind(), op.attrs()), Ok(op), "{kind}");
        let row = OPERATORS.iter().position(|r| r.kinds.contains(&kind)).unwrap();
        seen[row] = true;
    }
    let unseen: Vec<_> = OPERATORS.iter().zip(seen).filter(|(_, s)| !s).map(|(r, _)| r.kinds).collect();
    assert!(unseen.is_empty(), "rows without a sample: {unseen:?}");
}

#[test]
fn kinds_are_unique() {
    let mut kinds: Vec<_> = OPERATORS.iter().flat_map(|r| r.kinds).collect();
    let n = kinds.len();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), n);
}

/// No combination of a sample with odd shapes makes shape inference panic, or let a shape through that is too large;
/// and where the result is small, the operator computes what it inferred.
#[test]
fn inference_is_total_on_hostile_shapes() {
    let dims = [0, 1, 2, 3, 1 << 16, 1 << 31, usize::MAX];
    let mut shapes = vec![Shape::scalar()];
    shapes.extend(
        dims.iter().flat_map(|&a| [Shape::from([a]), [1, a].into(), [a, a].into(), [a, 0, 2].into()]),
    );
    shapes.extend(
        dims.iter().flat_map(|&a| [Shape::from([1, 4, a, a]), [1, a, 4, 2].into(), [a, 4, 2, 2].into()]),
    );
    for (kind, attrs) in samples() {
        let op = Op::parse(kind, attrs).unwrap();
        for (i, first) in shapes.iter().enumerate() {
            for others in 0..5 {
                let facts: Vec<Fact> = std::iter::once(first)
                    .chain((0..others).map(|k| &shapes[(i * 7 + k * 3) % shapes.len()]))
                    .map(|s| Fact { dtype: DType::F32, shape: s.clone() })
                    .collect();
                check_total(&op, &facts);
            }
        }
    }
}

fn check_total(op: &Op, facts: &[Fact]) {
    let Ok(out) = op.infer(facts) else { return };
    let size = |f: &Fact| f.shape.checked_numel().unwrap_or_else(|| panic!("{op:?} gives {}", f.shape));
    if out.iter().chain(facts).map(size).max() > Some(4096) {
        return;
    }
    let inputs: Vec<Array> =
        facts.iter().map(|f| Array::real(f.shape.clone(), vec![1.0; f.shape.numel()])).collect();
    if let Ok(y) = op.eval(&inputs.iter().collect::<Vec<_>>()) {
        let shapes: Vec<_> = y.iter().map(|y| &y.shape).collect();
        assert_eq!(shapes, out.iter().map(|f| &f.shape).collect::<Vec<_>>(), "{op:?} of {facts:?}");
    }
}

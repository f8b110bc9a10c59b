//! Every operator against ONNX Runtime: `tests/data/operators.json`, which `make_operator_vectors.py` beside it writes.

use super::*;
use crate::base::{DType, Tensor};
use crate::ir::{Attr, Data};
use serde_json::Value as Json;

fn number(v: &Json) -> f64 {
    v.as_f64().unwrap_or_else(|| v.as_str().unwrap().parse().unwrap())
}

fn tensor(v: &Json) -> Tensor {
    let dtype: DType = v["dtype"].as_str().unwrap().parse().unwrap();
    let shape: Vec<usize> =
        v["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
    let data = v["data"].as_array().unwrap();
    match dtype.is_float() {
        true => Array::real(shape, data.iter().map(number).collect()).to_tensor(dtype),
        false => Array::int(shape, data.iter().map(|v| v.as_i64().unwrap()).collect()).to_tensor(dtype),
    }
}

fn attr(v: &Json) -> Attr {
    match v {
        Json::String(s) => Attr::Str(s.clone()),
        Json::Number(n) if n.is_i64() => Attr::Int(n.as_i64().unwrap()),
        Json::Number(n) => Attr::Float(n.as_f64().unwrap() as f32),
        Json::Array(v) if v.iter().all(Json::is_i64) => {
            Attr::Ints(v.iter().map(|i| i.as_i64().unwrap()).collect())
        }
        Json::Array(v) => Attr::Floats(v.iter().map(|x| number(x) as f32).collect()),
        _ => Attr::Tensor(tensor(v)),
    }
}

/// Does what the importer does: makes attributes of the inputs that are parameters, then computes.
fn run(case: &Json) -> Check<Vec<(Fact, Array)>> {
    let kind = case["op"].as_str().unwrap();
    let mut attrs = Attrs::new();
    for group in ["attrs", "extra"] {
        case[group].as_object().unwrap().iter().for_each(|(k, v)| drop(attrs.0.insert(k.clone(), attr(v))));
    }
    let parameters = (row(kind).ok_or("no such operator")?.parameters)(kind);
    let mut inputs = Vec::new();
    for (i, v) in case["inputs"].as_array().unwrap().iter().enumerate().filter(|(_, v)| !v.is_null()) {
        match parameters.iter().find(|(at, _)| *at == i) {
            Some((_, name)) => drop(attrs.0.insert(name.to_string(), Attr::Tensor(tensor(v)))),
            None => inputs.push(tensor(v)),
        }
    }
    let op = Op::parse(kind, attrs)?;
    assert_eq!(Op::parse(op.kind(), op.attrs()).as_ref(), Ok(&op));
    let facts: Vec<Fact> =
        inputs.iter().map(|t| Fact { dtype: t.dtype(), shape: t.shape().clone() }).collect();
    let arrays: Vec<Array> = inputs.iter().map(Array::of).collect();
    let out = op.infer(&facts)?;
    Ok(out.into_iter().zip(op.eval(&arrays.iter().collect::<Vec<_>>())?).collect())
}

/// What is wrong with a case's outputs, if anything.
fn compare(case: &Json) -> Check<()> {
    let got = run(case)?;
    let want: Vec<Tensor> = case["outputs"].as_array().unwrap().iter().map(tensor).collect();
    if got.len() != want.len() {
        return Err(format!("{} outputs, not {}", got.len(), want.len()));
    }
    for ((fact, y), want) in got.iter().zip(&want) {
        if (fact.dtype, &fact.shape, &y.shape) != (want.dtype(), want.shape(), want.shape()) {
            return Err(format!("{fact:?} and {}, not {want:?}", y.shape));
        }
        if matches!(y.data, Data::Real(_)) != want.dtype().is_float() {
            return Err("reals for integers".into());
        }
        let close = |a: f64, b: f64| a == b || (a - b).abs() <= 2e-6 + 2e-5 * b.abs();
        if !y.reals().iter().zip(want.to_f64()).all(|(&a, b)| close(a, b)) {
            return Err(format!("{:?}, not {:?}", y.reals(), want.to_f64()));
        }
    }
    Ok(())
}

#[test]
fn operators_agree_with_onnx_runtime() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("../../../tests/data/operators.json")).unwrap();
    let wrong = cases.iter().filter_map(|c| {
        let shapes: Vec<_> = c["inputs"].as_array().unwrap().iter().map(|i| i["shape"].to_string()).collect();
        compare(c).err().map(|e| format!("{} opset {} {} {shapes:?}: {e}", c["op"], c["opset"], c["attrs"]))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

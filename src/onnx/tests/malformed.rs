//! Files that are no models, or contradict themselves: one sentence each, never a panic or a large allocation.

use super::*;
use crate::onnx::fuzz::fuzz;
use proptest::prelude::*;

/// A model that uses much of the importer: shape arithmetic, Constant nodes, parameters, Q/DQ, typed data.
fn rich() -> ModelProto {
    let value = |t: TensorProto| AttributeProto { name: "value".into(), t: Some(t), ..Default::default() };
    let scale = tensor("scale", &[], &[0.1]);
    let weight = TensorProto {
        data_type: 3,
        raw_data: None,
        int32_data: vec![1, -2, 3, -4],
        ..tensor("w8", &[1, 1, 2, 2], &[])
    };
    model(
        &[-1, 1, 4, 4],
        vec![
            node("DequantizeLinear", "w8 scale", "w"),
            node("Constant", "", "pads").with(value(ints("", &[0, 0, 0, 1, 0, 0, 1, 0]))),
            node("Pad", "x pads", "p"),
            node("QuantizeLinear", "p scale", "q"),
            node("DequantizeLinear", "q scale", "dq"),
            node("Conv", "dq w", "c"),
            node("Shape", "c", "s"),
            node("ConstantOfShape", "s", "zeros"),
            node("Sum", "c zeros c", "sum"),
            node("Flatten", "sum", "flat").with(int("axis", 1)),
            node("Clip", "flat _ scale", "y"),
        ],
        vec![scale, weight],
    )
}

#[test]
fn what_is_no_model_is_said_to_be_none() {
    let of = |b: &'static [u8]| import_bytes(Bytes::from_static(b), None, &ImportOptions::default());
    refused(of(b""), "Q0201", &["empty"]);
    refused(of(b"PK\x03\x04 this is a zip file, not a model"), "Q0201", &["no ONNX model"]);
    refused(of(b"model: resnet.onnx\nname: x\n"), "Q0201", &["no ONNX model"]);
}

#[test]
fn every_truncation_is_an_error_or_a_smaller_model() {
    let bytes = rich().encode_to_vec();
    rich().import().unwrap_or_else(|e| panic!("{e}"));
    (0..bytes.len()).for_each(|n| fuzz(&bytes[..n]));
    let cut = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    refused(import_bytes(cut, None, &ImportOptions::default()), "Q0201", &["cut short"]);
}

#[test]
fn every_flipped_bit_is_survived() {
    let bytes = rich().encode_to_vec();
    for i in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[i / 8] ^= 1 << (i % 8);
        fuzz(&flipped);
    }
}

/// Each file of tests/data/models with a bit flipped in every byte, another bit each time.
#[test]
fn flipped_files_of_every_style_are_survived() {
    for entry in std::fs::read_dir(super::files::folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "onnx") {
            let bytes = std::fs::read(&path).unwrap();
            for i in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1 << (i % 8);
                fuzz(&flipped);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes);
    }

    #[test]
    fn spliced_models_are_survived(at in 0usize..2000, bytes in proptest::collection::vec(any::<u8>(), 1..12)) {
        let mut model = rich().encode_to_vec();
        let at = at % model.len();
        let end = (at + bytes.len()).min(model.len());
        model.splice(at..end, bytes);
        fuzz(&model);
    }

    #[test]
    fn any_numbers_in_a_model_are_survived(which in 0usize..12, a in any::<i64>(), b in -5i64..5) {
        let mut m = rich();
        let g = m.graph_mut();
        match which {
            0 => g.initializer[1].dims = vec![a, b],
            1 => g.initializer[1].dims = vec![b, a, 0],
            2 => g.node[1].attribute[0].t.as_mut().unwrap().int64_data[3] = a,
            3 => g.node[9].attribute[0].i = Some(a),
            4 => g.initializer[1].data_type = a as i32,
            5 => g.input[0] = info("x", &[a.max(0), b.max(0), 4, 4]),
            6 => g.input[0] = info("x", &[1, 1, a.max(0), 1 << 31]),
            7 => g.node[5] = node("Conv", "dq w", "c").with(AttributeProto {
                name: "strides".into(), ints: vec![a, b], ..Default::default() }),
            8 => g.node[5] = node("Conv", "dq w", "c").with(AttributeProto {
                name: "dilations".into(), ints: vec![b, a], ..Default::default() }),
            9 => g.node[5] = node("Conv", "dq w", "c").with(AttributeProto {
                name: "pads".into(), ints: vec![a, b, a, a], ..Default::default() }),
            10 => g.initializer[1].int32_data[0] = a as i32,
            _ => m.opset_import[0].version = a,
        }
        fuzz(&m.encode_to_vec());
    }
}

#[test]
fn names_must_be_defined_once() {
    let relu = |a: &str, b: &str| node("Relu", a, b);
    model(&[1, 4], vec![relu("x", "hidden"), relu("hiden", "y").named("r2")], vec![])
        .refused("Q0201", &["nothing defines the value `hiden`", "r2 (Relu)", "`hidden`"]);
    model(&[1, 4], vec![relu("x", "z")], vec![]).refused("Q0201", &["`y`", "output y"]);
    model(&[1, 4], vec![relu("x", "y"), relu("x", "y")], vec![])
        .refused("Q0201", &["`y` is defined twice", "#1"]);
    model(&[1, 4], vec![relu("y", "x"), relu("x", "y")], vec![]).refused("Q0201", &["`x` is defined twice"]);
    let w = tensor("w", &[1], &[0.0]);
    model(&[1, 4], vec![node("Add", "x w", "y")], vec![w.clone(), w])
        .refused("Q0201", &["`w` is defined twice"]);
}

#[test]
fn cycles_are_named() {
    let nodes = vec![
        node("Relu", "x", "a"),
        node("Add", "a d", "b").named("one"),
        node("Relu", "b", "c").named("two"),
        node("Relu", "c", "d").named("three"),
        node("Relu", "d", "y"),
    ];
    model(&[1, 4], nodes, vec![])
        .refused("Q0201", &["3 nodes", "cycle", "one (Add)", "two (Relu)", "three (Relu)"]);
    model(&[1, 4], vec![node("Add", "x y", "y").named("self")], vec![]).refused("Q0201", &["self (Add)"]);
}

#[test]
fn data_must_fit_the_shape() {
    let add = |w: TensorProto| model(&[1, 4], vec![node("Add", "x w", "y")], vec![w]);
    add(tensor("w", &[4], &[1.0; 4])).import().unwrap();
    let t = tensor("w", &[4], &[1.0; 3]);
    add(t).refused("Q0201", &["tensor w", "12 bytes", "float[4] needs 16"]);
    add(tensor("w", &[-4], &[1.0; 4])).refused("Q0201", &["negative size", "[-4]"]);
    add(tensor("w", &[1 << 40, 1 << 40], &[1.0])).refused("Q0201", &["absurd size"]);
    add(tensor("w", &[0, i64::MAX, i64::MAX], &[])).refused("Q0201", &["absurd size"]);
    add(tensor("w", &[1 << 30], &[1.0])).refused("Q0201", &["needs 4294967296"]);
    let typed = |dims: &[i64], t: TensorProto| {
        add(TensorProto { raw_data: None, ..tensor("w", dims, &[]) }.merge_with(t))
    };
    typed(&[4], TensorProto::default()).refused("Q0201", &["no data"]);
    typed(&[4], TensorProto { float_data: vec![1.0; 5], ..Default::default() })
        .refused("Q0201", &["5 elements, and 4"]);
}

impl TensorProto {
    fn merge_with(mut self, o: TensorProto) -> Self {
        self.float_data = o.float_data;
        self.int32_data = o.int32_data;
        self
    }
}

#[test]
fn element_types_are_widened_or_refused() {
    let constant = |data_type: i32, t: TensorProto| {
        let t = TensorProto { name: "w".into(), data_type, dims: vec![2], ..t };
        let m =
            model(&[1, 2], vec![node("Cast", "w", "f").with(int("to", 1)), node("Add", "x f", "y")], vec![t]);
        m.import().map(|m| {
            let add = m.graph.nodes().next().unwrap().1.clone();
            m.graph.constant_input(&add, 1).unwrap().to_f64()
        })
    };
    let i32s = |v: &[i32]| TensorProto { int32_data: v.to_vec(), ..Default::default() };
    let u64s = |v: &[u64]| TensorProto { uint64_data: v.to_vec(), ..Default::default() };
    let raw = |v: &'static [u8]| TensorProto { raw_data: Some(Bytes::from_static(v)), ..Default::default() };
    for (data_type, t, want) in [
        (2, i32s(&[0, 255]), [0.0, 255.0]),
        (3, i32s(&[-128, 127]), [-128.0, 127.0]),
        (4, raw(&[1, 0, 255, 255]), [1.0, 65535.0]),
        (5, raw(&[1, 0, 255, 255]), [1.0, -1.0]),
        (9, i32s(&[0, 1]), [0.0, 1.0]),
        (10, i32s(&[0x3c00, 0xc000]), [1.0, -2.0]),
        (16, raw(&[0x80, 0x3f, 0, 0xc0]), [1.0, -2.0]),
        (12, u64s(&[0, 1 << 31]), [0.0, (1u64 << 31) as f64]),
        (13, u64s(&[0, 1 << 40]), [0.0, (1u64 << 40) as f64]),
    ] {
        assert_eq!(constant(data_type, t).unwrap(), want, "type {data_type}");
    }
    let err = |r: crate::base::Result<Vec<f64>>| r.unwrap_err().to_string();
    assert!(err(constant(13, u64s(&[0, u64::MAX]))).contains("uint64 beyond"));
    assert!(err(constant(3, i32s(&[0, 200]))).contains("200, which is no int8"));
    assert!(err(constant(8, TensorProto::default())).contains("string"));
    assert!(err(constant(17, raw(&[0, 0]))).contains("float8e4m3fn"));
    assert!(err(constant(77, raw(&[0, 0]))).contains("number 77"));
}

#[test]
fn external_data_stays_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("model");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(dir.path().join("secret"), [0; 64]).unwrap();
    std::fs::write(home.join("w.bin"), 1f32.to_le_bytes().repeat(4)).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("secret"), home.join("link")).unwrap();
    let import = |entries: &[(&str, &str)]| {
        let entry =
            |(k, v): &(&str, &str)| StringStringEntryProto { key: k.to_string(), value: v.to_string() };
        let t = TensorProto {
            raw_data: None,
            data_location: 1,
            external_data: entries.iter().map(entry).collect(),
            ..tensor("w", &[3], &[])
        };
        let m = model(&[1, 3], vec![node("Add", "x w", "y")], vec![t]);
        import_bytes(Bytes::from(m.encode_to_vec()), Some(&home), &ImportOptions::default())
    };
    import(&[("location", "w.bin"), ("offset", "4"), ("length", "12")]).unwrap();
    import(&[("location", "./w.bin")]).unwrap();
    refused(import(&[("location", "w.bin"), ("offset", "8")]), "Q0206", &["8 to 20", "has 16"]);
    refused(import(&[("location", "w.bin"), ("offset", &u64::MAX.to_string())]), "Q0206", &["has 16"]);
    refused(import(&[("location", "w.bin"), ("length", "13")]), "Q0206", &["13", "need 12"]);
    refused(import(&[("location", "w.bin"), ("offset", "-4")]), "Q0206", &["`-4`"]);
    refused(import(&[("location", "../secret")]), "Q0206", &["leaves the model's folder"]);
    let absolute = dir.path().join("secret");
    refused(import(&[("location", absolute.to_str().unwrap())]), "Q0206", &["leaves the model's folder"]);
    #[cfg(unix)]
    refused(import(&[("location", "link")]), "Q0206", &["leaves the model's folder"]);
    refused(import(&[("location", "v.bin")]), "Q0001", &["does not exist", "`w.bin`"]);
    refused(import(&[]), "Q0206", &["`location` is missing"]);
}

#[test]
fn folding_has_a_limit() {
    let fill = |n: i64| {
        let nodes =
            vec![node("ConstantOfShape", "s", "c"), node("ReduceMax", "c", "m"), node("Add", "x m", "y")];
        model(&[1, 1], nodes, vec![ints("s", &[n, 1024])])
    };
    fill(1024).import().unwrap_or_else(|e| panic!("{e}"));
    fill(1 << 20).refused("Q0210", &["ConstantOfShape"]);
    fill(1 << 40).refused("Q0205", &["too large"]);
}

#[test]
fn deep_nesting_costs_nothing() {
    // a subgraph in a subgraph in a ... : a thousand levels, ten times what a decoder would follow
    let mut g = Bytes::new();
    for _ in 0..1000 {
        let a = AttributeProto { name: "body".into(), g: Some(g), r#type: 5, ..Default::default() };
        let n = node("Loop", "", "").with(a);
        g = GraphProto { node: vec![n], ..Default::default() }.encode_to_vec().into();
    }
    let a = AttributeProto { name: "body".into(), g: Some(g), r#type: 5, ..Default::default() };
    model(&[1, 4], vec![node("Loop", "x", "y").with(a)], vec![]).refused("Q0202", &["Loop"]);
}

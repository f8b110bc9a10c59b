//! The text form and the oracle over whole graphs.

use super::*;
use crate::base::Place;
use crate::base::quant::{QuantParams, Range, Scale};
use proptest::prelude::*;

const TEXT: &str = "\
graph \"two words\"
input %image: f32[1,2]
const %w: f32[2,2] @channels(axis=0, scales=[0.5,0.25]) = [1.0,-2.0,0.1,1e-9]
%y: f32[1,2] @u8(scale=0.0235, zero=3) @folded(fc.out, \"a b\") = Linear(%image, %w) {act=Clip, act_max=6.0}  # fc from [fc, relu] int8 \"Quantized\"
const %shape: i64[2] = [0,-1]
%a: f32[1,1], %b: f32[1,1] = Split(%y) {axis=1, num_outputs=2}  # cut float {\"Rule\":\"op: Split\"}
%pad: f32[1,3] = Pad(%a) {pads=[0,1,0,1], value=-inf}  # pad
output %pad as logits
output %b as %b
";

#[test]
fn a_text_reads_and_writes_back() {
    let text = TEXT.replace("as %b", "as b").replace("const %shape: i64[2] = [0,-1]\n", "");
    let g = Graph::parse(&text).unwrap();
    assert_eq!(g.to_string(), text);
    assert_eq!(g.verify(), Ok(()));
    let y = g.value(g.find_value("y").unwrap());
    assert_eq!(y.quant.map(|q| (q.scale.get(), q.zero_point)), Some((0.0235, 3)));
    assert_eq!(y.folded, ["fc.out", "a b"]);
    let split = g.node(g.order()[1]).precision.clone();
    assert_eq!(split, Some(Precision { int8: false, reason: Reason::Rule("op: Split".into()) }));
}

#[test]
fn errors_say_line_and_column() {
    let at = |text: &str| match Graph::parse(text).map_err(|e| (e.place, e.what)) {
        Err((Some(Place::File { position: Some(p), .. }), what)) => (p, what),
        other => panic!("{other:?}"),
    };
    let (p, what) = at("graph g\ninput %image: f32[1]\n%y: f32[1] = Relu(%imag)  # r\n");
    assert_eq!((p, what.contains("%image")), ((3, 19), true), "{what}");
    assert_eq!(at("input %x: f33[1]").0.0, 1);
    assert_eq!(at("const %w: f32[2] = [1.0]").0, (1, 19));
    assert_eq!(at("input %x: f32[4294967296,4294967296]").0.0, 1);
    assert_eq!(at("input %x: f32[1]\ninput %x: f32[1]").0.0, 2);
    assert_eq!(at(TEXT).0, (9, 14)); // `as %b`
}

#[test]
fn the_oracle_computes_by_hand() {
    let text = "graph g\ninput %x: f32[1,2]\nconst %w: f32[1,2] = [2.0,3.0]\n\
                %y: f32[1,1] = Linear(%x, %w)  # fc\n%z: f32[1,1] = Relu(%y)  # relu\noutput %z as z\n";
    let g = Graph::parse(text).unwrap();
    assert_eq!(
        evaluate(&g, &[Array::real([1, 2], vec![1.0, 0.5])]),
        Ok(vec![Array::real([1, 1], vec![3.5])])
    );
    assert!(evaluate(&g, &[]).is_err());
    assert!(evaluate(&g, &[Array::real([2, 1], vec![0.0; 2])]).is_err());
}

#[test]
fn big_constants_are_abbreviated_for_people() {
    let g = Graph::parse("const %w: f32[17] = [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]\noutput %w").unwrap();
    let short = format!("{g:#}");
    assert!(short.contains("const %w: f32[17] #"), "{short}");
    assert!(Graph::parse(&short).unwrap_err().what.contains("abbreviated"));
}

/// What a graph is, up to ids.
fn content(g: &Graph) -> impl PartialEq + std::fmt::Debug + use<> {
    let named = |ids: &[ValueId]| ids.iter().map(|&v| g.value(v).clone()).collect::<Vec<_>>();
    let nodes: Vec<_> = g
        .nodes()
        .map(|(_, n)| {
            (
                n.name.clone(),
                n.op.clone(),
                named(&n.inputs),
                named(&n.outputs),
                n.origin.clone(),
                n.precision.clone(),
            )
        })
        .collect();
    (g.name.clone(), nodes, named(&g.inputs), named(&g.outputs), g.output_names.clone())
}

#[test]
fn a_node_alone_takes_each_activation_once() {
    let text = "graph g\ninput %x: f32[1,2]\ninput %y: f32[1,2]\nconst %c: f32[1,1] = [5.0]\n\
                %z: f32[1,7] = Concat(%x, %c, %y, %x) {axis=1}  # join\noutput %z\n";
    let g = Graph::parse(text).unwrap();
    let alone = g.only(g.order()[0]);
    assert_eq!(alone.verify(), Ok(()));
    let inputs: Vec<&str> = alone.inputs.iter().map(|&v| alone.value(v).name.as_str()).collect();
    assert_eq!((inputs, alone.node(alone.order()[0]).inputs.len()), (vec!["x", "y"], 4));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_verify_print_and_compute(mut g in r#gen::graph(), odd in "\\PC{0,8}", scale in 1e-30f32..1e30) {
        prop_assert_eq!(g.verify(), Ok(()));
        let out = g.outputs[0];
        let q = QuantParams { scale: Scale::new(scale).unwrap(), ..QuantParams::unsigned(Range { lo: -1.0, hi: 1.0 }) };
        g.value_mut(out).quant = Some(q);
        g.value_mut(out).folded = vec![odd.clone()];
        g.output_names[0] = odd;
        let again = Graph::parse(&g.to_string()).map_err(|e| TestCaseError::fail(format!("{e}\n{g}")))?;
        prop_assert_eq!(content(&again), content(&g));

        let shape = g.value(g.inputs[0]).fact.shape.clone();
        let n = shape.numel();
        let y = evaluate(&g, &[Array::real(shape, (0..n).map(|i| i as f64 / n as f64).collect())]).unwrap();
        prop_assert_eq!(&y[0].shape, &g.value(out).fact.shape);
    }

    #[test]
    fn no_text_makes_the_reader_panic(cut in 0usize..TEXT.len(), with in "\\PC{0,3}", skip in 0usize..4) {
        let (mut a, mut b) = (cut, (cut + skip).min(TEXT.len()));
        while !TEXT.is_char_boundary(a) { a -= 1 }
        while !TEXT.is_char_boundary(b) { b -= 1 }
        let _ = Graph::parse(&format!("{}{with}{}", &TEXT[..a], &TEXT[b.max(a)..]));
    }
}

//! Pixels give the bits that their floats give, on every device, in every form of input.

use super::*;
use crate::data::{Channels, Layout, Picture, Preprocess};
use crate::device::Tap;
use crate::device::cuda::Cuda;
use crate::engine::{Engine, Origin, Session};
use crate::plan::check;
use crate::testing::quantized::build_of;
use ndarray::{Array, IxDyn};

const SIDE: usize = 8;

/// A padded convolution behind an input of this shape, and a head.
fn network(input: &str, before: &str, channels: usize) -> String {
    format!("graph g\ninput %x: f32[{input}]\n{before}")
        + &constant("w1", &[8, channels, 3, 3], 0.2)
        + &constant("fc", &[5, 8], 0.3)
        + &conv("a", "v", "w1", "act=Relu, pads=[1,1,1,1]", "1,8,8,8")
        + "%p: f32[1,8,1,1] = GlobalAveragePool(%a)  # pool\n%f: f32[1,8] = Flatten(%p)  # flat\n"
        + "%y: f32[1,5] = Linear(%f, %fc)  # head\noutput %y\n"
}

/// Networks whose inputs are read in different ways, with preprocessings that fit them.
fn cases() -> Vec<(&'static str, Graph, Preprocess)> {
    let settings = Settings::default();
    let signed = Settings { unsigned: false, ..Settings::default() };
    let usual = Preprocess { mean: vec![0.5, 0.4, 0.3], std: vec![0.25, 0.2, 0.3], ..Preprocess::default() };
    let text = |input, before, c| {
        network(input, before, c).replace("%v", if before.is_empty() { "%x" } else { "%v" })
    };
    let nchw = text("1,3,8,8", "", 3);
    let nhwc = text("1,8,8,3", "%v: f32[1,3,8,8] = Transpose(%x) {perm=[0,3,1,2]}  # turn\n", 3);
    let twice = text("1,3,8,8", "%s: f32[1,3,8,8] = Tanh(%x)  # s\n%v: f32[1,3,8,8] = Mul(%x, %s)  # v\n", 3);
    let float = Settings {
        rules: vec![Rule { pattern: Pattern::Name("*".into()), int8: false, place: None }],
        ..Settings::default()
    };
    let bgr = Preprocess { channels: Channels::Bgr, scale: 1.0, ..usual.clone() };
    let grey = Preprocess { channels: Channels::Grey, ..Preprocess::default() };
    let last = Preprocess { layout: Layout::Nhwc, ..usual.clone() };
    vec![
        ("a conversion", quantized(&nchw, &settings), usual.clone()),
        ("to s8", quantized(&nchw, &signed), usual.clone()),
        ("blue first", quantized(&nchw, &settings), bgr),
        ("floats", quantized(&nchw, &float), usual.clone()),
        ("channels last", quantized(&nhwc, &settings), last.clone()),
        ("channels last, floats", quantized(&nhwc, &float), last),
        ("two readers", quantized(&twice, &float), usual),
        ("grey", quantized(&text("1,1,8,8", "", 1), &settings), grey),
    ]
}

fn engine(g: &Graph, device: &dyn Device, preprocess: &Preprocess) -> Engine {
    let origin = Origin { preprocess: Some(preprocess.clone()), ..Origin::default() };
    let e = build_of(g, device, 4, origin).unwrap();
    check::check(&e.plan, g).unwrap();
    e
}

/// Pictures in which every value occurs.
fn pictures(channels: usize, n: usize) -> Vec<Picture> {
    let mut random = crate::base::random::SplitMix64::new(9);
    let mut pixels = |_| (random.next_u64() >> 56) as u8;
    let len = SIDE * SIDE * channels;
    (0..n).map(|_| Picture::new(SIDE, SIDE, channels, (0..len).map(&mut pixels).collect())).collect()
}

fn stacked(pictures: &[Picture]) -> ndarray::ArrayD<u8> {
    let all: Vec<u8> = pictures.iter().flat_map(|p| p.pixels().to_vec()).collect();
    Array::from_shape_vec(IxDyn(&[pictures.len(), SIDE, SIDE, pictures[0].channels()]), all).unwrap()
}

fn floats(pictures: &[Picture], preprocess: &Preprocess) -> ndarray::ArrayD<f32> {
    let read: Vec<_> = pictures.iter().map(|p| preprocess.apply(p).unwrap()).collect();
    let dims: Vec<usize> = std::iter::once(read.len()).chain(read[0].1.iter().copied()).collect();
    Array::from_shape_vec(IxDyn(&dims), read.into_iter().flat_map(|(v, _)| v).collect()).unwrap()
}

fn bits(outputs: &[ndarray::ArrayViewD<f32>]) -> Vec<u32> {
    outputs.iter().flat_map(|y| y.iter().map(|v| v.to_bits())).collect()
}

fn equal_on(device: &dyn Device) {
    for (name, g, preprocess) in cases() {
        let e = engine(&g, device, &preprocess);
        let e = crate::engine::file::read(e.to_bytes().unwrap().into()).unwrap();
        let mut session = Session::new(&e, device).unwrap();
        let all = pictures(preprocess.channels.count(), 4);
        for n in [4, 1, 3] {
            let want = bits(&session.run(&[floats(&all[..n], &preprocess).view()]).unwrap());
            let ours = bits(&session.run(stacked(&all[..n]).view()).unwrap());
            assert_eq!(ours, want, "{name}, {n} images on {}", device.id());
            session.submit(stacked(&all[..n]).view()).unwrap();
            assert_eq!(bits(&session.wait().unwrap().unwrap()), want, "{name} in flight on {}", device.id());
            // what was written last is what the next run reads
            session.step(n, None).unwrap();
            let again: Vec<u32> = session.output_slice(0, n).iter().map(|v| v.to_bits()).collect();
            assert_eq!(again, want, "{name} again");
        }
    }
}

#[test]
fn pixels_give_the_bits_of_their_floats() {
    equal_on(&Interp);
    for mode in [Mode::Latency, Mode::Throughput] {
        equal_on(&Cpu { mode, ..cpu() });
    }
}

#[test]
fn pixels_give_the_bits_of_their_floats_on_a_gpu() {
    match Cuda::open(0) {
        Ok(gpu) => equal_on(&gpu),
        Err(why) => println!("no GPU: {}", why.what),
    }
}

/// Where the first step converts the input it is left out; else the pixels become the input of floats.
#[test]
fn the_conversion_of_the_input_is_left_out() {
    for (name, g, preprocess) in cases() {
        let e = engine(&g, &cpu(), &preprocess);
        let entry = e.plan.entry.as_ref().unwrap();
        assert_eq!(
            entry.instead.is_none(),
            ["two readers", "channels last, floats"].contains(&name),
            "{name}\n{}",
            e.plan
        );
        assert_eq!(e.pixels().unwrap()[1..], [SIDE, SIDE, preprocess.channels.count()]);
    }
}

/// A tap sees the same steps and the same bytes either way.
#[test]
fn taps_see_no_difference() {
    #[derive(Default)]
    struct All(Vec<(usize, usize, Vec<u8>)>);
    impl Tap for All {
        fn seen(&mut self, step: usize, output: usize, bytes: &[u8]) {
            self.0.push((step, output, bytes.to_vec()));
        }
    }
    for (name, g, preprocess) in cases() {
        let e = engine(&g, &cpu(), &preprocess);
        let mut session = Session::new(&e, &cpu()).unwrap();
        let all = pictures(preprocess.channels.count(), 2);
        let (mut a, mut b) = (All::default(), All::default());
        session.fill(&[floats(&all, &preprocess).view()]).unwrap();
        session.step(2, Some(&mut a)).unwrap();
        session.fill(stacked(&all).view()).unwrap();
        session.step(2, Some(&mut b)).unwrap();
        assert!(a.0 == b.0, "{name}");
    }
}

#[test]
fn what_is_no_picture_has_no_pixels() {
    let (_, g, preprocess) = cases().remove(0);
    let without = build(&g, &cpu(), 2).unwrap();
    let grey = engine(&g, &cpu(), &Preprocess { channels: Channels::Grey, ..Preprocess::default() });
    let pixels = stacked(&pictures(3, 1));
    for e in [&without, &grey] {
        assert_eq!(e.pixels(), None);
        let mut session = Session::new(e, &cpu()).unwrap();
        assert!(session.pixels_mut(1).is_none());
        assert_eq!(session.run(pixels.view()).unwrap_err().code.id, "Q0507");
    }
    let e = engine(&g, &cpu(), &preprocess);
    let mut session = Session::new(&e, &cpu()).unwrap();
    for dims in [[5, 8, 8, 3], [0, 8, 8, 3], [1, 3, 8, 8], [1, 8, 7, 3]] {
        let e = session.run(Array::<u8, _>::zeros(IxDyn(&dims)).view()).unwrap_err();
        assert_eq!((e.code.id, e.expected.as_deref()), ("Q0507", Some("[1..4,8,8,3]")), "{dims:?}");
    }
}

/// A plan whose pixels become something else is no plan.
#[test]
fn a_wrong_entry_is_found() {
    let (_, g, preprocess) = cases().remove(0);
    let good = engine(&g, &cpu(), &preprocess).plan;
    let spoilt = |spoil: fn(&mut crate::plan::Entry)| {
        let mut plan = good.clone();
        plan.entry.iter_mut().for_each(spoil);
        check::check(&plan, &g).is_err()
    };
    assert!(!spoilt(|_| ()));
    assert!(spoilt(|e| e.instead = None));
    assert!(spoilt(|e| e.instead = Some(1)));
    assert!(spoilt(|e| e.instead = Some(99)));
    assert!(spoilt(|e| e.step.inputs = e.step.outputs.clone()));
}

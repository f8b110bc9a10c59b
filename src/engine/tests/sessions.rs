//! Builds repeat themselves; sessions share an engine, take any batch and refuse what does not fit.

use super::*;
use crate::base::Silent;
use crate::device::cpu::{Mode, Pin};
use crate::engine::{self, Engine, Origin, Session};
use crate::testing::quantized::run_in;
use crate::tune::{TimingCache, Tuner, Verdict};
use ndarray::ArrayD;

/// 8-bit layers with a float island between them.
fn network() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w1", &[8, 4, 3, 3], 0.2)
        + &constant("w2", &[8, 1, 3, 3], 0.2)
        + &constant("fc", &[5, 8], 0.3)
        + &conv("a", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,8,6,6")
        + "%s: f32[1,8,6,6] = Softmax(%a) {axis=1}  # soft\n"
        + &conv("b", "s", "w2", "group=8, pads=[1,1,1,1]", "1,8,6,6")
        + "%p: f32[1,8,1,1] = GlobalAveragePool(%b)  # pool\n%f: f32[1,8] = Flatten(%p)  # flat\n"
        + "%y: f32[1,5] = Linear(%f, %fc)  # head\noutput %y\n";
    quantized(&text, &Settings::default())
}

/// With a full timing cache a second build measures nothing and writes the same bytes.
#[test]
fn a_full_timing_cache_makes_builds_equal() {
    let (g, cpu) = (network(), cpu());
    let once = |cache: TimingCache| {
        let mut tuner = Tuner::new(&cpu, cache, None);
        let settings = engine::Settings { max_batch: 3, ..Default::default() };
        let e = engine::build(&g, &cpu, &mut tuner, settings, Origin::default(), &Silent).unwrap();
        (e.to_bytes().unwrap(), tuner.into_cache())
    };
    let (_, cache) = once(TimingCache::default());
    let (a, cache2) = once(cache.clone());
    let (b, _) = once(cache.clone());
    assert_eq!(cache, cache2);
    assert_eq!(a, b);
}

/// Without time left, the first right kernel of each step is taken, and the cache keeps nothing of it.
#[test]
fn a_spent_budget_measures_nothing() {
    let (g, cpu) = (network(), cpu());
    let mut tuner = Tuner::new(&cpu, TimingCache::default(), Some(std::time::Duration::ZERO));
    let settings = engine::Settings { max_batch: 1, ..Default::default() };
    let e = engine::build(&g, &cpu, &mut tuner, settings, Origin::default(), &Silent).unwrap();
    assert!(e.plan.steps.iter().all(|s| s.choice.candidates.last().unwrap().verdict == Verdict::Only));
    assert!(tuner.into_cache().is_empty());
}

#[test]
fn any_batch_gives_each_image_its_result() {
    let e = build(&network(), &cpu(), 5).unwrap();
    let images: Vec<_> = (0..5).map(|s| sample(&network(), s)).collect();
    let alone: Vec<f32> =
        images.iter().flat_map(|i| run(&e, &cpu(), std::slice::from_ref(i)).unwrap().remove(0)).collect();
    let mut session = Session::on_host(&e).unwrap();
    for n in [5, 1, 4, 2, 3] {
        let y = run_in(&mut session, &images[..n]).unwrap().remove(0);
        assert!(y.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()), "batch {n}");
    }
    for threads in [1, 3, 7] {
        let cpu = Cpu { threads, ..Cpu::host() };
        assert_eq!(run(&e, &cpu, &images).unwrap()[0], alone, "{threads} threads");
    }
}

/// However the threads share a batch and wherever they run: run after run, with a tap in between.
#[test]
fn modes_and_pins_do_not_show() {
    struct Blind;
    impl crate::device::Tap for Blind {
        fn seen(&mut self, _: usize, _: usize, _: &[u8]) {}
    }
    let e = build(&network(), &cpu(), 5).unwrap();
    let images: Vec<_> = (0..5).map(|s| sample(&network(), s)).collect();
    let want: Vec<u32> = run(&e, &cpu(), &images).unwrap()[0].iter().map(|v| v.to_bits()).collect();
    for mode in [Mode::Latency, Mode::Throughput, Mode::Auto] {
        for (threads, pin) in [(1, Pin::None), (2, Pin::Cores), (3, Pin::None), (7, Pin::Cores)] {
            let cpu = Cpu { threads, mode, ..Cpu::host() }.pinned(&pin).unwrap();
            let mut session = Session::new(&e, &cpu).unwrap();
            for n in [5, 1, 4, 5, 2, 3, 5, 5, 5, 5, 5, 5, 5] {
                let y = run_in(&mut session, &images[..n]).unwrap().remove(0);
                let y: Vec<u32> = y.iter().map(|v| v.to_bits()).collect();
                assert_eq!(y, want[..n * want.len() / 5], "{mode:?}, {threads} threads, {pin:?}, {n} images");
                session.step(n, Some(&mut Blind)).unwrap(); // on what the run left in the inputs
            }
        }
    }
}

#[test]
fn sessions_share_a_mapped_engine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.engine");
    build(&network(), &cpu(), 4).unwrap().save(&path).unwrap();
    let e = Engine::load(&path).unwrap();
    let inputs = samples(&network());
    let want = run(&e, &cpu(), &inputs).unwrap();
    std::thread::scope(|s| {
        let one = || {
            let mut session = Session::new(&e, &cpu()).unwrap();
            (0..20).for_each(|_| assert_eq!(run_in(&mut session, &inputs).unwrap(), want));
        };
        (0..3).for_each(|_| drop(s.spawn(one)));
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let e = build(&network(), &cpu(), 4).unwrap();
    let mut session = Session::new(&e, &cpu()).unwrap();
    for dims in [
        vec![5, 4, 6, 6],
        vec![0, 4, 6, 6],
        vec![1, 4, 6],
        vec![1, 4, 6, 7],
        vec![1, 6, 6, 4],
        vec![],
        vec![1, 4, 6, 6, 1],
    ] {
        let e = session.run(&[ArrayD::<f32>::zeros(dims.clone()).view()]).unwrap_err();
        assert_eq!((e.code.id, e.expected.as_deref()), ("Q0507", Some("[1..4,4,6,6]")), "{dims:?}");
    }
    let x = ArrayD::<f32>::zeros(vec![1, 4, 6, 6]);
    assert_eq!(session.run(&[]).unwrap_err().code.id, "Q0507");
    assert_eq!(session.run(&[x.view(), x.view()]).unwrap_err().code.id, "Q0507");
    for n in [0, 5, usize::MAX] {
        assert_eq!(session.step(n, None).unwrap_err().code.id, "Q0507");
    }
    assert!(session.run(&[x.view()]).is_ok());
    // a view that is not contiguous
    let wide = ArrayD::from_shape_fn(vec![2, 6, 6, 4], |i| (i[0] + 2 * i[1] + 3 * i[2] + 5 * i[3]) as f32);
    let turned = wide.view().permuted_axes(vec![0, 3, 1, 2]);
    let a = session.run(&[turned.view()]).unwrap()[0].to_owned();
    assert_eq!(a, session.run(&[turned.as_standard_layout().view()]).unwrap()[0]);
}

#[test]
fn an_engine_of_another_device() {
    let e = build(&network(), &Interp, 1).unwrap();
    assert_eq!(Session::new(&e, &cpu()).err().unwrap().code.id, "Q0506");
    assert_eq!(Session::on_host(&e).err().unwrap().code.id, "Q0506");
}

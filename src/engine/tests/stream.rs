//! Batches in flight come back in order, each with its own answers, on every device.

use super::*;
use crate::device::cuda::Cuda;
use crate::engine::{Batch, Engine, Session};
use crate::testing::quantized::run_in;
use ndarray::{Array, ArrayD, IxDyn};

fn network() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w1", &[8, 4, 3, 3], 0.2)
        + &constant("fc", &[5, 8], 0.3)
        + &conv("a", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,8,6,6")
        + "%p: f32[1,8,1,1] = GlobalAveragePool(%a)  # pool\n%f: f32[1,8] = Flatten(%p)  # flat\n"
        + "%y: f32[1,5] = Linear(%f, %fc)  # head\noutput %y\noutput %a\n";
    quantized(&text, &Settings::default())
}

/// Batches of different sizes, with the outputs that a run of each gives.
fn batches(e: &Engine, device: &dyn Device) -> Vec<(ArrayD<f32>, Vec<Vec<f32>>)> {
    let mut session = Session::new(e, device).unwrap();
    let batch = |b: u64| {
        let n = [4, 1, 3, 2][b as usize % 4];
        let images: Vec<_> = (0..n).map(|i| sample(&network(), 100 * b + i)).collect();
        let values: Vec<f32> = images.iter().flat_map(|s| s[0].to_f32().into_owned()).collect();
        let x = Array::from_shape_vec(IxDyn(&[n as usize, 4, 6, 6]), values).unwrap();
        (x, run_in(&mut session, &images).unwrap())
    };
    (0..9).map(batch).collect()
}

fn in_order_on(device: &dyn Device, most: usize) {
    let e = build(&network(), device, 4).unwrap();
    let all = batches(&e, device);
    let mut session = Session::new(&e, device).unwrap();
    for wanted in [1, 2, 3, 8] {
        let room = session.in_flight(wanted).unwrap();
        assert_eq!(room, wanted.min(most), "{}", device.id());
        let mut landed = Vec::new();
        for (x, _) in &all {
            if session.pending() == room {
                landed.push(owned(session.wait().unwrap().unwrap()));
            }
            session.submit(&[x.view()]).unwrap();
        }
        let full = session.submit(&[all[0].0.view()]);
        assert_eq!(full.err().map(|e| e.code.id), (session.pending() == room).then_some("Q0507"));
        while let Some(y) = session.wait().unwrap() {
            landed.push(owned(y));
        }
        assert!(landed.iter().eq(all.iter().map(|(_, want)| want)), "{wanted} in flight on {}", device.id());
        // runs go on as before
        let y = owned(session.run(&[all[2].0.view()]).unwrap());
        assert_eq!(y, all[2].1);
    }
}

fn owned(outputs: Vec<ndarray::ArrayViewD<f32>>) -> Vec<Vec<f32>> {
    outputs.iter().map(|y| y.iter().copied().collect()).collect()
}

#[test]
fn batches_in_flight_come_back_in_order() {
    in_order_on(&cpu(), 1);
    in_order_on(&Interp, 1);
}

#[test]
fn batches_in_flight_come_back_in_order_on_a_gpu() {
    match Cuda::open(0) {
        Ok(gpu) => in_order_on(&gpu, 8),
        Err(why) => println!("no GPU: {}", why.what),
    }
}

#[test]
fn what_does_not_fit_is_not_submitted() {
    let e = build(&network(), &cpu(), 4).unwrap();
    let mut session = Session::new(&e, &cpu()).unwrap();
    assert!(session.wait().unwrap().is_none());
    let x = ArrayD::<f32>::zeros(vec![5, 4, 6, 6]);
    assert_eq!(session.submit(&[x.view()]).unwrap_err().code.id, "Q0507");
    assert_eq!(session.submit(Batch::Floats(&[])).unwrap_err().code.id, "Q0507");
    assert_eq!(session.pending(), 0);
    // a view that is not contiguous
    let wide = ArrayD::from_shape_fn(vec![2, 6, 6, 4], |i| (i[0] + 2 * i[1] + 3 * i[2] + 5 * i[3]) as f32);
    let turned = wide.view().permuted_axes(vec![0, 3, 1, 2]);
    session.submit(&[turned.view()]).unwrap();
    let y = owned(session.wait().unwrap().unwrap());
    assert_eq!(y, owned(session.run(&[turned.view()]).unwrap()));
}

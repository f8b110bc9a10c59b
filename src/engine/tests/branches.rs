//! Branches that a GPU computes beside one another give the bits that a CPU gives.

use super::*;
use crate::device::cuda::Cuda;
use crate::engine::Session;
use crate::testing::quantized::run_in;

/// Three branches of different lengths joined by a Concat, then a block with a projection, joined by a sum.
fn network() -> Graph {
    let text = IMAGE.to_string()
        + &constant("w0", &[16, 4, 3, 3], 0.2)
        + &constant("w1", &[16, 16, 1, 1], 0.2)
        + &constant("w2", &[16, 16, 3, 3], 0.1)
        + &constant("w3", &[32, 48, 1, 1], 0.1)
        + &constant("w4", &[32, 48, 1, 1], 0.1)
        + &constant("w5", &[32, 32, 3, 3], 0.1)
        + &conv("stem", "x", "w0", "act=Relu, pads=[1,1,1,1]", "1,16,6,6")
        + &conv("a", "stem", "w1", "act=Relu, pads=[0,0,0,0]", "1,16,6,6")
        + &conv("b1", "stem", "w1", "act=Relu, pads=[0,0,0,0]", "1,16,6,6")
        + &conv("b2", "b1", "w2", "act=Relu, pads=[1,1,1,1]", "1,16,6,6")
        + &conv("c1", "stem", "w2", "act=Relu, pads=[1,1,1,1]", "1,16,6,6")
        + &conv("c2", "c1", "w2", "act=Relu, pads=[1,1,1,1]", "1,16,6,6")
        + &conv("c3", "c2", "w2", "act=Relu, pads=[1,1,1,1]", "1,16,6,6")
        + "%cat: f32[1,48,6,6] = Concat(%a, %b2, %c3) {axis=1}  # cat\n"
        + &conv("d1", "cat", "w3", "act=Relu, pads=[0,0,0,0]", "1,32,6,6")
        + &conv("d2", "d1", "w5", "pads=[1,1,1,1]", "1,32,6,6")
        + &conv("skip", "cat", "w4", "pads=[0,0,0,0]", "1,32,6,6")
        + "%sum: f32[1,32,6,6] = Add(%d2, %skip)  # sum\n%y: f32[1,32,6,6] = Relu(%sum)  # y\noutput %y\n";
    quantized(&text, &Settings::default())
}

/// With `QUANTIZE_BRANCHES=always` they are computed so even where that is slower.
#[test]
fn branches_change_no_bit() {
    let gpu = match Cuda::open(0) {
        Ok(gpu) => gpu,
        Err(why) => return println!("no GPU: {}", why.what),
    };
    let g = network();
    let images = samples(&g);
    let want = run(&build(&g, &cpu(), 4).unwrap(), &cpu(), &images).unwrap();
    let e = build(&g, &gpu, 4).unwrap();
    let mut session = Session::new(&e, &gpu).unwrap();
    for _ in 0..20 {
        for n in [4, 1, 3] {
            let got = run_in(&mut session, &images[..n]).unwrap();
            let len = want[0].len() / images.len() * n;
            assert!(
                got[0].iter().zip(&want[0][..len]).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{n} images"
            );
        }
    }
}

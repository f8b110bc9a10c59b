use super::*;

/// A picture of 4x2 whose red counts pixels; green is 100, blue 200.
fn counting() -> Picture {
    Picture::new(4, 2, 3, (0..8).flat_map(|i| [i, 100, 200]).collect())
}

fn square(n: u32) -> Size {
    Size { width: n, height: n }
}

#[test]
fn layouts_and_channel_orders() {
    let raw = Preprocess { scale: 1.0, ..Preprocess::default() };
    let (v, shape) = raw.apply(&counting()).unwrap();
    assert_eq!(shape, Shape::new(&[3, 2, 4]));
    assert_eq!(v[..9], [0., 1., 2., 3., 4., 5., 6., 7., 100.]);
    let bgr = Preprocess { channels: Channels::Bgr, layout: Layout::Nhwc, ..raw.clone() };
    let (v, shape) = bgr.apply(&counting()).unwrap();
    assert_eq!(shape, Shape::new(&[2, 4, 3]));
    assert_eq!(v[..6], [200., 100., 0., 200., 100., 1.]);
    let grey = Preprocess { channels: Channels::Grey, ..raw };
    // Pillow: Image.new("RGB", (1, 1), (0, 100, 200)).convert("L").getpixel((0, 0)) is 82
    assert_eq!(grey.apply(&counting()).unwrap().0[0], 82.0);
}

#[test]
fn mean_and_std_follow_the_channels_of_the_sample() {
    let p = Preprocess {
        channels: Channels::Bgr,
        scale: 1.0,
        mean: vec![104.0, 117.0, 123.0],
        std: vec![1.0, 2.0, 4.0],
        ..Preprocess::default()
    };
    let (v, _) = p.apply(&counting()).unwrap();
    assert_eq!([v[0], v[8], v[16]], [96.0, -8.5, -30.75]);
}

/// `(p / 255 - mean) / std` by Python in double precision, rounded to float32:
/// `float(np.float32((77 / 255 - 0.344) / 0.203))`.
#[test]
fn numbers_are_those_of_f64_arithmetic() {
    let p = Preprocess {
        mean: vec![0.344, 0.380, 0.408],
        std: vec![0.203, 0.137, 0.115],
        ..Preprocess::default()
    };
    let (v, _) = p.apply(&Picture::new(1, 1, 3, vec![77, 0, 255])).unwrap();
    assert_eq!(v, [-0.207_089_73_f32, -2.773_722_6, 5.147_826]);
}

#[test]
fn steps_run_in_their_order() {
    let crop = Step::Crop(Size { width: 2, height: 2 });
    let of = |steps: Vec<Step>| {
        let p = Preprocess { steps, scale: 1.0, ..Preprocess::default() };
        p.apply(&counting()).map(|(v, s)| (v[0], s))
    };
    // x = (4 - 2) / 2 = 1
    assert_eq!(of(vec![crop]).unwrap(), (1.0, Shape::new(&[3, 2, 2])));
    // 4x2 at a short side of 3 is 6x3
    assert_eq!(of(vec![Step::ResizeShort(3)]).unwrap().1, Shape::new(&[3, 3, 6]));
    assert_eq!(of(vec![crop, Step::Resize(square(5))]).unwrap().1, Shape::new(&[3, 5, 5]));
    assert_eq!(of(vec![Step::Resize(square(5)), crop]).unwrap().1, Shape::new(&[3, 2, 2]));
}

#[test]
fn an_odd_rest_is_cut_at_the_right_and_below() {
    let p = Picture::new(5, 1, 1, vec![0, 1, 2, 3, 4]);
    let cut = Step::Crop(Size { width: 2, height: 1 }).apply(&p, Interpolation::Bilinear).unwrap();
    assert_eq!(cut.pixels(), [1, 2]);
}

#[test]
fn a_crop_that_does_not_fit_names_both_sizes() {
    let p = Preprocess { steps: vec![Step::Crop(square(224))], ..Preprocess::default() };
    let e = p.apply(&counting()).unwrap_err().to_string();
    assert!(e.contains("224x224") && e.contains("4x2") && e.contains("resize_short"), "{e}");
}

#[test]
fn absurd_sizes_are_refused() {
    let long = Picture::new(30_000, 1, 1, vec![0; 30_000]);
    let p = Preprocess { steps: vec![Step::ResizeShort(16_000)], ..Preprocess::default() };
    assert!(p.apply(&long).unwrap_err().to_string().contains("30000x1"));
}

#[test]
fn contradictions_are_refused() {
    let d = Preprocess::default;
    for (p, word) in [
        (Preprocess { mean: vec![0.0; 2], ..d() }, "2 numbers for 3 channels"),
        (Preprocess { std: vec![1.0, 0.0, 1.0], ..d() }, "`std` holds 0"),
        (Preprocess { mean: vec![f64::NAN], ..d() }, "NaN"),
        (Preprocess { scale: 0.0, ..d() }, "`scale` is 0"),
        (Preprocess { steps: vec![Step::Resize(square(0))], ..d() }, "0 pixels"),
    ] {
        let e = p.check().unwrap_err().to_string();
        assert!(e.contains(word), "{e}");
    }
}

#[test]
fn the_description_is_the_same_for_the_same_result() {
    let p =
        Preprocess { steps: vec![Step::ResizeShort(256), Step::Crop(square(224))], ..Preprocess::default() };
    let long = Preprocess { mean: vec![0.0; 3], std: vec![1.0; 3], ..p.clone() };
    assert_eq!(p.describe(), long.describe());
    assert_eq!(
        p.describe(),
        "resize_short 256; crop 224x224; bilinear; rgb; \
         (x*0.00392156862745098 - [0.0, 0.0, 0.0])/[1.0, 1.0, 1.0]; nchw"
    );
}

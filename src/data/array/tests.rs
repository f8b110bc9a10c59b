use super::*;
use crate::data::{Dataset, Preprocess, Source};
use ndarray::{Array1, Array2, Array4, ShapeBuilder};
use ndarray_npy::WriteNpyExt;

fn saved(name: &str, array: &impl WriteNpyExt) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    array.write_npy(std::fs::File::create(&path).unwrap()).unwrap();
    (dir, path)
}

fn message(path: &Path) -> String {
    Array::open(path).err().unwrap().to_string()
}

#[test]
fn an_f32_array_is_given_as_it_is() {
    let (_dir, path) = saved("x.npy", &Array2::from_shape_fn((3, 2), |(i, j)| (10 * i + j) as f32));
    let d = Dataset::open(&Source::array(&path)).unwrap();
    let s = d.load(2, &Preprocess::default()).unwrap();
    assert_eq!((d.len(), s.values, s.shape, s.label), (3, vec![20., 21.], Shape::new(&[2]), None));
    assert_eq!(d.name(2), "x.npy[2]");
}

#[test]
fn u8_images_of_either_layout_are_preprocessed() {
    let raw = Preprocess { scale: 1.0, ..Preprocess::default() };
    let last = Array4::from_shape_fn((2, 2, 4, 3), |(n, y, x, c)| (100 * n + 10 * c + 4 * y + x) as u8);
    let first = last.clone().permuted_axes([0, 3, 1, 2]).as_standard_layout().into_owned();
    let load = |a: &Array4<u8>| {
        let (_dir, path) = saved("x.npy", a);
        Dataset::open(&Source::array(&path)).unwrap().load(1, &raw).unwrap()
    };
    let sample = load(&last);
    assert_eq!(
        (sample.shape.clone(), sample.values[..9].to_vec()),
        (Shape::new(&[3, 2, 4]), vec![100., 101., 102., 103., 104., 105., 106., 107., 110.])
    );
    assert_eq!(load(&first).values, sample.values);
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.npz");
    write_npz(&path, &[("logits", &Shape::new(&[2, 2]), &[1., 2., 3., 4.])]).unwrap();
    let a = Array::open(&path).unwrap();
    assert_eq!((a.shape.clone(), a.row(1)), (Shape::new(&[2, 2]), &[0, 0, 64, 64, 0, 0, 128, 64][..]));
    assert!(write_npz(&path, &[("x", &Shape::new(&[3]), &[1.0])]).is_err());
}

#[test]
fn labels_of_an_npz_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("set.npz");
    let write = |labels: &dyn Fn(&mut NpzWriter<std::fs::File>)| {
        let mut npz = NpzWriter::new_compressed(std::fs::File::create(&path).unwrap());
        npz.add_array("images", &Array4::<u8>::zeros((2, 4, 4, 3))).unwrap();
        labels(&mut npz);
        npz.finish().unwrap();
    };
    write(&|npz| npz.add_array("labels", &Array1::from(vec![1i64, 0])).unwrap());
    let d = Dataset::open(&Source::array(&path)).unwrap();
    assert_eq!((d.label(0), d.label(1)), (Some(1), Some(0)));
    write(&|npz| npz.add_array("labels", &Array1::from(vec![1i32, -1])).unwrap());
    let e = Dataset::open(&Source::array(&path)).err().unwrap().to_string();
    assert!(e.contains("label -1 is out of range") && e.contains("labels[1]"), "{e}");
    write(&|npz| npz.add_array("labels", &Array1::from(vec![1u8])).unwrap());
    assert!(message(&path).contains("1 labels stand beside 2 samples"), "{}", message(&path));
    write(&|npz| npz.add_array("labels", &Array1::from(vec![0.5f32, 1.0])).unwrap());
    assert!(message(&path).contains("no list of integers"), "{}", message(&path));
    write(&|npz| npz.add_array("more", &Array1::from(vec![1u8])).unwrap());
    assert!(message(&path).contains("2 arrays beside `labels`: images, more"), "{}", message(&path));
}

#[test]
fn unusable_arrays_say_why() {
    let (_d, path) = saved("x.npy", &Array2::<f64>::zeros((2, 2)));
    assert!(message(&path).contains("`<f8`"), "{}", message(&path));
    let (_d, path) = saved("x.npy", &Array2::<f32>::zeros((2, 3).f()));
    assert!(message(&path).contains("Fortran"), "{}", message(&path));
    let (_d, path) = saved("x.npy", &Array2::<u8>::zeros((2, 3)));
    assert!(message(&path).contains("u8 [2,3] holds no samples"), "{}", message(&path));
    let (_d, path) = saved("x.npy", &Array2::<f32>::zeros((0, 3)));
    let e = Dataset::open(&Source::array(&path)).err().unwrap().to_string();
    assert!(e.contains("no samples"), "{e}");
}

#[test]
fn damaged_files_are_errors_at_every_length() {
    let (_d, path) = saved("x.npy", &Array2::<f32>::zeros((4, 3)));
    let whole = std::fs::read(&path).unwrap();
    for n in 0..whole.len() {
        std::fs::write(&path, &whole[..n]).unwrap();
        assert!(Array::open(&path).is_err(), "cut at {n}");
    }
    let absurd = String::from_utf8_lossy(&whole[10..128]).replace("(4, 3)", "(99999999999999999, 3)");
    let text = format!("{:117}\n", absurd.trim_end());
    std::fs::write(&path, [&whole[..10], text.as_bytes()].concat()).unwrap();
    assert!(message(&path).contains("99999999999999999"), "{}", message(&path));
    // numpy.save(path, numpy.array([[1], [1, 2]], dtype=object)) writes this header, then a pickle
    let pickle = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }";
    std::fs::write(&path, [&whole[..10], format!("{pickle:117}\n").as_bytes()].concat()).unwrap();
    assert!(message(&path).contains("ragged"), "{}", message(&path));
}

/// Files whose headers promise what no file holds, plain and in an archive: one error each, and no memory taken on
/// their word.
#[test]
fn absurd_headers_are_errors() {
    let v1 =
        |text: &str| [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let shaped =
        |shape: &str| v1(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"));
    let mut longest = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    longest.extend(b"{'descr': '<f4'");
    let nested = "(".repeat(60_000);
    let files = [
        ("longest header", longest),
        ("nested shape", shaped(&nested)),
        ("nested type", v1(&format!("{{'descr': {nested}, 'fortran_order': False, 'shape': (1, 2), }}\n"))),
        ("16 TiB", shaped("(4398046511104, 1)")),
        ("no size", shaped("(18446744073709551615, 18446744073709551615)")),
        ("negative", shaped("(-1, 2)")),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    for (what, npy) in files {
        std::fs::write(&path, &npy).unwrap();
        assert!(Array::open(&path).is_err_and(|e| e.code == ARRAY), "{what}.npy");
        let mut npz = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        npz.start_file("x.npy", zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut npz, &npy).unwrap();
        npz.finish().unwrap();
        assert!(Array::open(&path).is_err_and(|e| e.code == ARRAY), "{what} in an .npz");
    }
}

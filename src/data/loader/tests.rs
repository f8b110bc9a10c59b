use super::*;
use crate::data::{Source, Step, preprocess::Size};
use image::{Rgb, RgbImage};
use std::path::Path;

/// Thirteen pictures of a size of their own (4x4 if `same`), number 5 broken.
fn folder(dir: &Path, same: bool) -> Source {
    for i in 0..13u32 {
        let side = if same { 4 } else { 4 + i % 3 };
        let path = dir.join(format!("{i:02}.png"));
        match i {
            5 => std::fs::write(path, "broken").unwrap(),
            _ => RgbImage::from_pixel(side, side, Rgb([i as u8; 3])).save(path).unwrap(),
        }
    }
    Source { on_error: OnError::Skip, ..Source::folder(dir) }
}

#[test]
fn samples_depend_on_neither_batch_nor_threads() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&folder(dir.path(), true)).unwrap();
    let read = |batch, threads| {
        let (mut samples, mut skipped) = (Vec::new(), Vec::new());
        for b in Loader::new(&dataset, &Preprocess::default(), batch).threads(threads) {
            let b = b.unwrap();
            assert_eq!(b.first_index % batch, 0);
            assert_eq!(b.tensor().shape()[0], b.samples.len());
            samples.extend(b.samples);
            skipped.extend(b.skipped);
        }
        (samples, skipped)
    };
    let one = read(1, 1);
    assert_eq!(one.0.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!((one.1.len(), one.1[0].name.as_str()), (1, "05.png"));
    assert!([(4, 1), (5, 3), (13, 2), (64, 8)].iter().all(|&(b, t)| read(b, t) == one));
}

#[test]
fn a_failure_ends_the_batches() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source { on_error: OnError::Fail, ..folder(dir.path(), true) };
    let dataset = Dataset::open(&source).unwrap();
    let mut loader = Loader::new(&dataset, &Preprocess::default(), 3);
    assert!(loader.next().unwrap().is_ok());
    assert!(loader.next().unwrap().unwrap_err().to_string().contains("05.png"));
    assert!(loader.next().is_none());
}

#[test]
fn batches_taken_by_hand_are_the_iterators() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&folder(dir.path(), true)).unwrap();
    let loader = || Loader::new(&dataset, &Preprocess::default(), 3).threads(1);
    let names = |b: Batch| b.samples.into_iter().map(|s| s.name).collect::<Vec<_>>();
    let all: Vec<_> = loader().map(|b| names(b.unwrap())).collect();
    let mut by_hand = loader();
    for expected in all {
        let batch = by_hand.batch().unwrap().unwrap();
        let (taken, sent) = (batch.samples.len() + batch.skipped.len(), by_hand.sent);
        assert_eq!(names(batch), expected);
        by_hand.begin().unwrap();
        // none was sent for those that were taken, before that
        assert_eq!(by_hand.sent, (sent + taken).min(dataset.len()));
    }
    assert!(by_hand.batch().is_none());
}

#[test]
fn all_samples_have_one_shape() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&folder(dir.path(), false)).unwrap();
    let error = |l: Loader| l.filter_map(|b| b.err()).next().map(|e| e.to_string());
    let e = error(Loader::new(&dataset, &Preprocess::default(), 4)).unwrap();
    assert!(e.contains("[3,5,5]") && e.contains("expected: [3,4,4]") && e.contains("01.png"), "{e}");
    let size = Size { width: 6, height: 6 };
    let fit = Preprocess { steps: vec![Step::Resize(size)], ..Preprocess::default() };
    assert_eq!(error(Loader::new(&dataset, &fit, 4)), None);
    let other = Loader::new(&dataset, &fit, 4).expect_shape(Shape::new(&[3, 7, 7]));
    assert!(error(other).unwrap().contains("00.png"));
}

#[test]
fn a_loader_may_be_left_early() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&folder(dir.path(), true)).unwrap();
    assert_eq!(Loader::new(&dataset, &Preprocess::default(), 2).take(1).count(), 1);
}

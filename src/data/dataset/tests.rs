use super::*;
use crate::data::source::{Form, read_classes};
use image::{Rgb, RgbImage};
use std::fs;
use std::path::Path;

/// A 4x4 PNG of one colour.
fn png(path: &Path, colour: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(4, 4, Rgb([colour; 3])).save(path).unwrap();
}

fn message(source: &Source) -> String {
    Dataset::open(source).err().unwrap().to_string()
}

fn names(d: &Dataset) -> Vec<&str> {
    (0..d.len()).map(|i| d.name(i)).collect()
}

#[test]
fn class_folders_are_numbered_by_name_or_by_the_labels() {
    let dir = tempfile::tempdir().unwrap();
    for (i, name) in ["dog/b.png", "dog/a.PNG", "cat/z.png"].into_iter().enumerate() {
        png(&dir.path().join(name), i as u8);
    }
    fs::write(dir.path().join("dog/notes.txt"), "no image").unwrap();
    fs::write(dir.path().join("README"), "no image").unwrap();
    let mut source = Source::folder(dir.path());
    let d = Dataset::open(&source).unwrap();
    assert_eq!(names(&d), ["cat/z.png", "dog/a.PNG", "dog/b.png"]);
    assert_eq!((d.label(0), d.label(1)), (Some(0), Some(1)));
    assert_eq!(d.classes().unwrap(), ["cat", "dog"]);
    source.classes = Some(vec!["dog".into(), "horse".into(), "cat".into()]);
    let d = Dataset::open(&source).unwrap();
    assert_eq!(names(&d), ["dog/a.PNG", "dog/b.png", "cat/z.png"]);
    assert_eq!((d.label(0), d.label(2)), (Some(0), Some(2)));
    source.classes = Some(vec!["dogs".into(), "cat".into()]);
    let e = message(&source);
    assert!(e.contains("`dog` is no class") && e.contains("`dogs`?"), "{e}");
}

#[test]
fn a_flat_folder_has_no_labels() {
    let dir = tempfile::tempdir().unwrap();
    png(&dir.path().join("b.png"), 0);
    png(&dir.path().join("a.png"), 51);
    let d = Dataset::open(&Source::folder(dir.path())).unwrap();
    assert_eq!((names(&d), d.is_labelled()), (vec!["a.png", "b.png"], false));
    let s = d.load(0, &Preprocess::default()).unwrap();
    assert_eq!((s.values, s.shape), (vec![0.2; 48], Shape::new(&[3, 4, 4])));
    fs::create_dir(dir.path().join("class")).unwrap();
    assert!(message(&Source::folder(dir.path())).contains("`a.png` stands beside folders"));
}

#[test]
fn empty_and_missing_places() {
    let dir = tempfile::tempdir().unwrap();
    assert!(message(&Source::folder(dir.path())).contains("no samples"));
    assert!(message(&Source::folder(dir.path().join("x"))).contains("does not exist"));
    fs::write(dir.path().join("list"), "# nothing\n\n").unwrap();
    assert!(message(&Source::list(dir.path().join("list"))).contains("no samples"));
}

#[test]
fn list_entries_are_relative_to_the_list() {
    let dir = tempfile::tempdir().unwrap();
    png(&dir.path().join("eval/b c.png"), 0);
    png(&dir.path().join("eval/a.png"), 0);
    let list = dir.path().join("list.txt");
    fs::write(&list, "# two\neval/b c.png\t7\r\n\neval/a.png\t0\n").unwrap();
    let d = Dataset::open(&Source::list(&list)).unwrap();
    assert_eq!(names(&d), ["eval/b c.png", "eval/a.png"]);
    assert_eq!((d.label(0), d.label(1)), (Some(7), Some(0)));
    let shifted = Source { label_offset: 1, ..Source::list(&list) };
    assert_eq!(Dataset::open(&shifted).unwrap().label(0), Some(8));
}

#[test]
fn a_wrong_line_of_a_list_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    png(&dir.path().join("a.png"), 0);
    let list = dir.path().join("list.txt");
    let classes = Some(vec!["x".into(), "y".into()]);
    for (text, at, words) in [
        ("a.png\t0\na.png\tcat\n", ":2:1", "`cat` is no whole number"),
        ("a.png\t1\na.png\t2\n", ":2:1", "label 2 is out of range"),
        ("a.png\t-1\n", ":1:1", "expected: 0 to 1"),
        ("\n\na.pgn\t1\n", ":3:1", "`a.pgn`, which is no file"),
        ("a.png 1\n", ":1:1", "put a tab"),
        ("a.png\t1\na.png\n", ":2:1", "some have none"),
        ("\t1\n", ":1:1", "no path"),
    ] {
        fs::write(&list, text).unwrap();
        let e = message(&Source { classes: classes.clone(), ..Source::list(&list) });
        assert!(e.contains(words) && e.contains(at), "{text:?}: {e}");
    }
}

#[test]
fn samples_are_taken_in_order_or_shuffled_by_seed() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..20).map(|i| dir.path().join(format!("{i}.png"))).collect();
    let d = Dataset::open(&Source::new(Form::Files(files))).unwrap();
    assert_eq!(names(&d.take(3)), names(&d)[..3]);
    assert_eq!(d.take(100).len(), 20);
    let (a, b) = (d.shuffled(1), d.shuffled(2));
    assert!(names(&a) != names(&d) && names(&a) != names(&b));
    assert_eq!(names(&a), names(&d.shuffled(1)));
    assert_ne!(a.list_digest(), d.list_digest());
}

#[test]
fn the_digest_follows_content_and_labels_not_the_place() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let digest =
        |dir: &tempfile::TempDir| Dataset::open(&Source::folder(dir.path())).unwrap().digest().unwrap();
    dirs.iter().for_each(|d| png(&d.path().join("c/a.png"), 9));
    let first = digest(&dirs[0]);
    assert_eq!(first, digest(&dirs[1]));
    png(&dirs[1].path().join("c/a.png"), 8);
    assert_ne!(first, digest(&dirs[1]));
}

#[test]
fn a_broken_image_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.jpg"), b"\xff\xd8\xff no").unwrap();
    let d = Dataset::open(&Source::folder(dir.path())).unwrap();
    let e = d.load(0, &Preprocess::default()).unwrap_err().to_string();
    assert!(e.contains("a.jpg") && e.contains("on_error: skip"), "{e}");
}

#[test]
fn classes_are_one_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels.txt");
    fs::write(&path, "tabby cat\ndog\n\n").unwrap();
    assert_eq!(read_classes(&path).unwrap(), ["tabby cat", "dog"]);
    fs::write(&path, "cat\n\ndog\n").unwrap();
    assert!(read_classes(&path).unwrap_err().to_string().contains(":2:1"));
    fs::write(&path, "\n").unwrap();
    assert!(read_classes(&path).unwrap_err().to_string().contains("empty"));
}

#[test]
fn overlap_is_by_file_whatever_the_path() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        image::RgbImage::new(2, 2).save(dir.path().join(name)).unwrap();
    }
    std::fs::create_dir(dir.path().join("lists")).unwrap();
    std::fs::write(dir.path().join("lists/l.txt"), "../a.png\n../c.png\n").unwrap();
    let folder = Dataset::open(&Source::folder(dir.path())); // images beside a folder have no class
    assert!(folder.is_err());
    std::fs::write(dir.path().join("m.txt"), "b.png\nc.png\n").unwrap();
    let open = |name: &str| Dataset::open(&Source::list(dir.path().join(name))).unwrap();
    assert_eq!(open("lists/l.txt").overlap(&open("m.txt")), 1);
    assert_eq!(open("m.txt").overlap(&open("m.txt")), 2);
}

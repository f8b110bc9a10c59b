//! The cache: round trips, refusal of every damage, differences in words.

use super::*;
use crate::base::digest::Digest;
use proptest::prelude::*;

fn provenance(samples: u64) -> Provenance {
    let d = |s: &str| Digest::of(s.as_bytes());
    Provenance {
        model: d("model"),
        data_list: d("list"),
        data_content: d("content"),
        preprocessing: d("preprocessing"),
        activations: Activations::U8,
        samples,
    }
}

/// The values of sample `i` of a tensor with 2 channels.
fn sample(i: usize) -> Vec<f32> {
    (0..40).map(|k| ((i * 37 + k * 11) % 101) as f32 * 0.37 - 9.1).collect()
}

fn cache() -> Cache {
    let mut c = Cache::new(provenance(10));
    let mut stats = TensorStats::new(2);
    (0..10).for_each(|i| stats.update_from(i, &format!("{i}.png").into(), &sample(i), 20));
    let mut entry = Entry::new(stats);
    entry.aliases = vec!["onnx::Relu_7".into(), "line\nbreak \"and\" é".into()];
    let range = Range { lo: -9.1, hi: 27.9 };
    entry.candidates.insert("entropy".into(), Candidate { range, error: Some(1.0 / 3.0) });
    entry.candidates.insert("minmax".into(), Candidate { range: Range::symmetric(28.3), error: None });
    let params = QuantParams::unsigned(range);
    entry.chosen = Some(Chosen { method: "entropy".into(), range, params, imported: Some(0x3d41_8306) });
    c.tensors.insert("conv 1".into(), entry);

    let mut all_zero = TensorStats::new(1);
    all_zero.update(3, &[0.0, -0.0, f32::NAN], 1);
    c.tensors.insert("zero".into(), Entry::new(all_zero));
    c.tensors.insert("unseen".into(), Entry::new(TensorStats::new(3)));
    (c.done, c.skipped) = (10, 1);
    c.setting =
        Some(Setting { method: "auto".into(), percentile: 99.99, readers: Some(Digest::of(b"readers")) });
    c
}

fn parse(text: &str) -> Result<Cache> {
    Cache::parse(text, Path::new("reports/x/calibration.cache"))
}

#[test]
fn a_cache_reads_back_as_it_was() {
    let c = cache();
    let text = c.to_string();
    let back = parse(&text).unwrap();
    assert_eq!(back, c);
    assert_eq!(back.to_string(), text);
    assert!(text.is_ascii() || text.contains('é'));
}

#[test]
fn the_text_is_for_people_too() {
    let text = cache().to_string();
    for line in [
        "quantize calibration cache, version 2",
        "activations u8",
        "samples 10 of 10 skipped 1",
        &format!("method auto percentile 99.99 readers {}", Digest::of(b"readers")),
        "largest \"0.png\"", // the first of those with 27.53
        "tensor \"conv 1\"",
        "alias \"onnx::Relu_7\"",
        "part 1 count 2 zeros 2 non-finite 1 min 0.0 max 0.0",
        "range entropy -9.1 27.9 error 0.3333333333333333",
        "range minmax -28.3 28.3",
        "chosen entropy -9.1 27.9 u8 scale 0.14509805 zero-point 63 imported 3d418306",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.lines().last().unwrap().starts_with("checksum "));
}

#[test]
fn resuming_from_a_checkpoint_ends_in_the_same_bytes() {
    let run = |c: &mut Cache, samples: std::ops::Range<usize>| {
        for i in samples {
            let entry = c.tensors.entry("t".into()).or_insert_with(|| Entry::new(TensorStats::new(2)));
            entry.stats.update(i, &sample(i), 20);
            c.done += 1;
        }
    };
    let mut whole = Cache::new(provenance(10));
    run(&mut whole, 0..10);
    for stop in 0..10 {
        let mut first = Cache::new(provenance(10));
        run(&mut first, 0..stop);
        let mut resumed = parse(&first.to_string()).unwrap();
        assert!(!resumed.is_complete());
        run(&mut resumed, stop..10);
        assert!(resumed.is_complete());
        assert_eq!(resumed.to_string(), whole.to_string());
    }
}

#[test]
fn every_truncation_is_refused() {
    let text = cache().to_string();
    for n in (0..text.len()).filter(|&n| text.is_char_boundary(n)) {
        let e = parse(&text[..n]).expect_err("a part of a cache").to_string();
        assert!(e.contains("error[Q0403]") || e.contains("error[Q0404]"), "{e}");
    }
}

#[test]
fn every_changed_byte_is_refused() {
    let text = cache().to_string();
    for i in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[i] ^= 1; // a digit becomes another digit
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(parse(&changed).is_err(), "byte {i} of\n{text}");
        }
    }
}

#[test]
fn damage_is_named_with_its_line() {
    let text = cache().to_string();
    let refusal = |from: &str, to: &str| parse(&text.replacen(from, to, 1)).unwrap_err().to_string();
    let line_of = |what: &str| text.lines().position(|l| l.starts_with(what)).unwrap() + 1;

    let e = refusal("percentile 99.99", "percentile 99.90");
    assert!(
        e.contains("lines 1 to 8 do not fit their checksum") && e.contains("calibration.cache:9:1"),
        "{e}"
    );
    let e = refusal("channels 2", "channels 3");
    assert!(e.contains("2 of 3 channels are listed"), "{e}");
    let e = refusal("zero-point 63", "zero-point 256");
    assert!(e.contains("do not go together") && e.contains(&format!(":{}:1", line_of("chosen"))), "{e}");
    let e = refusal("version 2", "version 3");
    assert!(e.contains("version 3, which this program does not read"), "{e}");
    let e = parse("TRT-8601-EntropyCalibration2\n").unwrap_err().to_string();
    assert!(e.contains("error[Q0403]: this is not a calibration cache"), "{e}");
    let e = parse(&text[..text.len() / 2]).unwrap_err().to_string();
    assert!(e.contains("error[Q0404]: the calibration cache is damaged"), "{e}");
}

/// A file whose checksums are right but whose content is not is refused too.
#[test]
fn forged_content_is_refused() {
    let head = cache().to_string();
    let head = &head[..head.find("tensor ").unwrap()];
    let forged = |body: &str| {
        let block = format!("tensor \"t\"\n{body}");
        let mut text = format!("{head}{block}crc {:08x}\n\n", crc32fast::hash(block.as_bytes()));
        text += &format!("checksum {}\n", Digest::of(text.as_bytes()));
        parse(&text).map_err(|e| e.to_string())
    };
    let good = "channels 1\npart 0 count 3 zeros 1 non-finite 0 min 0.0 max 1.0\npositive 1\n2048 2\n";
    assert!(forged(good).is_ok(), "{:?}", forged(good));
    for (from, to) in [
        ("channels 1", "channels 99999999999"),
        ("channels 1", "channels 0"),
        ("part 0", "part 4"),
        ("count 3", "count 4"),
        ("count 3", "count 18446744073709551615"),
        ("zeros 1", "zeros 18446744073709551615"),
        ("max 1.0", "max inf"),
        ("max 1.0", "max NaN"),
        ("max 1.0", "max 1.5"),
        ("min 0.0", "min 2.0"),
        ("positive 1", "positive 2147483647"),
        ("positive 1", "positive 2"),
        ("2048 2", "4096 2"),
        ("2048 2", "18446744073709551615 2"),
        ("2048 2", "1984 2"),
        ("2048 2", "2048 1 1"),
        ("2048 2", "2048 18446744073709551615"),
        ("2048 2\n", ""),
    ] {
        assert!(forged(&good.replace(from, to)).is_err(), "{to}");
    }
    let twice = format!("{good}{}", &good[good.find("part").unwrap()..]);
    assert!(forged(&twice).unwrap_err().contains("there twice"));
}

#[test]
fn differences_are_said_in_words() {
    let run = provenance(10);
    assert!(differences(&run, &run).is_empty());
    let other = Digest::of(b"other");
    let cache = Provenance { model: other, samples: 64, activations: Activations::S8, ..run };
    let text = differences(&cache, &run);
    assert_eq!(text.len(), 3);
    assert!(text[0].starts_with("the model file differs: the cache has "), "{text:?}");
    assert_eq!(text[1], "the number of calibration samples differs: the cache has 64, this run 10");
    assert_eq!(text[2], "`precision.activations` differs: the cache has s8, this run u8");
    // another list: its content is not worth a second sentence
    let cache = Provenance { data_list: other, data_content: other, ..run };
    assert_eq!(differences(&cache, &run).len(), 1);
    let cache = Provenance { data_content: other, ..run };
    assert!(differences(&cache, &run)[0].starts_with("the content of a calibration sample differs"));
}

#[test]
fn merging_adds_statistics_and_refuses_other_tensors() {
    let whole = cache();
    let mut twice = cache();
    twice.merge_statistics(&whole).unwrap();
    let (a, b) = (&twice.tensors["conv 1"], &whole.tensors["conv 1"]);
    assert_eq!(a.stats.all().count, 2 * b.stats.all().count);
    assert!(a.chosen.is_none() && twice.setting.is_none());
    let mut other = cache();
    other.tensors.insert("zero".into(), Entry::new(TensorStats::new(5)));
    let e = twice.merge_statistics(&other).unwrap_err().to_string();
    assert!(
        e.contains("has it with 1 channel(s), the other has it with 5 channel(s)")
            && e.contains("tensor zero"),
        "{e}"
    );
}

proptest! {
    #[test]
    fn any_statistics_read_back(bits in prop::collection::vec(any::<u32>(), 0..60), channels in 1usize..4) {
        let mut stats = TensorStats::new(channels);
        bits.iter().enumerate().for_each(|(i, &b)| stats.update(i, &[f32::from_bits(b), 1.0], 1));
        let mut c = Cache::new(provenance(60));
        c.tensors.insert("t".into(), Entry::new(stats));
        prop_assert_eq!(&parse(&c.to_string()).unwrap(), &c);
    }

    #[test]
    fn any_text_is_refused_or_read(text in "(quantize calibration cache, version 2\n)?[a-z0-9 \n\"-]{0,200}") {
        let _ = parse(&text);
    }
}

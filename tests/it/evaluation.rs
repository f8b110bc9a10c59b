//! The FP32 answers of an evaluation: kept, used again, and never seen in the numbers.

use crate::calibration::{Place, Seen};
use crate::fixture::good;
use quantize::pipeline::{self, Options};
use serde_json::{Value, json};

/// What a run with these assignments says of accuracy, and what it said on the way.
fn evaluate(place: &Place, out: &str, sets: &[&str]) -> (Value, String) {
    let data = format!("evaluation.data={{list: {}}}", place.at("list.txt").display());
    let sets: Vec<&str> = sets.iter().copied().chain([data.as_str(), "build.budget=0"]).collect();
    let seen = Seen::default();
    let report = pipeline::run(&place.job(out, &sets), &Options::default(), &seen).unwrap().report;
    let dataset = report.provenance.datasets.iter().find(|d| d.role == "evaluation").unwrap();
    let kept = report.files.iter().any(|f| f.what == "FP32 answers");
    let found = json!([report.accuracy, report.metrics, report.drift_samples, dataset.digest]);
    (found, format!("kept: {kept}; {}", seen.notes()))
}

#[test]
fn kept_answers_change_no_number() {
    let place = Place::new();
    let reused = "FP32 answers of 23 images reused";
    let (first, notes) = evaluate(&place, "a", &[]);
    assert!(notes.contains("kept: true") && !notes.contains("reused"), "{notes}");
    assert!(first[0]["n"] == 23 && first[0]["mean_kl"].as_f64().unwrap() > 0.0, "{first}");
    // again, and with another method and batch: as it is without the file
    let other = ["calibration.method=percentile", "calibration.percentile=90", "evaluation.batch=5"];
    for sets in [&[][..], &other] {
        let (with, notes) = evaluate(&place, "a", sets);
        assert!(notes.contains(reused), "{notes}");
        let off: Vec<&str> = sets.iter().copied().chain(["evaluation.keep_answers=false"]).collect();
        let (without, notes) = evaluate(&place, "a", &off);
        assert!(notes.contains("kept: false") && !notes.contains("reused"), "{notes}");
        assert_eq!(with, without, "{sets:?}");
    }
    assert_ne!(evaluate(&place, "a", &other).0, first, "another method is seen");
    let page = good(&place.at("a"), "inspect fp32.answers");
    assert!(page.contains("FP32 answers") && page.contains("23"), "{page}");

    // whatever the answers depend on makes them anew
    let anew = |sets: &[&str], why: &str| {
        let (found, notes) = evaluate(&place, "a", sets);
        assert!(!notes.contains("reused"), "{why}: {notes}");
        assert_eq!(found, evaluate(&place, "b", sets).0, "{why}");
        (found, notes)
    };
    anew(&["preprocess.scale=1/127"], "another preprocessing");
    anew(&["evaluation.samples=7"], "fewer samples");
    anew(&["cpu.isa=scalar"], "other kernels");
    std::fs::copy(place.at("5.png"), place.at("3.png")).unwrap();
    assert_ne!(anew(&[], "another image under the same name").0, first);
    let file = place.at("a/fp32.answers");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    std::fs::remove_file(place.at("b/fp32.answers")).unwrap();
    let (_, notes) = anew(&[], "a damaged file");
    assert!(notes.contains("of no use"), "{notes}");
}

//! Engines for other machines: refused in a sentence, or built for this one first.

use crate::calibration::Place;
use crate::fixture::{good, quantize, text};
use quantize::base::{Digest, Silent};
use quantize::engine::Engine;
use quantize::pipeline::{self, Options};

#[test]
fn an_engine_of_another_machine_is_built_again_if_asked() {
    let place = Place::new();
    let job = place.job("first", &["build.budget=0"]);
    let built = pipeline::build(&job, &Options::default(), &Silent).unwrap();
    let path = built.files.iter().find(|f| f.extension().is_some_and(|e| e == "engine")).unwrap();
    let mut foreign = Engine::load(path).unwrap();
    (foreign.plan.device.kind, foreign.plan.device.arch) = ("cuda".into(), "sm_10".into());
    foreign.save(&place.at("foreign.engine")).unwrap();

    let bench = "bench foreign.engine --duration 0.05 --warmup 0";
    let output = quantize(&place.at(""), bench);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("Q0506") && said.contains("--rebuild"), "{said}");

    let output = quantize(&place.at(""), &format!("{bench} --rebuild c.yaml"));
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("built again"), "{said}");
    assert!(text(&output.stdout).contains("throughput"));
    assert!(place.at("out/c.engine").exists());
    // one that fits is used as it is
    let fits = quantize(&place.at(""), "run out/c.engine 0.png --rebuild c.yaml");
    assert!(fits.status.success() && !text(&fits.stderr).contains("built again"));
    assert_eq!(good(&place.at(""), "run foreign.engine 0.png --rebuild c.yaml -q"), text(&fits.stdout));

    foreign.origin.model_digest = Some(Digest::of(b"another model"));
    foreign.save(&place.at("foreign.engine")).unwrap();
    let output = quantize(&place.at(""), &format!("{bench} --rebuild c.yaml"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("another model"), "{said}");
}

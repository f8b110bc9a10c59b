//! A fault on the GPU says which step it was in. It takes the process's context with it, so these tests run alone:
//! `cargo test --lib faults -- --ignored`, each by its name.

use super::*;
use crate::device::cuda::Cuda;
use crate::device::{Executor, Tap};

struct Blind;
impl Tap for Blind {
    fn seen(&mut self, _: usize, _: usize, _: &[u8]) {}
}

/// A program whose second layer reads from where nothing is.
fn faulty(run: impl Fn(&mut dyn Executor) -> crate::base::Result<()>) -> Option<String> {
    let gpu = match Cuda::open(0) {
        Ok(gpu) => gpu,
        Err(why) => {
            println!("no GPU: {}", why.what);
            return None;
        }
    };
    let text = IMAGE.to_string()
        + &constant("w1", &[8, 4, 3, 3], 0.2)
        + &constant("w2", &[8, 1, 3, 3], 0.2)
        + &conv("first", "x", "w1", "act=Relu, pads=[1,1,1,1]", "1,8,6,6")
        + &conv("second", "first", "w2", "group=8, pads=[1,1,1,1]", "1,8,6,6")
        + "output %second\n";
    let mut program = build(&quantized(&text, &Settings::default()), &gpu, 1).unwrap().program().unwrap();
    let step = program.steps.iter_mut().find(|s| s.name == "second").unwrap();
    step.inputs[0].offset = 1 << 44;
    let e = run(&mut *gpu.load(&program).unwrap()).unwrap_err();
    println!("{e}");
    Some(e.to_string())
}

#[test]
#[ignore = "a fault ends the use of the GPU by the process"]
fn faults_of_a_graph_name_its_steps() {
    if let Some(e) = faulty(|run| run.run(1, None)) {
        assert!(e.contains("steps, from") && e.contains("--profile"), "{e}");
    }
}

#[test]
#[ignore = "a fault ends the use of the GPU by the process"]
fn faults_of_a_profile_name_the_step() {
    if let Some(e) = faulty(|run| run.profile(1, &mut Blind)) {
        assert!(e.contains("in step second, Conv"), "{e}");
    }
}

#[test]
#[ignore = "a fault ends the use of the GPU by the process"]
fn faults_under_a_tap_name_the_step() {
    if let Some(e) = faulty(|run| run.run(1, Some(&mut Blind))) {
        assert!(e.contains("in step second, Conv"), "{e}");
    }
}

//! What makes the numbers of a run less than they look: sentences for the summary and the report. A check is one
//! function in [`CHECKS`].

use super::assemble::Parts;
use crate::config::Job;
use crate::eval::significance::wilson95;
use crate::report::model::Accuracy;
use crate::report::words;

/// Every check.
static CHECKS: &[fn(&Parts) -> Option<String>] = &[mixed_units, same_samples, near_chance];

/// What is doubtful about a run.
pub fn doubts(p: &Parts) -> Vec<String> {
    CHECKS.iter().filter_map(|check| check(p)).collect()
}

fn mixed_units(p: &Parts) -> Option<String> {
    of_preprocessing(p.job())
}

/// A preprocessing that looks like units mixed up: known before anything runs.
pub fn of_preprocessing(job: &Job) -> Option<String> {
    let calibration = job.calibration.data.as_ref();
    let evaluation = job.evaluation.as_ref().map(|e| &e.data);
    calibration.into_iter().chain(evaluation).find_map(|data| data.preprocess.doubt())
}

/// An evaluation on what the ranges were fitted to.
fn same_samples(p: &Parts) -> Option<String> {
    let evaluated = p.job().evaluation.as_ref()?.dataset().ok()?;
    let same = evaluated.overlap(p.calibrated().dataset.as_ref()?);
    (same > 0).then(|| {
        format!(
            "{} of the {} evaluation samples were calibrated on too: the engine is judged on what it was fitted to",
            words::count(same as u64),
            words::count(evaluated.len() as u64)
        )
    })
}

/// FP32 that guesses: an engine that guesses as well has lost nothing.
fn near_chance(p: &Parts) -> Option<String> {
    let outputs = p.reference?.plan.outputs.first()?.shape.numel() as u64;
    guesses(p.evaluated.as_ref()?.accuracy.as_ref()?, outputs)
}

fn guesses(a: &Accuracy, classes: u64) -> Option<String> {
    let top1 = a.reference?.top1;
    let correct = (top1 / 100.0 * a.n as f64).round() as u64;
    let [low, _] = wilson95(correct, a.n)?;
    let chance = 100.0 / classes.max(1) as f64;
    (classes > 1 && low <= chance).then(|| {
        format!(
            "FP32's own top-1 of {top1:.2} % (n={}) is not above guessing among {classes} classes ({chance:.2} %): the \
             preprocessing or the labels are wrong, and comparing the engine with it says nothing",
            a.n
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::TopK;

    #[test]
    fn guessing_is_told_from_knowing() {
        let of = |top1, n, classes| {
            let reference = Some(TopK { top1, ..TopK::default() });
            guesses(&Accuracy { n, reference, ..Accuracy::default() }, classes)
        };
        // 120 of 1200: the interval of Wilson begins at 8.4 %; 20 of 100 at 13.3 %
        assert!(of(10.0, 1200, 10).unwrap().contains("guessing among 10 classes (10.00 %)"));
        assert_eq!(of(20.0, 100, 10), None);
        assert_eq!(of(96.0, 1200, 10), None);
        assert_eq!(of(60.0, 200, 1000), None);
        assert!(of(0.0, 200, 1000).is_some());
    }
}

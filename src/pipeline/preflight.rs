//! What would fail late, tried before anything takes long: the data sets, and the output folder.

use crate::base::codes::machine::BUSY;
use crate::base::{Diagnostic, Place, Result, Shape, files};
use crate::config::Job;
use crate::data::loader::Loader;
use crate::ir::Graph;
use std::fs::{File, TryLockError};
use std::path::Path;

/// The output folder, made and held against other runs while this lives.
pub struct Held(Option<File>);

/// Opens the data sets that the run will read (every file of a list must be there), and takes the output folder.
pub fn check(job: &Job, evaluates: bool) -> Result<Held> {
    job.calibration.dataset()?;
    if let Some(e) = job.evaluation.as_ref().filter(|_| evaluates) {
        e.dataset()?;
    }
    let dir = &job.output.dir;
    std::fs::create_dir_all(dir).map_err(|e| files::cannot("create", dir, &e))?;
    let held = hold(dir)?;
    let probe = dir.join(".probe");
    files::write(&probe, b"")?;
    std::fs::remove_file(&probe).map_err(|e| files::cannot("remove", &probe, &e))?;
    Ok(held)
}

/// Does the first sample of each data set that the run reads fit the model's input?
pub fn check_shapes(job: &Job, graph: &Graph, evaluates: bool) -> Result<()> {
    let Some(&input) = graph.inputs.first() else { return Ok(()) };
    let shape = Shape::new(graph.value(input).fact.shape.get(1..).unwrap_or_default());
    let calibrates = job.calibration.data.as_ref().filter(|_| job.calibration.cache.is_none());
    let calibration = calibrates.zip(job.calibration.dataset()?);
    let evaluation = job.evaluation.as_ref().filter(|_| evaluates);
    let evaluation = evaluation.map(|e| e.dataset().map(|d| (&e.data, d))).transpose()?;
    for (data, dataset) in calibration.into_iter().chain(evaluation) {
        let first = dataset.take(1);
        Loader::new(&first, &data.preprocess, 1)
            .threads(1)
            .expect_shape(shape.clone())
            .try_for_each(|b| b.map(drop))?;
    }
    Ok(())
}

impl Drop for Held {
    /// Lets go now: a process that is being started by another thread has a copy of the open folder for a moment.
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = folder.unlock(); // a system that cannot do so does when it is closed
        }
    }
}

/// A lock on the folder itself leaves no file behind. Where a system has no such locks, there is none.
fn hold(dir: &Path) -> Result<Held> {
    let Ok(folder) = File::open(dir) else { return Ok(Held(None)) };
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Diagnostic::new(BUSY, "another run is writing to the output folder")
                .at(Place::file(dir))
                .help("wait for it, or set another `output.dir` (or `name`) for this one"))
        }
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Held(Some(folder))),
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_folder_has_one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = hold(dir.path()).unwrap();
        assert_eq!(hold(dir.path()).err().map(|e| e.code.id), Some("Q0007"));
        drop(first);
        assert!(hold(dir.path()).is_ok());
    }
}

//! `--rebuild CONFIG`: an engine for another machine is built for this one before it is used.

use super::chain;
use crate::base::codes::engine::WRONG_DEVICE;
use crate::base::{Diagnostic, Monitor, Result};
use crate::cli::progress::Progress;
use crate::engine::{Engine, Wish, host};
use crate::pipeline::{self, Options};
use std::path::{Path, PathBuf};

/// The engine to use: the one of this file, or where it is for another machine and its configuration is given, the one
/// that is built from that, in the folder that it names.
///
/// # Errors
/// Files that cannot be used, what a build may refuse; a configuration of another model.
pub fn engine(file: &Path, config: Option<&Path>, gpu: usize, progress: &Progress) -> Result<PathBuf> {
    let Some(config) = config else { return Ok(file.into()) };
    let old = Engine::load(file)?;
    let wish = Wish { gpu, ..Wish::default() };
    let why = match host::device(&old, &wish).and_then(|device| host::fits(&old, &*device)) {
        Ok(()) => return Ok(file.into()),
        Err(e) if e.code == WRONG_DEVICE => e.what.clone(),
        Err(e) => return Err(e),
    };
    progress.note(&format!("{why}; it is built again from {}", config.display()));
    let (job, config_text) = chain::job(config, &[format!("device={gpu}")])?;
    let options = Options { trust_cache: false, config_text, command: chain::command() };
    let built = pipeline::build(&job, &options, progress)?;
    let path = built.files.into_iter().find(|f| f.extension().is_some_and(|e| e == "engine"));
    let path = path.ok_or_else(|| Diagnostic::new(WRONG_DEVICE, "the configuration builds no engine"))?;
    match Engine::load(&path)?.origin.model_digest == old.origin.model_digest {
        true => Ok(path),
        false => {
            let what = format!("{} is the configuration of another model", config.display());
            Err(Diagnostic::new(WRONG_DEVICE, what).expected(format!(
                "that of {}, which {} was built from",
                old.origin.model,
                file.display()
            )))
        }
    }
}

//! Source to machine code, each text once: in this process, and on disk for the next one.

use super::nvrtc;
use super::probe::Arch;
use crate::base::codes::machine;
use crate::base::{Diagnostic, Digest, Result, files};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A program to be compiled: complete, as no header is included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Source(pub String);

/// Options that decide what code means: products and sums are fused where the source says so, and only there.
const OPTIONS: [&str; 3] = ["--std=c++17", "-default-device", "--fmad=false"];

type Slot = Arc<OnceLock<std::result::Result<Arc<Vec<u8>>, String>>>;

/// Machine code of `source` for `arch`. Several threads may compile at once; equal texts are compiled once.
///
/// # Errors
/// `NO_COMPILER` where there is none and the code is not on disk; `CUDA` with the compiler's log where it refuses.
pub fn cubin(source: &Source, arch: Arch) -> Result<Arc<Vec<u8>>> {
    static KNOWN: OnceLock<Mutex<HashMap<Digest, Slot>>> = OnceLock::new();
    let key = Digest::of(format!("{arch} {OPTIONS:?}\n{}", source.0).as_bytes());
    let known = KNOWN.get_or_init(Mutex::default);
    let slot = known.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
    if let Some(kept) = kept(folder().as_deref(), key).filter(|_| slot.get().is_none()) {
        let _ = slot.set(Ok(Arc::new(kept)));
    }
    if slot.get().is_none() {
        nvrtc::open()?;
    }
    slot.get_or_init(|| {
        let made = compile(source, arch)?;
        keep(folder().as_deref(), key, &made);
        Ok(Arc::new(made))
    })
    .clone()
    .map_err(|log| {
        let what = format!("a kernel does not compile for {arch}");
        log.lines().take(20).fold(Diagnostic::new(machine::CUDA, what), |e, line| e.detail(line))
    })
}

fn compile(source: &Source, arch: Arch) -> std::result::Result<Vec<u8>, String> {
    let nvrtc = nvrtc::open().map_err(|e| e.to_string())?;
    let mut options: Vec<String> = OPTIONS.map(str::to_string).to_vec();
    options.push(format!("--gpu-architecture={arch}"));
    nvrtc.compile(&source.0, &options)
}

/// Where code is kept: `$QUANTIZE_KERNELS`, else `quantize/kernels` in the user's cache folder.
fn folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    set("QUANTIZE_KERNELS").or_else(|| Some(cache()?.join("quantize/kernels")))
}

/// Kept code, unless it was cut: the digest of a file's bytes stands at its end.
fn kept(folder: Option<&Path>, key: Digest) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(folder?.join(format!("{key}.cubin"))).ok()?;
    let end = bytes.len().checked_sub(MARK)?;
    let whole = mark(&bytes[..end]) == bytes[end..];
    bytes.truncate(end);
    whole.then_some(bytes)
}

/// Kept for the next process. That it cannot be written is no error: it will be compiled again.
fn keep(folder: Option<&Path>, key: Digest, cubin: &[u8]) {
    let Some(folder) = folder else { return };
    let bytes = [cubin, &mark(cubin)].concat();
    let path = folder.join(format!("{key}.cubin"));
    if std::fs::create_dir_all(folder).is_err() || files::write(&path, &bytes).is_err() {
        tracing::debug!(path = %path.display(), "a compiled kernel could not be kept");
    }
}

/// Bytes of a [`mark`].
const MARK: usize = 32;

/// What stands behind kept code: half of its digest, as text.
fn mark(cubin: &[u8]) -> Vec<u8> {
    Digest::of(cubin).to_string().as_bytes()[..MARK].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_code_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, key) = (Some(dir.path()), Digest::of(b"source"));
        assert_eq!(kept(folder, key), None);
        keep(folder, key, b"machine code");
        assert_eq!(kept(folder, key).as_deref(), Some(&b"machine code"[..]));
        let path = dir.path().join(format!("{key}.cubin"));
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 5, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert_eq!(kept(folder, key), None, "{cut} bytes");
        }
        let mut other = bytes.clone();
        other[3] ^= 1;
        std::fs::write(&path, other).unwrap();
        assert_eq!(kept(folder, key), None);
        keep(None, key, b"nowhere");
    }
}

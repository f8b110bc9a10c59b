//! A calibration that is stopped or killed goes on where it was, to the same bytes.
#![cfg(unix)]

use crate::fixture::text;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// `quantize calibrate` on the demo configuration, its output in `dir`.
fn calibrate(dir: &Path) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_quantize"));
    command
        .arg("calibrate")
        .arg("--config")
        .arg(root.join("configs/resnet.yaml"))
        .args(["--set", &format!("output.dir={}", dir.display())])
        // one image at a time and plain kernels, so that there is time to be stopped in
        .args(["--set", "calibration.batch=1", "--set", "cpu.isa=scalar"])
        .env_remove("QUANTIZE_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts a calibration and waits for its first checkpoint.
fn started(dir: &Path) -> Child {
    let mut child = calibrate(dir).spawn().unwrap();
    while !dir.join("calibration.cache").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it was done before its first checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn terminated(child: Child, signal: &str) -> Output {
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    child.wait_with_output().unwrap()
}

#[test]
fn a_stopped_or_killed_calibration_goes_on() {
    let whole = tempfile::tempdir().unwrap();
    let output = calibrate(whole.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let cache = |dir: &TempDir| fs::read(dir.path().join("calibration.cache")).unwrap();
    let want = cache(&whole);

    for signal in ["-TERM", "-HUP", "-KILL"] {
        let dir = tempfile::tempdir().unwrap();
        let output = terminated(started(dir.path()), signal);
        let said = text(&output.stderr);
        if signal == "-KILL" {
            assert_eq!(output.status.code(), None, "{said}");
        } else {
            assert_eq!(output.status.code(), Some(130), "{signal}: {said}");
            assert!(said.contains("interrupted: finished files are whole"), "{signal}: {said}");
        }
        assert!(cache(&dir) != want, "{signal} came too late to stop anything");

        let output = calibrate(dir.path()).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success(), "{signal}: {said}");
        assert!(said.contains("going on from a checkpoint after "), "{signal}: {said}");
        assert!(cache(&dir) == want, "after {signal} the calibration ended in other bytes");
    }
}

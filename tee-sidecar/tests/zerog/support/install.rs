//! Where the npm packages are, fetched once for all tests of a process.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of the packages; `None`, and a word about it, where they cannot be had.
pub(crate) fn packages() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOLDER.get_or_init(install) {
        Ok(folder) => Some(folder),
        Err(missing) => {
            skipped(missing);
            None
        }
    }
}

/// Whether a program is missing, about which a word is said.
pub(crate) fn skip_without(program: &str, args: &[&str]) -> bool {
    let missing = Command::new(program).args(args).output().err();
    if let Some(cause) = &missing {
        skipped(&format!("no {program}: {cause}"));
    }
    missing.is_some()
}

fn install() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/install-zerog");
    let output = Command::new("bash").arg(script).output();
    let output = output.map_err(|cause| format!("no bash for .ci/install-zerog: {cause}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if !output.status.success() {
        return Err(format!(".ci/install-zerog: {}", text(&output.stderr).replace('\n', " / ")));
    }
    let printed = text(&output.stdout);
    printed.lines().next_back().map(PathBuf::from).ok_or_else(|| "no folder printed".to_owned())
}

/// A missing component is a failure only where every component is promised.
pub(crate) fn skipped(missing: &str) {
    let promised = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!promised, "CI=true, but {missing}");
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let line = format!("\nSKIPPED: {missing}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

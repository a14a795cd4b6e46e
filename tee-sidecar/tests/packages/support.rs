//! Making the packages once, and asking other programs about them.
#![cfg_attr(feature = "simulator", allow(dead_code, reason = "no package holds the simulator"))]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// What `.ci/package` needs beside a Rust toolchain.
pub(crate) const TOOLS: [&str; 6] = ["bash", "tar", "gzip", "sha256sum", "objdump", "dpkg-deb"];

/// The packages around the program of these tests; `None`, said aloud, where the tools are missing.
pub(crate) fn packages() -> Option<&'static Path> {
    static MADE: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        if !has(&TOOLS) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("packages");
        let run = package(program(), &out, &[]);
        assert!(run.status.success(), "{}", shown(&run));
        Some((folder, out))
    });
    made.as_ref().map(|(_, out)| out.as_path())
}

/// The program without its debug information: what is compressed should be small.
pub(crate) fn program() -> &'static Path {
    static STRIPPED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = STRIPPED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tee-sidecar");
        let mut strip = Command::new("strip");
        strip.arg(env!("CARGO_BIN_EXE_tee-sidecar")).arg("-o").arg(&program);
        let is_stripped = strip.status().is_ok_and(|status| status.success());
        if !is_stripped {
            std::fs::copy(env!("CARGO_BIN_EXE_tee-sidecar"), &program).unwrap();
        }
        (folder, program)
    });
    program
}

/// Runs `.ci/package` on a program, as fast as it goes.
pub(crate) fn package(program: &Path, out: &Path, env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(top().join(".ci/package"));
    command.arg(program).env("OUT", out).env("LEVEL", "1").envs(env.iter().copied());
    // The tests' own sources may be newer than any commit.
    command.env("SOURCE_DATE_EPOCH", EPOCH).output().unwrap()
}

/// Whether all programs are there; says which one is not.
pub(crate) fn has(programs: &[&str]) -> bool {
    let found = |name: &&&str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
    };
    let missing: Vec<_> = programs.iter().filter(|name| !found(name)).copied().collect();
    if !missing.is_empty() {
        skipped(&format!("{} not found", missing.join(", ")));
    }
    missing.is_empty()
}

/// A missing component is a failure only where every component is promised.
pub(crate) fn skipped(missing: &str) {
    let promised = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!promised, "CI=true, but {missing}");
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let line = format!("\nSKIPPED: {missing}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// What a program prints; it has to end well.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn shown(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// The one file of the packages whose name ends so.
pub(crate) fn ending(folder: &Path, end: &str) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    let [one] = found.as_slice() else { panic!("{end}: {found:?}") };
    one.clone()
}

/// What a stop may take: the drain of the example, and the time that whatever is left has then.
pub(crate) fn stop_secs() -> u64 {
    let settings =
        tee_sidecar::config::Settings::load(Some(&top().join("config.example.yaml")), []);
    settings.unwrap_or_else(|error| panic!("{error}")).server.drain_secs + 20
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// When the tests' packages were made: 2026-01-01.
pub(crate) const EPOCH: &str = "1767225600";

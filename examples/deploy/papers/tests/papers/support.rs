//! Asking cargo.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use papers::Linked;

/// The program as `.ci/package` asks cargo about it.
pub(crate) fn linked() -> Linked {
    let metadata = metadata_text(&[]);
    let tree = stdout(
        cargo().args(["tree", "--locked", "-p", "tee-sidecar", "--target", &triple()]).args([
            "-e",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "-f",
            "{p}",
        ]),
    );
    let lock = std::fs::read_to_string(top().join("Cargo.lock")).unwrap();
    Linked::new(&metadata, &tree, &lock).unwrap()
}

/// The workspace's packages with all that may lie below them, built or not.
pub(crate) fn metadata() -> serde_json::Value {
    serde_json::from_str(&metadata_text(&["--all-features"])).unwrap()
}

/// The packages that are built with all features, and their licences.
pub(crate) fn tree(more: &[&str]) -> Vec<(String, String)> {
    let mut cargo = cargo();
    cargo.args(["tree", "--locked", "--all-features", "--target", &triple(), "--prefix", "none"]);
    let told = stdout(cargo.args(["-f", "{p}|{l}"]).args(more));
    // What was told above has a mark behind it.
    let lines = told.lines().map(|line| line.trim_end_matches(" (*)"));
    let lines: BTreeSet<&str> = lines.filter(|line| !line.is_empty()).collect();
    let parts = lines.into_iter().map(|line| line.split_once('|').unwrap());
    parts.map(|(p, licence)| (p.split(' ').next().unwrap().to_owned(), spdx(licence))).collect()
}

/// A licence as an SPDX expression: some packages write `OR` in an old way.
pub(crate) fn spdx(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn metadata_text(more: &[&str]) -> String {
    let mut cargo = cargo();
    cargo.args(["metadata", "--locked", "--format-version=1", "--filter-platform", &triple()]);
    stdout(cargo.args(more))
}

fn triple() -> String {
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let told = stdout(Command::new(rustc).arg("-vV"));
    told.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(top());
    command
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

//! Loading from text, and the program itself.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Output};

use tee_sidecar::config::{ConfigError, Settings};
use tempfile::NamedTempFile;

/// A configuration file with this text.
pub(crate) fn file(yaml: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    file
}

/// Loads a file with this text, in an empty environment.
pub(crate) fn load(yaml: &str) -> Result<Settings, ConfigError> {
    load_with(yaml, &[])
}

/// Loads a file with this text in this environment.
pub(crate) fn load_with(yaml: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Settings::load(Some(file(yaml).path()), env.collect::<Vec<_>>())
}

/// What the program does with these arguments and this environment.
pub(crate) fn program(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    command.env_clear().envs(env.iter().copied()).args(args).output().unwrap()
}

/// Runs a subcommand with a configuration file of this text.
pub(crate) fn program_with(command: &[&str], yaml: &str) -> Output {
    let file = file(yaml);
    let path = file.path().to_str().unwrap();
    program(&[command, &["--config", path]].concat(), &[])
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The paths of all keys that hold no section.
pub(crate) fn paths(document: &serde_json::Value) -> Vec<String> {
    let mut all = Vec::new();
    for (key, value) in document.as_object().unwrap() {
        if value.is_object() {
            all.extend(paths(value).into_iter().map(|rest| format!("{key}.{rest}")));
        } else {
            all.push(key.clone());
        }
    }
    all
}

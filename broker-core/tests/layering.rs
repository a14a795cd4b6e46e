//! What this crate may know of the world, and its pure part of its shells.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// Names that no source of this crate mentions.
const FOREIGN: [&str; 5] = ["actix", "tdx_quote", "dcap_qvl", "reqwest", "std::env"];

/// Modules that decide and never do.
const PURE: [&str; 8] =
    ["money", "digest", "account", "command", "rules", "receipt", "tariff", "signer"];

/// What the pure modules do not touch.
const SHELLS: [&str; 7] =
    ["crate::ledger", "crate::writer", "rusqlite", "tokio", "std::fs", "std::thread", "SystemTime"];

#[test]
fn the_crate_links_no_tee_no_http_and_reads_no_environment() {
    let sources = sources(&source_folder());
    assert!(sources.len() > 10, "the sources were not found");
    for path in sources {
        for (number, line) in code_lines(&path) {
            if let Some(name) = FOREIGN.iter().find(|name| line.contains(**name)) {
                panic!(
                    "{}:{number} mentions {name}.\nbroker-core is the part that others embed: it \
                     links no TEE, no HTTP and reads no environment. Move this to tee-sidecar and \
                     hand the result in, as a value or through a trait of broker-core.",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_rules_know_no_database_no_thread_and_no_clock() {
    for module in PURE {
        let path = source_folder().join(module).with_extension("rs");
        for (number, line) in code_lines(&path) {
            if let Some(name) = SHELLS.iter().find(|name| line.contains(**name)) {
                panic!(
                    "{}:{number} mentions {name}.\n`{module}` is pure, so that the rules can be \
                     tested by the million and every ledger decides alike. Take what it needs as \
                     an argument; keep files, threads and clocks in `ledger` and `writer`.",
                    path.display()
                );
            }
        }
    }
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A file's lines that are no comments, with their numbers.
fn code_lines(path: &Path) -> Vec<(usize, String)> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = (1..).zip(text.lines().map(str::to_owned));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

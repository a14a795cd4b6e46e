//! `ledger archive` and `ledger audit --archive`: the journal as files that anybody can audit.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use broker_core::ledger::archive::{self, ArchiveError, Summary, archives};

use super::Exit;
use super::ledger::{explain, judge, open, pinned_by, print};
use crate::config::Settings;

/// Writes the journal behind an entry into a new file.
pub fn export(settings: &Settings, to: &Path, behind: u64) -> Exit {
    let reader = match open(settings) {
        Ok(reader) => reader,
        Err(error) => return explain(&error),
    };
    let written = File::create_new(to).map_err(ArchiveError::from).and_then(|file| {
        let written = archive::export(&*reader, behind, None, &file);
        let written = written.and_then(|summary| {
            file.sync_all()?;
            Ok(summary)
        });
        // What is not whole is not left behind.
        written.inspect_err(|_| drop(fs::remove_file(to)))
    });
    match written {
        Ok(summary) => print(&lines(&summary)),
        Err(error) => told(&error, to),
    }
}

fn lines(summary: &Summary) -> Vec<(String, String)> {
    let Summary { behind, upto, head, digest } = summary;
    [
        ("behind", behind.to_string()),
        ("upto", upto.to_string()),
        ("head", head.to_string()),
        ("sha256", digest.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Carries out again what the archives tell; with `report`, a saved attestation report, they have
/// to go on from the end of the chain that was signed then.
pub fn audit(paths: &[PathBuf], report: Option<&Path>) -> Exit {
    let pinned = match pinned_by(report) {
        Ok(pinned) => pinned,
        Err(exit) => return exit,
    };
    let mut files = Vec::new();
    for path in paths {
        let listed = if path.is_dir() { archives(path) } else { Ok(vec![path.clone()]) };
        match listed {
            Ok(listed) => files.extend(listed),
            Err(error) => return told(&error.into(), path),
        }
    }
    let Some(first) = files.first() else {
        eprintln!("tee-sidecar: there is no archive");
        return Exit::Missing;
    };
    // Opened one by one: there may be more than a process may have open.
    let at = Cell::new(first);
    let opened = files.iter().map(|path| {
        at.set(path);
        File::open(path)
    });
    let place = pinned.as_ref().map_or(0, |pinned| pinned.entries);
    match archive::audit_with_link(opened, place) {
        Ok((report, link)) => judge("the archives are", &report, pinned, link),
        Err(error) => told(&error, at.get()),
    }
}

fn told(error: &ArchiveError, path: &Path) -> Exit {
    if let ArchiveError::Ledger(error) = error {
        return explain(error);
    }
    eprintln!("tee-sidecar: {}: {error}", path.display());
    match error {
        ArchiveError::Malformed { .. } => Exit::Malformed,
        ArchiveError::Gap { .. } => Exit::Missing,
        ArchiveError::Io(error) if error.kind() == ErrorKind::NotFound => Exit::Missing,
        ArchiveError::Foreign { .. } | ArchiveError::Wrong(_) => Exit::Refuted,
        _ => Exit::Failed,
    }
}

//! `ledger archive` and `ledger audit --archive`: the journal as files that anybody can audit.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use broker_core::ledger::archive::{self, ArchiveError, Summary, archives};

use super::Exit;
use super::ledger::{explain, found, open, print};
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

/// Carries out again what the archives tell.
pub fn audit(paths: &[PathBuf]) -> Exit {
    let mut files = Vec::new();
    for path in paths {
        let listed = if path.is_dir() { archives(path) } else { Ok(vec![path.clone()]) };
        let opened =
            listed.and_then(|listed| listed.iter().map(File::open).collect::<Result<Vec<_>, _>>());
        match opened {
            Ok(opened) => files.extend(opened),
            Err(error) => {
                eprintln!("tee-sidecar: {}: {error}", path.display());
                return Exit::Missing;
            }
        }
    }
    let Some(first) = paths.first().filter(|_| !files.is_empty()) else {
        eprintln!("tee-sidecar: there is no archive");
        return Exit::Missing;
    };
    match archive::audit(files) {
        Ok(report) => match &report.fault {
            None => print(&found(&report)),
            Some(fault) => {
                eprintln!("tee-sidecar: the archives are wrong: {fault}");
                Exit::Refuted
            }
        },
        Err(error) => told(&error, first),
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
        ArchiveError::Foreign { .. } | ArchiveError::Wrong(_) => Exit::Refuted,
        _ => Exit::Failed,
    }
}

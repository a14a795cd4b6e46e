//! What may be wrong with an archive.

use std::path::Path;

use crate::ledger::journal::Stop;
use crate::ledger::{Fault, LedgerError};

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file failed.
    #[error("the archive: {0}")]
    Io(#[from] std::io::Error),
    /// It is no archive, or not all of one.
    #[error("the archive's line {line}: {what}")]
    Malformed {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The archives do not follow each other.
    #[error("an archive continues entry {found}, and entry {expected} is the last before it")]
    Gap {
        /// Where it should begin.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// What is wrong with one of several files.
    #[error("{path}: {error}")]
    File {
        /// The file, or the folder.
        path: String,
        /// What is wrong.
        #[source]
        error: Box<Self>,
    },
    /// It is another ledger's, or was changed.
    #[error("the archive {path} does not fit this ledger")]
    Foreign {
        /// The file.
        path: String,
    },
    /// The ledger has let receipts go that are in none of the folder's archives.
    #[error(
        "receipts have left the ledger for archives that are not in {folder}: put the earlier \
         archives there, or name their folder"
    )]
    Elsewhere {
        /// The folder.
        folder: String,
    },
    /// A row of the ledger, or an entry of the archive, contradicts the others.
    #[error("{0}")]
    Wrong(Fault),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ArchiveError {
    /// With the name of the file, where the file is to blame.
    pub(super) fn of(self, path: &Path) -> Self {
        match self {
            Self::Io(_) | Self::Malformed { .. } | Self::Gap { .. } | Self::Wrong(_) => {
                Self::File { path: path.display().to_string(), error: Box::new(self) }
            }
            other => other,
        }
    }
}

impl From<Stop> for ArchiveError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Fault(fault) => Self::Wrong(fault),
            Stop::Error(error) => Self::Ledger(error),
            Stop::Enough => Self::Malformed { line: 0, what: "it was not read to its end".into() },
        }
    }
}

//! What can go wrong on the way to the database, and what may be done about it.

use std::error::Error as _;

use postgres::Error;
use postgres::error::SqlState;

use crate::ledger::LedgerError;

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(in crate::ledger) enum Trouble {
    /// Another writer was in the way, or the statement took too long: the transaction is rolled
    /// back and may be tried again.
    Conflict(String),
    /// The connection is gone, and with it the transaction, unless it was being committed.
    Lost(String),
    /// Nothing that a second attempt would mend.
    Failed(LedgerError),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let what = describe(&error);
        match error.code() {
            _ if error.is_closed() => Self::Lost(what),
            Some(code) if is_conflict(code) => Self::Conflict(what),
            Some(code) if is_loss(code) => Self::Lost(what),
            Some(code) if CORRUPT.contains(&code.code()) => {
                Self::Failed(LedgerError::Corrupt(what))
            }
            Some(code) if *code == SqlState::DISK_FULL => Self::Failed(LedgerError::Full(what)),
            Some(_) => Self::Failed(LedgerError::Storage(what)),
            None if is_unreadable(&error) => Self::Failed(LedgerError::Corrupt(what)),
            None => Self::Lost(what),
        }
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error)
    }
}

impl From<Trouble> for LedgerError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Conflict(what) | Trouble::Lost(what) => Self::Storage(what),
            Trouble::Failed(error) => error,
        }
    }
}

/// Whoever opens a ledger is told apart from all else that its database is out of reach.
pub(super) fn at_open(trouble: Trouble) -> LedgerError {
    match trouble {
        Trouble::Lost(what) => LedgerError::Unreachable(what),
        other => other.into(),
    }
}

impl Trouble {
    /// The server gave the statement up after its time, or was told to.
    pub(super) fn took_too_long(&self) -> bool {
        matches!(self, Self::Conflict(what) if what.ends_with(CANCELED))
    }
}

/// What is stored cannot be.
pub(super) fn corrupt(what: &str) -> Trouble {
    Trouble::Failed(LedgerError::Corrupt(what.to_owned()))
}

/// What happened, without the values of rows and without anything of the address.
pub(super) fn describe(error: &Error) -> String {
    if let Some(told) = error.as_db_error() {
        let code = told.code().code();
        let message = own_words(code).unwrap_or(told.message());
        return format!("{message} (SQLSTATE {code})");
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Instead of the server's words where those name the user, or a database after whom it is named.
fn own_words(code: &str) -> Option<&'static str> {
    match code {
        "3D000" => Some("the server has no such database: make it, or correct the address"),
        "53300" => Some("the server has no connection left for this user"),
        _ if code.starts_with("28") => {
            Some("the server does not let this user in: correct user and password, or its rules")
        }
        _ => None,
    }
}

/// Everything of these was rolled back for the sake of somebody else.
fn is_conflict(code: &SqlState) -> bool {
    code.code().starts_with("40")
        || [
            SqlState::UNIQUE_VIOLATION,
            SqlState::LOCK_NOT_AVAILABLE,
            // A statement that waited too long.
            SqlState::QUERY_CANCELED,
        ]
        .contains(code)
}

/// The server ends the connection, is going away, or has become one that only reads.
fn is_loss(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}

/// A value that came whole and that this program never writes.
fn is_unreadable(error: &Error) -> bool {
    let text = error.to_string();
    UNREADABLE.iter().any(|start| text.starts_with(start))
}

/// How the client's words for these begin.
const UNREADABLE: [&str; 5] = [
    "error deserializing column",
    "error serializing parameter",
    "invalid column",
    "query returned an unexpected number",
    "expected ",
];

/// How a description of `query_canceled` ends.
const CANCELED: &str = "(SQLSTATE 57014)";

/// `data_corrupted` and `index_corrupted`.
const CORRUPT: [&str; 2] = ["XX001", "XX002"];

//! The tables, and how a file is known to be ours.

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};

use crate::ledger::LedgerError;

use self::collect::COLLECTING;
use self::moving::MOVING;
use self::naming::NAMING;
use self::retire::RETIRING;

mod collect;
mod moving;
mod naming;
mod proving;
mod retire;

/// Makes the tables in an empty database; brings one of an earlier version to this one; leaves one
/// of ours as it is; refuses any other.
pub(super) fn create_or_check(connection: &mut Connection, path: &str) -> Result<(), LedgerError> {
    // A table that others refer to is made anew on the way; it cannot be dropped otherwise.
    let loose = connection.pragma_update(None, "foreign_keys", "OFF");
    loose.map_err(|error| unreadable(error, path))?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let tx = tx.map_err(|error| unreadable(error, path))?;
    if is_empty(&tx).map_err(|error| unreadable(error, path))? {
        tx.execute_batch(TABLES)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", 1)?;
    }
    let marks = (pragma(&tx, "application_id")?, pragma(&tx, "user_version")?);
    if marks == (APPLICATION_ID, 1) {
        tx.execute_batch(COLLECTING)?;
        tx.pragma_update(None, "user_version", 2)?;
    }
    let marks = (pragma(&tx, "application_id")?, pragma(&tx, "user_version")?);
    if marks == (APPLICATION_ID, 2) {
        tx.execute_batch(RETIRING)?;
        tx.pragma_update(None, "user_version", 3)?;
    }
    let marks = (pragma(&tx, "application_id")?, pragma(&tx, "user_version")?);
    if marks == (APPLICATION_ID, 3) {
        proving::prove(&tx)?;
        tx.pragma_update(None, "user_version", 4)?;
    }
    let marks = (pragma(&tx, "application_id")?, pragma(&tx, "user_version")?);
    if marks == (APPLICATION_ID, 4) {
        tx.execute_batch(NAMING)?;
        tx.execute_batch(MOVING)?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()?;
    check(connection, path)
}

/// Refuses a database that is not a ledger of this version.
pub(super) fn check(connection: &Connection, path: &str) -> Result<(), LedgerError> {
    let application = pragma(connection, "application_id").map_err(|e| unreadable(e, path))?;
    let version = pragma(connection, "user_version").map_err(|e| unreadable(e, path))?;
    let why = if application != APPLICATION_ID {
        format!("its application id is {application}, and a ledger's is {APPLICATION_ID}")
    } else if version < VERSION {
        format!(
            "its version is {version}, and this program reads version {VERSION}: start the sidecar \
             on it once, which brings it up to date"
        )
    } else if version != VERSION {
        format!("its version is {version}, and this program reads version {VERSION}")
    } else {
        return Ok(());
    };
    Err(LedgerError::Foreign { path: path.to_owned(), why })
}

/// Refuses to write to a ledger that goes on elsewhere: its fees would be collected twice.
pub(super) fn check_not_moved(connection: &Connection, path: &str) -> Result<(), LedgerError> {
    let moved = connection.query_row("SELECT place FROM moved", [], |row| row.get(0));
    let place: Option<String> = moved.optional()?;
    place.map_or(Ok(()), |place| {
        let why = format!("it was moved to {place} and goes on there: set ledger.url to that");
        Err(LedgerError::Foreign { path: path.to_owned(), why })
    })
}

/// A crash between making the file and making the tables leaves this behind.
fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let marks = (pragma(connection, "application_id")?, pragma(connection, "user_version")?);
    Ok(tables == 0 && marks == (0, 0))
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn unreadable(error: rusqlite::Error, path: &str) -> LedgerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            LedgerError::Foreign { path: path.to_owned(), why: "it is no database".to_owned() }
        }
        _ => error.into(),
    }
}

/// "0GFL" in ASCII.
const APPLICATION_ID: i64 = 0x3047_464c;
const VERSION: i64 = 5;

/// Amounts, prices, accounts, ids and hashes are big-endian bytes, so that their order as bytes is
/// their order as numbers. Times are milliseconds. Counts and times are 64 bits, sign ignored.
///
/// Every command that was carried out has one row in `entry`, and the row that it recorded in
/// `hold`, `receipt` or `released` bears its number: they are written at the end of their tables.
const TABLES: &str = "
CREATE TABLE account (
  user      BLOB NOT NULL PRIMARY KEY CHECK (length(user) = 20),
  cover     BLOB NOT NULL CHECK (length(cover) = 16),
  held      BLOB NOT NULL CHECK (length(held) = 16),
  earned    BLOB NOT NULL CHECK (length(earned) = 16),
  vouchered BLOB NOT NULL CHECK (length(vouchered) = 16),
  unlimited INTEGER NOT NULL CHECK (unlimited IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
  seq    INTEGER PRIMARY KEY CHECK (seq > 0),
  kind   INTEGER NOT NULL,
  user   BLOB NOT NULL CHECK (length(user) = 20),
  key    BLOB CHECK (key IS NULL OR length(key) = 32),
  memo   BLOB NOT NULL CHECK (length(memo) = 32),
  at     INTEGER NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;

CREATE TABLE transfer (
  entry  INTEGER NOT NULL REFERENCES entry (seq),
  n      INTEGER NOT NULL CHECK (n IN (1, 2)),
  debit  INTEGER NOT NULL,
  credit INTEGER NOT NULL CHECK (credit <> debit),
  amount BLOB NOT NULL CHECK (length(amount) = 16 AND amount > zeroblob(16)),
  PRIMARY KEY (entry, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE hold (
  entry        INTEGER PRIMARY KEY REFERENCES entry (seq),
  key          BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
  fingerprint  BLOB NOT NULL CHECK (length(fingerprint) = 32),
  receipt      BLOB NOT NULL UNIQUE CHECK (length(receipt) = 16),
  user         BLOB NOT NULL CHECK (length(user) = 20),
  amount       BLOB NOT NULL CHECK (length(amount) = 16),
  input_price  BLOB NOT NULL CHECK (length(input_price) = 16),
  output_price BLOB NOT NULL CHECK (length(output_price) = 16),
  expires      INTEGER NOT NULL,
  opened_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE open_hold (
  key BLOB NOT NULL PRIMARY KEY REFERENCES hold (key)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt (
  entry           INTEGER PRIMARY KEY REFERENCES entry (seq),
  id              BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  key             BLOB NOT NULL UNIQUE REFERENCES hold (key),
  user            BLOB NOT NULL CHECK (length(user) = 20),
  outcome         INTEGER NOT NULL,
  status          INTEGER NOT NULL,
  input           INTEGER NOT NULL,
  cached_input    INTEGER NOT NULL,
  output          INTEGER NOT NULL,
  source          INTEGER NOT NULL,
  fee             BLOB NOT NULL CHECK (length(fee) = 16),
  request_hash    BLOB NOT NULL CHECK (length(request_hash) = 32),
  response_hash   BLOB NOT NULL CHECK (length(response_hash) = 32),
  bytes           INTEGER NOT NULL,
  events          INTEGER NOT NULL,
  signature       BLOB NOT NULL CHECK (length(signature) = 65),
  signing_address BLOB NOT NULL CHECK (length(signing_address) = 20),
  upstream_id     TEXT,
  drained         INTEGER NOT NULL CHECK (drained IN (0, 1)),
  served_at       INTEGER NOT NULL
) STRICT;

CREATE TABLE released (
  entry INTEGER PRIMARY KEY REFERENCES entry (seq),
  key   BLOB NOT NULL UNIQUE REFERENCES hold (key),
  why   INTEGER NOT NULL,
  at    INTEGER NOT NULL
) STRICT;

CREATE TABLE upstream_alias (
  alias   TEXT NOT NULL,
  user    BLOB NOT NULL CHECK (length(user) = 20),
  receipt BLOB NOT NULL REFERENCES receipt (id),
  PRIMARY KEY (alias, user)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER entry_is_final_u BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_is_final_d BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER transfer_is_final_u BEFORE UPDATE ON transfer
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER transfer_is_final_d BEFORE DELETE ON transfer
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER hold_is_final_u BEFORE UPDATE ON hold
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER hold_is_final_d BEFORE DELETE ON hold
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER receipt_is_final_u BEFORE UPDATE ON receipt
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER receipt_is_final_d BEFORE DELETE ON receipt
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER released_is_final_u BEFORE UPDATE ON released
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER released_is_final_d BEFORE DELETE ON released
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER upstream_alias_is_final_u BEFORE UPDATE ON upstream_alias
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER upstream_alias_is_final_d BEFORE DELETE ON upstream_alias
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

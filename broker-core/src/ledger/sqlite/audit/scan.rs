//! Walking a table: every row is checked, and the first wrong one is named.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use crate::digest::write_hex;
use crate::ledger::sqlite::rows::Columns;
use crate::ledger::sqlite::{is_malformed, is_unreadable};
use crate::ledger::{Fault, LedgerError};

/// Why an audit ends early.
pub(super) enum Stop {
    Fault(Fault),
    Error(LedgerError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        if is_malformed(&error) {
            let what = format!("it is malformed: {error}");
            return Self::Fault(Fault { table: "database", row: "image".to_owned(), what });
        }
        Self::Error(error.into())
    }
}

/// What is wrong with one row.
pub(super) enum Wrong {
    Is(String),
    Unread(rusqlite::Error),
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self::Is(what)
    }
}

impl From<&str> for Wrong {
    fn from(what: &str) -> Self {
        Self::Is(what.to_owned())
    }
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unread(error)
    }
}

/// Checks every row of a query whose first column names the row; `check` gets the columns after it.
pub(super) fn each(
    db: &Connection,
    table: &'static str,
    sql: &str,
    mut check: impl FnMut(&mut Columns<'_, '_>) -> Result<(), Wrong>,
) -> Result<(), Stop> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let Name(name) = columns.take()?;
        let what = match check(&mut columns) {
            Ok(()) => continue,
            Err(Wrong::Is(what)) => what,
            Err(Wrong::Unread(error)) if is_unreadable(&error) => {
                format!("a value cannot be read: {error}")
            }
            Err(Wrong::Unread(error)) => return Err(error.into()),
        };
        return Err(Stop::Fault(Fault { table, row: name, what }));
    }
    Ok(())
}

/// Every row of the query is wrong.
pub(super) fn none(
    db: &Connection,
    table: &'static str,
    sql: &str,
    what: &str,
) -> Result<(), Stop> {
    each(db, table, sql, |_| Err(what.into()))
}

/// A row's identity in words, whatever type it has been changed to.
struct Name(String);

impl rusqlite::types::FromSql for Name {
    fn column_result(value: ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        Ok(Self(match value {
            ValueRef::Null => "without a name".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(bytes) => match Uuid::from_slice(bytes) {
                Ok(id) => id.to_string(),
                Err(_) if bytes.len() == 20 => format!("0x{}", Hex(bytes)),
                Err(_) => Hex(bytes).to_string(),
            },
        }))
    }
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_hex(f, self.0)
    }
}

//! Walking a table: every row is checked, and the first wrong one is named.

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Rows, Statement};
use uuid::Uuid;

use crate::digest::write_hex;
use crate::ledger::Fault;
use crate::ledger::journal::Stop;

use super::rows::Columns;
use super::values::Count;
use super::{is_malformed, is_unreadable};

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

impl Wrong {
    /// As a fault of a row, where it is one.
    fn of(self, table: &'static str, row: String) -> Stop {
        let what = match self {
            Self::Is(what) => what,
            Self::Unread(error) if is_unreadable(&error) => {
                format!("a value cannot be read: {error}")
            }
            Self::Unread(error) => return error.into(),
        };
        Fault { table, row, what }.into()
    }
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
        check(&mut columns).map_err(|wrong| wrong.of(table, name))?;
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

/// A table that is read row by row, in the order of the entries that recorded its rows. The first
/// column of a row is its name, the second its entry, and the rest are the reader's.
pub(super) struct Cursor<'stmt> {
    pub(super) table: &'static str,
    rows: Rows<'stmt>,
    /// The entry of the row that is next.
    next: Option<u64>,
}

impl<'stmt> Cursor<'stmt> {
    pub(super) fn open(
        table: &'static str,
        statement: &'stmt mut Statement<'_>,
        behind: u64,
    ) -> Result<Self, Stop> {
        let mut cursor = Self { table, rows: statement.query([Count(behind)])?, next: None };
        cursor.advance()?;
        Ok(cursor)
    }

    /// The next row, whatever its entry.
    pub(super) fn next<T>(
        &mut self,
        read: &mut impl FnMut(&mut Columns<'_, '_>) -> Result<T, Wrong>,
    ) -> Result<Option<T>, Stop> {
        let Some(row) = self.rows.get() else { return Ok(None) };
        let mut columns = Columns::of(row);
        let (Name(name), Count(_)) = (columns.take()?, columns.take()?);
        let value = match read(&mut columns) {
            Ok(value) => value,
            Err(wrong) => return Err(wrong.of(self.table, name)),
        };
        self.advance()?;
        Ok(Some(value))
    }

    /// The next row, if the entry `number` recorded it.
    pub(super) fn at<T>(
        &mut self,
        number: u64,
        read: &mut impl FnMut(&mut Columns<'_, '_>) -> Result<T, Wrong>,
    ) -> Result<Option<T>, Stop> {
        match self.next {
            Some(next) if next < number => self.ends().map(|()| None),
            Some(next) if next == number => self.next(read),
            _ => Ok(None),
        }
    }

    /// Nothing is left.
    pub(super) fn ends(&self) -> Result<(), Stop> {
        let Some(row) = self.rows.get() else { return Ok(()) };
        let Name(name) = Columns::of(row).take()?;
        Err(Wrong::from("no entry of its kind recorded it").of(self.table, name))
    }

    fn advance(&mut self) -> Result<(), Stop> {
        self.rows.advance()?;
        let Some(row) = self.rows.get() else {
            self.next = None;
            return Ok(());
        };
        let mut columns = Columns::of(row);
        let Name(name) = columns.take()?;
        let entry =
            columns.take::<Count>().map_err(|error| Wrong::from(error).of(self.table, name));
        self.next = entry.map(|Count(entry)| Some(entry))?;
        Ok(())
    }
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

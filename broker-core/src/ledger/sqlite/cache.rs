//! How much of the file a connection keeps in memory.

use rusqlite::Connection;

use crate::ledger::LedgerError;

/// For the connection that writes to a file of so many bytes, until it is opened again.
///
/// SQLite (3.54, `balance_nonroot`) sorts the neighbours of a page that it splits by way of the
/// page at 1 GiB, which it then takes for the last one that it has: while the file ends before
/// that, the end of every such transaction goes through all pages in memory. With 64 MiB of them
/// that was the most expensive part of a writer.
pub(super) fn of_writer(connection: &Connection, file_bytes: u64) -> Result<(), LedgerError> {
    let is_small = file_bytes < PENDING_BYTE;
    set(connection, if is_small { SMALL_KIBIBYTES } else { KIBIBYTES })
}

/// For a connection that goes all over the file and writes nothing, as an audit.
pub(super) fn of_auditor(connection: &Connection) -> Result<(), LedgerError> {
    set(connection, KIBIBYTES)
}

/// SQLite takes a size in kibibytes as a negative number.
fn set(connection: &Connection, kibibytes: i64) -> Result<(), LedgerError> {
    Ok(connection.pragma_update(None, "cache_size", kibibytes.saturating_neg())?)
}

/// What clients name and each user's receipts lie all over the file, as receipts' ids did before
/// they began with the time: with 64 MiB of it at hand a large ledger of those was about twice as
/// fast.
const KIBIBYTES: i64 = 65_536;
const SMALL_KIBIBYTES: i64 = 16_384;

/// Where SQLite locks, in a page that holds nothing else.
const PENDING_BYTE: u64 = 0x4000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_keeps_few_pages_of_a_file_that_ends_before_the_page_that_locks() {
        let connection = Connection::open_in_memory().unwrap();
        let kept_of = |bytes| {
            of_writer(&connection, bytes).unwrap();
            connection.query_row("PRAGMA cache_size", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(kept_of(PENDING_BYTE - 1), -SMALL_KIBIBYTES);
        assert_eq!(kept_of(PENDING_BYTE), -KIBIBYTES);
    }
}

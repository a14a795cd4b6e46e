//! Changing a ledger behind its back, and asking what an audit makes of it.

use std::path::Path;

use broker_core::{Fault, LedgerReader, SqliteReader};
use rusqlite::Connection;

/// Changes a ledger as somebody with the file and without scruples would.
pub(crate) fn change(path: &Path, sql: &str) {
    let raw = Connection::open(path).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    let mut triggers =
        raw.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let names: Vec<String> =
        triggers.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    for name in names {
        raw.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    for statement in sql.split(';') {
        let changed = raw.execute(statement, []);
        let changed = changed.unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert!(changed > 0, "{statement} changes nothing");
    }
}

pub(crate) fn audit(path: &Path) -> Option<Fault> {
    SqliteReader::open(path).unwrap().audit().unwrap().fault
}

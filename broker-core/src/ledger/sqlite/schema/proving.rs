//! Version 4: receipts that prove themselves, and the log that they stand in.

use rusqlite::{Connection, params};

use crate::digest::Digest32;
use crate::ledger::proofs::mark;
use crate::ledger::sqlite::values::Count;

/// Makes the tables, and a log with a name of its own.
pub(super) fn prove(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(PROVING)?;
    let sql = "SELECT randomblob(32), coalesce(max(seq), 0) FROM entry";
    let (id, Count(since)): (Digest32, _) =
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let values = params![id, Count(since), mark(&id, since)];
    db.execute("INSERT INTO log VALUES (1, ?1, ?2, ?3)", values)?;
    Ok(())
}

/// `log_leaf` and `log_node` follow from the entries; `kept` are documents named by their digests.
/// Entries up to `log.since` were recorded before receipts had proofs, and need not be searched.
/// `log.mark` is [`mark`].
const PROVING: &str = "
ALTER TABLE account ADD COLUMN exchanges INTEGER NOT NULL DEFAULT 0;
UPDATE account SET exchanges = c.n
  FROM (SELECT user, count(*) AS n FROM hold GROUP BY user) c WHERE c.user = account.user;
INSERT INTO account (user, cover, held, earned, vouchered, unlimited, exchanges)
  SELECT user, zeroblob(16), zeroblob(16), zeroblob(16), zeroblob(16), 0, count(*) FROM hold
  WHERE user NOT IN (SELECT user FROM account) GROUP BY user;

ALTER TABLE receipt ADD COLUMN proof BLOB;
DROP INDEX fee_of_user;
CREATE INDEX receipt_of_user ON receipt (user, entry, fee);

CREATE TABLE log (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  id       BLOB NOT NULL CHECK (length(id) = 32),
  since    INTEGER NOT NULL,
  mark     BLOB NOT NULL CHECK (length(mark) = 32)
) STRICT;

CREATE TABLE log_leaf (
  leaf  INTEGER PRIMARY KEY CHECK (leaf >= 0),
  entry INTEGER NOT NULL UNIQUE REFERENCES entry (seq),
  hash  BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE log_node (
  level INTEGER NOT NULL CHECK (level > 0),
  n     INTEGER NOT NULL CHECK (n >= 0),
  hash  BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept (
  number INTEGER PRIMARY KEY,
  kind   INTEGER NOT NULL,
  name   BLOB NOT NULL CHECK (length(name) = 32),
  body   BLOB NOT NULL,
  at     INTEGER NOT NULL,
  UNIQUE (kind, name)
) STRICT;

CREATE TRIGGER log_is_final_u BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER log_is_final_d BEFORE DELETE ON log
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER log_leaf_is_final_u BEFORE UPDATE ON log_leaf
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER log_leaf_is_final_d BEFORE DELETE ON log_leaf
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER log_node_is_final_u BEFORE UPDATE ON log_node
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER log_node_is_final_d BEFORE DELETE ON log_node
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER kept_is_final_u BEFORE UPDATE ON kept
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER kept_is_final_d BEFORE DELETE ON kept
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

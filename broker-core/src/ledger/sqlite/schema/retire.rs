//! Version 3: receipts can be let go once they are archived.

/// A receipt is deleted only where `retired` has its leaf in its place.
pub(super) const RETIRING: &str = "
CREATE TABLE retire (
  entry   INTEGER PRIMARY KEY REFERENCES entry (seq),
  upto    INTEGER NOT NULL,
  archive BLOB NOT NULL CHECK (length(archive) = 32)
) STRICT;

CREATE TABLE retired (
  entry INTEGER PRIMARY KEY REFERENCES entry (seq),
  leaf  BLOB NOT NULL CHECK (length(leaf) = 32)
) STRICT;

-- The alias loses its reference to the receipt: SQLite would look for it in every row whenever a
-- receipt goes.
CREATE TABLE alias (
  alias   TEXT NOT NULL,
  user    BLOB NOT NULL CHECK (length(user) = 20),
  receipt BLOB NOT NULL CHECK (length(receipt) = 16),
  PRIMARY KEY (alias, user)
) STRICT, WITHOUT ROWID;
INSERT INTO alias SELECT alias, user, receipt FROM upstream_alias;
DROP TABLE upstream_alias;
ALTER TABLE alias RENAME TO upstream_alias;

-- Receipts whose engine's id an earlier one of their user carries.
CREATE TABLE upstream_repeat (
  alias TEXT NOT NULL,
  user  BLOB NOT NULL CHECK (length(user) = 20),
  entry INTEGER NOT NULL,
  PRIMARY KEY (alias, user, entry)
) STRICT, WITHOUT ROWID;
INSERT INTO upstream_repeat SELECT r.upstream_id, r.user, r.entry FROM receipt r
  JOIN upstream_alias l ON l.alias = r.upstream_id AND l.user = r.user WHERE l.receipt <> r.id;

CREATE TRIGGER retire_is_final_u BEFORE UPDATE ON retire
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER retire_is_final_d BEFORE DELETE ON retire
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER retired_is_final_u BEFORE UPDATE ON retired
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER retired_is_final_d BEFORE DELETE ON retired
BEGIN SELECT RAISE(ABORT, 'append-only'); END;

DROP TRIGGER receipt_is_final_d;
CREATE TRIGGER receipt_is_final_d BEFORE DELETE ON receipt
WHEN NOT EXISTS (SELECT 1 FROM retired x WHERE x.entry = OLD.entry)
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER upstream_alias_is_final_u BEFORE UPDATE ON upstream_alias
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER upstream_alias_is_final_d BEFORE DELETE ON upstream_alias
WHEN NOT EXISTS (SELECT 1 FROM receipt r JOIN retired x ON x.entry = r.entry
                 WHERE r.id = OLD.receipt)
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

//! Version 3: receipts can be let go once they are archived, and less is written for each exchange.

/// A receipt is deleted only where `retired` has its leaf in its place.
///
/// Keys and ids were random, so that an index over them cost a page of its own with every row. Only
/// `hold` has them: `open_hold` and `receipt` refer to a hold by its number, and an alias to its
/// receipt by its own.
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

-- Where everything went: nothing is written here after that.
CREATE TABLE moved (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  place    TEXT NOT NULL,
  at       INTEGER NOT NULL
) STRICT;

-- A list of three would be looked up in a table that SQLite makes for every row.
CREATE TABLE movement (
  entry  INTEGER NOT NULL REFERENCES entry (seq),
  n      INTEGER NOT NULL CHECK (n BETWEEN 1 AND 3),
  debit  INTEGER NOT NULL,
  credit INTEGER NOT NULL CHECK (credit <> debit),
  amount BLOB NOT NULL CHECK (
    length(amount) = 16 AND amount > x'00000000000000000000000000000000'
  ),
  PRIMARY KEY (entry, n)
) STRICT, WITHOUT ROWID;
INSERT INTO movement SELECT entry, n, debit, credit, amount FROM transfer;
DROP TABLE transfer;
ALTER TABLE movement RENAME TO transfer;

CREATE TABLE alias (
  alias TEXT NOT NULL,
  user  BLOB NOT NULL CHECK (length(user) = 20),
  entry INTEGER NOT NULL,
  PRIMARY KEY (alias, user)
) STRICT, WITHOUT ROWID;
INSERT INTO alias SELECT l.alias, l.user, r.entry
  FROM upstream_alias l JOIN receipt r ON r.id = l.receipt;
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
  JOIN upstream_alias l ON l.alias = r.upstream_id AND l.user = r.user WHERE l.entry <> r.entry;

CREATE TABLE finished (
  entry           INTEGER PRIMARY KEY REFERENCES entry (seq),
  hold            INTEGER NOT NULL UNIQUE REFERENCES hold (entry),
  id              BLOB NOT NULL CHECK (length(id) = 16),
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
  served_at       INTEGER NOT NULL,
  cache_write     INTEGER NOT NULL,
  cache_write_1h  INTEGER NOT NULL
) STRICT;
INSERT INTO finished SELECT r.entry, h.entry, r.id, r.user, r.outcome, r.status, r.input,
  r.cached_input, r.output, r.source, r.fee, r.request_hash, r.response_hash, r.bytes, r.events,
  r.signature, r.signing_address, r.upstream_id, r.drained, r.served_at, r.cache_write,
  r.cache_write_1h FROM receipt r JOIN hold h ON h.key = r.key;
DROP TABLE receipt;
ALTER TABLE finished RENAME TO receipt;
CREATE INDEX fee_of_user ON receipt (user, entry)
  WHERE fee > x'00000000000000000000000000000000';

CREATE TABLE begun (
  hold INTEGER PRIMARY KEY REFERENCES hold (entry)
) STRICT;
INSERT INTO begun SELECT h.entry FROM open_hold o JOIN hold h ON h.key = o.key;
DROP TABLE open_hold;
ALTER TABLE begun RENAME TO open_hold;

CREATE TRIGGER transfer_is_final_u BEFORE UPDATE ON transfer
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER transfer_is_final_d BEFORE DELETE ON transfer
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER retire_is_final_u BEFORE UPDATE ON retire
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER retire_is_final_d BEFORE DELETE ON retire
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER retired_is_final_u BEFORE UPDATE ON retired
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER retired_is_final_d BEFORE DELETE ON retired
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER receipt_is_final_u BEFORE UPDATE ON receipt
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER receipt_is_final_d BEFORE DELETE ON receipt
WHEN NOT EXISTS (SELECT 1 FROM retired x WHERE x.entry = OLD.entry)
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER upstream_alias_is_final_u BEFORE UPDATE ON upstream_alias
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER upstream_alias_is_final_d BEFORE DELETE ON upstream_alias
WHEN NOT EXISTS (SELECT 1 FROM retired x WHERE x.entry = OLD.entry)
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

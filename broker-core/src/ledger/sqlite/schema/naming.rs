//! Version 5: fewer random places in the file are written to for each exchange.

/// An index over random values costs a page of its own with every row. Of those that every exchange
/// would need only the ids of receipts have one that holds all of them, and those of one time are
/// side by side ([`crate::receipt::ReceiptId::mint`]):
///
/// * a key that begins with the id of its hold is found by that id, and is one hold's as the id is;
///   only keys that begin otherwise are in an index;
/// * an engine's id that ends with the receipt's id leads to that; for the others their last bytes
///   are enough to tell few receipts from all.
///
/// A release refers to its hold by the number, as receipts do.
pub(super) const NAMING: &str = "
CREATE TABLE ended (
  entry INTEGER PRIMARY KEY REFERENCES entry (seq),
  hold  INTEGER NOT NULL UNIQUE REFERENCES hold (entry),
  why   INTEGER NOT NULL,
  at    INTEGER NOT NULL
) STRICT;
INSERT INTO ended SELECT x.entry, h.entry, x.why, x.at FROM released x JOIN hold h ON h.key = x.key;
DROP TABLE released;
ALTER TABLE ended RENAME TO released;

CREATE TABLE begun (
  entry        INTEGER PRIMARY KEY REFERENCES entry (seq),
  key          BLOB NOT NULL CHECK (length(key) = 32),
  fingerprint  BLOB NOT NULL CHECK (length(fingerprint) = 32),
  receipt      BLOB NOT NULL UNIQUE CHECK (length(receipt) = 16),
  user         BLOB NOT NULL CHECK (length(user) = 20),
  amount       BLOB NOT NULL CHECK (length(amount) = 16),
  input_price  BLOB NOT NULL CHECK (length(input_price) = 16),
  output_price BLOB NOT NULL CHECK (length(output_price) = 16),
  expires      INTEGER NOT NULL,
  opened_at    INTEGER NOT NULL,
  schedule     BLOB
) STRICT;
INSERT INTO begun SELECT entry, key, fingerprint, receipt, user, amount, input_price, output_price,
  expires, opened_at, schedule FROM hold;
DROP TABLE hold;
ALTER TABLE begun RENAME TO hold;
CREATE UNIQUE INDEX hold_of_name ON hold (key) WHERE substr(key, 1, 16) <> receipt;

DROP TABLE upstream_alias;
DROP TABLE upstream_repeat;
CREATE INDEX receipt_of_engine ON receipt (substr(CAST(upstream_id AS BLOB), -36), user)
  WHERE substr(CAST(upstream_id AS BLOB), -36) <> CAST(lower(
    hex(substr(id, 1, 4)) || '-' || hex(substr(id, 5, 2)) || '-' || hex(substr(id, 7, 2)) || '-' ||
    hex(substr(id, 9, 2)) || '-' || hex(substr(id, 11))) AS BLOB);

CREATE TRIGGER released_is_final_u BEFORE UPDATE ON released
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER released_is_final_d BEFORE DELETE ON released
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER hold_is_final_u BEFORE UPDATE ON hold
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER hold_is_final_d BEFORE DELETE ON hold
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

//! Version 5, too: what an entry moved stands in its own row.

/// A row of its own for every movement costs more than the columns of those that are not there: an
/// exchange has three or four. `transfer` shows them as they were.
pub(super) const MOVING: &str = "
CREATE TABLE begun (
  seq     INTEGER PRIMARY KEY CHECK (seq > 0),
  kind    INTEGER NOT NULL,
  user    BLOB NOT NULL CHECK (length(user) = 20),
  key     BLOB CHECK (key IS NULL OR length(key) = 32),
  memo    BLOB NOT NULL CHECK (length(memo) = 32),
  at      INTEGER NOT NULL,
  digest  BLOB NOT NULL CHECK (length(digest) = 32),
  debit1  INTEGER,
  credit1 INTEGER,
  amount1 BLOB CHECK (CASE WHEN amount1 IS NULL
    THEN debit1 IS NULL AND credit1 IS NULL AND amount2 IS NULL
    ELSE debit1 IS NOT NULL AND credit1 IS NOT NULL AND debit1 <> credit1 AND length(amount1) = 16
      AND amount1 > x'00000000000000000000000000000000' END),
  debit2  INTEGER,
  credit2 INTEGER,
  amount2 BLOB CHECK (CASE WHEN amount2 IS NULL
    THEN debit2 IS NULL AND credit2 IS NULL AND amount3 IS NULL
    ELSE debit2 IS NOT NULL AND credit2 IS NOT NULL AND debit2 <> credit2 AND length(amount2) = 16
      AND amount2 > x'00000000000000000000000000000000' END),
  debit3  INTEGER,
  credit3 INTEGER,
  amount3 BLOB CHECK (CASE WHEN amount3 IS NULL
    THEN debit3 IS NULL AND credit3 IS NULL
    ELSE debit3 IS NOT NULL AND credit3 IS NOT NULL AND debit3 <> credit3 AND length(amount3) = 16
      AND amount3 > x'00000000000000000000000000000000' END)
) STRICT;
INSERT INTO begun SELECT e.seq, e.kind, e.user, e.key, e.memo, e.at, e.digest,
  a.debit, a.credit, a.amount, b.debit, b.credit, b.amount, c.debit, c.credit, c.amount
  FROM entry e
  LEFT JOIN transfer a ON a.entry = e.seq AND a.n = 1
  LEFT JOIN transfer b ON b.entry = e.seq AND b.n = 2
  LEFT JOIN transfer c ON c.entry = e.seq AND c.n = 3
  ORDER BY e.seq;
DROP TABLE transfer;
DROP TABLE entry;
ALTER TABLE begun RENAME TO entry;

CREATE VIEW transfer AS
  SELECT seq AS entry, 1 AS n, debit1 AS debit, credit1 AS credit, amount1 AS amount
    FROM entry WHERE amount1 IS NOT NULL
  UNION ALL SELECT seq, 2, debit2, credit2, amount2 FROM entry WHERE amount2 IS NOT NULL
  UNION ALL SELECT seq, 3, debit3, credit3, amount3 FROM entry WHERE amount3 IS NOT NULL;

CREATE TRIGGER entry_is_final_u BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_is_final_d BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

//! Version 2: fees on their way to a chain.

/// Every row here bears the number of the entry that recorded it. `books` and `open_voucher` are
/// derived, as `account` is.
pub(super) const COLLECTING: &str = "
ALTER TABLE account ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1));
ALTER TABLE hold ADD COLUMN schedule BLOB;
ALTER TABLE receipt ADD COLUMN cache_write INTEGER NOT NULL DEFAULT 0;
ALTER TABLE receipt ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
CREATE INDEX fee_of_user ON receipt (user, entry)
  WHERE fee > x'00000000000000000000000000000000';

CREATE TABLE moved (
  entry  INTEGER NOT NULL REFERENCES entry (seq),
  n      INTEGER NOT NULL CHECK (n IN (1, 2, 3)),
  debit  INTEGER NOT NULL,
  credit INTEGER NOT NULL CHECK (credit <> debit),
  amount BLOB NOT NULL CHECK (length(amount) = 16 AND amount > zeroblob(16)),
  PRIMARY KEY (entry, n)
) STRICT, WITHOUT ROWID;
INSERT INTO moved SELECT entry, n, debit, credit, amount FROM transfer;
DROP TABLE transfer;
ALTER TABLE moved RENAME TO transfer;
CREATE TRIGGER transfer_is_final_u BEFORE UPDATE ON transfer
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER transfer_is_final_d BEFORE DELETE ON transfer
BEGIN SELECT RAISE(ABORT, 'append-only'); END;

CREATE TABLE binding (
  entry    INTEGER PRIMARY KEY REFERENCES entry (seq),
  only_one INTEGER NOT NULL UNIQUE CHECK (only_one = 1),
  chain_id INTEGER NOT NULL,
  contract BLOB NOT NULL CHECK (length(contract) = 20),
  provider BLOB NOT NULL CHECK (length(provider) = 20)
) STRICT;

CREATE TABLE escrow (
  entry INTEGER PRIMARY KEY REFERENCES entry (seq),
  user  BLOB NOT NULL CHECK (length(user) = 20),
  cover BLOB NOT NULL CHECK (length(cover) = 16),
  nonce INTEGER NOT NULL
) STRICT;
CREATE INDEX escrow_of_user ON escrow (user, entry);

CREATE TABLE voucher (
  entry         INTEGER PRIMARY KEY REFERENCES entry (seq),
  user          BLOB NOT NULL CHECK (length(user) = 20),
  nonce         INTEGER NOT NULL,
  provider      BLOB NOT NULL CHECK (length(provider) = 20),
  total         BLOB NOT NULL CHECK (length(total) = 16),
  carry         BLOB NOT NULL CHECK (length(carry) = 16),
  requests_hash BLOB NOT NULL CHECK (length(requests_hash) = 32),
  sealed_to     INTEGER NOT NULL,
  since         INTEGER NOT NULL,
  sealed_at     INTEGER NOT NULL,
  UNIQUE (user, nonce)
) STRICT;

CREATE TABLE voucher_signature (
  entry     INTEGER PRIMARY KEY REFERENCES entry (seq),
  voucher   INTEGER NOT NULL REFERENCES voucher (entry),
  signer    BLOB NOT NULL CHECK (length(signer) = 20),
  signature BLOB NOT NULL CHECK (length(signature) = 65),
  UNIQUE (voucher, signer)
) STRICT;

CREATE TABLE settled (
  entry        INTEGER PRIMARY KEY REFERENCES entry (seq),
  voucher      INTEGER NOT NULL UNIQUE REFERENCES voucher (entry),
  paid         BLOB NOT NULL CHECK (length(paid) = 16),
  cover        BLOB NOT NULL CHECK (length(cover) = 16),
  block_number INTEGER NOT NULL,
  block_hash   BLOB NOT NULL CHECK (length(block_hash) = 32),
  tx           BLOB NOT NULL CHECK (length(tx) = 32)
) STRICT;

CREATE TABLE freeze (
  entry INTEGER PRIMARY KEY REFERENCES entry (seq),
  user  BLOB NOT NULL UNIQUE CHECK (length(user) = 20),
  nonce INTEGER NOT NULL
) STRICT;

CREATE TABLE books (
  user      BLOB NOT NULL PRIMARY KEY CHECK (length(user) = 20),
  nonce     INTEGER NOT NULL,
  sealed_to INTEGER NOT NULL,
  carry     BLOB NOT NULL CHECK (length(carry) = 16)
) STRICT, WITHOUT ROWID;

CREATE TABLE open_voucher (
  user    BLOB NOT NULL PRIMARY KEY CHECK (length(user) = 20),
  voucher INTEGER NOT NULL UNIQUE REFERENCES voucher (entry)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER binding_is_final_u BEFORE UPDATE ON binding
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER binding_is_final_d BEFORE DELETE ON binding
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER escrow_is_final_u BEFORE UPDATE ON escrow
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER escrow_is_final_d BEFORE DELETE ON escrow
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER voucher_is_final_u BEFORE UPDATE ON voucher
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER voucher_is_final_d BEFORE DELETE ON voucher
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER voucher_signature_is_final_u BEFORE UPDATE ON voucher_signature
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER voucher_signature_is_final_d BEFORE DELETE ON voucher_signature
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER settled_is_final_u BEFORE UPDATE ON settled
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER settled_is_final_d BEFORE DELETE ON settled
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER freeze_is_final_u BEFORE UPDATE ON freeze
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER freeze_is_final_d BEFORE DELETE ON freeze
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

//! Version 3, the first that a release has.

/// Amounts are whole numbers below 2^128. Accounts, ids and hashes are bytes. Times are
/// milliseconds. Counts and times are 64 bits, sign ignored.
///
/// Every command that was carried out has one row in `entry`, with what it moved, and what it
/// recorded in another table bears its number. `transfer` shows a row for each movement. `account`,
/// `open_hold`, `books` and `open_voucher` are derived; `unlinked` has the entries that the leader
/// has given no place in the chain yet, a row for those that were written together, and `link` the
/// chain. What is recorded never changes; a receipt is deleted only where `retired` has its leaf in
/// its place. `log_leaf` and `log_node` follow from the receipts and the chain; up to the place
/// `log.since` no receipt has a proof, as where the ledger was taken over from one that is older
/// than they are. `kept` are documents.
///
/// What one statement writes together with its entry or hold, and most often, does without a
/// foreign key, which costs a look and a lock for each row. An audit looks instead: at `unlinked`,
/// `hold`, `receipt` and `link` for rows of entries that are not there, at `receipt` for one whose
/// hold is none, and at `open_hold` for what is not open. Holds that are open are so few that those
/// of one instance need no index. Each receipt is in one of two indexes of its user's, so that
/// those that cost something are found among any number that cost nothing. Columns of a fixed size
/// come first: no bytes are lost between them.
///
/// An index over random values costs a page of its own with every row. Receipts, releases and open
/// holds name their hold by its number, and a receipt has the id that its hold promised. Of holds
/// only these ids are all in an index, where those of one time are side by side
/// ([`crate::ReceiptId::mint`]). A key that ends with sixteen zeros is one that nobody chose
/// ([`crate::RequestKey::minted`]): it begins with the id of its hold, is found by that, and is one
/// hold's as the id is. All other keys are in `hold_of_name`. A key that has such an end and
/// another hold's id, which nobody makes, is in `hold_of_other`, so that it is one hold's as well.
///
/// An account is `known` once something changed in it: others were only there to be locked. An
/// alias is a hash, since what an engine calls its answer may be longer than an index takes;
/// `upstream_repeat` has the receipts whose id an earlier one of their user carries.
pub(super) const FIRST: &str = "
SET LOCAL search_path = broker_ledger, pg_temp;

CREATE SEQUENCE entry_number AS BIGINT MINVALUE 1 NO CYCLE CACHE 1;

CREATE TABLE instance (
  id      BYTEA PRIMARY KEY CHECK (length(id) = 16),
  seen_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE account (
  user_id   BYTEA PRIMARY KEY CHECK (length(user_id) = 20),
  cover     NUMERIC(39, 0) NOT NULL DEFAULT 0
    CHECK (cover >= 0 AND cover < 340282366920938463463374607431768211456),
  held      NUMERIC(39, 0) NOT NULL DEFAULT 0
    CHECK (held >= 0 AND held < 340282366920938463463374607431768211456),
  earned    NUMERIC(39, 0) NOT NULL DEFAULT 0
    CHECK (earned >= 0 AND earned < 340282366920938463463374607431768211456),
  vouchered NUMERIC(39, 0) NOT NULL DEFAULT 0
    CHECK (vouchered >= 0 AND vouchered < 340282366920938463463374607431768211456),
  unlimited BOOLEAN NOT NULL DEFAULT false,
  frozen    BOOLEAN NOT NULL DEFAULT false,
  exchanges BIGINT NOT NULL DEFAULT 0,
  known     BOOLEAN NOT NULL DEFAULT false
) WITH (fillfactor = 50);

CREATE TABLE entry (
  number  BIGINT PRIMARY KEY CHECK (number > 0),
  at      BIGINT NOT NULL,
  kind    SMALLINT NOT NULL,
  debit1  SMALLINT,
  credit1 SMALLINT,
  debit2  SMALLINT,
  credit2 SMALLINT,
  debit3  SMALLINT,
  credit3 SMALLINT,
  user_id BYTEA NOT NULL CHECK (length(user_id) = 20),
  memo    BYTEA NOT NULL CHECK (length(memo) = 32),
  key     BYTEA CHECK (key IS NULL OR length(key) = 32),
  amount1 NUMERIC(39, 0),
  amount2 NUMERIC(39, 0),
  amount3 NUMERIC(39, 0),
  CHECK (CASE WHEN amount1 IS NULL
    THEN debit1 IS NULL AND credit1 IS NULL AND amount2 IS NULL
    ELSE debit1 IS NOT NULL AND credit1 IS NOT NULL AND debit1 <> credit1
      AND amount1 > 0 AND amount1 < 340282366920938463463374607431768211456 END),
  CHECK (CASE WHEN amount2 IS NULL
    THEN debit2 IS NULL AND credit2 IS NULL AND amount3 IS NULL
    ELSE debit2 IS NOT NULL AND credit2 IS NOT NULL AND debit2 <> credit2
      AND amount2 > 0 AND amount2 < 340282366920938463463374607431768211456 END),
  CHECK (CASE WHEN amount3 IS NULL
    THEN debit3 IS NULL AND credit3 IS NULL
    ELSE debit3 IS NOT NULL AND credit3 IS NOT NULL AND debit3 <> credit3
      AND amount3 > 0 AND amount3 < 340282366920938463463374607431768211456 END)
);

CREATE VIEW transfer AS
  SELECT number AS entry, 1::smallint AS n, debit1 AS debit, credit1 AS credit, amount1 AS amount
    FROM entry WHERE amount1 IS NOT NULL
  UNION ALL SELECT number, 2, debit2, credit2, amount2 FROM entry WHERE amount2 IS NOT NULL
  UNION ALL SELECT number, 3, debit3, credit3, amount3 FROM entry WHERE amount3 IS NOT NULL;

CREATE TABLE unlinked (
  first   BIGINT PRIMARY KEY,
  entries BIGINT[] NOT NULL CHECK (entries[1] = first)
);

CREATE TABLE link (
  seq    BIGINT PRIMARY KEY CHECK (seq > 0),
  entry  BIGINT NOT NULL UNIQUE,
  digest BYTEA NOT NULL CHECK (length(digest) = 32)
);

CREATE TABLE hold (
  entry        BIGINT PRIMARY KEY,
  expires      BIGINT NOT NULL,
  opened_at    BIGINT NOT NULL,
  key          BYTEA NOT NULL CHECK (length(key) = 32),
  fingerprint  BYTEA NOT NULL CHECK (length(fingerprint) = 32),
  receipt      BYTEA NOT NULL UNIQUE CHECK (length(receipt) = 16),
  user_id      BYTEA NOT NULL CHECK (length(user_id) = 20),
  amount       NUMERIC(39, 0) NOT NULL
    CHECK (amount >= 0 AND amount < 340282366920938463463374607431768211456),
  input_price  NUMERIC(39, 0) NOT NULL
    CHECK (input_price >= 0 AND input_price < 340282366920938463463374607431768211456),
  output_price NUMERIC(39, 0) NOT NULL
    CHECK (output_price >= 0 AND output_price < 340282366920938463463374607431768211456),
  schedule     BYTEA
);
CREATE UNIQUE INDEX hold_of_name ON hold (key)
  WHERE substr(key, 17) <> decode('00000000000000000000000000000000', 'hex');
CREATE UNIQUE INDEX hold_of_other ON hold (key)
  WHERE substr(key, 17) = decode('00000000000000000000000000000000', 'hex')
    AND substr(key, 1, 16) <> receipt;

CREATE TABLE open_hold (
  hold     BIGINT PRIMARY KEY,
  instance BYTEA NOT NULL CHECK (length(instance) = 16)
);

CREATE TABLE receipt (
  entry           BIGINT PRIMARY KEY,
  hold            BIGINT NOT NULL UNIQUE,
  input           BIGINT NOT NULL,
  cached_input    BIGINT NOT NULL,
  cache_write     BIGINT NOT NULL,
  cache_write_1h  BIGINT NOT NULL,
  output          BIGINT NOT NULL,
  bytes           BIGINT NOT NULL,
  events          BIGINT NOT NULL,
  served_at       BIGINT NOT NULL,
  status          INTEGER NOT NULL,
  outcome         SMALLINT NOT NULL,
  source          SMALLINT NOT NULL,
  drained         BOOLEAN NOT NULL,
  user_id         BYTEA NOT NULL CHECK (length(user_id) = 20),
  request_hash    BYTEA NOT NULL CHECK (length(request_hash) = 32),
  response_hash   BYTEA NOT NULL CHECK (length(response_hash) = 32),
  signature       BYTEA NOT NULL CHECK (length(signature) = 65),
  signing_address BYTEA NOT NULL CHECK (length(signing_address) = 20),
  fee             NUMERIC(39, 0) NOT NULL
    CHECK (fee >= 0 AND fee < 340282366920938463463374607431768211456),
  upstream_id     BYTEA,
  proof           BYTEA
);
CREATE INDEX fee_of_user ON receipt (user_id, entry) WHERE fee > 0;
CREATE INDEX free_of_user ON receipt (user_id, entry) WHERE fee = 0;

CREATE TABLE upstream_alias (
  alias   BYTEA NOT NULL CHECK (length(alias) = 32),
  user_id BYTEA NOT NULL CHECK (length(user_id) = 20),
  entry   BIGINT NOT NULL,
  PRIMARY KEY (alias, user_id)
);

CREATE TABLE upstream_repeat (
  alias   BYTEA NOT NULL CHECK (length(alias) = 32),
  user_id BYTEA NOT NULL CHECK (length(user_id) = 20),
  entry   BIGINT NOT NULL,
  PRIMARY KEY (alias, user_id, entry)
);

CREATE TABLE released (
  entry BIGINT PRIMARY KEY REFERENCES entry (number),
  hold  BIGINT NOT NULL UNIQUE REFERENCES hold (entry),
  why   SMALLINT NOT NULL,
  at    BIGINT NOT NULL
);

CREATE TABLE binding (
  entry    BIGINT PRIMARY KEY REFERENCES entry (number),
  only_one SMALLINT NOT NULL UNIQUE CHECK (only_one = 1),
  chain_id BIGINT NOT NULL,
  contract BYTEA NOT NULL CHECK (length(contract) = 20),
  provider BYTEA NOT NULL CHECK (length(provider) = 20)
);

CREATE TABLE escrow (
  entry   BIGINT PRIMARY KEY REFERENCES entry (number),
  user_id BYTEA NOT NULL CHECK (length(user_id) = 20),
  cover   NUMERIC(39, 0) NOT NULL
    CHECK (cover >= 0 AND cover < 340282366920938463463374607431768211456),
  nonce   BIGINT NOT NULL
);
CREATE INDEX escrow_of_user ON escrow (user_id, entry);

CREATE TABLE voucher (
  entry         BIGINT PRIMARY KEY REFERENCES entry (number),
  user_id       BYTEA NOT NULL CHECK (length(user_id) = 20),
  nonce         BIGINT NOT NULL,
  provider      BYTEA NOT NULL CHECK (length(provider) = 20),
  total         NUMERIC(39, 0) NOT NULL
    CHECK (total >= 0 AND total < 340282366920938463463374607431768211456),
  carry         NUMERIC(39, 0) NOT NULL
    CHECK (carry >= 0 AND carry < 340282366920938463463374607431768211456),
  requests_hash BYTEA NOT NULL CHECK (length(requests_hash) = 32),
  sealed_to     BIGINT NOT NULL,
  since         BIGINT NOT NULL,
  sealed_at     BIGINT NOT NULL,
  UNIQUE (user_id, nonce)
);
CREATE INDEX reach_of_voucher ON voucher (user_id, sealed_to);

CREATE TABLE voucher_signature (
  entry     BIGINT PRIMARY KEY REFERENCES entry (number),
  voucher   BIGINT NOT NULL REFERENCES voucher (entry),
  signer    BYTEA NOT NULL CHECK (length(signer) = 20),
  signature BYTEA NOT NULL CHECK (length(signature) = 65),
  UNIQUE (voucher, signer)
);

CREATE TABLE settled (
  entry        BIGINT PRIMARY KEY REFERENCES entry (number),
  voucher      BIGINT NOT NULL UNIQUE REFERENCES voucher (entry),
  paid         NUMERIC(39, 0) NOT NULL
    CHECK (paid >= 0 AND paid < 340282366920938463463374607431768211456),
  cover        NUMERIC(39, 0) NOT NULL
    CHECK (cover >= 0 AND cover < 340282366920938463463374607431768211456),
  block_number BIGINT NOT NULL,
  block_hash   BYTEA NOT NULL CHECK (length(block_hash) = 32),
  tx           BYTEA NOT NULL CHECK (length(tx) = 32)
);

CREATE TABLE frozen (
  entry   BIGINT PRIMARY KEY REFERENCES entry (number),
  user_id BYTEA NOT NULL UNIQUE CHECK (length(user_id) = 20),
  nonce   BIGINT NOT NULL
);

CREATE TABLE retire (
  entry   BIGINT PRIMARY KEY REFERENCES entry (number),
  upto    BIGINT NOT NULL,
  archive BYTEA NOT NULL CHECK (length(archive) = 32)
);

CREATE TABLE retired (
  entry BIGINT PRIMARY KEY REFERENCES entry (number),
  leaf  BYTEA NOT NULL CHECK (length(leaf) = 32)
);

CREATE TABLE books (
  user_id   BYTEA PRIMARY KEY CHECK (length(user_id) = 20),
  nonce     BIGINT NOT NULL,
  sealed_to BIGINT NOT NULL,
  carry     NUMERIC(39, 0) NOT NULL
    CHECK (carry >= 0 AND carry < 340282366920938463463374607431768211456)
);

CREATE TABLE open_voucher (
  user_id BYTEA PRIMARY KEY CHECK (length(user_id) = 20),
  voucher BIGINT NOT NULL UNIQUE REFERENCES voucher (entry)
);

CREATE TABLE log (
  only_one SMALLINT PRIMARY KEY CHECK (only_one = 1),
  id       BYTEA NOT NULL CHECK (length(id) = 32),
  since    BIGINT NOT NULL,
  mark     BYTEA NOT NULL CHECK (length(mark) = 32)
);
INSERT INTO log SELECT 1, n.id, 0, sha256(n.id || int8send(0)) FROM
  (SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) AS id) n;

CREATE TABLE log_leaf (
  leaf  BIGINT PRIMARY KEY CHECK (leaf >= 0),
  entry BIGINT NOT NULL UNIQUE REFERENCES entry (number),
  hash  BYTEA NOT NULL CHECK (length(hash) = 32)
);

CREATE TABLE log_node (
  level SMALLINT NOT NULL CHECK (level > 0),
  n     BIGINT NOT NULL CHECK (n >= 0),
  hash  BYTEA NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, n)
);

CREATE TABLE kept (
  number BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  kind   SMALLINT NOT NULL,
  name   BYTEA NOT NULL CHECK (length(name) = 32),
  body   BYTEA NOT NULL,
  at     BIGINT NOT NULL,
  UNIQUE (kind, name)
);

CREATE FUNCTION is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'append-only'; END
$$;
CREATE FUNCTION receipt_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM broker_ledger.retired x WHERE x.entry = OLD.entry) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'append-only';
END
$$;
CREATE TRIGGER entry_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER link_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON link
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER hold_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON hold
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER receipt_is_final BEFORE UPDATE OR TRUNCATE ON receipt
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER receipt_goes_last BEFORE DELETE ON receipt
  FOR EACH ROW EXECUTE FUNCTION receipt_is_final();
CREATE TRIGGER upstream_alias_is_final BEFORE UPDATE OR TRUNCATE ON upstream_alias
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER upstream_alias_goes_last BEFORE DELETE ON upstream_alias
  FOR EACH ROW EXECUTE FUNCTION receipt_is_final();
CREATE TRIGGER released_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON released
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER binding_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON binding
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER escrow_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON escrow
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER voucher_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER voucher_signature_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher_signature
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER settled_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON settled
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER retire_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON retire
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER retired_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON retired
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER log_leaf_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON log_leaf
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER log_node_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON log_node
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER kept_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON kept
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER frozen_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON frozen
  FOR EACH STATEMENT EXECUTE FUNCTION is_final();
";

//! The statement that writes a batch.

/// Foreign keys are looked at when all of it is written, and each row is written once: a hold that
/// begins and ends in one batch never is among the open ones.
pub(super) const WRITE: &str = "
WITH entries AS (
  INSERT INTO entry (number, kind, user_id, key, memo, at)
  SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[], $5::bytea[],
    $6::bigint[])
), queued AS (
  INSERT INTO unlinked (first, entries)
  SELECT ($1::bigint[])[1], $1::bigint[] WHERE cardinality($1::bigint[]) > 0
), transfers AS (
  INSERT INTO transfer (entry, n, debit, credit, amount)
  SELECT * FROM unnest($7::bigint[], $8::smallint[], $9::smallint[], $10::smallint[],
    $11::numeric[])
), accounts AS (
  UPDATE account a SET cover = n.cover, held = n.held, earned = n.earned,
    vouchered = n.vouchered, unlimited = n.unlimited, frozen = n.frozen,
    exchanges = n.exchanges, known = true
  FROM unnest($12::bytea[], $13::numeric[], $14::numeric[], $15::numeric[], $16::numeric[],
    $17::boolean[], $18::boolean[], $63::bigint[])
    AS n (user_id, cover, held, earned, vouchered, unlimited, frozen, exchanges)
  WHERE a.user_id = n.user_id RETURNING 1
), holds AS (
  INSERT INTO hold (entry, key, fingerprint, receipt, user_id, amount, input_price,
    output_price, schedule, expires, opened_at)
  SELECT * FROM unnest($19::bigint[], $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[],
    $24::numeric[], $25::numeric[], $26::numeric[], $27::bytea[], $28::bigint[], $29::bigint[])
), receipts AS (
  INSERT INTO receipt (entry, id, key, user_id, outcome, status, input, cached_input,
    cache_write, cache_write_1h, output, source, fee, request_hash, response_hash, bytes,
    events, signature, signing_address, upstream_id, drained, served_at, proof)
  SELECT * FROM unnest($30::bigint[], $31::bytea[], $32::bytea[], $33::bytea[], $34::smallint[],
    $35::integer[], $36::bigint[], $37::bigint[], $38::bigint[], $39::bigint[], $40::bigint[],
    $41::smallint[], $42::numeric[], $43::bytea[], $44::bytea[], $45::bigint[], $46::bigint[],
    $47::bytea[], $48::bytea[], $49::bytea[], $50::boolean[], $51::bigint[],
    $64::bytea[])
), aliases AS (
  INSERT INTO upstream_alias (alias, user_id, receipt)
  SELECT * FROM unnest($52::bytea[], $53::bytea[], $54::bytea[])
  ON CONFLICT DO NOTHING RETURNING receipt
), repeats AS (
  INSERT INTO upstream_repeat (alias, user_id, entry)
  SELECT n.alias, n.user_id, n.entry
  FROM unnest($52::bytea[], $53::bytea[], $54::bytea[], $62::bigint[])
    AS n (alias, user_id, receipt, entry)
  WHERE NOT EXISTS (SELECT 1 FROM aliases a WHERE a.receipt = n.receipt)
), releases AS (
  INSERT INTO released (entry, key, why, at)
  SELECT * FROM unnest($55::bigint[], $56::bytea[], $57::smallint[], $58::bigint[])
), opened AS (
  INSERT INTO open_hold (key, instance) SELECT unnest($59::bytea[]), $61::bytea
), closed AS (
  DELETE FROM open_hold WHERE key = ANY ($60::bytea[]) RETURNING 1
), alive AS (
  SELECT 1 FROM instance WHERE id = $61::bytea AND cardinality($59::bytea[]) > 0 FOR KEY SHARE
)
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM closed),
  (SELECT count(*) FROM alive)
";

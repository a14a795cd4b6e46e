//! The statement that writes a batch.

/// Numbers are drawn here: under the locks, and no more than needed. Rows name their entry by its
/// place among those of the batch, and so does what ends a hold of the same batch, below zero.
///
/// Foreign keys are looked at when all of it is written, and each row is written once: a hold that
/// begins and ends in one batch never is among the open ones.
pub(super) const WRITE: &str = "
WITH numbers AS MATERIALIZED (
  SELECT CASE WHEN cardinality($68::bigint[]) > 0 THEN $68::bigint[] ELSE (SELECT
    array_agg(nextval('entry_number')) FROM generate_series(1, cardinality($2::smallint[])))
    END AS a
), entries AS (
  INSERT INTO entry (number, kind, user_id, key, memo, at, debit1, credit1, amount1,
    debit2, credit2, amount2, debit3, credit3, amount3)
  SELECT (SELECT a FROM numbers)[n.entry], n.kind, n.user_id, n.key, n.memo, n.at, n.debit1,
    n.credit1, n.amount1, n.debit2, n.credit2, n.amount2, n.debit3, n.credit3, n.amount3
  FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[], $5::bytea[],
    $6::bigint[], $7::smallint[], $8::smallint[], $9::numeric[], $10::smallint[],
    $11::smallint[], $12::numeric[], $13::smallint[], $14::smallint[], $15::numeric[])
    AS n (entry, kind, user_id, key, memo, at, debit1, credit1, amount1, debit2, credit2,
      amount2, debit3, credit3, amount3)
), queued AS (
  INSERT INTO unlinked (first, entries) SELECT a[1], a FROM numbers WHERE cardinality(a) > 0
), accounts AS (
  UPDATE account a SET cover = n.cover, held = n.held, earned = n.earned,
    vouchered = n.vouchered, unlimited = n.unlimited, frozen = n.frozen,
    exchanges = n.exchanges, known = true
  FROM unnest($16::bytea[], $17::numeric[], $18::numeric[], $19::numeric[], $20::numeric[],
    $21::boolean[], $22::boolean[], $23::bigint[])
    AS n (user_id, cover, held, earned, vouchered, unlimited, frozen, exchanges)
  WHERE a.user_id = n.user_id RETURNING 1
), holds AS (
  INSERT INTO hold (entry, key, fingerprint, receipt, user_id, amount, input_price,
    output_price, schedule, expires, opened_at)
  SELECT (SELECT a FROM numbers)[n.entry], n.key, n.fingerprint, n.receipt, n.user_id, n.amount,
    n.input_price, n.output_price, n.schedule, n.expires, n.opened_at
  FROM unnest($24::bigint[], $25::bytea[], $26::bytea[], $27::bytea[], $28::bytea[],
    $29::numeric[], $30::numeric[], $31::numeric[], $32::bytea[], $33::bigint[], $34::bigint[])
    AS n (entry, key, fingerprint, receipt, user_id, amount, input_price, output_price,
      schedule, expires, opened_at)
), receipts AS (
  INSERT INTO receipt (entry, hold, user_id, outcome, status, input, cached_input,
    cache_write, cache_write_1h, output, source, fee, request_hash, response_hash, bytes,
    events, signature, signing_address, upstream_id, drained, served_at, proof)
  SELECT (SELECT a FROM numbers)[n.entry],
    CASE WHEN n.hold < 0 THEN (SELECT a FROM numbers)[-n.hold] ELSE n.hold END,
    n.user_id, n.outcome, n.status, n.input, n.cached_input, n.cache_write, n.cache_write_1h,
    n.output, n.source, n.fee, n.request_hash, n.response_hash, n.bytes, n.events, n.signature,
    n.signing_address, n.upstream_id, n.drained, n.served_at, n.proof
  FROM unnest($35::bigint[], $36::bigint[], $37::bytea[], $38::smallint[],
    $39::integer[], $40::bigint[], $41::bigint[], $42::bigint[], $43::bigint[], $44::bigint[],
    $45::smallint[], $46::numeric[], $47::bytea[], $48::bytea[], $49::bigint[], $50::bigint[],
    $51::bytea[], $52::bytea[], $53::bytea[], $54::boolean[], $55::bigint[], $56::bytea[])
    AS n (entry, hold, user_id, outcome, status, input, cached_input, cache_write,
      cache_write_1h, output, source, fee, request_hash, response_hash, bytes, events,
      signature, signing_address, upstream_id, drained, served_at, proof)
), aliases AS (
  INSERT INTO upstream_alias (alias, user_id, entry)
  SELECT n.alias, n.user_id, (SELECT a FROM numbers)[n.entry]
  FROM unnest($57::bytea[], $58::bytea[], $59::bigint[]) AS n (alias, user_id, entry)
  ON CONFLICT DO NOTHING RETURNING entry
), repeats AS (
  INSERT INTO upstream_repeat (alias, user_id, entry)
  SELECT n.alias, n.user_id, (SELECT a FROM numbers)[n.entry]
  FROM unnest($57::bytea[], $58::bytea[], $59::bigint[]) AS n (alias, user_id, entry)
  WHERE NOT EXISTS (SELECT 1 FROM aliases l WHERE l.entry = (SELECT a FROM numbers)[n.entry])
), releases AS (
  INSERT INTO released (entry, hold, why, at)
  SELECT (SELECT a FROM numbers)[n.entry],
    CASE WHEN n.hold < 0 THEN (SELECT a FROM numbers)[-n.hold] ELSE n.hold END, n.why, n.at
  FROM unnest($60::bigint[], $61::bigint[], $62::smallint[], $63::bigint[])
    AS n (entry, hold, why, at)
), opened AS (
  INSERT INTO open_hold (hold, instance)
  SELECT (SELECT a FROM numbers)[-n.hold], $66::bytea FROM unnest($64::bigint[]) AS n (hold)
), closed AS (
  DELETE FROM open_hold WHERE hold = ANY ($65::bigint[]) RETURNING 1
), alive AS (
  SELECT 1 FROM instance WHERE id = $66::bytea AND cardinality($64::bigint[]) > 0 FOR KEY SHARE
)
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM closed),
  (SELECT count(*) FROM alive),
  EXISTS (SELECT 1 FROM hold WHERE key = ANY ($67::bytea[])
    AND substr(key, 17) = decode('00000000000000000000000000000000', 'hex')
    AND substr(key, 1, 16) <> receipt), (SELECT a FROM numbers)
";

//! The tables that follow from the journal, compared with what it leads to.

use std::collections::BTreeSet;

use crate::account::{Account, UserId};
use crate::command::Books;
use crate::digest::{Digest32, RequestKey};
use crate::ledger::Fault;
use crate::ledger::journal::Stop;
use crate::ledger::postgres::proofs;
use crate::ledger::postgres::rows::{Columns, account_columns};
use crate::ledger::postgres::session::Session;
use crate::ledger::postgres::values::Count;
use crate::ledger::replay::{Replay, Standing, logged};

/// Names the first row that differs.
pub(super) fn compare(session: &mut Session, replay: &Replay) -> Result<(), Stop> {
    for (table, what, sql) in NONE {
        if let Some(row) = session.query_opt(sql, &[])? {
            let row: String = Columns::of(&row).take()?;
            return Err(Fault { table, row, what: what.to_owned() }.into());
        }
    }
    open_holds(session, replay)?;
    open_vouchers(session, replay)?;
    books(session, replay)?;
    accounts(session, replay)?;
    log_nodes(session, replay.log.size)
}

/// The leaves were compared on the way through the journal; the nodes follow from them.
fn log_nodes(session: &mut Session, size: u64) -> Result<(), Stop> {
    logged::nodes(size, |level, from, count| Ok(proofs::hashes(session, level, from, count)?))?;
    let ends = "SELECT level::bigint, max(n) FROM log_node GROUP BY level";
    for row in session.query(ends, &[])? {
        let mut columns = Columns::of(&row);
        logged::last_node(size, columns.count()?, columns.count()?)?;
    }
    Ok(())
}

fn open_holds(session: &mut Session, replay: &Replay) -> Result<(), Stop> {
    let mut found = BTreeSet::new();
    let sql = "SELECT o.hold, h.key FROM open_hold o LEFT JOIN hold h ON h.entry = o.hold";
    session.each(sql, &[], |row| {
        let mut columns = Columns::of(row);
        let (number, key): (u64, Option<RequestKey>) = (columns.count()?, columns.take()?);
        match key.filter(|key| replay.open.contains_key(key)) {
            Some(RequestKey(key)) => {
                found.insert(key);
                Ok(())
            }
            None => Err(fault("open_hold", number, "its hold has ended, or never was")),
        }
    })?;
    let mut open = replay.open.keys();
    match open.find(|RequestKey(key)| !found.contains::<Digest32>(key)) {
        None => Ok(()),
        Some(RequestKey(key)) => {
            Err(fault("hold", key, "it has not ended, and is not among the open"))
        }
    }
}

fn open_vouchers(session: &mut Session, replay: &Replay) -> Result<(), Stop> {
    let mut found = BTreeSet::new();
    let sql = "SELECT o.user_id, v.nonce FROM open_voucher o \
               LEFT JOIN voucher v ON v.entry = o.voucher AND v.user_id = o.user_id";
    session.each(sql, &[], |row| {
        let mut columns = Columns::of(row);
        let user: UserId = columns.take()?;
        let nonce: Option<Count> = columns.take()?;
        found.insert(user);
        let open = replay.users.get(&user).and_then(|known| known.voucher.as_ref());
        match open.map(|open| open.voucher.nonce) == nonce.map(|nonce| nonce.0) {
            true if open.is_some() => Ok(()),
            _ => Err(fault("open_voucher", user, "no voucher of its user is open")),
        }
    })?;
    let what = "the user's voucher has not ended, and is not among the open";
    missing("open_voucher", &found, replay, |known| known.voucher.is_some(), what)
}

fn books(session: &mut Session, replay: &Replay) -> Result<(), Stop> {
    let has_books = |known: &Standing| known.books.nonce.is_some();
    let mut found = BTreeSet::new();
    let sql = "SELECT b.user_id, b.nonce, b.sealed_to, b.carry FROM books b";
    session.each(sql, &[], |row| {
        let mut columns = Columns::of(row);
        let user = columns.take()?;
        let (nonce, sealed_to) = (columns.count()?, columns.count()?);
        let stored = Books { nonce: Some(nonce), sealed_to, carry: columns.take()? };
        found.insert(user);
        match replay.users.get(&user).map(|known| known.books) == Some(stored) {
            true => Ok(()),
            false => Err(fault("books", user, "they differ from what the vouchers come to")),
        }
    })?;
    missing("books", &found, replay, has_books, MISSING)
}

fn accounts(session: &mut Session, replay: &Replay) -> Result<(), Stop> {
    let mut found = BTreeSet::new();
    session.each(ACCOUNTS, &[], |row| {
        let mut columns = Columns::of(row);
        let user: UserId = columns.take()?;
        let (stored, is_known): (Account, bool) = (columns.account()?, columns.take()?);
        let due = replay.users.get(&user).filter(|known| known.has_account);
        if is_known {
            found.insert(user);
        }
        // One that is only there to be locked is empty.
        match due.map(|known| known.account).unwrap_or_default() == stored
            && is_known == due.is_some()
        {
            true => Ok(()),
            false => Err(fault("account", user, "it differs from what its movements lead to")),
        }
    })?;
    missing("account", &found, replay, |known| known.has_account, MISSING)
}

fn missing(
    table: &'static str,
    found: &BTreeSet<UserId>,
    replay: &Replay,
    has: impl Fn(&Standing) -> bool,
    what: &str,
) -> Result<(), Stop> {
    let mut due = replay.users.iter().filter(|(_, known)| has(known));
    match due.find(|(user, _)| !found.contains(*user)) {
        None => Ok(()),
        Some((user, _)) => Err(fault(table, user, what)),
    }
}

fn fault(table: &'static str, row: impl ToString, what: &str) -> Stop {
    Fault { table, row: row.to_string(), what: what.to_owned() }.into()
}

const MISSING: &str = "it is missing, and the user's entries are not";

const ACCOUNTS: &str =
    concat!("SELECT a.user_id, ", account_columns!(), ", a.known FROM account a");

/// Rows that no entry of their kind recorded.
macro_rules! strange {
    ($table:literal, $kinds:literal) => {
        (
            $table,
            "no entry of its kind recorded it",
            concat!(
                "SELECT r.entry::text FROM ",
                $table,
                " r LEFT JOIN entry e ON e.number = r.entry AND e.kind IN (",
                $kinds,
                ") WHERE e.number IS NULL LIMIT 1"
            ),
        )
    };
}

/// The numbers of the entries that wait for a place.
macro_rules! waiting {
    () => {
        "(SELECT n.number FROM unlinked u CROSS JOIN LATERAL unnest(u.entries) AS n (number))"
    };
}

/// Each of these finds a row that is wrong, and names it.
const NONE: [(&str, &str, &str); 28] = [
    strange!("hold", "2"),
    strange!("receipt", "3"),
    strange!("retired", "3"),
    strange!("released", "4"),
    strange!("binding", "5"),
    strange!("escrow", "6"),
    strange!("voucher", "7"),
    strange!("voucher_signature", "7, 8"),
    strange!("settled", "9"),
    strange!("frozen", "10"),
    strange!("retire", "11"),
    strange!("link", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
    (
        "unlinked",
        "no entry bears its number",
        concat!(
            "SELECT q.number::text FROM ",
            waiting!(),
            " q LEFT JOIN entry e ON e.number = q.number WHERE e.number IS NULL LIMIT 1"
        ),
    ),
    (
        "unlinked",
        "it waits for two places",
        concat!(
            "SELECT q.number::text FROM ",
            waiting!(),
            " q GROUP BY q.number HAVING count(*) > 1 LIMIT 1"
        ),
    ),
    (
        "log",
        "the log has not one name, or it was changed",
        "SELECT 'id' FROM (SELECT count(*) AS n, \
         bool_and(mark = sha256(id || int8send(since))) AS fits FROM log) c \
         WHERE c.n <> 1 OR NOT c.fits",
    ),
    (
        "log_leaf",
        logged::NOT_ITS_KIND,
        "SELECT g.leaf::text FROM log_leaf g LEFT JOIN entry e ON e.number = g.entry \
         AND e.kind = 3 WHERE e.number IS NULL ORDER BY g.leaf LIMIT 1",
    ),
    (
        "log_leaf",
        "there are two of its entry",
        "SELECT max(leaf)::text FROM log_leaf GROUP BY entry HAVING count(*) > 1 LIMIT 1",
    ),
    (
        "retired",
        "its receipt is still there",
        "SELECT x.entry::text FROM retired x JOIN receipt r ON r.entry = x.entry LIMIT 1",
    ),
    (
        "entry",
        "it has no place in the chain and does not wait for one",
        concat!(
            "SELECT e.number::text FROM entry e LEFT JOIN link l ON l.entry = e.number LEFT JOIN ",
            waiting!(),
            " q ON q.number = e.number WHERE (l.entry IS NULL) = (q.number IS NULL) LIMIT 1"
        ),
    ),
    (
        "hold",
        "there are two of it",
        "SELECT encode(key, 'hex') FROM hold GROUP BY key HAVING count(*) > 1 LIMIT 1",
    ),
    (
        "hold",
        "there are two of it",
        "SELECT encode(receipt, 'hex') FROM hold GROUP BY receipt HAVING count(*) > 1 LIMIT 1",
    ),
    (
        "voucher",
        "there are two of it",
        "SELECT min(entry)::text FROM voucher GROUP BY user_id, nonce HAVING count(*) > 1 LIMIT 1",
    ),
    (
        "upstream_alias",
        "its receipt carries another id or is another user's",
        "SELECT encode(l.alias, 'hex') FROM upstream_alias l LEFT JOIN receipt r \
         ON r.entry = l.entry WHERE sha256(r.upstream_id) IS DISTINCT FROM l.alias \
         OR r.user_id IS DISTINCT FROM l.user_id LIMIT 1",
    ),
    (
        "receipt",
        "the engine's id of it leads nowhere",
        "SELECT r.entry::text FROM receipt r LEFT JOIN upstream_alias l \
         ON l.alias = sha256(r.upstream_id) AND l.user_id = r.user_id \
         WHERE r.upstream_id IS NOT NULL AND l.alias IS NULL LIMIT 1",
    ),
    (
        "upstream_alias",
        "an earlier receipt of its user carries the id",
        "SELECT encode(l.alias, 'hex') FROM receipt r JOIN upstream_alias l \
         ON l.alias = sha256(r.upstream_id) AND l.user_id = r.user_id \
         WHERE r.entry < l.entry LIMIT 1",
    ),
    (
        "receipt",
        "the engine's id of it is not among the repeated ones",
        "SELECT r.entry::text FROM receipt r JOIN upstream_alias l \
         ON l.alias = sha256(r.upstream_id) AND l.user_id = r.user_id \
         LEFT JOIN upstream_repeat p ON p.alias = l.alias AND p.user_id = l.user_id \
         AND p.entry = r.entry WHERE l.entry <> r.entry AND p.entry IS NULL LIMIT 1",
    ),
    (
        "upstream_repeat",
        "its receipt carries another id or is another user's",
        "SELECT p.entry::text FROM upstream_repeat p LEFT JOIN receipt r ON r.entry = p.entry \
         WHERE sha256(r.upstream_id) IS DISTINCT FROM p.alias \
         OR r.user_id IS DISTINCT FROM p.user_id LIMIT 1",
    ),
    (
        "upstream_repeat",
        "the engine's id leads to its receipt already",
        "SELECT p.entry::text FROM upstream_repeat p \
         JOIN upstream_alias l ON l.entry = p.entry LIMIT 1",
    ),
];

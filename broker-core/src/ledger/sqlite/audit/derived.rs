//! The tables that follow from the journal, compared with what it leads to.

use rusqlite::Connection;

use crate::account::UserId;
use crate::digest::{Digest32, RequestKey};
use crate::ledger::Fault;
use crate::ledger::journal::Stop;
use crate::ledger::proofs::mark;
use crate::ledger::replay::{Replay, Standing, logged};
use crate::ledger::sqlite::rows::ACCOUNT;
use crate::ledger::sqlite::scan::{each, none};
use crate::ledger::sqlite::values::Count;
use crate::ledger::sqlite::{collect, proofs};

/// Names the first row that differs.
pub(super) fn compare(db: &Connection, replay: &Replay) -> Result<(), Stop> {
    once(db)?;
    open_holds(db, replay)?;
    open_vouchers(db, replay)?;
    books(db, replay)?;
    accounts(db, replay)?;
    log_nodes(db, replay.log.size)
}

/// The leaves were compared on the way through the journal; the nodes follow from them.
fn log_nodes(db: &Connection, size: u64) -> Result<(), Stop> {
    let mut names: usize = 0;
    each(db, "log", "SELECT 'id', id, since, mark FROM log", |columns| {
        names = names.saturating_add(1);
        let (id, Count(since), found): (Digest32, Count, Digest32) =
            (columns.take()?, columns.take()?, columns.take()?);
        if mark(&id, since) == found { Ok(()) } else { Err("it was changed".into()) }
    })?;
    if names != 1 {
        let what = "the log has not one name".to_owned();
        return Err(Fault { table: "log", row: "id".to_owned(), what }.into());
    }
    logged::nodes(size, |level, from, count| Ok(proofs::hashes(db, level, from, count)?))?;
    let mut ends = db.prepare("SELECT level, max(n) FROM log_node GROUP BY level")?;
    let mut rows = ends.query([])?;
    while let Some(row) = rows.next()? {
        let (Count(level), Count(last)) = (row.get(0)?, row.get(1)?);
        logged::last_node(size, level, last)?;
    }
    Ok(())
}

/// A key, an id and a nonce are used once. Indexes see to it, as long as nobody drops them; only a
/// key that is in the index over keys and one that is found by its receipt's id could be the same.
fn once(db: &Connection) -> Result<(), Stop> {
    for name in ["hold_of_name", "receipt_of_engine"] {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?1";
        if !db.prepare(sql)?.exists([name])? {
            let what = "the index is not there".to_owned();
            return Err(Fault { table: "database", row: name.to_owned(), what }.into());
        }
    }
    for (table, columns) in [("hold", "receipt"), ("voucher", "user, nonce")] {
        let sql = format!("SELECT {columns} FROM {table} GROUP BY {columns} HAVING count(*) > 1");
        none(db, table, &sql, "there are two of it")?;
    }
    let sql = "SELECT h.key FROM hold h WHERE substr(h.key, 1, 16) = h.receipt AND EXISTS \
               (SELECT 1 FROM hold n WHERE n.key = h.key AND substr(n.key, 1, 16) <> n.receipt)";
    none(db, "hold", sql, "there are two of it")
}

fn open_holds(db: &Connection, replay: &Replay) -> Result<(), Stop> {
    let mut found: usize = 0;
    each(
        db,
        "open_hold",
        "SELECT o.hold, h.key FROM open_hold o LEFT JOIN hold h ON h.entry = o.hold",
        |columns| {
            found = found.saturating_add(1);
            let key: Option<RequestKey> = columns.take()?;
            let is_open = key.is_some_and(|key| replay.open.contains_key(&key));
            if is_open { Ok(()) } else { Err("its hold has ended, or never was".into()) }
        },
    )?;
    if found == replay.open.len() {
        return Ok(());
    }
    let sql = "SELECT h.key, h.key FROM hold h \
               WHERE NOT EXISTS (SELECT 1 FROM open_hold o WHERE o.hold = h.entry)";
    each(db, "hold", sql, |columns| {
        let is_open = replay.open.contains_key(&columns.take()?);
        if is_open { Err("it has not ended, and is not among the open".into()) } else { Ok(()) }
    })
}

fn open_vouchers(db: &Connection, replay: &Replay) -> Result<(), Stop> {
    let mut found: usize = 0;
    let sql = "SELECT o.user, o.user, v.nonce FROM open_voucher o \
               LEFT JOIN voucher v ON v.entry = o.voucher AND v.user = o.user";
    each(db, "open_voucher", sql, |columns| {
        found = found.saturating_add(1);
        let user: UserId = columns.take()?;
        let nonce: Option<Count> = columns.take()?;
        let open = replay.users.get(&user).and_then(|known| known.voucher.as_ref());
        match open.map(|open| open.voucher.nonce) == nonce.map(|Count(nonce)| nonce) {
            true if open.is_some() => Ok(()),
            _ => Err("no voucher of its user is open under its number".into()),
        }
    })?;
    let mut open = replay.users.iter().filter(|(_, known)| known.voucher.is_some());
    if open.clone().count() == found {
        return Ok(());
    }
    let missing = open.find(|(user, _)| !matches!(collect::open_voucher(db, user), Ok(Some(_))));
    let row = missing.map(|(user, _)| user.to_string()).unwrap_or_default();
    let what = "the user's voucher has not ended, and is not among the open".to_owned();
    Err(Fault { table: "open_voucher", row, what }.into())
}

fn books(db: &Connection, replay: &Replay) -> Result<(), Stop> {
    let has_books = |known: &Standing| known.books.nonce.is_some();
    let found = users(db, "books", &mut |user| {
        let due = replay.users.get(user).filter(|known| has_books(known)).map(|known| known.books);
        match collect::books(db, user) {
            Ok(stored) if due == Some(stored) => Ok(()),
            Ok(_) => Err("they differ from what the vouchers come to".into()),
            Err(error) => Err(error.into()),
        }
    })?;
    let mut due = replay.users.iter().filter(|(_, known)| has_books(known));
    missing("books", due.find(|(user, _)| found.binary_search(user).is_err()))
}

fn accounts(db: &Connection, replay: &Replay) -> Result<(), Stop> {
    let sql = format!("SELECT {ACCOUNT} FROM account a WHERE a.user = ?1");
    let mut statement = db.prepare(&sql).map_err(Stop::from)?;
    let found = users(db, "account", &mut |user| {
        let due = replay.users.get(user).filter(|known| known.has_account);
        let due = due.map(|known| known.account);
        let stored = statement
            .query_row([user], |row| crate::ledger::sqlite::rows::Columns::of(row).account())?;
        match due == Some(stored) {
            true => Ok(()),
            false => Err("it differs from what its movements lead to".into()),
        }
    })?;
    let mut due = replay.users.iter().filter(|(_, known)| known.has_account);
    missing("account", due.find(|(user, _)| found.binary_search(user).is_err()))
}

/// Checks every user of a table. Returns them in order.
fn users(
    db: &Connection,
    table: &'static str,
    check: &mut dyn FnMut(&UserId) -> Result<(), crate::ledger::sqlite::scan::Wrong>,
) -> Result<Vec<UserId>, Stop> {
    let mut found = Vec::new();
    let sql = format!("SELECT t.user, t.user FROM {table} t ORDER BY t.user");
    each(db, table, &sql, |columns| {
        let user = columns.take()?;
        found.push(user);
        check(&user)
    })?;
    Ok(found)
}

fn missing(table: &'static str, row: Option<(&UserId, &Standing)>) -> Result<(), Stop> {
    let Some((user, _)) = row else { return Ok(()) };
    let what = "it is missing, and the user's entries are not".to_owned();
    Err(Fault { table, row: user.to_string(), what }.into())
}

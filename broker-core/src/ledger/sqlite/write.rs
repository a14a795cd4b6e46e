//! One command within a transaction: what is known before it, and what it writes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::account::{Account, Bucket, Movement, UserId};
use crate::clock::Timestamp;
use crate::command::{Command, Decision, Hold};
use crate::digest::{Digest32, RequestKey};
use crate::ledger::LedgerError;
use crate::ledger::entry::{Entry, entry};
use crate::money::Neuron;
use crate::receipt::{Proof, Receipt, ReceiptId};
use crate::rules::{KnownHold, Record, View, decide};

use super::open_holds::OpenHolds;
use super::rows::{ACCOUNT, Columns, HOLD};
use super::values::Count;
use super::{collect, retire};

/// The end of the chain: the last row's number and link. Read anew in every transaction, so that a
/// rolled back batch leaves nothing behind.
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) digest: Digest32,
}

impl Head {
    pub(super) fn read(db: &Connection) -> Result<Self, LedgerError> {
        let sql = "SELECT seq, digest FROM entry ORDER BY seq DESC LIMIT 1";
        let mut statement = db.prepare_cached(sql)?;
        let last = statement.query_row([], |row| {
            let Count(seq) = row.get(0)?;
            Ok(Self { seq, digest: row.get(1)? })
        });
        Ok(last.optional()?.unwrap_or(Self { seq: 0, digest: Digest32::default() }))
    }
}

/// What the commands of one transaction share: the end of the chain, the accounts as they leave
/// them, which are written once in the end, and the holds that are open.
pub(super) struct Batch<'tx> {
    db: &'tx Connection,
    hot: Hot<'tx>,
    head: Head,
    open: &'tx mut OpenHolds,
    accounts: BTreeMap<UserId, Seen>,
}

/// Statements that nearly every exchange runs, looked up once for all of them.
struct Hot<'tx> {
    is_known: CachedStatement<'tx>,
    entry: CachedStatement<'tx>,
    hold: CachedStatement<'tx>,
    opens: CachedStatement<'tx>,
    closes: CachedStatement<'tx>,
    receipt: CachedStatement<'tx>,
}

impl<'tx> Hot<'tx> {
    fn of(db: &'tx Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            is_known: db.prepare_cached(IS_KNOWN)?,
            entry: db.prepare_cached(ENTRY)?,
            hold: db.prepare_cached(NEW_HOLD)?,
            opens: db.prepare_cached("INSERT INTO open_hold VALUES (?1)")?,
            closes: db.prepare_cached("DELETE FROM open_hold WHERE hold = ?1")?,
            receipt: db.prepare_cached(NEW_RECEIPT)?,
        })
    }
}

struct Seen {
    account: Account,
    changed: bool,
}

impl<'tx> Batch<'tx> {
    pub(super) fn begin(
        db: &'tx Connection,
        open: &'tx mut OpenHolds,
    ) -> Result<Self, LedgerError> {
        Ok(Self { db, hot: Hot::of(db)?, head: Head::read(db)?, open, accounts: BTreeMap::new() })
    }

    fn account(&mut self, user: UserId) -> rusqlite::Result<Account> {
        if let Some(seen) = self.accounts.get(&user) {
            return Ok(seen.account);
        }
        let account = account(self.db, &user)?;
        self.accounts.insert(user, Seen { account, changed: false });
        Ok(account)
    }

    /// Writes the accounts that changed.
    pub(super) fn end(self) -> rusqlite::Result<()> {
        let changed = self.accounts.iter().filter(|(_, seen)| seen.changed);
        changed.into_iter().try_for_each(|(user, seen)| write_account(self.db, user, seen.account))
    }
}

/// Decides and writes one command.
pub(super) fn apply(
    batch: &mut Batch<'_>,
    command: &Command,
    now: Timestamp,
) -> Result<Decision, LedgerError> {
    let (view, number) = view(batch, command)?;
    let (db, hot, head) = (batch.db, &mut batch.hot, &mut batch.head);
    let decided = decide(&view, command).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
    match decided {
        Err(refusal) => Ok(Err(refusal)),
        Ok(effects) => {
            if effects.account != view.account {
                let seen = Seen { account: effects.account, changed: true };
                batch.accounts.insert(effects.user, seen);
            }
            let entry = entry(&effects, head.seq, now);
            write_entry(hot, head, &entry)?;
            write_record(db, hot, &effects.record, number, &entry)?;
            batch.open.note(&effects.record, Count(entry.seq));
            collect::write(db, &effects.record, effects.books_at(entry.number), &entry)?;
            Ok(Ok(effects.applied))
        }
    }
}

/// One user's buckets; an unknown user's are empty.
pub(super) fn account(db: &Connection, user: &UserId) -> rusqlite::Result<Account> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {ACCOUNT} FROM account a WHERE a.user = ?1"))?;
    let found = statement.query_row([user], |row| Columns::of(row).account()).optional()?;
    Ok(found.unwrap_or_default())
}

/// What a command is decided from, and the number of the hold that it is about.
fn view(
    batch: &mut Batch<'_>,
    command: &Command,
) -> Result<(View, Option<HoldNumber>), LedgerError> {
    let db = batch.db;
    let (key, user) = command.subject();
    let is_new = match command {
        Command::Reserve(new) => is_new(&mut batch.hot, new)?,
        _ => false,
    };
    let known = match key {
        Some(key) if !is_new => match batch.open.find(&key) {
            None => known_hold(db, &key)?,
            open => open,
        },
        _ => None,
    };
    let (number, hold) = known.unzip();
    let user = user.or(hold.as_ref().map(|known| known.hold.user));
    let account = match user {
        Some(user) => batch.account(user)?,
        None => Account::default(),
    };
    let receipt_id_taken = match command {
        Command::Reserve(new) if !is_new && hold.is_none() => is_taken(db, &new.receipt)?,
        _ => false,
    };
    let mut view = View { account, hold, receipt_id_taken, ..View::default() };
    collect::see(db, &mut view, command, user)?;
    Ok((view, number))
}

/// The entry that recorded a hold.
pub(super) type HoldNumber = Count;

fn known_hold(
    db: &Connection,
    key: &RequestKey,
) -> Result<Option<(HoldNumber, KnownHold)>, LedgerError> {
    let mut statement = db.prepare_cached(&KNOWN_HOLD)?;
    let known = statement.query_row([key], |row| {
        let mut columns = Columns::of(row);
        let (number, hold) = (columns.take()?, columns.hold()?);
        Ok((number, KnownHold { hold, state: columns.hold_state()? }))
    });
    Ok(known.optional()?)
}

/// A key that begins as its receipt's id does is found by that; the others have an index.
pub(super) static KNOWN_HOLD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT h.entry, {HOLD}, o.hold IS NOT NULL, x.why FROM hold h \
         LEFT JOIN open_hold o ON o.hold = h.entry LEFT JOIN released x ON x.hold = h.entry \
         WHERE h.entry = coalesce( \
         (SELECT m.entry FROM hold m WHERE m.receipt = substr(?1, 1, 16) AND m.key = ?1), \
         (SELECT n.entry FROM hold n WHERE n.key = ?1 AND substr(n.key, 1, 16) <> n.receipt))"
    )
});

/// True where no earlier hold has this key or this id; asked only where the key begins with the id.
fn is_new(hot: &mut Hot<'_>, hold: &Hold) -> rusqlite::Result<bool> {
    let is_own = hold.key.0.0.starts_with(hold.receipt.0.as_bytes());
    Ok(is_own && !hot.is_known.exists(params![hold.receipt, hold.key])?)
}

/// A key that begins with the id of another hold than its own is in the index over keys.
pub(super) const IS_KNOWN: &str = "SELECT 1 FROM hold WHERE receipt = ?1 UNION ALL \
     SELECT 1 FROM hold n WHERE n.key = ?2 AND substr(n.key, 1, 16) <> n.receipt";

fn is_taken(db: &Connection, id: &ReceiptId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM hold WHERE receipt = ?1")?.exists([id])
}

fn write_account(db: &Connection, user: &UserId, account: Account) -> rusqlite::Result<()> {
    let Account { cover, held, earned, vouchered, unlimited, frozen, exchanges } = account;
    let mut statement = db.prepare_cached(
        "INSERT INTO account (user, cover, held, earned, vouchered, unlimited, frozen, \
         exchanges) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (user) DO UPDATE SET \
         cover = ?2, held = ?3, earned = ?4, vouchered = ?5, unlimited = ?6, frozen = ?7, \
         exchanges = ?8",
    )?;
    let exchanges = Count(exchanges);
    statement
        .execute(params![user, cover, held, earned, vouchered, unlimited, frozen, exchanges])?;
    Ok(())
}

fn write_entry(hot: &mut Hot<'_>, head: &mut Head, entry: &Entry) -> Result<(), LedgerError> {
    let [first, second, third] = movements(entry)?;
    let digest = entry.digest(&head.digest);
    let seq = Count(entry.seq);
    hot.entry.execute(params![
        seq, entry.kind, entry.user, entry.key, entry.memo, entry.at, digest, first.0, first.1,
        first.2, second.0, second.1, second.2, third.0, third.1, third.2,
    ])?;
    *head = Head { seq: entry.seq, digest };
    Ok(())
}

const ENTRY: &str = "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
     ?13, ?14, ?15, ?16)";

/// The columns of every movement that an entry has room for.
type Moved = (Option<Bucket>, Option<Bucket>, Option<Neuron>);

fn movements(entry: &Entry) -> Result<[Moved; 3], LedgerError> {
    let mut moved = [(None, None, None); 3];
    if entry.movements.len() > moved.len() {
        let what = format!("entry {} has more than three movements", entry.seq);
        return Err(LedgerError::Corrupt(what));
    }
    for (place, Movement { debit, credit, amount, .. }) in moved.iter_mut().zip(&entry.movements) {
        *place = (Some(*debit), Some(*credit), Some(*amount));
    }
    Ok(moved)
}

/// `ended` is the hold that a receipt or a release ends.
fn write_record(
    db: &Connection,
    hot: &mut Hot<'_>,
    record: &Record<'_>,
    ended: Option<HoldNumber>,
    entry: &Entry,
) -> Result<(), LedgerError> {
    match record {
        Record::Hold(hold) => Ok(write_hold(hot, hold, entry)?),
        Record::Receipt(key, receipt) => {
            let hold = close(hot, ended, key)?;
            Ok(write_receipt(hot, hold, receipt, entry)?)
        }
        Record::Release(key, why) => {
            let hold = close(hot, ended, key)?;
            let mut statement =
                db.prepare_cached("INSERT INTO released VALUES (?1, ?2, ?3, ?4)")?;
            statement.execute(params![Count(entry.seq), hold, why, entry.at])?;
            Ok(())
        }
        Record::Retire(retire) => retire::write(db, retire, entry),
        _ => Ok(()),
    }
}

fn write_hold(hot: &mut Hot<'_>, hold: &Hold, entry: &Entry) -> rusqlite::Result<()> {
    hot.hold.execute(params![
        Count(entry.seq),
        hold.key,
        hold.fingerprint,
        hold.receipt,
        hold.user,
        hold.amount,
        hold.tariff.input_price,
        hold.tariff.output_price,
        hold.expires,
        entry.at,
        hold.tariff.schedule_bytes(),
    ])?;
    hot.opens.execute([Count(entry.seq)])?;
    Ok(())
}

const NEW_HOLD: &str = "INSERT INTO hold VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// The last line of defence against ending a hold twice: its place among the open ones is gone.
fn close(
    hot: &mut Hot<'_>,
    hold: Option<HoldNumber>,
    key: &RequestKey,
) -> Result<HoldNumber, LedgerError> {
    let not_open = || LedgerError::Corrupt(format!("hold {} is not open", key.0));
    let hold = hold.ok_or_else(not_open)?;
    match hot.closes.execute([hold])? {
        1 => Ok(hold),
        _ => Err(not_open()),
    }
}

fn write_receipt(
    hot: &mut Hot<'_>,
    hold: HoldNumber,
    receipt: &Receipt,
    entry: &Entry,
) -> rusqlite::Result<()> {
    let usage = &receipt.usage;
    hot.receipt.execute(params![
        Count(entry.seq),
        hold,
        receipt.id,
        receipt.user,
        receipt.outcome,
        receipt.status,
        Count(usage.input),
        Count(usage.cached_input),
        Count(usage.output),
        usage.source,
        receipt.fee,
        receipt.request_hash,
        receipt.response_hash,
        Count(receipt.bytes),
        Count(receipt.events),
        receipt.signature,
        receipt.signing_address,
        receipt.upstream_id,
        receipt.drained,
        receipt.served_at,
        Count(usage.cache_write),
        Count(usage.cache_write_1h),
        receipt.proof.as_deref().map(Proof::to_bytes),
    ])?;
    Ok(())
}

const NEW_RECEIPT: &str = "INSERT INTO receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
     ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";

/// The holds that have not ended, oldest first.
pub(super) fn open_holds(db: &Connection) -> rusqlite::Result<Vec<Hold>> {
    let sql =
        format!("SELECT {HOLD} FROM open_hold o JOIN hold h ON h.entry = o.hold ORDER BY h.entry");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row: &Row<'_>| Columns::of(row).hold())?;
    rows.collect()
}

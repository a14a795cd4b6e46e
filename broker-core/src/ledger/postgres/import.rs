//! Taking over another ledger, entry by entry.

use std::collections::HashMap;
use std::time::Duration;

use crate::digest::{Digest32, RequestKey};
use crate::ledger::entry::Entry;
use crate::ledger::journal::{Line, LoggedLeaf, Stop, Visitor, Written};
use crate::ledger::proofs::{KeptKind, LogLeaf, mark};
use crate::ledger::replay::Replay;
use crate::ledger::{LedgerError, LedgerReader};
use crate::rules::Record;

use super::address::Address;
use super::collect;
use super::fault::Trouble;
use super::places;
use super::proofs;
use super::session::{Purpose, Session};
use super::values::Count;
use super::write::{HoldNumber, Page};

/// Writes the whole journal of `source` into an empty ledger, with its receipt log, which goes on,
/// and the documents that it keeps: all of it or nothing. Then gives the entries their places. Each
/// entry is carried out again on the way, so that nothing that is wrong comes along.
pub(super) fn import(address: &Address, source: &dyn LedgerReader) -> Result<(), LedgerError> {
    let mut session = Session::open(address, Purpose::Write)?;
    let written = session.transact("BEGIN", |session| {
        session.batch(LOCK)?;
        let used: bool = session.query_one(USED, &[])?.try_get(0).map_err(Trouble::from)?;
        if used {
            let why = "it has entries already, and another ledger goes into an empty one only";
            return Err(Stop::Error(LedgerError::Foreign {
                path: address.name().to_owned(),
                why: why.to_owned(),
            }));
        }
        let (replay, page) = (Replay::default(), Page::default());
        let (open, leaves) = (HashMap::new(), Vec::new());
        let mut import =
            Import { session, replay, page, open, waiting: 0, leaves, logged: 0, since: None };
        source.journal(0, &mut import)?;
        import.finish(source)
    });
    match written {
        Ok(()) => {}
        Err(Stop::Fault(fault)) => return Err(LedgerError::Corrupt(fault.to_string())),
        Err(Stop::Error(error)) => return Err(error),
        Err(Stop::Enough) => return Err(LedgerError::Corrupt("it was not told to its end".into())),
    }
    link(session, address)
}

/// Gives all entries their places, which a caretaker may be at as well: what it has done by then is
/// done.
fn link(mut session: Session, address: &Address) -> Result<(), LedgerError> {
    loop {
        match places::link(&mut session) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(Trouble::Conflict(_)) => std::thread::sleep(PAUSE),
            Err(Trouble::Lost(why)) => {
                tracing::warn!(why, "the connection was lost while entries got their places");
                session = Session::open(address, Purpose::Write)?;
            }
            Err(Trouble::Failed(error)) => return Err(error),
        }
    }
}

struct Import<'a> {
    session: &'a mut Session,
    replay: Replay,
    page: Page,
    /// The entries of holds that have not ended.
    open: HashMap<RequestKey, HoldNumber>,
    /// Entries in the page.
    waiting: usize,
    /// What stands in the log of the page's receipts.
    leaves: Vec<LogLeaf>,
    /// Leaves before the page.
    logged: u64,
    /// The place before that of the first receipt with a proof.
    since: Option<u64>,
}

impl Visitor for Import<'_> {
    fn entry(&mut self, entry: &Entry, link: Option<Digest32>) -> Result<(), Stop> {
        if entry.number != entry.seq || link.is_none() {
            let why = "it was written by several writers; only one's can be taken over".to_owned();
            return Err(LedgerError::Foreign { path: format!("entry {}", entry.seq), why }.into());
        }
        self.replay.entry(entry, link)
    }

    fn leaf(&mut self, entry: &Entry, leaf: &LoggedLeaf) -> Result<(), Stop> {
        self.leaves.push(LogLeaf { entry: entry.number, hash: leaf.hash });
        self.since.get_or_insert(entry.seq.saturating_sub(1));
        self.replay.leaf(entry, leaf)
    }

    fn line(&mut self, line: Line) -> Result<(), Stop> {
        if matches!(&line.written, Written::Receipt(receipt) if receipt.proof.is_some()) {
            self.since.get_or_insert(line.entry.seq.saturating_sub(1));
        }
        self.write(&line)?;
        self.replay.line(line)
    }
}

impl Import<'_> {
    fn write(&mut self, line: &Line) -> Result<(), Trouble> {
        let entry = &line.entry;
        let key = entry.key.unwrap_or(RequestKey(Digest32::default()));
        let record = match &line.written {
            Written::Cover => None,
            Written::Hold(hold) => Some(Record::Hold(hold)),
            Written::Receipt(receipt) => Some(Record::Receipt(key, receipt)),
            Written::Release(why) => Some(Record::Release(key, *why)),
            Written::Binding(binding) => Some(Record::Binding(*binding)),
            Written::Escrow { cover, nonce } => Some(Record::Escrow(*cover, *nonce)),
            Written::Seal(seal, carry) => Some(Record::Seal(seal, *carry)),
            Written::Countersign(signed) => Some(Record::Countersign(signed)),
            Written::Settle(settle) => Some(Record::Settle(settle)),
            Written::Freeze(nonce) => Some(Record::Freeze(*nonce)),
            // What it let go has gone before.
            Written::Retire(_) | Written::Retired(_) => None,
        };
        let hold = match &line.written {
            Written::Hold(_) => self.open.insert(key, Count(entry.number)),
            Written::Receipt(_) | Written::Retired(_) | Written::Release(_) => {
                self.open.remove(&key)
            }
            _ => None,
        };
        self.page.copy(entry, record.as_ref(), hold)?;
        self.waiting = self.waiting.saturating_add(1);
        let stands_alone = !matches!(
            line.written,
            Written::Cover | Written::Hold(_) | Written::Receipt(_) | Written::Release(_)
        );
        if stands_alone || self.waiting >= PAGE_ENTRIES {
            self.flush()?;
        }
        let number = Count(entry.number);
        match (&line.written, record) {
            (Written::Retired(leaf), _) => {
                let sql = "INSERT INTO retired (entry, leaf) VALUES ($1, $2)";
                self.session.execute(sql, &[&number, leaf])?;
            }
            (Written::Retire(retire), _) => {
                let sql = "INSERT INTO retire VALUES ($1, $2, $3)";
                let upto = Count(retire.upto);
                self.session.execute(sql, &[&number, &upto, &retire.archive])?;
            }
            (_, Some(record)) if stands_alone => {
                collect::write(self.session, &record, None, entry)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        self.waiting = 0;
        std::mem::take(&mut self.page).write(self.session, &[0; 16], false)?;
        let leaves = std::mem::take(&mut self.leaves);
        if leaves.is_empty() {
            return Ok(());
        }
        proofs::write(self.session, self.logged, &leaves)?;
        let count = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
        self.logged = self.logged.saturating_add(count);
        Ok(())
    }

    /// The log's name and the documents. Leaves that were written meanwhile are not there: what is
    /// lost so is made again.
    fn go_on(&mut self, source: &dyn LedgerReader) -> Result<(), Stop> {
        let since = self.since.unwrap_or(self.replay.seq);
        let id = source.log()?.id;
        let sql = "UPDATE log SET id = $1, since = $2, mark = $3";
        self.session.execute(sql, &[&id, &Count(since), &mark(&id, since)])?;
        for kind in (0..=u8::MAX).filter_map(KeptKind::from_code) {
            for kept in source.kept_last(kind, u64::MAX)?.iter().rev() {
                proofs::keep(self.session, kept)?;
            }
        }
        Ok(())
    }

    /// Writes what follows from the entries.
    fn finish(mut self, source: &dyn LedgerReader) -> Result<(), Stop> {
        self.flush()?;
        self.go_on(source)?;
        self.replay.finish()?;
        if let Some(hold) = self.replay.open.values().next() {
            let what = format!("hold {} is open: end it first", hold.key.0);
            return Err(LedgerError::Corrupt(what).into());
        }
        for (user, known) in &self.replay.users {
            let account = &known.account;
            if known.has_account {
                self.session.execute(
                    "INSERT INTO account VALUES ($1, $2, $3, $4, $5, $6, $7, $8, true)",
                    &[
                        user,
                        &account.cover,
                        &account.held,
                        &account.earned,
                        &account.vouchered,
                        &account.unlimited,
                        &account.frozen,
                        &Count(account.exchanges),
                    ],
                )?;
            }
            if let Some(nonce) = known.books.nonce {
                let sql = "INSERT INTO books VALUES ($1, $2, $3, $4)";
                let sealed_to = Count(known.books.sealed_to);
                let carry = known.books.carry;
                self.session.execute(sql, &[user, &Count(nonce), &sealed_to, &carry])?;
            }
        }
        if self.replay.seq > 0 {
            self.session.query_one(GO_ON, &[&Count(self.replay.seq)])?;
        }
        Ok(())
    }
}

/// Nobody writes meanwhile.
const LOCK: &str = "LOCK TABLE broker_ledger.entry IN EXCLUSIVE MODE";
const USED: &str = "SELECT EXISTS (SELECT 1 FROM entry)";
const GO_ON: &str = "SELECT setval('entry_number', $1::bigint)";
const PAGE_ENTRIES: usize = 500;
const PAUSE: Duration = Duration::from_millis(20);

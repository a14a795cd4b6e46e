//! Reading a ledger beside its writers.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Binding, Hold, HoldState, OpenVoucher};
use crate::digest::{Digest32, RequestKey};
use crate::ledger::journal::{Stop, Visitor};
use crate::ledger::statement::{RequestPage, RequestQuery, Statement, Unsealed};
use crate::ledger::{AuditReport, LedgerError, LedgerReader, Totals};
use crate::receipt::{Receipt, ReceiptId};

use super::address::Address;
use super::audit::audit;
use super::fault::{Trouble, at_open};
use super::rows::{Columns, hold_columns, receipt_columns};
use super::session::{Purpose, Session};
use super::statements::SNAPSHOT;
use super::values::Count;
use super::write::alias;
use super::{collect, journal, places, retire, schema, statements};

/// Reads a ledger through a few connections of its own, which cannot write. What a writer of any
/// instance was answered is seen at once.
///
/// Where all of its connections are in use it waits for one, ten seconds at most, and then answers
/// [`LedgerError::Busy`].
///
/// Its answers block the thread: from an asynchronous task call them through `spawn_blocking`.
/// Called within a runtime's own thread they panic.
pub struct PostgresReader {
    address: Address,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    used: usize,
}

/// The right to use one connection.
struct Place<'a> {
    reader: &'a PostgresReader,
    session: Option<Session>,
}

impl Place<'_> {
    fn session(&mut self) -> Result<&mut Session, Trouble> {
        match &mut self.session {
            Some(session) => Ok(session),
            empty => Ok(empty.insert(open(&self.reader.address)?)),
        }
    }

    /// Gives the connection back, for the next one.
    fn keep(mut self) {
        let session = self.session.take();
        self.reader.pool().idle.extend(session);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut pool = self.reader.pool();
        pool.used = pool.used.saturating_sub(1);
        drop(pool);
        self.reader.returned.notify_one();
    }
}

impl PostgresReader {
    /// Opens the ledger at `url`, as [`super::PostgresLedger::open`] takes it. It changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] where the database has no ledger, [`LedgerError::Foreign`] where
    /// it is none that this program can read, [`LedgerError::Unreachable`] where there is no
    /// connection.
    pub fn open(url: &str) -> Result<Self, LedgerError> {
        Self::at(Address::parse(url)?).map_err(at_open)
    }

    pub(super) fn at(address: Address) -> Result<Self, Trouble> {
        let mut first = open(&address)?;
        schema::check(&mut first, &address)?;
        let pool = Mutex::new(Pool { idle: vec![first], used: 0 });
        Ok(Self { address, pool, returned: Condvar::new() })
    }

    /// Reads on a connection of the pool; once more where an idle one turns out to be lost.
    pub(super) fn with<T>(
        &self,
        read: impl Fn(&mut Session) -> Result<T, Trouble>,
    ) -> Result<T, LedgerError> {
        let mut tries = TRIES;
        loop {
            tries = tries.saturating_sub(1);
            let mut place = self.place()?;
            match place.session().and_then(&read) {
                Err(trouble) if trouble.took_too_long() => return Err(trouble.into()),
                Err(Trouble::Lost(_) | Trouble::Conflict(_)) if tries > 0 => {
                    // Whatever else is idle is as old as this one.
                    let stale = std::mem::take(&mut self.pool().idle);
                    drop(stale);
                }
                Err(trouble) => return Err(trouble.into()),
                Ok(answer) => {
                    place.keep();
                    return Ok(answer);
                }
            }
        }
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// [`LedgerError::Busy`] where none was given back for too long.
    fn place(&self) -> Result<Place<'_>, LedgerError> {
        let is_full = |pool: &mut Pool| pool.used >= CONNECTIONS_MAX;
        let waited = self.returned.wait_timeout_while(self.pool(), WAIT_MAX, is_full);
        let (mut pool, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(LedgerError::Busy);
        }
        pool.used = pool.used.saturating_add(1);
        let session = pool.idle.pop();
        Ok(Place { reader: self, session })
    }

    /// The holds that have not ended, oldest first.
    pub(super) fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        self.with(|session| {
            let rows = session.query(OPEN_HOLDS, &[])?;
            rows.iter().map(|row| Columns::of(row).hold()).collect()
        })
    }
}

impl LedgerReader for PostgresReader {
    fn receipt(&self, id: &ReceiptId) -> Result<Option<Receipt>, LedgerError> {
        self.with(|session| receipt(session, id))
    }

    fn receipt_by_upstream_id(
        &self,
        id: &str,
        owner: Option<&UserId>,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.with(|session| {
            let rows = session.query(ALIAS, &[&alias(id), &owner.copied()])?;
            match rows.as_slice() {
                [only] => Ok(Some(Columns::of(only).receipt()?)),
                _ => Ok(None),
            }
        })
    }

    fn hold_state(&self, id: &ReceiptId) -> Result<Option<HoldState>, LedgerError> {
        self.with(|session| {
            let found = session.query_opt(HOLD_STATE, &[id])?;
            found.map(|row| Columns::of(&row).hold_state()).transpose()
        })
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        self.with(|session| statements::account(session, user))
    }

    fn binding(&self) -> Result<Option<Binding>, LedgerError> {
        self.with(collect::binding)
    }

    fn statement(&self, user: &UserId) -> Result<Option<Statement>, LedgerError> {
        self.with(|session| statements::statement(session, user))
    }

    fn statements(&self) -> Result<Vec<Statement>, LedgerError> {
        self.with(statements::statements)
    }

    fn open_vouchers(&self) -> Result<Vec<OpenVoucher>, LedgerError> {
        self.with(|session| session.transact(SNAPSHOT, collect::open_vouchers))
    }

    fn unsealed(&self, user: &UserId) -> Result<Option<Unsealed>, LedgerError> {
        self.with(|session| {
            session.transact(SNAPSHOT, |session| {
                let books = collect::books(session, user)?;
                collect::collect(session, user, books, None)
            })
        })
    }

    fn requests(&self, query: &RequestQuery) -> Result<RequestPage, LedgerError> {
        self.with(|session| statements::requests(session, query))
    }

    fn expired_holds(&self, now: Timestamp, limit: u64) -> Result<Vec<RequestKey>, LedgerError> {
        self.with(|session| {
            let most = Count(limit.min(u64::MAX >> 1));
            let rows = session.query(EXPIRED, &[&now, &most])?;
            rows.iter().map(|row| Columns::of(row).take()).collect()
        })
    }

    fn head(&self) -> Result<(u64, Digest32), LedgerError> {
        self.with(places::head)
    }

    fn link(&self, place: u64) -> Result<Option<Digest32>, LedgerError> {
        self.with(|session| {
            let sql = "SELECT digest FROM link WHERE seq = $1";
            let found = session.query_opt(sql, &[&Count(place)])?;
            found.map(|row| Columns::of(&row).take()).transpose()
        })
    }

    fn unlinked(&self) -> Result<u64, LedgerError> {
        self.with(places::unlinked)
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        self.with(|session| {
            let sums = session.query_one(TOTALS, &[])?;
            let mut columns = Columns::of(&sums);
            Ok(Totals {
                held: columns.take()?,
                earned: columns.take()?,
                vouchered: columns.take()?,
                accounts: columns.count()?,
                receipts: columns.count()?,
                open_holds: columns.count()?,
            })
        })
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        let mut session = Session::open(&self.address, Purpose::Audit)?;
        audit(&mut session)
    }

    fn retirable(&self, upto: u64, limit: u64) -> Result<Option<u64>, LedgerError> {
        self.with(|session| retire::retirable(session, upto, limit))
    }

    fn journal(&self, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        let mut session = Session::open(&self.address, Purpose::Audit)?;
        session.transact(SNAPSHOT, |session| journal::lines(session, behind, visitor))
    }
}

fn open(address: &Address) -> Result<Session, Trouble> {
    let mut session = Session::open(address, Purpose::Read)?;
    session.query(INTERPRET, &[])?;
    Ok(session)
}

fn receipt(session: &mut Session, id: &ReceiptId) -> Result<Option<Receipt>, Trouble> {
    let found = session.query_opt(RECEIPT, &[id])?;
    found.map(|row| Columns::of(&row).receipt()).transpose()
}

const RECEIPT: &str = concat!(
    "SELECT ",
    receipt_columns!(),
    " FROM hold h JOIN receipt r ON r.hold = h.entry WHERE h.receipt = $1"
);

/// Of one account, or of the only one that has it.
const ALIAS: &str = concat!(
    "SELECT ",
    receipt_columns!(),
    " FROM upstream_alias a JOIN receipt r ON r.entry = a.entry JOIN hold h ON h.entry = r.hold \
     WHERE a.alias = $1 AND ($2::bytea IS NULL OR a.user_id = $2) LIMIT 2"
);

const HOLD_STATE: &str = "SELECT o.hold IS NOT NULL, x.why FROM hold h \
     LEFT JOIN open_hold o ON o.hold = h.entry LEFT JOIN released x ON x.hold = h.entry \
     WHERE h.receipt = $1";

const OPEN_HOLDS: &str = concat!(
    "SELECT ",
    hold_columns!(),
    " FROM open_hold o JOIN hold h ON h.entry = o.hold ORDER BY h.entry"
);

/// A time beyond the sign never comes.
const EXPIRED: &str = "SELECT h.key FROM open_hold o JOIN hold h ON h.entry = o.hold \
     WHERE h.expires >= 0 AND h.expires < $1 ORDER BY h.entry LIMIT $2";

/// One statement sees one moment.
const TOTALS: &str = "SELECT coalesce(sum(held), 0), coalesce(sum(earned), 0), \
     coalesce(sum(vouchered), 0), count(*) FILTER (WHERE known), \
     (SELECT count(*) FROM receipt), (SELECT count(*) FROM open_hold) FROM account";

const CONNECTIONS_MAX: usize = 4;

/// For a connection of the pool.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// To compile short questions takes longer than to answer them.
const INTERPRET: &str = "SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'jit'";

const TRIES: u32 = 3;

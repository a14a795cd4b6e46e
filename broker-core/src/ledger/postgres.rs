//! A ledger in PostgreSQL, for several processes at once, durable when a command is answered.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Command, Decision, Hold};
use crate::ledger::proofs::{Kept, LogLeaf};
use crate::ledger::{AuditReport, Ledger, LedgerError, LedgerReader};

use self::address::Address;
use self::fault::Trouble;
use self::scribe::Scribe;
use self::session::{Purpose, Session};

mod address;
mod audit;
mod board;
mod caretaker;
mod collect;
mod fault;
mod import;
mod instance;
mod journal;
mod memory;
mod numeric;
mod places;
mod proofs;
mod reader;
mod retire;
mod rows;
mod schema;
mod scribe;
mod session;
mod sightings;
mod sought;
mod statement;
mod statements;
mod values;
mod write;

pub use caretaker::Caretaker;
pub use reader::PostgresReader;

/// A ledger in a PostgreSQL database, which any number of processes write to at once: each has an
/// instance of its own.
///
/// Commands about one account wait for each other, and those about different accounts do not.
/// Answers are the same as a [`crate::MemoryLedger`]'s, whoever asked before. The order of entries
/// is the chain's, which the leader among the [`Caretaker`]s makes moments later.
///
/// **Who starts it** also starts a caretaker and keeps it as long as the ledger: an instance
/// without one is dead in the eyes of the others after half a minute, and its open holds are
/// freed. [`crate::recover`] must not be used here: it would free the holds that other instances
/// are at work on.
///
/// **Where it may be used**: its calls block the thread, and panic on a thread that runs
/// asynchronous tasks. The ledger's writer and `spawn_blocking` are the places.
///
/// **What it needs** is a connection of its own to a database that keeps what was committed:
/// session settings, prepared statements and advisory locks do not survive a pooler that gives out
/// a connection for each transaction, such as PgBouncer in transaction mode.
pub struct PostgresLedger {
    address: Address,
    instance: Uuid,
    scribe: Scribe,
    reader: Arc<PostgresReader>,
}

impl PostgresLedger {
    /// Connects to `postgres://user:password@host:port/database`, makes or updates the tables in
    /// the schema `broker_ledger`, and registers this instance.
    ///
    /// Of the address's options `sslmode` is `disable`, `prefer` or `require`; without it, servers
    /// beyond this machine have to speak TLS. Their certificate is always checked, against the
    /// platform's roots or those in the file `sslrootcert`. Several hosts may be named; the first
    /// that takes writes is used.
    ///
    /// # Errors
    /// [`LedgerError::UnsafeSetting`] where a commit would not be durable or the server only reads,
    /// [`LedgerError::Foreign`] where the tables are none of ours or of a later version,
    /// [`LedgerError::Unreachable`] where there is no connection. No error shows a user or
    /// password.
    pub fn open(url: &str) -> Result<Self, LedgerError> {
        let address = Address::parse(url)?;
        let instance = Uuid::new_v4();
        let mut tries = TRIES;
        let (session, reader) = loop {
            tries = tries.saturating_sub(1);
            match enter(&address, &instance) {
                Err(Trouble::Lost(_) | Trouble::Conflict(_)) if tries > 0 => {
                    std::thread::sleep(PAUSE);
                }
                entered => break entered.map_err(fault::at_open)?,
            }
        };
        let reader = Arc::new(reader);
        let scribe = Scribe::new(address.clone(), session, instance);
        Ok(Self { address, instance, scribe, reader })
    }

    /// Reads an address as [`Self::open`] does, and connects to nothing.
    ///
    /// # Errors
    /// [`LedgerError::Foreign`] where it is no address that a ledger can be opened at, and
    /// [`LedgerError::Storage`] where the certificates that it asks for cannot be read. No error
    /// shows a user or password.
    pub fn check_address(url: &str) -> Result<(), LedgerError> {
        Address::parse(url).map(drop)
    }

    /// Hosts, ports and database: never a user, never a password.
    pub fn place(&self) -> &str {
        self.address.name()
    }

    /// Takes over another ledger, which nobody may be writing to: its entries, with their numbers
    /// and places, and all that follows from them. This one has to be empty, and becomes the other
    /// or stays empty. Each entry is carried out again on the way. Memory grows with the users.
    ///
    /// # Errors
    /// [`LedgerError::Foreign`] where this ledger is not empty, or the other was written by several
    /// writers; [`LedgerError::Corrupt`] where an entry of the other is wrong, or a hold is open.
    pub fn import(&mut self, source: &dyn LedgerReader) -> Result<(), LedgerError> {
        import::import(&self.address, source)
    }

    /// Starts what keeps this instance alive in the eyes of the others, with a sign of life `every`
    /// so often: five seconds are a good choice, and all instances should have the same.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn caretaker(&self, every: Duration) -> Result<Caretaker, LedgerError> {
        Caretaker::start(self.address.clone(), self.instance, every)
    }
}

impl Ledger for PostgresLedger {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        self.scribe.apply(batch, now)
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        self.reader.account(user)
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        self.reader.open_holds()
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        self.reader.audit()
    }

    fn extend_log(&mut self, size: u64, leaves: &[LogLeaf]) -> Result<bool, LedgerError> {
        let written = Cell::new(false);
        self.scribe.aside(|session| proofs::extend_log(session, size, leaves, &written))
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), LedgerError> {
        self.scribe.aside(|session| proofs::keep(session, kept))
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        let reader: Arc<dyn LedgerReader> = Arc::<PostgresReader>::clone(&self.reader);
        Ok(reader)
    }
}

impl Drop for PostgresLedger {
    /// An instance that ends in order leaves the books, unless holds of its own are open: those
    /// are freed when it has been silent for long enough.
    fn drop(&mut self) {
        self.scribe.leave();
    }
}

/// Connections to a ledger that is up to date, and knows of this instance.
fn enter(address: &Address, instance: &Uuid) -> Result<(Session, PostgresReader), Trouble> {
    let mut session = Session::open(address, Purpose::Write)?;
    schema::create_or_check(&mut session, address)?;
    instance::beat(&mut session, instance)?;
    Ok((session, PostgresReader::at(address.clone())?))
}

const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

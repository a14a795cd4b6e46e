//! What the ledger says of money and of the receipt log, for a scrape.
//!
//! Reading takes as long as there are accounts, and a database may give no answer at all. So there
//! is one reading at a time, a scrape waits for it so long and no longer, and then has what was
//! read last; what is older than a minute is not shown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker_core::{LedgerError, LedgerReader, Neuron, Statement, Timestamp};
use tokio::sync::Mutex as Turn;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Sums over the ledger at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Set aside for requests in flight, in neuron.
    pub held: Neuron,
    /// Captured fees that are not settled, in neuron.
    pub owed: Neuron,
    /// Of these, under a voucher, in neuron.
    pub vouchered: Neuron,
    /// What the chain paid, in neuron.
    pub settled: Neuron,
    /// Accounts.
    pub users: u64,
    /// Accounts that are frozen.
    pub frozen: u64,
    /// When the oldest fee that is under no voucher was captured.
    pub oldest_unsealed: Option<Timestamp>,
    /// Entries that wait for their place in the chain, counted up to 10,000.
    pub unlinked: u64,
    /// Leaves of the receipt log.
    pub leaves: u64,
    /// Receipts that wait for their leaf, counted up to 512.
    pub unlogged: u64,
    /// When the oldest of these was made.
    pub oldest_unlogged: Option<Timestamp>,
}

impl Books {
    /// Reads. For threads that may block.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn read(reader: &dyn LedgerReader) -> Result<Self, LedgerError> {
        let mut books = Self::default();
        for statement in reader.statements()? {
            books.add(&statement);
        }
        books.unlinked = reader.unlinked()?;
        books.leaves = reader.log()?.size;
        let unlogged = reader.unlogged(UNLOGGED_MAX)?;
        books.unlogged = unlogged.len() as u64;
        books.oldest_unlogged = unlogged.first().map(|charged| charged.receipt.served_at);
        Ok(books)
    }

    fn add(&mut self, statement: &Statement) {
        let account = &statement.account;
        self.held = sum(self.held, account.held);
        self.owed = sum(self.owed, account.owed().unwrap_or_default());
        self.vouchered = sum(self.vouchered, account.vouchered);
        self.settled = sum(self.settled, statement.settled);
        self.users = self.users.saturating_add(1);
        self.frozen = self.frozen.saturating_add(u64::from(account.frozen));
        let oldest = [self.oldest_unsealed, statement.oldest_unsealed];
        self.oldest_unsealed = oldest.into_iter().flatten().min();
    }
}

fn sum(left: Neuron, right: Neuron) -> Neuron {
    left.checked_add(right).unwrap_or(Neuron::new(u128::MAX))
}

/// The books that were read last, and when that began.
type Last = Option<(Instant, Arc<Books>)>;

/// Reads the books for scrapes.
#[derive(Clone, Debug, Default)]
pub struct BookKeeper {
    last: Arc<Mutex<Last>>,
    reading: Arc<Turn<()>>,
    /// The last reading failed.
    failed: Arc<AtomicBool>,
}

impl BookKeeper {
    /// The books as of now, or as they were read a moment ago where reading takes long; `None`
    /// where there are none of the last minute. The flag says whether the ledger could be read in
    /// time.
    pub async fn look(&self, reader: &Arc<dyn LedgerReader>) -> (Option<Arc<Books>>, bool) {
        let in_time = match self.reading.clone().try_lock_owned() {
            Ok(turn) => {
                let (keeper, reader) = (self.clone(), reader.clone());
                let reading = spawn_blocking(move || {
                    let _turn = turn;
                    keeper.read(&*reader);
                });
                timeout(PATIENCE, reading).await.is_ok()
            }
            // Another scrape reads.
            Err(_) => timeout(PATIENCE, self.reading.lock()).await.is_ok(),
        };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let young = last.as_ref().filter(|(at, _)| at.elapsed() < AGE_MAX);
        let is_readable = in_time && !self.failed.load(Ordering::Relaxed);
        (young.map(|(_, books)| books.clone()), is_readable)
    }

    fn read(&self, reader: &dyn LedgerReader) {
        let began = Instant::now();
        let books = Books::read(reader);
        let failed = self.failed.swap(books.is_err(), Ordering::Relaxed);
        match books {
            Ok(books) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = Some((began, Arc::new(books)));
            }
            // An outage is told once, not with every scrape.
            Err(error) if !failed => tracing::warn!(%error, "metrics: the ledger cannot be read"),
            Err(_) => {}
        }
    }
}

/// More receipts without a leaf than these are not counted.
const UNLOGGED_MAX: u64 = 512;
/// A scrape waits so long for the ledger: Prometheus gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// Older books are not shown.
const AGE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use broker_core::{Command, Cover, Ledger, MemoryLedger, UserId};

    use super::*;

    #[tokio::test]
    async fn a_scrape_has_what_the_ledger_says_now_and_never_waits_for_another_for_long() {
        let mut ledger = MemoryLedger::new();
        let reader = ledger.reader().unwrap();
        let keeper = BookKeeper::default();
        assert_eq!(keeper.look(&reader).await, (Some(Arc::new(Books::default())), true));
        let user = UserId::new([7; 20]);
        let cover = Cover::UpTo(Neuron::new(5));
        ledger.apply(&[Command::Mirror { user, cover }], Timestamp(0)).unwrap();
        let (books, done) = keeper.look(&reader).await;
        assert_eq!((books.unwrap().users, done), (1, true));

        let _stuck = keeper.reading.lock().await;
        let began = Instant::now();
        let (books, done) = keeper.look(&reader).await;
        assert_eq!((books.unwrap().users, done), (1, false));
        assert!(began.elapsed() < PATIENCE * 2);
        *keeper.last.lock().unwrap() = None;
        assert_eq!(keeper.look(&reader).await, (None, false));
    }
}

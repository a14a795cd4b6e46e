//! The ledger that the settings name: a file of this sidecar's own, or a database that several
//! share.
//!
//! A database is opened and read on threads that may wait, never on those of a runtime: its client
//! has a runtime itself, which cannot wait within another one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Clock, Ledger, LedgerError, LedgerReader, PostgresLedger, PostgresReader, SqliteLedger,
    SqliteReader,
};
use tokio::task::spawn_blocking;

use crate::config::LedgerUrl;

mod last_end;
mod lead;
mod mending;
mod retention;
mod sealer;
mod sweep;

pub use last_end::{End, EndMark};
pub use lead::Lead;
pub use mending::advice;
pub use retention::Archivist;
pub use sealer::Sealer;
pub use sweep::{Live, Running, Sweeper};

/// A ledger that is open.
pub struct Opened {
    /// Writes.
    pub ledger: Box<dyn Ledger>,
    /// Reads.
    pub reader: Arc<dyn LedgerReader>,
    /// Whether this sidecar collects its fees.
    pub lead: Lead,
}

/// Opens the ledger to work on it.
///
/// # Errors
/// It is not there, is none of ours, cannot be read or written, or another process has it.
pub async fn open(url: &LedgerUrl, clock: Arc<dyn Clock>) -> Result<Opened, LedgerError> {
    let url = url.clone();
    let opened = spawn_blocking(move || match &url {
        LedgerUrl::Sqlite(path) => open_file(path, &*clock),
        LedgerUrl::Postgres(url) => open_database(url.expose()),
    });
    opened.await.unwrap_or(Err(LedgerError::Stopped))
}

/// Opens the ledger to look at it, whether or not a sidecar runs. For threads that may wait.
///
/// # Errors
/// As [`open`].
pub fn open_for_operator(url: &LedgerUrl) -> Result<Arc<dyn LedgerReader>, LedgerError> {
    match url {
        LedgerUrl::Sqlite(path) => Ok(Arc::new(SqliteReader::open_for_operator(path)?)),
        LedgerUrl::Postgres(url) => Ok(Arc::new(PostgresReader::open(url.expose())?)),
    }
}

/// Whoever has the file is alone: what is open in it was left by a process that died.
fn open_file(path: &Path, clock: &dyn Clock) -> Result<Opened, LedgerError> {
    let mut ledger: Box<dyn Ledger> = Box::new(SqliteLedger::open(path)?);
    let released = broker_core::recover(&mut *ledger, clock.now())?;
    if released > 0 {
        tracing::warn!(released, "exchanges were cut off by a crash; their holds are released");
    }
    let reader = ledger.reader()?;
    Ok(Opened { ledger, reader, lead: Lead::alone() })
}

/// Others may be at work in it: what a process left open that died is freed by whoever leads.
fn open_database(url: &str) -> Result<Opened, LedgerError> {
    let ledger = PostgresLedger::open(url)?;
    let reader = ledger.reader()?;
    let lead = Lead::among_others(ledger.caretaker(SIGN_OF_LIFE)?);
    Ok(Opened { ledger: Box::new(ledger), reader, lead })
}

/// Every sidecar on a database says so often that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

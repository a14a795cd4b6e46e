//! The whole of this crate behind one value, for who embeds it.
//!
//! ```text
//! builder ── start ──> Broker ── reserve ──> Reserved ── capture ──> Charge { fee, receipt }
//!                        │                      └── release, or dropped: nothing is charged
//!                        └── mirror, account, receipt, document, statement, totals, audit, sweep,
//!                             extend_log, settle_due
//! ```
//!
//! **Two phases.** [`Broker::reserve`] sets the worst case aside, durably, before any work is done;
//! [`Reserved::capture`] charges what the work came to and frees the rest, durably, before the end
//! of the answer is given away. Whatever happens between them, a hold ends exactly once: captured,
//! released, released because the [`Reserved`] was dropped, swept once it expired, or freed at the
//! next start where the process died.
//!
//! **Threads.** Building starts nothing. [`BrokerBuilder::start`] starts exactly one thread, which
//! owns the ledger and commits what waits together. Nothing is swept or settled unless asked for.
//! The clock is the machine's unless another one is given.
//!
//! **Async.** Calls that write wait for the writer's thread and block nobody. Calls that read go to
//! tokio's blocking threads inside a tokio runtime, since a ledger's reader blocks. Under any other
//! executor they read in place, and block the caller for as long.

use std::fmt;
use std::sync::Arc;

use crate::account::{Account, Cover, UserId};
use crate::clock::Clock;
use crate::command::{Applied, Command, Hold, Refusal};
use crate::digest::{Digest32, Fingerprint, RequestKey};
use crate::error::Error;
use crate::ledger::statement::{RequestPage, RequestQuery, Statement};
use crate::ledger::{AuditReport, LedgerError, LedgerReader, Totals};
use crate::money::Neuron;
use crate::receipt::{Receipt, ReceiptId};
use crate::signer::{Address, Signer};
use crate::tariff::Tariff;
use crate::writer::{self, LedgerHandle};

mod blocking;
mod builder;
mod ceiling;
mod live;
mod receipts;
mod reserved;
mod settling;

pub use builder::BrokerBuilder;
pub use receipts::Said;
pub use reserved::{Charge, Delivered, Reserved};

use blocking::blocking;
use ceiling::Ceiling;
use live::Live;

/// Charges for work: holds, fees, receipts and their settlement over one ledger.
///
/// Clones share the ledger and cost little. The writer's thread ends when the last clone and the
/// last [`Reserved`] are gone, or at [`Broker::stop`].
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    tariff: Tariff,
}

struct Shared {
    handle: LedgerHandle,
    reader: Arc<dyn LedgerReader>,
    signer: Arc<dyn Signer>,
    prover: Option<receipts::Prover>,
    clock: Arc<dyn Clock>,
    ceiling: Ceiling,
    hold_millis: u64,
    live: Live,
    /// One settlement pass at a time.
    passes: Arc<tokio::sync::Mutex<()>>,
    recovered: u64,
}

impl Shared {
    /// # Errors
    /// The ledger failed before.
    fn check(&self) -> Result<(), Error> {
        if self.handle.has_failed() { Err(Error::Failed) } else { Ok(()) }
    }

    /// What a caller is told of an error of the ledger's.
    fn failure(&self, error: LedgerError) -> Error {
        match error {
            LedgerError::Stopped if self.handle.has_failed() => Error::Failed,
            other => Error::Ledger(other),
        }
    }
}

impl Broker {
    /// What a broker is made from. Starts nothing.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    /// How many holds of a process that died were freed at the start. Always zero for a ledger that
    /// other processes write to as well: their exchanges run on, so such holds wait for
    /// [`Self::sweep`].
    pub fn recovered(&self) -> u64 {
        self.shared.recovered
    }

    /// The same broker at other prices: for another model, or for requests from now on. What is
    /// held already keeps the prices it was admitted under.
    #[must_use]
    pub fn with_tariff(&self, tariff: Tariff) -> Self {
        Self { shared: Arc::clone(&self.shared), tariff }
    }

    /// The prices of new requests, in neuron per token.
    pub fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    /// The address that receipts' signatures recover to.
    pub fn signing_address(&self) -> Address {
        self.shared.signer.address()
    }

    /// Sets how much of a user's spending is covered: a total in neuron, ever, or no limit. What
    /// is held and owed already stays; a cover below it refuses new holds.
    ///
    /// For users whose money is an escrow on chain see [`Self::mirror_escrow`].
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`]: the ledger failed, or [`LedgerError::Busy`].
    pub async fn mirror(&self, user: UserId, cover: Cover) -> Result<(), Error> {
        self.write(Command::Mirror { user, cover }).await.map(drop)
    }

    /// Sets aside what a request to a language model can cost at most, before it is forwarded.
    ///
    /// `nonce` is the client's own name for the request: with the user it makes the key that is
    /// used for money once, for ever. `body` are the request's bytes, a JSON object; their SHA-256
    /// tells a retry from another request and goes into the receipt. The ceiling is a prompt token
    /// for each of its bytes, those of the template, and `max_tokens` (or `max_completion_tokens`,
    /// the larger) times `n` (or `best_of`), at this broker's prices. Images and audio become more
    /// tokens than bytes: say the amount with [`Self::reserve_amount`]. A fee above the hold is cut
    /// to the hold.
    ///
    /// # Errors
    /// [`Error::Body`] for a body that cannot be read. [`Error::Refused`] with
    /// [`Refusal::InsufficientFunds`], [`Refusal::InFlight`] and [`Refusal::Finished`] for a retry
    /// (both name the receipt), [`Refusal::KeyReused`] for another body under the nonce,
    /// [`Refusal::Frozen`], or [`Refusal::OutOfRange`]. [`Error::Ledger`] and [`Error::Failed`] as
    /// everywhere. A future that is dropped halfway leaves no hold behind in a tokio runtime; under
    /// another executor such a hold waits for [`Self::sweep`].
    pub async fn reserve(
        &self,
        user: UserId,
        nonce: impl AsRef<[u8]>,
        body: &[u8],
    ) -> Result<Reserved, Error> {
        let bound = self.shared.ceiling.bound(body)?;
        let amount = self.tariff.ceiling(bound).ok_or(Refusal::OutOfRange)?;
        self.reserve_amount(user, nonce, body, amount).await
    }

    /// Sets `amount` neuron aside for a request of any kind; else as [`Self::reserve`].
    ///
    /// # Errors
    /// As [`Self::reserve`], without [`Error::Body`]: the body's bytes are hashed and not read.
    pub async fn reserve_amount(
        &self,
        user: UserId,
        nonce: impl AsRef<[u8]>,
        body: &[u8],
        amount: Neuron,
    ) -> Result<Reserved, Error> {
        let hold = Hold {
            key: RequestKey::derive(&user, nonce.as_ref()),
            fingerprint: Fingerprint(Digest32::sha256(body)),
            receipt: ReceiptId::mint(self.shared.clock.now()),
            user,
            amount,
            tariff: self.tariff.clone(),
            expires: self.shared.clock.now().plus_millis(self.shared.hold_millis),
        };
        Reserved::open(self, hold).await
    }

    /// One user's buckets, in neuron; an unknown user's are empty.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn account(&self, user: UserId) -> Result<Account, Error> {
        self.read(move |reader| reader.account(&user)).await
    }

    /// The receipt with this id, once its exchange has ended with one.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn receipt(&self, id: ReceiptId) -> Result<Option<Receipt>, Error> {
        self.read(move |reader| reader.receipt(&id)).await
    }

    /// Finished exchanges, the latest first, a page at a time.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn requests(&self, query: RequestQuery) -> Result<RequestPage, Error> {
        self.read(move |reader| reader.requests(&query)).await
    }

    /// How one user stands: buckets, what is under a voucher and what the chain has paid, in
    /// neuron. `None` for an unknown user.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn statement(&self, user: UserId) -> Result<Option<Statement>, Error> {
        self.read(move |reader| reader.statement(&user)).await
    }

    /// Sums over the whole ledger, in neuron, as of one moment.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn totals(&self) -> Result<Totals, Error> {
        self.read(|reader| reader.totals()).await
    }

    /// Re-adds the whole ledger and compares. A wrong row is no error: [`AuditReport::fault`] names
    /// it. Takes time with the size of the ledger; work goes on meanwhile.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn audit(&self) -> Result<AuditReport, Error> {
        self.read(|reader| reader.audit()).await
    }

    /// Anything else that a ledger's reader tells, where blocking is allowed.
    ///
    /// # Errors
    /// What `look` answers, as [`Error::Ledger`]; [`Error::Failed`] where the ledger failed before.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn LedgerReader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Error> {
        self.shared.check()?;
        let reader = Arc::clone(&self.shared.reader);
        Ok(blocking(move || look(&*reader)).await??)
    }

    /// Frees the holds that expired, and tells how many. Those whose [`Reserved`] is alive in this
    /// process stay, however old. Call it now and then, say every minute.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`]; what was freed until then stays free.
    pub async fn sweep(&self) -> Result<u64, Error> {
        self.shared.check()?;
        let shared = Arc::clone(&self.shared);
        let swept = blocking(move || {
            let now = shared.clock.now();
            writer::sweep(&shared.handle, &*shared.reader, now, |key| shared.live.has(key))
        });
        swept.await?.map_err(|error| self.shared.failure(error))
    }

    /// The handle to the writer, for commands that this type has no method for, and to wait for a
    /// failure ([`LedgerHandle::failed`]).
    pub fn ledger(&self) -> &LedgerHandle {
        &self.shared.handle
    }

    /// Finishes what is queued, refuses what comes later with [`LedgerError::Stopped`], and waits
    /// for the writer's thread to end. Reading goes on. Holds whose [`Reserved`] is still alive
    /// stay open until the next start. Blocks for as long as the last commits take.
    pub fn stop(&self) {
        self.shared.handle.stop();
    }

    async fn write(&self, command: Command) -> Result<Applied, Error> {
        let answer = self.shared.handle.apply(command);
        Ok(answer.await.map_err(|error| self.shared.failure(error))??)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker({})", self.signing_address())
    }
}

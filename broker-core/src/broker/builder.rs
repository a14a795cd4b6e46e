//! What a broker is made from.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::digest::Digest32;
use crate::error::Error;
use crate::keyset::ReceiptKey;
use crate::ledger::{Ledger, LedgerError, LedgerReader};
use crate::signer::Signer;
use crate::tariff::Tariff;
use crate::writer::{WriterLimits, recover, spawn_writer_with};

use super::blocking::apart;
use super::ceiling::Ceiling;
use super::receipts::Prover;
use super::{Broker, Shared};

type Opener = Box<dyn FnOnce() -> Result<Box<dyn Ledger>, LedgerError> + Send>;

/// What a [`Broker`] is made from: a ledger, a tariff and a signer; everything else has a default.
pub struct BrokerBuilder {
    ledger: Option<Opener>,
    tariff: Option<Tariff>,
    signer: Option<Arc<dyn Signer>>,
    clock: Arc<dyn Clock>,
    limits: WriterLimits,
    ceiling: Ceiling,
    hold_secs: u64,
    receipts: Option<(ReceiptKey, Digest32)>,
}

impl Default for BrokerBuilder {
    fn default() -> Self {
        Self {
            ledger: None,
            tariff: None,
            signer: None,
            clock: Arc::new(SystemClock),
            limits: WriterLimits::default(),
            ceiling: Ceiling::default(),
            hold_secs: HOLD_SECS,
            receipts: None,
        }
    }
}

impl BrokerBuilder {
    /// The ledger, open for writing. Needed, or [`Self::ledger_with`].
    #[must_use]
    pub fn ledger(self, ledger: impl Ledger + 'static) -> Self {
        self.ledger_with(move || Ok(ledger))
    }

    /// A ledger that [`Self::start`] opens, on a thread that may block: for one whose opening does
    /// not belong into an async task, such as a database on the network. What else has to live as
    /// long as that ledger, such as the caretaker of one in PostgreSQL, `open` hands to the caller
    /// in a way of its own, and the caller keeps it.
    #[must_use]
    pub fn ledger_with<L: Ledger + 'static>(
        mut self,
        open: impl FnOnce() -> Result<L, LedgerError> + Send + 'static,
    ) -> Self {
        self.ledger = Some(Box::new(move || Ok(Box::new(open()?) as Box<dyn Ledger>)));
        self
    }

    /// The prices, in neuron per token. Needed.
    #[must_use]
    pub fn tariff(mut self, tariff: Tariff) -> Self {
        self.tariff = Some(tariff);
        self
    }

    /// The key that signs receipts and vouchers, such as a [`LocalSigner`](crate::LocalSigner).
    /// Needed.
    #[must_use]
    pub fn signer(self, signer: impl Signer + 'static) -> Self {
        self.shared_signer(Arc::new(signer))
    }

    /// [`Self::signer`] for a key that others use as well.
    #[must_use]
    pub fn shared_signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// The key that makes receipts documents that prove themselves ([`Receipt::document`]), and the
    /// digest of the [keyset](crate::keyset) that lists it: whoever has that keyset can check them
    /// offline. Without it receipts are records with the signer's signature alone.
    ///
    /// Such receipts promise to stand in the ledger's receipt log: call [`Broker::extend_log`] now
    /// and then. Until they stand there they are not let go.
    ///
    /// [`Receipt::document`]: crate::Receipt::document
    #[must_use]
    pub fn receipts(mut self, key: ReceiptKey, keyset: Digest32) -> Self {
        self.receipts = Some((key, keyset));
        self
    }

    /// What time it is; the machine's clock unless given.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How many commands may wait and how many share a commit; 4,096 and 128 unless given.
    #[must_use]
    pub fn writer_limits(mut self, limits: WriterLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Generated tokens that one answer is held for where its request names no `max_tokens`; 4,096
    /// unless given. Engines then go on to the end of their context, so give that, or have the
    /// engine stop at this number: a fee above the hold is cut to the hold.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u64) -> Self {
        self.ceiling.max_output_tokens = tokens;
        self
    }

    /// The model's context in tokens, which bounds the prompt and each answer; no bound unless
    /// given.
    #[must_use]
    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.ceiling.context_tokens = Some(tokens);
        self
    }

    /// Tokens that a chat template may put around a prompt, beyond one for each byte of the body;
    /// 1,024 unless given.
    #[must_use]
    pub fn template_tokens(mut self, tokens: u64) -> Self {
        self.ceiling.template_tokens = tokens;
        self
    }

    /// Seconds after which a hold that nobody ended may be swept; a day unless given. Must be
    /// longer than any exchange lasts where several processes share a ledger.
    #[must_use]
    pub fn hold_secs(mut self, secs: u64) -> Self {
        self.hold_secs = secs;
        self
    }

    /// Opens the ledger, frees the holds of a process that died ([`Broker::recovered`] says how
    /// many; only on a ledger with one writer), and starts the writer's thread. Blocks until the
    /// ledger is ready. In an async runtime the opening is done on a thread of its own, which has
    /// ended when this returns.
    ///
    /// # Errors
    /// [`Error::Incomplete`] where a ledger, tariff or signer is missing. [`Error::Ledger`] where
    /// the ledger could not be opened or an open hold could not be freed, or the system gives no
    /// thread.
    pub fn start(self) -> Result<Broker, Error> {
        let open = self.ledger.ok_or(Error::Incomplete("ledger"))?;
        let tariff = self.tariff.ok_or(Error::Incomplete("tariff"))?;
        let signer = self.signer.ok_or(Error::Incomplete("signer"))?;
        let clock = self.clock;
        let proves = self.receipts.is_some();
        let ready = apart(|| ready(open, &*clock, proves)).map_err(no_thread)?;
        let Ready { ledger, reader, recovered, log } = ready?;
        let prover = self.receipts.zip(log).map(|((key, keyset), log)| Prover { key, keyset, log });
        let handle = spawn_writer_with(ledger, Arc::clone(&clock), self.limits);
        let shared = Shared {
            handle,
            reader,
            signer,
            prover,
            clock,
            ceiling: self.ceiling,
            hold_millis: self.hold_secs.saturating_mul(1_000),
            live: super::Live::default(),
            passes: Arc::default(),
            recovered,
        };
        shared.check().map_err(|_| no_thread("its writer could not be started"))?;
        Ok(Broker { shared: Arc::new(shared), tariff })
    }
}

/// A ledger that may be written to.
struct Ready {
    ledger: Box<dyn Ledger>,
    reader: Arc<dyn LedgerReader>,
    recovered: u64,
    /// The name of the log, where receipts promise it.
    log: Option<Digest32>,
}

fn ready(open: Opener, clock: &dyn Clock, proves: bool) -> Result<Ready, LedgerError> {
    let mut ledger = open()?;
    let recovered = match ledger.has_one_writer() {
        true => recover(&mut *ledger, clock.now())?,
        // The open holds may be those of another process that runs.
        false => 0,
    };
    let reader = ledger.reader()?;
    let log = if proves { Some(reader.log()?.id) } else { None };
    Ok(Ready { reader, ledger, recovered, log })
}

fn no_thread(why: impl ToString) -> Error {
    LedgerError::Storage(format!("no thread for it: {}", why.to_string())).into()
}

const HOLD_SECS: u64 = 24 * 60 * 60;

//! The one actor that collects fees: a thread of its own, so that a slow node holds nobody up.
//!
//! Of several sidecars on one ledger only the one with the lead collects. The others look at the
//! chain all the same, and ask the contract what it would make of the open vouchers: they take paid
//! work while its fees can be collected. A lead that is lost in the middle of a pass does no harm:
//! see [`Lead`].

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use broker_core::settlement::{Obstacle, Settler, read};
use broker_core::{Neuron, Timestamp};
use tokio::sync::oneshot;

use self::actor::Shared;
use super::{Condition, Gate, Settling};
use crate::ledger::Lead;

mod actor;

/// What the actor did so far.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Passes that ran to their end.
    pub passes: u64,
    /// Passes that did not.
    pub failures: u64,
    /// What stood in the way of the last one, in words; each once.
    pub problems: Vec<String>,
    /// What stands in the way of settlement.
    pub obstacles: Vec<Obstacle>,
    /// Vouchers that the contract would refuse for what this sidecar is: no fees can be collected.
    pub refused: Vec<String>,
    /// Vouchers whose end is not known yet.
    pub open: u64,
    /// What the chain paid since the start, in neuron.
    pub paid: Neuron,
    /// What the wallet had at the last self-check, in neuron.
    pub wallet: Neuron,
    /// Seconds from a refund's request to its payment, once the contract has told.
    pub lock_time_secs: Option<u64>,
    /// When the oldest fee was captured that was due at the last pass and is under no voucher.
    pub overdue: Option<Timestamp>,
    /// When the last pass ended.
    pub last_pass: Option<Timestamp>,
}

/// Reaches the actor. It ends when the last handle is dropped, or when it is stopped.
pub struct SettleHandle {
    shared: Arc<Shared>,
    stop: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

/// Closes the gate when the actor is gone, however it went.
struct Leaving(Arc<Gate>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.stop("the settler has stopped: see the log, and restart");
    }
}

impl SettleHandle {
    /// Starts the actor, which looks at once and then `every` so often.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        settler: Settler,
        lead: Lead,
        gate: Arc<Gate>,
        every: Duration,
    ) -> std::io::Result<Self> {
        let leaving = Leaving(gate.clone());
        let shared = Arc::new(Shared::new(settler, lead, gate, every));
        let (stop, stopped) = oneshot::channel::<()>();
        let actor = shared.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("settler".to_owned()).spawn(move || {
            let _leaving = leaving;
            runtime.block_on(async move {
                // Cutting a pass off loses nothing: the next one goes on from the ledger.
                // What waits a minute for a transaction must not keep the gate as it was.
                tokio::select! {
                    () = actor.collect() => {}
                    () = actor.watch() => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { shared, stop: Mutex::new(Some((stop, thread))) })
    }

    /// Asks for a pass that collects from everyone who owes. Does not wait for it.
    pub fn ask(&self) {
        self.shared.ask();
    }

    /// Whether this sidecar is the one that collects.
    pub fn leads(&self) -> bool {
        self.shared.lead.is_ours()
    }

    /// What the actor did so far.
    pub fn status(&self) -> Status {
        self.shared.read().clone()
    }

    async fn may_change_signer(&self) -> Result<(), String> {
        let waiting = self.shared.settler.waits_for_old_signer().await;
        let waiting = waiting.map_err(|error| error.to_string())?;
        if waiting.is_empty() {
            return Ok(());
        }
        self.ask();
        Err(format!(
            "{} vouchers of the earlier signer are on their way to the chain, which would not pay \
             them afterwards; they are sent now, so try again in a minute",
            waiting.len()
        ))
    }

    /// Fees of a frozen account and of an empty escrow cannot be collected in any case.
    async fn may_be_removed(&self) -> Result<(), String> {
        let settler = &self.shared.settler;
        let statements = read(&*settler.store, |reader| reader.statements()).await;
        let statements = statements.map_err(|error| error.to_string())?;
        // Every sidecar on the ledger holds there, and what it holds becomes a debt.
        let held = statements.iter().filter(|known| !known.account.held.is_zero()).count();
        if held > 0 {
            return Err(format!(
                "requests of {held} users are in flight on a sidecar of this ledger, whose fees \
                 could not be collected; stop the other sidecars, and try again"
            ));
        }
        let mut owing = Vec::new();
        for known in statements {
            let account = &known.account;
            let owes = !account.frozen && !account.owed().is_some_and(Neuron::is_zero);
            if known.books.nonce.is_none() || !owes {
                continue;
            }
            let view = settler.chain.account(known.user).await;
            let escrow = view.map_err(|error| error.to_string())?.latest;
            if escrow.is_some_and(|escrow| !escrow.balance.is_zero()) {
                owing.push(known.user);
            }
        }
        if owing.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = owing.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let rest = if owing.len() > named.len() { ", ..." } else { "" };
        Err(format!(
            "{} users owe fees, which could not be collected any more: {}{rest}; settle first with \
             POST /v1/settle",
            owing.len(),
            named.join(", ")
        ))
    }

    /// Looks again whether fees can be collected, and opens or closes the gate.
    pub async fn check(&self) {
        self.shared.check().await;
    }

    /// Ends the actor and waits for its thread. Blocks: call it from a thread that may.
    pub fn stop(&self) {
        let running = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((stop, thread)) = running else { return };
        let _ = stop.send(());
        if thread.join().is_err() {
            tracing::error!("the settler panicked");
        }
    }
}

impl Settling for SettleHandle {
    fn ask(&self) {
        Self::ask(self);
    }

    fn before_signer_change(&self) -> Condition<'_> {
        Box::pin(self.may_change_signer())
    }

    fn before_removal(&self) -> Condition<'_> {
        Box::pin(self.may_be_removed())
    }
}

/// So many of those who owe are named.
const NAMED_MAX: usize = 3;

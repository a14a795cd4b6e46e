//! The one actor that collects fees: a thread of its own, so that a slow node holds nobody up.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use broker_core::chain::Verdict;
use broker_core::settlement::{Obstacle, PassReport, SettleError, Settler, self_check};
use broker_core::{Neuron, Timestamp};
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Condition, Gate, Settling};

/// How often the chain is asked whether fees can be collected.
const CHECK_EVERY: Duration = Duration::from_secs(15);
/// How often the chain is asked what became of a voucher that was sent.
const RESOLVE_EVERY: Duration = Duration::from_secs(3);
/// Work is taken while the chain's node is silent, for so long: escrows cannot be emptied faster,
/// and a node that restarts is no reason to turn clients away.
const SILENCE_BORNE: Duration = Duration::from_secs(300);
/// A voucher that did not land in this time is sent again.
const SUBMIT_AGAIN_AFTER: Duration = Duration::from_secs(60);

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
    /// When the last pass ended.
    pub last_pass: Option<Timestamp>,
}

/// Reaches the actor. It ends when the last handle is dropped, or when it is stopped.
pub struct SettleHandle {
    shared: Arc<Shared>,
    stop: std::sync::Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

struct Shared {
    settler: Settler,
    gate: Arc<Gate>,
    every: Duration,
    asked: Notify,
    status: RwLock<Status>,
    /// When the chain last answered a self-check.
    answered: RwLock<Option<Instant>>,
    /// Held while the chain is checked, so that an old answer never replaces a new one.
    checking: Mutex<()>,
    /// What the log has been told of problems that are still there.
    told: std::sync::Mutex<BTreeSet<String>>,
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
    pub fn start(settler: Settler, gate: Arc<Gate>, every: Duration) -> std::io::Result<Self> {
        let leaving = Leaving(gate.clone());
        let shared = Arc::new(Shared {
            settler,
            gate,
            every,
            asked: Notify::new(),
            status: RwLock::default(),
            answered: RwLock::default(),
            checking: Mutex::default(),
            told: std::sync::Mutex::default(),
        });
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
        Ok(Self { shared, stop: std::sync::Mutex::new(Some((stop, thread))) })
    }

    /// Asks for a pass that collects from everyone who owes. Does not wait for it.
    pub fn ask(&self) {
        self.shared.asked.notify_one();
    }

    /// What the actor did so far.
    pub fn status(&self) -> Status {
        self.shared.status.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        let statements = settler.store.reader().statements().map_err(|error| error.to_string())?;
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

impl Shared {
    async fn watch(&self) {
        loop {
            self.check().await;
            sleep(CHECK_EVERY).await;
        }
    }

    async fn collect(&self) {
        let mut asked = false;
        loop {
            let next_pass = Instant::now() + self.pass(asked).await;
            asked = false;
            while Instant::now() < next_pass {
                let open = self.read().open > 0;
                let resolve = Instant::now() + RESOLVE_EVERY;
                let wake = if open { resolve.min(next_pass) } else { next_pass };
                tokio::select! {
                    () = self.asked.notified() => {
                        asked = true;
                        break;
                    }
                    () = sleep_until(wake) => {}
                }
                if open {
                    let resolved = self.settler.resolve().await;
                    self.note(resolved, false);
                }
            }
        }
    }

    /// How long to wait for the next pass.
    async fn pass(&self, asked: bool) -> Duration {
        let outcome = self.settler.pass(asked).await;
        let failed = outcome.is_err();
        self.note(outcome, true);
        self.check().await;
        let status = self.read();
        let every = between_passes(self.every, status.lock_time_secs);
        if failed || status.open > 0 { SUBMIT_AGAIN_AFTER.min(every) } else { every }
    }

    fn note(&self, outcome: Result<PassReport, SettleError>, is_pass: bool) {
        let now = self.settler.clock.now();
        let mut status = self.status.write().unwrap_or_else(PoisonError::into_inner);
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                let problem = error.to_string();
                if self.is_news(&problem) {
                    tracing::warn!(%error, "a settlement pass ended early; the next one goes on");
                }
                if is_pass {
                    status.failures = status.failures.saturating_add(1);
                    self.keep_told(std::slice::from_ref(&problem));
                    status.problems = vec![problem];
                }
                return;
            }
        };
        for (user, paid) in &report.settled {
            tracing::info!(%user, neuron = %paid, "settled");
            status.paid = status.paid.checked_add(*paid).unwrap_or(status.paid);
        }
        for (user, reason, total) in &report.sealed {
            tracing::info!(%user, neuron = %total, reason = reason.as_str(), "voucher sealed");
        }
        let mut problems = report.problems;
        problems.sort();
        problems.dedup();
        for problem in problems.iter().filter(|problem| self.is_news(problem)) {
            tracing::warn!(problem, "settlement");
        }
        let of_voucher = |(user, verdict): &(_, Verdict)| format!("voucher of {user}: {verdict}");
        for problem in report.refused.iter().map(of_voucher).filter(|text| self.is_news(text)) {
            tracing::error!(problem, "the contract refuses a voucher: it is not sent");
        }
        status.open = report.open;
        if is_pass {
            status.passes = status.passes.saturating_add(1);
            let there: Vec<_> = report.refused.iter().map(of_voucher).collect();
            self.keep_told(&[there.as_slice(), problems.as_slice()].concat());
            status.problems = problems;
            // Without its user's word a voucher waits, and stands in nobody else's way.
            let refused = report.refused.iter();
            let refused = refused.filter(|(_, verdict)| *verdict != Verdict::NoTeeSigner);
            status.refused = refused.map(of_voucher).collect();
            status.last_pass = Some(now);
        }
    }

    /// Whether the log has not been told of this problem since it is there.
    fn is_news(&self, problem: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(problem.to_owned())
    }

    /// Forgets all but those that are still `there`: the others are news when they come back.
    fn keep_told(&self, there: &[String]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|problem| there.contains(problem));
    }

    async fn check(&self) {
        let _turn = self.checking.lock().await;
        let settler = &self.settler;
        let check = self_check(&*settler.chain, settler.signer.address()).await;
        let is_silent = matches!(check.obstacles.first(), Some(Obstacle::Chain(_)));
        if is_silent && self.may_be_silent() {
            tracing::debug!("the chain gives no answer");
            return;
        }
        if !is_silent {
            *self.answered.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        let mut reasons: Vec<String> = check.obstacles.iter().map(ToString::to_string).collect();
        reasons.extend(self.read().refused.iter().cloned());
        if reasons != self.gate.reasons() {
            for reason in &reasons {
                tracing::warn!(reason, "fees cannot be collected: paid requests are refused");
            }
            if reasons.is_empty() {
                tracing::info!("fees can be collected: paid requests are taken");
            }
            self.gate.set(reasons);
        }
        let mut status = self.status.write().unwrap_or_else(PoisonError::into_inner);
        if !is_silent {
            status.wallet = check.terms.wallet;
            status.lock_time_secs = Some(check.terms.lock_time_secs);
        }
        status.obstacles = check.obstacles;
    }

    fn may_be_silent(&self) -> bool {
        let answered = *self.answered.read().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|at| at.elapsed() < SILENCE_BORNE)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Status> {
        self.status.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user whose refund is paid between two passes takes unpaid fees along.
fn between_passes(every: Duration, lock_time_secs: Option<u64>) -> Duration {
    let Some(lock_time_secs) = lock_time_secs else { return every };
    every.min(Duration::from_secs((lock_time_secs / 4).max(1)))
}

/// So many of those who owe are named.
const NAMED_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refund_is_paid_between_two_passes() {
        let every = |secs, lock_time| between_passes(Duration::from_secs(secs), lock_time);
        for (secs, lock_time, expected) in [
            (300, None, 300),
            (300, Some(86_400), 300),
            (300, Some(1_199), 299),
            (300, Some(3), 1),
            (300, Some(0), 1),
        ] {
            assert_eq!(every(secs, lock_time), Duration::from_secs(expected), "{lock_time:?}");
        }
    }
}

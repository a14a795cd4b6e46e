//! What the chain says of each user, kept for a minute, and told to the ledger.
//!
//! One read at a time for each user, whoever waits for it. An answer is taken for
//! [`FRESH`]: revoked tokens and refunds are seen within that time. Where the chain cannot be
//! asked, an answer serves until it is [`USABLE`] old; after that nobody is told anything about an
//! account, since nothing is known.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::chain::AccountView;
use broker_core::settlement::{LedgerStore, mirror};
use broker_core::{Chain, ChainError, UserId};
use tokio::time::{Instant, timeout};

use crate::fault::Fault;
use crate::rate::{Rate, Rule};

/// How long an answer of the chain's is taken for the truth.
pub const FRESH: Duration = Duration::from_secs(60);
/// How long it serves where the chain cannot be asked.
pub const USABLE: Duration = Duration::from_secs(120);
/// A user's account is not read again sooner, however often money is short.
pub const REREAD_PAUSE: Duration = Duration::from_secs(1);

/// The users of this provider, as the chain has them.
pub struct Accounts {
    chain: Arc<dyn Chain>,
    store: LedgerStore,
    slots: Mutex<HashMap<UserId, Arc<Slot>>>,
    /// Users that nobody has asked for lately; each costs a call to the chain.
    strangers: Rate,
}

#[derive(Default)]
struct Slot {
    /// Held while the chain is asked.
    reading: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    known: Option<(Instant, AccountView)>,
    failed: Option<Instant>,
}

impl Accounts {
    /// Nobody is known yet.
    pub fn new(chain: Arc<dyn Chain>, store: LedgerStore) -> Self {
        let all = Rule { burst: 2 * STRANGERS_PER_SEC, per_sec: STRANGERS_PER_SEC };
        let each = Rule { burst: 20, per_sec: 10 };
        let strangers = Rate::new(all, each);
        Self { chain, store, slots: Mutex::default(), strangers }
    }

    /// The user's escrow, at most [`FRESH`] old where the chain can be asked.
    ///
    /// # Errors
    /// The chain cannot be asked, `peer` asks for too many users, or the ledger takes nothing.
    pub async fn view(&self, user: UserId, peer: Option<IpAddr>) -> Result<AccountView, Fault> {
        let slot = self.slot(user, peer)?;
        let now = Instant::now();
        if let Some(view) = slot.known_since(now - FRESH) {
            return Ok(view);
        }
        // Without an account on the chain nobody becomes less of a stranger by asking again.
        if slot.is_stranger() {
            self.strangers.take(peer).map_err(|_| busy())?;
        }
        let usable = slot.known_since(now - USABLE);
        if slot.failed_since(now - FAILURE_PAUSE) {
            return usable.ok_or_else(unknown);
        }
        let read = self.read(&slot, user).await;
        read.or_else(|fault| usable.ok_or(fault))
    }

    /// The user's escrow, read from the chain now.
    ///
    /// # Errors
    /// As [`Self::view`]; what was known before does not count.
    pub async fn reread(&self, user: UserId) -> Result<AccountView, Fault> {
        let slot = self.slot(user, None)?;
        let lately = Instant::now() - REREAD_PAUSE;
        match slot.known_since(lately) {
            Some(view) => Ok(view),
            None => self.read(&slot, user).await,
        }
    }

    async fn read(&self, slot: &Slot, user: UserId) -> Result<AccountView, Fault> {
        let asked = Instant::now();
        let _turn = slot.reading.lock().await;
        if let Some(view) = slot.known_since(asked) {
            return Ok(view);
        }
        if slot.failed_since(asked) {
            return Err(unknown());
        }
        let late = || ChainError::Unreachable(format!("no answer in {READ_TIME_MAX:?}"));
        let read = timeout(READ_TIME_MAX, self.chain.account(user)).await;
        let view = read.unwrap_or_else(|_| Err(late())).map_err(|error| {
            tracing::warn!(%user, %error, "an account cannot be read");
            slot.state().failed = Some(Instant::now());
            unknown()
        })?;
        self.tell_ledger(user, view).await?;
        slot.state().known = Some((Instant::now(), view));
        Ok(view)
    }

    /// What the ledger refuses waits for the settler, or froze the account: the next hold will say
    /// so.
    async fn tell_ledger(&self, user: UserId, view: AccountView) -> Result<(), Fault> {
        let told = mirror(&self.store, user, &view).await;
        told.map(drop).map_err(|error| no_ledger(&error))
    }

    fn slot(&self, user: UserId, peer: Option<IpAddr>) -> Result<Arc<Slot>, Fault> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&user) {
            return Ok(slot.clone());
        }
        self.strangers.take(peer).map_err(|_| busy())?;
        if slots.len() >= ACCOUNTS_MAX {
            let old = Instant::now() - FRESH;
            slots.retain(|_, slot| {
                let is_kept = slot.known_since(old).is_some() && !slot.is_stranger();
                Arc::strong_count(slot) > 1 || is_kept
            });
        }
        if slots.len() >= ACCOUNTS_MAX {
            return Err(busy());
        }
        Ok(slots.entry(user).or_default().clone())
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_since(&self, moment: Instant) -> Option<AccountView> {
        let known = self.state().known;
        known.filter(|(at, _)| *at >= moment).map(|(_, view)| view)
    }

    /// Asked for before, and without an account on the chain then.
    fn is_stranger(&self) -> bool {
        self.state().known.is_some_and(|(_, view)| view.latest.is_none())
    }

    fn failed_since(&self, moment: Instant) -> bool {
        self.state().failed.is_some_and(|at| at >= moment)
    }
}

/// No verdict: the account may be as good as any.
pub(super) fn unknown() -> Fault {
    Fault::Unavailable {
        message: "the chain cannot be asked about this account now; try again".into(),
        retry_after: Duration::from_secs(5),
    }
}

fn busy() -> Fault {
    Fault::RateLimited {
        message: "too many unknown accounts at once; try again".into(),
        retry_after: Duration::from_secs(1),
    }
}

fn no_ledger(error: &broker_core::LedgerError) -> Fault {
    tracing::error!(%error, "an escrow is not in the ledger");
    let message = "this server's ledger is not available".into();
    Fault::Unavailable { message, retry_after: Duration::from_secs(1) }
}

/// A node that says nothing for so long is taken for gone.
const READ_TIME_MAX: Duration = Duration::from_secs(10);
/// After a failure nobody waits for the chain for so long.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);
/// Users that are remembered: more than strangers can become in the time that one is.
const ACCOUNTS_MAX: usize = 20_000;
const STRANGERS_PER_SEC: u32 = 100;

#[cfg(test)]
mod tests;

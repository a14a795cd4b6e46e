//! Whether a user's work is taken: 0G's rules of admission, over the chain and the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::chain::{AccountView, Service};
use broker_core::{Account, Neuron, UserId};
use tokio::time::{Instant, timeout};

use super::accounts::{Accounts, USABLE, unknown};
use super::{Network, in_0g};
use crate::exchange::funds::{FROZEN, Funds, FundsFuture};
use crate::fault::Fault;

/// Escrows as the source of what users may spend.
pub struct Escrows {
    network: Arc<Network>,
    accounts: Arc<Accounts>,
    min_reserve: Neuron,
    known: Mutex<Known>,
    /// Held while the chain is asked for the service.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of the service.
#[derive(Default)]
struct Known {
    /// When the chain was asked, and what it said.
    said: Option<(Instant, Option<Service>)>,
    /// When it last said nothing.
    failed: Option<Instant>,
}

impl Known {
    fn fresh(&self) -> Option<Option<Service>> {
        let (at, service) = self.said.as_ref()?;
        let good = service.as_ref().is_some_and(|service| service.tee_signer_acknowledged);
        let limit = if good { SERVICE_FRESH } else { BAD_SERVICE_FRESH };
        (at.elapsed() < limit).then(|| service.clone())
    }

    fn usable(&self) -> Option<Option<Service>> {
        let (at, service) = self.said.as_ref()?;
        (at.elapsed() < USABLE).then(|| service.clone())
    }
}

impl Escrows {
    /// Escrows that must hold `min_reserve` beyond what their users owe.
    pub fn new(network: Arc<Network>, accounts: Arc<Accounts>, min_reserve: Neuron) -> Self {
        Self {
            network,
            accounts,
            min_reserve,
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    async fn account_on_chain(&self, user: UserId) -> Result<AccountView, Fault> {
        let view = self.accounts.view(user, None).await?;
        let account = view.latest.ok_or(Fault::BadRequest(NO_ACCOUNT.into()))?;
        if account.acknowledged { Ok(view) } else { Err(Fault::Forbidden(NOT_ACKNOWLEDGED)) }
    }

    async fn check(&self, user: UserId) -> Result<(), Fault> {
        let view = self.account_on_chain(user).await?;
        self.check_service().await?;
        self.network.gate.pass()?;
        if self.reserve_is_missing(user, &view).await?.is_some() {
            let view = self.accounts.reread(user).await?;
            if let Some(fault) = self.reserve_is_missing(user, &view).await? {
                return Err(fault);
            }
        }
        Ok(())
    }

    async fn check_service(&self) -> Result<(), Fault> {
        match self.service().await? {
            Some(service) if service.tee_signer_acknowledged => Ok(()),
            Some(_) => Err(Fault::Forbidden(SERVICE_NOT_ACKNOWLEDGED)),
            None => Err(Fault::Unavailable {
                message: "this provider has not registered its service yet".into(),
                retry_after: Duration::from_secs(30),
            }),
        }
    }

    /// One question at a time, and who finds it being asked takes what is known. What stands in the
    /// way is asked again sooner than what does not; after a failure nobody asks for a moment.
    async fn service(&self) -> Result<Option<Service>, Fault> {
        if let Some(service) = self.known().fresh() {
            return Ok(service);
        }
        let usable = self.known().usable();
        let turn = match self.asking.try_lock() {
            Ok(turn) => turn,
            Err(_) if usable.is_some() => return usable.ok_or_else(unknown),
            Err(_) => self.asking.lock().await,
        };
        if let Some(service) = self.known().fresh() {
            return Ok(service);
        }
        if self.known().failed.is_some_and(|at| at.elapsed() < FAILURE_PAUSE) {
            return usable.ok_or_else(unknown);
        }
        let read = timeout(READ_TIME_MAX, self.network.chain.service()).await;
        drop(turn);
        match read {
            Ok(Ok(service)) => {
                self.known().said = Some((Instant::now(), service.clone()));
                return Ok(service);
            }
            Ok(Err(error)) => tracing::warn!(%error, "the service cannot be read"),
            Err(_) => tracing::warn!("the service cannot be read in time"),
        }
        self.known().failed = Some(Instant::now());
        usable.ok_or_else(unknown)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the user is told where the escrow falls short of the reserve.
    async fn reserve_is_missing(
        &self,
        user: UserId,
        view: &AccountView,
    ) -> Result<Option<Fault>, Fault> {
        let account = self.account(user).await?;
        if account.frozen {
            return Err(Fault::Forbidden(FROZEN));
        }
        let lock = lock(&account, view);
        // What is in flight will be owed, as far as a new request goes.
        let spent = account.committed().ok_or(Fault::Internal)?;
        let required = spent.checked_add(self.min_reserve).ok_or(Fault::Internal)?;
        let fault = self.insufficient(lock, required, self.min_reserve, spent, Neuron::ZERO);
        Ok((lock < required).then_some(fault))
    }

    async fn hold_is_missing(&self, user: UserId, needed: Neuron) -> Result<Fault, Fault> {
        let account = self.account(user).await?;
        // What is in flight is a fee already, as far as this request goes.
        let spent = account.committed().ok_or(Fault::Internal)?;
        let required = spent.checked_add(needed).ok_or(Fault::Internal)?;
        Ok(self.insufficient(account.cover, required, Neuron::ZERO, spent, needed))
    }

    fn insufficient(
        &self,
        lock: Neuron,
        required: Neuron,
        reserve: Neuron,
        unsettled: Neuron,
        fee: Neuron,
    ) -> Fault {
        let [lock, required] = [lock, required].map(in_0g);
        let [reserve, unsettled, fee] = [reserve, unsettled, fee].map(in_0g);
        Fault::InsufficientCredits(format!(
            "insufficient balance: your locked balance is {lock} 0G, but the required minimum is \
             {required} 0G (breakdown: minimum reserve {reserve} 0G + unsettled fees {unsettled} \
             0G + current request fee {fee} 0G). Please add more funds with: 0g-compute-cli \
             transfer-fund --provider {} --amount <amount>",
            self.network.chain.provider()
        ))
    }

    async fn account(&self, user: UserId) -> Result<Account, Fault> {
        let reader = self.network.store.reader.clone();
        let read = tokio::task::spawn_blocking(move || reader.account(&user)).await;
        match read {
            Ok(Ok(account)) => Ok(account),
            Ok(Err(error)) => {
                tracing::error!(%error, "an account cannot be read");
                Err(Fault::Internal)
            }
            Err(_cancelled) => Err(Fault::Internal),
        }
    }
}

impl Funds for Escrows {
    fn greet(&self, user: UserId) -> FundsFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.account_on_chain(user).await.map(drop) })
    }

    fn admit(&self, user: UserId) -> FundsFuture<'_, Result<(), Fault>> {
        Box::pin(self.check(user))
    }

    fn look_again(&self, user: UserId) -> FundsFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.accounts.reread(user).await.map(drop) })
    }

    fn too_little(&self, user: UserId, needed: Neuron) -> FundsFuture<'_, Fault> {
        Box::pin(async move {
            let told = self.hold_is_missing(user, needed).await;
            told.unwrap_or_else(|fault| fault)
        })
    }
}

/// What the user's fees can be taken from. While a voucher is open the ledger keeps the cover from
/// before it, so a refund that was asked for since is taken off here.
fn lock(account: &Account, view: &AccountView) -> Neuron {
    let seen = view.cover().checked_add(account.vouchered).unwrap_or(account.cover);
    account.cover.min(seen)
}

const NO_ACCOUNT: &str = "get account from contract, account not exist";
const NOT_ACKNOWLEDGED: &str = "user not acknowledge the provider, please use \
acknowledgeProviderSigner function in sdk first, it will take effect in 2 minutes";
const SERVICE_NOT_ACKNOWLEDGED: &str = "service not acknowledge the tee signer";

/// How long the service is taken for what the chain said it was.
const SERVICE_FRESH: Duration = Duration::from_secs(15);
/// How long one that nobody may use is taken for that.
const BAD_SERVICE_FRESH: Duration = Duration::from_secs(5);
const READ_TIME_MAX: Duration = Duration::from_secs(10);
/// After a failure nobody waits for the chain for so long.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use broker_core::chain::Escrow;

    use super::*;

    #[test]
    fn a_refund_counts_at_once_and_a_payment_on_its_way_is_not_taken_off_twice() {
        for (cover, vouchered, balance, refund, lock_is) in [
            (10, 0, 10, 0, 10),
            (10, 4, 10, 0, 10),
            (10, 4, 6, 0, 10),
            (10, 4, 6, 5, 5),
            (10, 0, 10, 3, 7),
            (10, 0, 15, 0, 10),
        ] {
            let [cover, vouchered] = [cover, vouchered].map(Neuron::new);
            let [balance, pending_refund] = [balance, refund].map(Neuron::new);
            let escrow = Some(Escrow { balance, pending_refund, ..Escrow::default() });
            let view = AccountView { latest: escrow, settled: escrow, ..AccountView::default() };
            let account = Account { cover, vouchered, ..Account::default() };
            assert_eq!(lock(&account, &view), Neuron::new(lock_is), "{account:?} {view:?}");
        }
    }
}

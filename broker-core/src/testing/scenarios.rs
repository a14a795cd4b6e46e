//! What the real contracts were seen to do, as tables of steps: a simulator, or anything else that
//! claims to be these contracts, is measured by [`run`].

use super::{Action, ONE, SimChain, Status};
use crate::account::UserId;
use crate::chain::{Chain, ChainError, ChainFuture, Service, ServiceParams};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::Signer;
use crate::voucher::{SignedVoucher, Voucher};

/// A chain with one provider, an owner and users who do as they are told.
///
/// A scenario needs users that have no account with this provider yet, and a service whose
/// signer is [`World::signer`] and acknowledged.
pub trait World {
    /// The provider's view. Vouchers are signed under its domain, and services changed through it.
    fn chain(&self) -> &dyn Chain;

    /// The service's signer.
    fn signer(&self) -> &dyn Signer;

    /// The n-th user of this scenario.
    fn user(&self, n: u8) -> UserId;

    /// Does this, final or not.
    fn act(&self, action: Action) -> ChainFuture<'_, ()>;

    /// Lets so many seconds pass on the chain.
    fn wait(&self, secs: u64) -> ChainFuture<'_, ()>;

    /// Sends the batch in one transaction from the provider's wallet, waits until it is mined, and
    /// reads the contract's answer to each voucher, in order.
    fn settle(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Status>>;
}

/// Steps with what is seen after them.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it shows.
    pub name: &'static str,
    /// In order.
    pub steps: &'static [Step],
}

/// One step. Users are numbers, and amounts are in neuron.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The user moves so much to the provider.
    Deposit(u8, u128),
    /// The user asks everything back.
    RequestRefund(u8),
    /// The user takes the refunds whose lock has ended.
    ProcessRefund(u8),
    /// The user acknowledges the provider or takes that back.
    Acknowledge(u8, bool),
    /// The user revokes a token.
    RevokeToken(u8, u8),
    /// The user revokes all tokens.
    RevokeAll(u8),
    /// The owner acknowledges the signer or takes that back.
    Owner(bool),
    /// Seconds pass, beyond the lock time where it is [`Step::LOCK`].
    Wait(u64),
    /// The provider changes its service: the additional info, or only its address and prices.
    ChangeService {
        /// Whether the change is one that resets the acknowledgement.
        resets: bool,
    },
    /// The provider settles these vouchers in one transaction; the contract answers this.
    Settle(&'static [Item], &'static [Status]),
    /// The user's account is now this.
    See(u8, Account),
    /// The step before is refused: the contract reverts.
    Refused(&'static Self),
    /// Whether the service's signer is acknowledged.
    SeeAcknowledged(bool),
}

/// A voucher to send.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Who pays.
    pub user: u8,
    /// How much, in neuron.
    pub total: u128,
    /// Its nonce.
    pub nonce: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    Sound,
    /// It is made out to another provider.
    Provider,
    /// Its amount was changed after it was signed.
    Total,
    /// Its signature's v is 0 or 1, which the contract does not take.
    LowV,
}

/// An account as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// What is deposited, in neuron.
    pub balance: u128,
    /// What of it is asked back, in neuron.
    pub pending_refund: u128,
    /// The last nonce.
    pub nonce: u64,
}

impl Step {
    /// To be added to a time: stands for the lock time.
    pub const LOCK: u64 = 1 << 32;
}

/// Runs a scenario; the answer is what differs from what the table says, in words.
///
/// # Errors
/// The chain cannot be asked, or the contract refuses a step that it should take.
pub async fn run(scenario: &Scenario, world: &dyn World) -> Result<Vec<String>, ChainError> {
    let mut faults = Vec::new();
    for (number, step) in scenario.steps.iter().enumerate() {
        let fault = match step {
            Step::Refused(inner) => match take(inner, world).await {
                Err(ChainError::Reverted(_)) => None,
                other => Some(format!("is not refused: {other:?}")),
            },
            step => take(step, world).await?,
        };
        faults.extend(fault.map(|f| format!("{}, step {number}: {f}", scenario.name)));
    }
    Ok(faults)
}

async fn take(step: &Step, world: &dyn World) -> Result<Option<String>, ChainError> {
    let chain = world.chain();
    let user = |n: &u8| world.user(*n);
    match step {
        Step::Deposit(n, amount) => {
            let amount = Neuron::new(*amount);
            world.act(Action::Deposit { user: user(n), amount }).await?;
        }
        Step::RequestRefund(n) => world.act(Action::RequestRefund { user: user(n) }).await?,
        Step::ProcessRefund(n) => world.act(Action::ProcessRefund { user: user(n) }).await?,
        Step::Acknowledge(n, yes) => {
            world.act(Action::Acknowledge { user: user(n), yes: *yes }).await?;
        }
        Step::RevokeToken(n, token) => {
            world.act(Action::RevokeToken { user: user(n), token: *token }).await?;
        }
        Step::RevokeAll(n) => world.act(Action::RevokeAll { user: user(n) }).await?,
        Step::Owner(yes) => world.act(Action::OwnerAcknowledges(*yes)).await?,
        Step::Wait(secs) => {
            let lock = if *secs < Step::LOCK { 0 } else { chain.terms().await?.lock_time_secs };
            let secs = secs.checked_rem(Step::LOCK).unwrap_or_default();
            world.wait(secs.saturating_add(lock)).await?;
        }
        Step::ChangeService { resets } => change_service(chain, *resets).await?,
        Step::Settle(items, expected) => {
            let batch = items.iter().map(|item| voucher(item, world)).collect::<Result<_, _>>()?;
            let seen = world.settle(batch).await?;
            return Ok(differs(expected, &seen.as_slice()));
        }
        Step::See(n, expected) => {
            let seen = chain.account(user(n)).await?.latest.map(|escrow| Account {
                balance: escrow.balance.get(),
                pending_refund: escrow.pending_refund.get(),
                nonce: escrow.nonce,
            });
            return Ok(differs(&Some(*expected), &seen));
        }
        Step::SeeAcknowledged(yes) => {
            let seen = chain.service().await?.is_some_and(|s| s.tee_signer_acknowledged);
            return Ok(differs(yes, &seen));
        }
        Step::Refused(_) => return Ok(Some("a refusal of a refusal is no step".to_owned())),
    }
    Ok(None)
}

fn differs<T: PartialEq + std::fmt::Debug>(expected: &T, seen: &T) -> Option<String> {
    (expected != seen).then(|| format!("expected {expected:?}, saw {seen:?}"))
}

async fn change_service(chain: &dyn Chain, resets: bool) -> Result<(), ChainError> {
    let Some(Service { mut params, .. }) = chain.service().await? else {
        return Err(ChainError::Reverted("there is no service to change".to_owned()));
    };
    if resets {
        params.additional_info.push(' ');
    } else {
        params.url.push_str("/moved");
        params.input_price = Neuron::new(params.input_price.get().saturating_add(1));
    }
    chain.register(params).await.map(|_| ())
}

fn voucher(item: &Item, world: &dyn World) -> Result<SignedVoucher, ChainError> {
    let chain = world.chain();
    let user = world.user(item.user);
    let mut provider = chain.provider();
    if item.flaw == Flaw::Provider {
        provider.0 = *user.as_bytes();
    }
    let voucher = Voucher {
        user,
        provider,
        total: Neuron::new(item.total),
        requests_hash: Digest32([0xab; 32]),
        nonce: item.nonce,
    };
    let signed = voucher.sign(&chain.domain(), world.signer());
    let mut signed = signed.map_err(|error| ChainError::Node(error.to_string()))?;
    match item.flaw {
        Flaw::Total => {
            signed.voucher.total = Neuron::new(item.total.saturating_add(1));
        }
        Flaw::LowV => {
            let [.., v] = &mut signed.signature.0;
            *v = v.saturating_sub(27);
        }
        Flaw::Sound | Flaw::Provider => {}
    }
    Ok(signed)
}

/// A [`World`] on a simulated chain.
#[derive(Clone, Debug)]
pub struct SimWorld<S> {
    /// The chain.
    pub chain: SimChain,
    /// The service's signer.
    pub signer: S,
}

impl<S: Signer> SimWorld<S> {
    /// Registers a service with this signer, and has the owner acknowledge it.
    ///
    /// # Errors
    /// The chain refuses, which it does if things go wrong on it.
    pub async fn open(chain: SimChain, signer: S) -> Result<Self, ChainError> {
        let params = ServiceParams { tee_signer: signer.address(), ..service_params() };
        chain.register(params).await?;
        chain.owner_acknowledges(true)?;
        Ok(Self { chain, signer })
    }
}

impl<S: Signer> World for SimWorld<S> {
    fn chain(&self) -> &dyn Chain {
        &self.chain
    }

    fn signer(&self) -> &dyn Signer {
        &self.signer
    }

    fn user(&self, n: u8) -> UserId {
        UserId::new([n.saturating_add(1); 20])
    }

    fn act(&self, action: Action) -> ChainFuture<'_, ()> {
        Box::pin(async move { self.chain.act(action) })
    }

    fn wait(&self, secs: u64) -> ChainFuture<'_, ()> {
        self.chain.advance(secs);
        Box::pin(async { Ok(()) })
    }

    fn settle(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Status>> {
        Box::pin(async move {
            let (before, count) = (self.chain.results().len(), batch.len());
            self.chain.submit(batch).await?;
            let results = self.chain.results();
            Ok(results.iter().skip(before).take(count).map(|item| item.status).collect())
        })
    }
}

/// A chat service, but for its signer.
pub fn service_params() -> ServiceParams {
    ServiceParams {
        kind: "chatbot".to_owned(),
        url: "http://127.0.0.1:3081".to_owned(),
        model: "simulated".to_owned(),
        verifiability: "TeeML".to_owned(),
        input_price: Neuron::new(100_000),
        output_price: Neuron::new(200_000),
        additional_info: "{}".to_owned(),
        ..ServiceParams::default()
    }
}

mod table;
pub use table::SCENARIOS;

/// Three 0G: every scenario's usual deposit.
const DEPOSIT: u128 = 3 * ONE;

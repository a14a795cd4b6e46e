//! The wallet's transactions: one at a time, each with a number that is used until something with
//! that number is mined.
//!
//! Whatever a node says about a transaction after it was handed over, only a receipt or the count
//! of mined transactions tells what became of it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::chain::evm::EvmChain;
use crate::chain::evm::node::Draft;
use crate::chain::evm::revert::verdict;
use crate::chain::evm::rpc::{Refused, RpcError};
use crate::chain::evm::transaction::{Signed, Transaction};
use crate::chain::{Block, ChainError};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::LocalSigner;

/// The provider's key, and whose turn it is to send.
pub(super) struct Wallet {
    pub(super) signer: LocalSigner,
    pub(super) turn: Mutex<Memory>,
}

/// The last transaction that was sent.
#[derive(Default)]
pub(super) struct Memory {
    number: u64,
    price: Neuron,
}

/// The number that the next transaction takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacancy {
    number: u64,
    /// One of ours waits with that number. A replacement costs more than it.
    taken: bool,
}

/// A transaction that a block has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mined {
    pub(super) hash: Digest32,
    pub(super) block: Block,
}

/// What was seen of a transaction for a while.
enum Seen {
    Mined(Mined),
    Reverted(Digest32),
    /// Another transaction has the number.
    Overtaken,
    Nothing,
}

/// What a node's answer to a transaction means.
enum Reception {
    Taken,
    /// It has one with this number that pays as much.
    Underpriced(ChainError),
    /// It may have it all the same.
    Doubtful(ChainError),
}

impl Wallet {
    pub(super) fn new(signer: LocalSigner) -> Self {
        Self { signer, turn: Mutex::default() }
    }
}

impl EvmChain {
    /// Waits until no transaction of the wallet waits any more; after a while it takes the number
    /// of the first one that does.
    pub(super) async fn vacancy(&self) -> Result<Vacancy, ChainError> {
        let wallet = self.provider_address();
        let deadline = Instant::now().checked_add(self.config.patience);
        loop {
            let number = self.rpc.transaction_count(wallet, "latest").await?;
            let taken = self.rpc.transaction_count(wallet, "pending").await? > number;
            if !taken || deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Ok(Vacancy { number, taken });
            }
            sleep(self.pause()).await;
        }
    }

    /// Sends `draft` and waits until it is mined, with higher prices as time passes.
    pub(super) async fn transact(
        &self,
        memory: &mut Memory,
        vacancy: Vacancy,
        draft: &Draft,
        gas: u64,
    ) -> Result<Mined, ChainError> {
        let number = vacancy.number;
        let mut price = self.first_price(memory, vacancy).await?;
        self.afford(draft.value, gas, price).await?;
        let deadline = Instant::now().checked_add(self.config.patience);
        let mut hashes = Vec::new();
        let (mut taken, mut raises) = (false, 0..RAISES_MAX);
        loop {
            let signed = self.sign(draft, number, price, gas)?;
            let is_new = !hashes.contains(&signed.hash);
            *memory = Memory { number, price };
            let mut doubt = None;
            match self.hand_over(&signed).await {
                Reception::Taken => taken = true,
                Reception::Underpriced(_)
                    if self.raised(price) > price && raises.next().is_some() =>
                {
                    price = self.raised(price);
                    continue;
                }
                Reception::Underpriced(error) | Reception::Doubtful(error) => doubt = Some(error),
            }
            if is_new {
                hashes.push(signed.hash);
            }
            match self.observe(&hashes, number, deadline).await {
                Seen::Mined(mined) => return Ok(mined),
                Seen::Reverted(hash) => return Err(self.reverted(hash, draft).await),
                Seen::Overtaken => return Err(overtaken(number)),
                Seen::Nothing => {}
            }
            if let Some(error) = doubt.filter(|_| !taken)
                && !self.is_known(&hashes).await
            {
                return Err(error);
            }
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Err(ChainError::Pending(signed.hash));
            }
            price = self.next_price(price).await;
            tracing::info!(number, %price, "a transaction waits; sending it again");
        }
    }

    /// Waits until the transaction is final.
    pub(super) async fn finality(&self, mined: Mined) -> Result<Digest32, ChainError> {
        let wait = self.config.patience.saturating_mul(FINALITY_PATIENCE);
        let deadline = Instant::now().checked_add(wait);
        let mut block = mined.block;
        loop {
            if let Ok(latest) = self.rpc.latest().await
                && latest.block.number >= block.number.saturating_add(self.config.confirmations)
                && let Ok(Some(receipt)) = self.rpc.receipt(mined.hash).await
            {
                if receipt.block == block && receipt.succeeded {
                    return Ok(mined.hash);
                }
                // It moved to another block meanwhile, where it may have gone otherwise.
                if receipt.block == block {
                    let text = format!("transaction 0x{} reverted after all", mined.hash);
                    return Err(ChainError::Reverted(text));
                }
                block = receipt.block;
            }
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Err(ChainError::Pending(mined.hash));
            }
            sleep(self.pause()).await;
        }
    }

    /// The price to begin with.
    async fn first_price(&self, memory: &Memory, at: Vacancy) -> Result<Neuron, ChainError> {
        let mut price = self.rpc.gas_price().await?;
        if at.taken && memory.number == at.number {
            price = price.max(bump(memory.price));
        }
        match self.config.max_gas_price {
            Some(cap) if price > cap => Err(ChainError::GasTooDear { price, cap }),
            _ => Ok(price),
        }
    }

    async fn next_price(&self, price: Neuron) -> Neuron {
        let asked = self.rpc.gas_price().await.unwrap_or(price);
        let raised = self.raised(price);
        // A smaller step is refused: then the same bytes go out again.
        if raised == price { price } else { raised.max(self.capped(asked)) }
    }

    /// The least price that replaces one of `price`, or `price` where the cap forbids it.
    fn raised(&self, price: Neuron) -> Neuron {
        let raised = bump(price);
        if self.capped(raised) == raised { raised } else { price }
    }

    fn capped(&self, price: Neuron) -> Neuron {
        self.config.max_gas_price.map_or(price, |cap| cap.min(price))
    }

    /// An error that says what is missing, where the wallet cannot pay.
    pub(super) async fn afford(
        &self,
        value: Neuron,
        gas: u64,
        price: Neuron,
    ) -> Result<(), ChainError> {
        let has = self.rpc.balance(self.provider_address()).await?;
        let needs = price.checked_mul(gas).and_then(|fee| fee.checked_add(value));
        let needs = needs.unwrap_or(Neuron::new(u128::MAX));
        match needs.checked_sub(has) {
            Some(missing) if !missing.is_zero() => Err(ChainError::TooPoor { has, needs, missing }),
            _ => Ok(()),
        }
    }

    fn sign(
        &self,
        draft: &Draft,
        number: u64,
        gas_price: Neuron,
        gas: u64,
    ) -> Result<Signed, ChainError> {
        let (to, value, data) = (draft.to, draft.value, draft.data.as_slice());
        Transaction { number, gas_price, gas, to, value, data }
            .sign(self.config.chain_id, &self.wallet.signer)
            .map_err(|error| ChainError::Node(format!("the wallet's key does not sign: {error}")))
    }

    async fn hand_over(&self, signed: &Signed) -> Reception {
        match self.rpc.send(&signed.bytes).await {
            Ok(()) => Reception::Taken,
            Err(RpcError::Refused(refused)) => reception(refused),
            Err(error) => Reception::Doubtful(error.into()),
        }
    }

    /// Looks for one of `hashes` for a quarter of the patience, and not past the `deadline`.
    async fn observe(&self, hashes: &[Digest32], number: u64, deadline: Option<Instant>) -> Seen {
        let quarter = self.config.patience.checked_div(4).unwrap_or_default();
        let until = Instant::now().checked_add(quarter);
        let until = until.zip(deadline).map(|(until, deadline)| until.min(deadline));
        let mut overtaken: u32 = 0;
        loop {
            // The count first: what it counts has a receipt afterwards.
            let count = self.rpc.transaction_count(self.provider_address(), "latest").await;
            for hash in hashes.iter().rev() {
                match self.rpc.receipt(*hash).await {
                    Ok(Some(receipt)) if receipt.succeeded => {
                        return Seen::Mined(Mined { hash: *hash, block: receipt.block });
                    }
                    Ok(Some(_)) => return Seen::Reverted(*hash),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(?error, "no receipt could be read"),
                }
            }
            if count.is_ok_and(|count| count > number) {
                overtaken = overtaken.saturating_add(1);
            }
            // Some nodes know receipts a little later than counts.
            if overtaken >= OVERTAKEN_READS {
                return Seen::Overtaken;
            }
            if until.is_none_or(|until| Instant::now() >= until) {
                return Seen::Nothing;
            }
            sleep(self.pause()).await;
        }
    }

    /// Whether the node may have one of these: only its plain "no" for each says that it has not.
    async fn is_known(&self, hashes: &[Digest32]) -> bool {
        for hash in hashes {
            if !matches!(self.rpc.transaction(*hash).await, Ok(None)) {
                return true;
            }
        }
        false
    }

    async fn reverted(&self, hash: Digest32, draft: &Draft) -> ChainError {
        let reason = match self.rpc.rehearse(draft).await.map_err(verdict) {
            Err(ChainError::Reverted(reason)) => reason,
            _ => "the node gives no reason; it may have run out of gas".to_owned(),
        };
        ChainError::Reverted(format!("transaction 0x{hash} reverted: {reason}"))
    }

    /// How long to wait between two looks.
    pub(super) fn pause(&self) -> Duration {
        let part = self.config.patience.checked_div(40).unwrap_or_default();
        part.clamp(PAUSE_MIN, PAUSE_MAX)
    }
}

/// The error of a transaction that was handed over. Every node has its own words.
fn reception(refused: Refused) -> Reception {
    let message = refused.message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    if says(&["underpriced", "replacement"]) {
        Reception::Underpriced(RpcError::Refused(refused).into())
    } else if says(&["already known", "already imported", "known transaction", "already exists"]) {
        Reception::Taken
    } else {
        Reception::Doubtful(RpcError::Refused(refused).into())
    }
}

fn overtaken(number: u64) -> ChainError {
    ChainError::Node(format!(
        "another transaction has the wallet's number {number}; if no earlier one of this sidecar \
         was mined late, another program uses the wallet"
    ))
}

/// An eighth more: nodes replace a transaction for a tenth more, some for an eighth.
fn bump(price: Neuron) -> Neuron {
    let step = (price.get() / 8).saturating_add(1);
    Neuron::new(price.get().saturating_add(step))
}

/// Finality is waited for so many times longer than a transaction.
const FINALITY_PATIENCE: u32 = 4;
/// So many reads have to agree that our number went to another transaction.
const OVERTAKEN_READS: u32 = 4;
/// An unknown transaction with our number is outbid in so many steps, some seventeenfold in all.
const RAISES_MAX: u32 = 24;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_costs_an_eighth_more_at_least() {
        for (price, raised) in [(0, 1), (7, 8), (8, 10), (1_000_000_000, 1_125_000_001)] {
            assert_eq!(bump(Neuron::new(price)), Neuron::new(raised));
        }
        assert_eq!(bump(Neuron::new(u128::MAX)), Neuron::new(u128::MAX));
    }

    #[test]
    fn what_nodes_say_about_a_transaction_is_understood() {
        let reception = |message: &str| {
            let (origin, message) = (String::new(), message.to_owned());
            reception(Refused { origin, code: -32_000, message, revert: None })
        };
        for message in ["already known", "Known Transaction: 0x12", "AlreadyKnown: already known"] {
            assert!(matches!(reception(message), Reception::Taken), "{message}");
        }
        for message in ["replacement transaction underpriced", "transaction underpriced"] {
            assert!(matches!(reception(message), Reception::Underpriced(_)), "{message}");
        }
        for message in ["nonce too low", "internal error", "insufficient funds for gas"] {
            assert!(matches!(reception(message), Reception::Doubtful(_)), "{message}");
        }
    }
}

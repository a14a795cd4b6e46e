//! Bugs that the runs have to find: a harness that finds nothing proves nothing.

use broker_core::chain::{
    AccountView, Chain, ChainFuture, Landing, Payment, Service, ServiceParams, Terms, Verdict,
};
use broker_core::testing::SimChain;
use broker_core::{Address, Clock, Digest32, Domain, SignedVoucher, Signer, UserId, Voucher};

use crate::operator::key;

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A voucher counts as landed before its block is final.
    Hasty,
    /// A voucher that was paid in part counts as paid.
    TakesPartialForWhole,
    /// A crash loses what the ledger had acknowledged during the pass.
    ForgetsOnCrash,
    /// Each time a voucher is sent it gets its nonce from the clock, and not from the ledger.
    ClockNonce,
}

/// A chain's client with a bug.
pub(crate) struct Flawed {
    pub(crate) chain: SimChain,
    pub(crate) flaw: Flaw,
}

impl Flawed {
    fn hasty(&self, voucher: &SignedVoucher) -> Option<Landing> {
        let landed = self.chain.landed();
        let item = landed.into_iter().find(|item| item.voucher.voucher == voucher.voucher)?;
        Some(Landing::Paid(Payment {
            paid: item.paid,
            cover: broker_core::Neuron::ZERO,
            block: item.block,
            transaction: item.transaction,
        }))
    }
}

/// The same fees under a nonce of the clock's, in tenths of a microsecond as 0G's broker has them.
fn redated(chain: &SimChain, signed: &SignedVoucher) -> SignedVoucher {
    let nonce = chain.now().0 * 10_000;
    let voucher = Voucher { nonce: nonce.max(signed.voucher.nonce + 1), ..signed.voucher };
    let mut keys = [1, 2].map(key).into_iter();
    let key = keys.find(|key| key.address() == signed.signing_address);
    voucher.sign(&chain.domain(), &key.unwrap()).unwrap()
}

impl Chain for Flawed {
    fn domain(&self) -> Domain {
        self.chain.domain()
    }

    fn provider(&self) -> Address {
        self.chain.provider()
    }

    fn account(&self, user: UserId) -> ChainFuture<'_, AccountView> {
        self.chain.account(user)
    }

    fn service(&self) -> ChainFuture<'_, Option<Service>> {
        self.chain.service()
    }

    fn terms(&self) -> ChainFuture<'_, Terms> {
        self.chain.terms()
    }

    fn gas(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, u64> {
        self.chain.gas(batch)
    }

    fn rehearse(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Verdict>> {
        self.chain.rehearse(batch)
    }

    fn submit(&self, mut batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>> {
        if self.flaw == Flaw::ClockNonce {
            batch = batch.iter().map(|signed| redated(&self.chain, signed)).collect();
        }
        self.chain.submit(batch)
    }

    fn landing(&self, voucher: SignedVoucher, since: u64) -> ChainFuture<'_, Landing> {
        Box::pin(async move {
            let landing = self.chain.landing(voucher, since).await?;
            Ok(match (self.flaw, landing) {
                (Flaw::Hasty, Landing::NotYet) => self.hasty(&voucher).unwrap_or(landing),
                (Flaw::TakesPartialForWhole, Landing::Paid(payment)) => {
                    Landing::Paid(Payment { paid: voucher.voucher.total, ..payment })
                }
                (_, landing) => landing,
            })
        })
    }

    fn register(&self, service: ServiceParams) -> ChainFuture<'_, Digest32> {
        self.chain.register(service)
    }

    fn remove_service(&self) -> ChainFuture<'_, Digest32> {
        self.chain.remove_service()
    }
}

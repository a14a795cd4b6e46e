//! Bugs that the runs have to find: a harness that finds nothing proves nothing.

use broker_core::chain::{
    AccountView, Chain, ChainFuture, Landing, Payment, Service, ServiceParams, Terms, Verdict,
};
use broker_core::testing::SimChain;
use broker_core::{Address, Digest32, Domain, SignedVoucher, UserId};

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A voucher counts as landed before its block is final.
    Hasty,
    /// A voucher that was paid in part counts as paid.
    TakesPartialForWhole,
    /// A crash loses what the ledger had acknowledged during the pass.
    ForgetsOnCrash,
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

    fn submit(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>> {
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

//! A simulated chain that takes its time, or refuses what is sent to it.
#![allow(dead_code, reason = "shared with the tests of a fleet")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use broker_core::chain::{
    AccountView, Chain, ChainFuture, Landing, Service, ServiceParams, Terms, Verdict,
};
use broker_core::testing::SimChain;
use broker_core::{Digest32, Domain, SignedVoucher, UserId};

/// A chain whose calls wait while they are held, and whose contract refuses vouchers while it is
/// told to.
pub(crate) struct Moody {
    chain: SimChain,
    pub(crate) accounts: Held,
    pub(crate) submits: Held,
    refuses: AtomicBool,
}

impl Moody {
    pub(crate) fn of(chain: &SimChain) -> Self {
        let (accounts, submits) = (Held::default(), Held::default());
        Self { chain: chain.clone(), accounts, submits, refuses: AtomicBool::default() }
    }

    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }
}

#[derive(Default)]
pub(crate) struct Held {
    held: AtomicBool,
    waiting: AtomicU32,
}

impl Held {
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    pub(crate) fn is_met(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while self.held.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Chain for Moody {
    fn domain(&self) -> Domain {
        self.chain.domain()
    }
    fn provider(&self) -> broker_core::Address {
        self.chain.provider()
    }
    fn account(&self, user: UserId) -> ChainFuture<'_, AccountView> {
        Box::pin(async move {
            self.accounts.pass().await;
            self.chain.account(user).await
        })
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
        if self.refuses.load(Ordering::SeqCst) {
            let verdicts = vec![Verdict::InvalidSignature; batch.len()];
            return Box::pin(std::future::ready(Ok(verdicts)));
        }
        self.chain.rehearse(batch)
    }
    fn submit(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>> {
        Box::pin(async move {
            self.submits.pass().await;
            self.chain.submit(batch).await
        })
    }
    fn landing(&self, voucher: SignedVoucher, since: u64) -> ChainFuture<'_, Landing> {
        self.chain.landing(voucher, since)
    }
    fn register(&self, service: ServiceParams) -> ChainFuture<'_, Digest32> {
        self.chain.register(service)
    }
    fn remove_service(&self) -> ChainFuture<'_, Digest32> {
        self.chain.remove_service()
    }
}

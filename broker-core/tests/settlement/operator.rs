//! What the operator does: register, change keys, collect.

use std::sync::Arc;

use broker_core::chain::{Chain, ServiceParams};
use broker_core::settlement::{Policy, Settler, Store};
use broker_core::testing::ONE;
use broker_core::testing::scenarios::service_params;
use broker_core::{Clock, Digest32, LocalSigner, Neuron, Signer, UserId, Voucher};

use crate::flawed::Flawed;
use crate::run::{Run, finish};

impl Run {
    /// The weather clears up, and everything is collected that can be.
    pub(crate) fn settle_everything(&mut self) -> Result<(), String> {
        self.chain.calm();
        self.chain.mine(1);
        self.settle_down();
        self.register()?;
        for user in self.users.clone().into_iter().filter(|_| self.is_rich) {
            let amount = Neuron::new(1_000 * ONE);
            self.chain.deposit(user, amount).map_err(|error| error.to_string())?;
        }
        self.settle_down();
        for _ in 0..8 {
            let settler = self.settler();
            let report = finish(settler.pass(true));
            self.heed(report)?;
            self.settle_down();
        }
        // Every user is back once more: who owed nothing was of no interest to the passes.
        self.users.clone().into_iter().try_for_each(|user| self.mirror(user))
    }

    fn settle_down(&self) {
        self.chain.mine(self.chain.options().confirmations + 1);
    }

    /// Registers the service under the key of now, and has it acknowledged.
    pub(crate) fn register(&self) -> Result<(), String> {
        let params = self.service();
        finish(self.chain.register(params)).map_err(|error| error.to_string())?;
        self.chain.owner_acknowledges(true).map_err(|error| error.to_string())?;
        self.chain.mine(1);
        Ok(())
    }

    /// The operator changes the service. Whether that works shows later.
    pub(crate) fn change_service(&mut self) {
        let mut params = self.service();
        params.additional_info = format!("{{\"n\":{}}}", self.rng.below(3));
        let changed = finish(self.chain.register(params));
        self.tell(|| format!("the service is of signer {}: {changed:?}", self.signer));
    }

    /// The user settled with another program before: its nonces come from the clock.
    pub(crate) fn import_nonce(&self, user: UserId) -> Result<(), String> {
        let voucher = Voucher {
            user,
            provider: self.chain.provider(),
            total: Neuron::ZERO,
            requests_hash: Digest32::default(),
            nonce: 16_900_000_000_000_000,
        };
        let signed = voucher.sign(&self.chain.domain(), &key(self.signer));
        self.chain.host_sends(signed.map_err(|error| error.to_string())?);
        self.chain.mine(1);
        Ok(())
    }

    pub(crate) fn settler(&self) -> Settler {
        let chain: Arc<dyn Chain> = match self.flaw {
            Some(flaw) => Arc::new(Flawed { chain: self.chain.clone(), flaw }),
            None => Arc::new(self.chain.clone()),
        };
        let store: Arc<dyn Store> = self.store.clone();
        let clock: Arc<dyn Clock> = Arc::new(self.chain.clone());
        let policy = Policy { min_fee: Neuron::new(ONE / 2), ..Policy::default() };
        Settler { store, chain, signer: Arc::new(key(self.signer)), clock, policy }
    }

    fn service(&self) -> ServiceParams {
        ServiceParams { tee_signer: key(self.signer).address(), ..service_params() }
    }
}

/// The sidecar's n-th key.
pub(crate) fn key(n: u8) -> LocalSigner {
    LocalSigner::from_secret(&[n; 32]).unwrap()
}

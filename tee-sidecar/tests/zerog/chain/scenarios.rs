//! The simulator's table, on the contracts themselves: what it says they do, they do.

use broker_core::chain::{Chain, ChainError, ChainFuture};
use broker_core::testing::scenarios::{SCENARIOS, Step, World, run};
use broker_core::testing::{Action, Status};
use broker_core::{LocalSigner, SignedVoucher, Signer, UserId};
use serde_json::json;

use super::{Provider, SIGNER};
use crate::support::ZG;

#[test]
fn the_contracts_do_what_the_simulator_s_table_says() {
    for scenario in SCENARIOS {
        let Some(provider) = Provider::serving(&[]) else { return };
        // Changes of the service wait until they are final; without them blocks come at once.
        if scenario.steps.iter().any(|step| matches!(step, Step::ChangeService { .. })) {
            provider.network.set_interval(1);
        }
        let world = RealWorld::new(provider);
        let faults = world.provider.wait(run(scenario, &world));
        assert_eq!(faults, Ok(Vec::new()), "{}", scenario.name);
    }
}

struct RealWorld {
    provider: Provider,
    signer: LocalSigner,
    users: Vec<UserId>,
}

impl RealWorld {
    fn new(provider: Provider) -> Self {
        let users = (FIRST_USER..FIRST_USER + 3).map(|index| provider.user(index)).collect();
        Self { provider, signer: LocalSigner::from_secret(&SIGNER.0).unwrap(), users }
    }

    fn index(&self, user: UserId) -> u32 {
        let found = self.users.iter().position(|known| *known == user).unwrap();
        FIRST_USER + u32::try_from(found).unwrap()
    }
}

impl World for RealWorld {
    fn chain(&self) -> &dyn Chain {
        &self.provider.chain
    }

    fn signer(&self) -> &dyn Signer {
        &self.signer
    }

    fn user(&self, n: u8) -> UserId {
        self.users[usize::from(n)]
    }

    fn act(&self, action: Action) -> ChainFuture<'_, ()> {
        let (command, asked) = match action {
            Action::Deposit { user, amount } => {
                let (deposit, transfer) = ((5 * ZG).to_string(), amount.to_string());
                let users = [self.index(user)];
                ("fund", json!({"users": users, "deposit": deposit, "transfer": transfer}))
            }
            // A user has one call for both: take what is due, and ask for the rest.
            Action::RequestRefund { user } | Action::ProcessRefund { user } => {
                ("retrieve", json!({"user": self.index(user)}))
            }
            Action::Acknowledge { user, yes } => {
                ("acknowledge", json!({"user": self.index(user), "value": yes}))
            }
            Action::RevokeToken { user, token } => {
                ("revoke_token", json!({"user": self.index(user), "tokenId": token}))
            }
            Action::RevokeAll { user } => ("revoke_all_tokens", json!({"user": self.index(user)})),
            Action::OwnerAcknowledges(true) => ("owner_acknowledge", json!({})),
            Action::OwnerAcknowledges(false) => ("owner_revoke", json!({})),
        };
        let done = self.provider.network.try_ask(command, asked);
        Box::pin(async move { done.map(|_| ()).map_err(ChainError::Reverted) })
    }

    fn wait(&self, secs: u64) -> ChainFuture<'_, ()> {
        self.provider.network.increase_time(secs);
        Box::pin(async { Ok(()) })
    }

    fn settle(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Status>> {
        Box::pin(async move {
            let before = self.provider.statuses().len();
            self.provider.chain.submit(batch).await?;
            Ok(self.provider.statuses().into_iter().skip(before).map(status).collect())
        })
    }
}

fn status(code: u64) -> Status {
    let known = [
        Status::Success,
        Status::Partial,
        Status::ProviderMismatch,
        Status::NoTeeSigner,
        Status::InvalidNonce,
        Status::InvalidSignature,
    ];
    known[usize::try_from(code).unwrap()]
}

/// The network's accounts 0 and 1 are the owner and the provider.
const FIRST_USER: u32 = 2;

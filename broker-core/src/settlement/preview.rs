//! What a pass would do now: reads only.

use crate::account::UserId;
use crate::chain::{Chain, ChainError, Terms};
use crate::clock::Timestamp;
use crate::ledger::statement::Statement;
use crate::money::Neuron;
use crate::signer::Address;

use super::check::{Obstacle, self_check};
use super::plan::{Plan, plan};
use super::policy::Policy;

/// What a pass would do now, and what stands in its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// What stands in the way of settlement; with any of these nothing is collected.
    pub obstacles: Vec<Obstacle>,
    /// What the network asks for, in neuron.
    pub terms: Terms,
    /// Who owes, who of them is due and why, and what collecting costs.
    pub plan: Plan,
    /// Users whose voucher is under way already, and what it is worth, in neuron.
    pub sent: Vec<(UserId, Neuron)>,
    /// Users from whom nothing is collected until the operator has looked, and what they owe, in
    /// neuron.
    pub frozen: Vec<(UserId, Neuron)>,
}

/// Looks at every user of a ledger as a pass would. Without a `signer` the key that the service is
/// registered with is taken to be ours.
///
/// # Errors
/// The chain gave no answer of the service or its terms. Escrows that could not be read are in
/// [`Plan::unread`].
pub async fn preview(
    statements: &[Statement],
    chain: &dyn Chain,
    signer: Option<Address>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Preview, ChainError> {
    let signer = match signer {
        Some(signer) => signer,
        None => {
            let service = chain.service().await?;
            service.map_or(Address([0; 20]), |service| service.params.tee_signer)
        }
    };
    let obstacles = self_check(chain, signer).await.obstacles;
    let terms = chain.terms().await?;
    let plan = plan(statements, chain, policy, &terms, now, false).await;
    let sent = statements.iter().filter_map(|known| {
        let open = known.open.as_ref()?;
        Some((known.user, open.voucher.total))
    });
    let frozen = statements.iter().filter(|known| known.account.frozen);
    Ok(Preview {
        obstacles,
        terms,
        plan,
        sent: sent.collect(),
        frozen: frozen
            .map(|known| (known.user, known.account.owed().unwrap_or_default()))
            .collect(),
    })
}

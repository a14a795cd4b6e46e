//! Collecting on the simulated contracts.

use broker_core::chain::Chain;
use broker_core::settlement::{Mirrored, Obstacle, Policy, Reason};
use broker_core::testing::scenarios::service_params;
use broker_core::testing::{SimChain, SimOptions};
use broker_core::{
    Address, Digest32, Error, LocalSigner, MemoryLedger, SignError, Signature, Signer, Usage,
};
use secp256k1::PublicKey;

use crate::*;

/// One 0G in the escrow of each user is this many times what a request costs here.
const PRICE: Neuron = Neuron::new(10_000_000_000_000);

/// A chain with a registered and acknowledged service, and a broker whose requests cost
/// [`PRICE`] for each token.
async fn rig(options: SimOptions, ledger: MemoryLedger) -> (Arc<SimChain>, Broker) {
    let chain = Arc::new(SimChain::new(options));
    let mut params = service_params();
    params.tee_signer = address();
    chain.register(params).await.unwrap();
    chain.owner_acknowledges(true).unwrap();
    let broker = builder().tariff(Tariff::per_token(PRICE, PRICE)).ledger(ledger).start().unwrap();
    (chain, broker)
}

async fn see(broker: &Broker, chain: &SimChain, who: UserId) -> Mirrored {
    broker.mirror_escrow(who, chain.account(who).await.unwrap()).await.unwrap()
}

async fn charge(broker: &Broker, who: UserId, nonce: &str, tokens: u64) -> Neuron {
    let reserved = broker.reserve(who, nonce, BODY).await.unwrap();
    reserved.capture(Usage::new(tokens, 0), ANSWER).await.unwrap().fee
}

fn policy() -> Policy {
    Policy { min_fee: PRICE.checked_mul(500).unwrap(), ..Policy::default() }
}

#[tokio::test]
async fn what_is_due_is_paid_to_the_neuron_and_once() {
    let (chain, broker) = rig(SimOptions::default(), MemoryLedger::new()).await;
    for who in [user(1), user(2)] {
        chain.deposit(who, neuron(broker_core::testing::ONE)).unwrap();
        assert_eq!(see(&broker, &chain, who).await, Mirrored::Taken);
    }
    let much = charge(&broker, user(1), "a", 400).await;
    let more = charge(&broker, user(1), "b", 301).await;
    let little = charge(&broker, user(2), "a", 3).await;
    let owed = much.checked_add(more).unwrap();

    let plan = broker.settle_plan(&*chain, &policy()).await.unwrap();
    assert_eq!((plan.obstacles.len(), plan.plan.amount, plan.sent.len()), (0, owed, 0));
    let due: Vec<_> = plan.plan.users.iter().map(|user| (user.user, user.reason)).collect();
    assert_eq!(due, [(user(1), Some(Reason::Amount)), (user(2), None)]);
    assert_eq!(chain.paid().len(), 0, "a plan sends nothing");

    let report = broker.settle_due(chain.clone(), policy()).await.unwrap();
    assert_eq!(report.settled, [(user(1), owed)]);
    assert_eq!(chain.paid().into_iter().collect::<Vec<_>>(), [(user(1), owed)]);
    let statement = broker.statement(user(1)).await.unwrap().unwrap();
    assert_eq!((statement.settled, statement.account.owed()), (owed, Some(Neuron::ZERO)));
    let again = broker.settle_due(chain.clone(), policy()).await.unwrap();
    assert_eq!((again.sealed.len(), again.settled.len()), (0, 0));

    let report = broker.settle_all(chain.clone()).await.unwrap();
    assert_eq!(report.settled, [(user(2), little)]);
    assert_eq!(chain.paid()[&user(2)], little);
    assert_eq!(broker.totals().await.unwrap().earned, Neuron::ZERO);
    assert_clean(&broker).await;
}

/// A key that takes its time, and counts what it signs.
struct Slow(LocalSigner, Arc<AtomicU64>);

impl Signer for Slow {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign_digest(&self, digest: &Digest32) -> Result<Signature, SignError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
        self.0.sign_digest(digest)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_that_are_asked_for_together_wait_for_each_other() {
    let (chain, other) = rig(SimOptions::default(), MemoryLedger::new()).await;
    other.stop();
    let signed = Arc::new(AtomicU64::new(0));
    let slow = builder().signer(Slow(signer(), signed.clone())).ledger(MemoryLedger::new());
    let broker = slow.tariff(Tariff::per_token(PRICE, PRICE)).start().unwrap();
    chain.deposit(user(1), neuron(broker_core::testing::ONE)).unwrap();
    see(&broker, &chain, user(1)).await;
    let owed = charge(&broker, user(1), "a", 700).await;
    let passes: Vec<_> = (0..8)
        .map(|_| {
            let (broker, chain) = (broker.clone(), chain.clone());
            tokio::spawn(async move { broker.settle_all(chain).await.unwrap() })
        })
        .collect();
    // A caller that leaves does not take the pass's turn along.
    passes[0].abort();
    for pass in passes {
        let _ = pass.await;
    }
    assert_eq!((chain.paid()[&user(1)], chain.results().len()), (owed, 1));
    assert_eq!(signed.load(Ordering::Relaxed), 2, "one receipt and one voucher");
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_plan_says_what_stands_in_the_way_of_this_broker_s_key() {
    let (chain, broker) = rig(SimOptions::default(), MemoryLedger::new()).await;
    let mut params = service_params();
    params.tee_signer = Address([0x55; 20]);
    chain.register(params).await.unwrap();
    let plan = broker.settle_plan(&*chain, &policy()).await.unwrap();
    let (ours, theirs) = (address(), Address([0x55; 20]));
    assert_eq!(plan.obstacles, [Obstacle::OtherSigner { ours, theirs }]);
}

#[tokio::test]
async fn a_ledger_of_one_provider_is_not_settled_by_another() {
    let books = MemoryLedger::new();
    let (chain, broker) = rig(SimOptions::default(), books.clone()).await;
    broker.settle_all(chain).await.unwrap();
    broker.stop();
    let provider = Address([0x77; 20]);
    let (other, broker) = rig(SimOptions { provider, ..SimOptions::default() }, books).await;
    let refused = broker.settle_all(other).await.unwrap_err();
    assert!(matches!(refused, Error::BoundElsewhere), "{refused}");
}

#[tokio::test]
async fn a_chain_that_is_silent_is_an_error_and_nothing_is_lost() {
    let (chain, broker) = rig(SimOptions::default(), MemoryLedger::new()).await;
    chain.deposit(user(1), neuron(broker_core::testing::ONE)).unwrap();
    see(&broker, &chain, user(1)).await;
    let owed = charge(&broker, user(1), "a", 700).await;
    chain.inject(broker_core::testing::Fault::Down(100));
    let silent = broker.settle_plan(&*chain, &policy()).await.unwrap_err();
    assert!(matches!(silent, Error::Chain(_)), "{silent}");
    let silent = broker.settle_due(chain.clone(), policy()).await.unwrap_err();
    assert!(matches!(silent, Error::Chain(_)), "{silent}");
    chain.calm();
    let report = broker.settle_due(chain.clone(), policy()).await.unwrap();
    assert_eq!((report.settled, chain.paid()[&user(1)]), (vec![(user(1), owed)], owed));
    assert_clean(&broker).await;
}

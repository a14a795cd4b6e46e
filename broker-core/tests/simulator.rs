//! The simulated chain does what the contracts were seen to do, and keeps what a chain promises
//! whatever goes wrong on it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use broker_core::chain::{Chain, ChainError, Landing, Payment, ServiceParams};
use broker_core::testing::scenarios::{SCENARIOS, SimWorld, run, service_params};
use broker_core::testing::{Fault, Faults, ONE, Pace, SimChain, SimOptions, Status};
use broker_core::{Digest32, LocalSigner, Neuron, SignedVoucher, Signer, UserId, Voucher};

const USER: UserId = UserId::new([7; 20]);

#[tokio::test]
async fn it_does_what_the_contracts_were_seen_to_do() {
    assert!(SCENARIOS.len() > 5);
    for scenario in SCENARIOS {
        let chain = SimChain::new(SimOptions::default());
        let world = SimWorld::open(chain, signer()).await.unwrap();
        assert_eq!(run(scenario, &world).await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn a_contract_that_does_otherwise_is_noticed() {
    // Nobody acknowledged this signer, so nothing is paid.
    let chain = SimChain::new(SimOptions::default());
    let world = SimWorld::open(chain, signer()).await.unwrap();
    world.chain.owner_acknowledges(false).unwrap();
    let faults = run(&SCENARIOS[0], &world).await.unwrap();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].contains("NoTeeSigner"), "{faults:?}");
}

#[tokio::test]
async fn a_landing_is_what_final_blocks_say() {
    let chain = open(SimOptions { confirmations: 3, pace: Pace::Manual, ..quiet() }).await;
    let first = voucher(&chain, 5, 1);
    chain.submit(vec![first]).await.unwrap();
    for _ in 0..4 {
        assert_eq!(chain.landing(first, 0).await, Ok(Landing::NotYet));
        chain.mine(1);
    }
    let Ok(Landing::Paid(payment)) = chain.landing(first, 0).await else { panic!() };
    let block = chain.landed()[0].block;
    let transaction = chain.landed()[0].transaction;
    let cover = neuron(10 * ONE - 5);
    assert_eq!(payment, Payment { paid: neuron(5), cover, block, transaction });
    let view = chain.account(USER).await.unwrap();
    assert_eq!((view.cover(), view.latest_nonce()), (cover, 1));
    let other = Ok(Landing::Other { nonce: 1 });
    assert_eq!(chain.landing(voucher(&chain, 6, 1), 0).await, other);
    chain.prune_logs(block.number + 1);
    assert_eq!(chain.landing(first, 0).await, Ok(Landing::Unknown { nonce: 1 }));
}

#[tokio::test]
async fn a_voucher_whose_nonce_was_jumped_over_never_lands() {
    let chain = open(quiet()).await;
    let (old, fence) = (voucher(&chain, 5, 1), voucher(&chain, 0, 2));
    chain.host_sends(fence);
    assert_eq!(chain.landing(old, 0).await, Ok(Landing::Other { nonce: 2 }));
    let landed = chain.landed();
    assert_eq!((landed.len(), landed[0].status, landed[0].paid), (1, Status::Success, neuron(0)));
    assert!(matches!(chain.landing(fence, 0).await, Ok(Landing::Paid(_))));
}

#[tokio::test]
async fn each_fault_of_a_transaction_is_what_it_says() {
    for (fault, sends, taken, refused) in [
        (Fault::Dropped, true, 0, 0),
        (Fault::Delayed(5), true, 0, 0),
        (Fault::Duplicated, true, 1, 1),
        (Fault::Replaced, true, 1, 0),
        (Fault::Reverted, true, 0, 0),
        (Fault::OutOfGas, true, 1, 0),
        (Fault::ErrorAfter, false, 1, 0),
        (Fault::ErrorBefore, false, 0, 0),
        (Fault::Down(1), false, 0, 0),
        (Fault::GasSpike(2), false, 0, 0),
    ] {
        let chain = open(quiet()).await;
        let signed = voucher(&chain, 5, 1);
        chain.inject(fault);
        assert_eq!(chain.submit(vec![signed]).await.is_ok(), sends, "{fault:?}");
        let count = |yes| chain.results().iter().filter(|r| r.status.is_taken() == yes).count();
        assert_eq!((count(true), count(false)), (taken, refused), "{fault:?}");
        chain.mine(6);
        chain.submit(vec![signed]).await.unwrap();
        assert_eq!((count(true), chain.paid()[&USER]), (1, neuron(5)), "{fault:?}");
    }
}

#[tokio::test]
async fn a_reorganisation_undoes_what_is_not_final_and_nothing_else() {
    let chain = open(SimOptions { confirmations: 12, pace: Pace::Manual, ..quiet() }).await;
    chain.submit(vec![voucher(&chain, 5, 1)]).await.unwrap();
    chain.mine(20);
    chain.submit(vec![voucher(&chain, 6, 2)]).await.unwrap();
    chain.mine(1);
    let (head, settled) = (chain.latest(), chain.account(USER).await.unwrap());
    assert_eq!(settled.settled.map(|escrow| escrow.nonce), Some(1));
    assert_eq!(chain.reorg(40), 12);
    assert!(chain.latest().number == head.number + 1 && chain.latest().hash != head.hash);
    // The new branch takes the same transaction in, sooner or later.
    chain.mine(20);
    assert_eq!(chain.paid()[&USER], neuron(11));
    assert_eq!(open(quiet()).await.reorg(1), 0);
}

#[tokio::test]
async fn sixty_users_take_as_many_transactions_as_blocks_are_small() {
    for (block_gas, transactions) in [(30_000_000, 2), (1_010_000, 5)] {
        let chain = open(SimOptions { block_gas, ..quiet() }).await;
        let users: Vec<_> = (100..160).map(|n| UserId::new([n; 20])).collect();
        for user in &users {
            chain.deposit(*user, neuron(ONE)).unwrap();
        }
        let batch = users.iter().map(|user| signed(&chain, *user, 5, 1)).collect();
        let wallet = chain.wallet();
        assert_eq!(chain.submit(batch).await.unwrap().len(), transactions);
        chain.mine(10);
        assert_eq!(chain.landed().len(), 60);
        let gas = 56_000 * transactions as u128 + 60 * 73_500;
        let cost = gas * chain.options().gas_price.get();
        assert_eq!(chain.wallet(), neuron(wallet.get() - cost + 300));
    }
}

#[tokio::test]
async fn a_poor_wallet_and_dear_gas_are_told_apart() {
    let chain = open(quiet()).await;
    let signed = voucher(&chain, 5, 1);
    chain.inject(Fault::GasSpike(5));
    let refused = chain.submit(vec![signed]).await;
    assert!(matches!(refused, Err(ChainError::GasTooDear { .. })), "{refused:?}");
    chain.mine(5);
    chain.set_wallet(neuron(1));
    let refused = chain.submit(vec![signed]).await;
    assert!(matches!(refused, Err(ChainError::TooPoor { has, .. }) if has == neuron(1)));
    let bare = SimChain::new(SimOptions { wallet: neuron(ONE), ..quiet() });
    let refused = bare.register(service()).await;
    assert!(
        matches!(refused, Err(ChainError::TooPoor { needs, .. }) if needs == neuron(100 * ONE))
    );
}

/// In any weather, with a host that sends what it likes: a voucher pays once, the wallet has what
/// users paid, and the same seed gives the same chain.
#[tokio::test]
async fn no_weather_makes_a_voucher_pay_twice() {
    for seed in 0..60 {
        let (chain, other) = (storm(seed).await, storm(seed).await);
        assert_eq!(chain.results(), other.results(), "seed {seed}");
        let mut nonces: Vec<_> = chain.landed().iter().map(|l| l.voucher.voucher.nonce).collect();
        let landed = nonces.len();
        nonces.sort_unstable();
        nonces.dedup();
        assert_eq!(nonces.len(), landed, "seed {seed}");
        let sum: u128 = chain.landed().iter().map(|landed| landed.paid.get()).sum();
        assert_eq!(chain.paid().get(&USER).map_or(0, |paid| paid.get()), sum, "seed {seed}");
        let escrow = chain.account(USER).await.unwrap().latest.unwrap();
        assert_eq!(escrow.balance.get() + sum, 10 * ONE, "seed {seed}");
    }
}

async fn storm(seed: u64) -> SimChain {
    let options = SimOptions { confirmations: 4, pace: Pace::Ticking(2), seed, ..quiet() };
    let chain = open(options).await;
    chain.set_faults(Faults::rough());
    for nonce in 1..=20 {
        let signed = voucher(&chain, 5, nonce);
        for _ in 0..3 {
            drop(chain.submit(vec![signed]).await);
            drop(chain.landing(signed, 0).await);
        }
    }
    chain.calm();
    chain.mine(20);
    chain
}

/// A chain with a service that is acknowledged and a user who has 10 0G.
async fn open(options: SimOptions) -> SimChain {
    let chain = SimChain::new(options);
    let mut registered = Box::pin(chain.register(service()));
    // With a manual pace somebody has to make blocks meanwhile.
    let done = loop {
        tokio::select! {
            biased;
            done = &mut registered => break done,
            () = tokio::task::yield_now() => {}
        }
        chain.mine(1);
    };
    drop(registered);
    done.unwrap();
    chain.owner_acknowledges(true).unwrap();
    chain.deposit(USER, neuron(10 * ONE)).unwrap();
    chain.mine(options.confirmations + 1);
    chain
}

fn quiet() -> SimOptions {
    SimOptions::default()
}

fn service() -> ServiceParams {
    ServiceParams { tee_signer: signer().address(), ..service_params() }
}

fn voucher(chain: &SimChain, total: u128, nonce: u64) -> SignedVoucher {
    signed(chain, USER, total, nonce)
}

fn signed(chain: &SimChain, user: UserId, total: u128, nonce: u64) -> SignedVoucher {
    let voucher = Voucher {
        user,
        provider: chain.provider(),
        total: neuron(total),
        requests_hash: Digest32([1; 32]),
        nonce,
    };
    voucher.sign(&chain.domain(), &signer()).unwrap()
}

fn signer() -> LocalSigner {
    LocalSigner::from_secret(&[0x11; 32]).unwrap()
}

fn neuron(amount: u128) -> Neuron {
    Neuron::new(amount)
}

//! `settle-dry-run`: who would be collected from now, why, and what it would cost. The chain is
//! SIMULATED, in this process's memory, by `broker_core::testing`: nothing real is touched. With
//! the feature `evm` the same calls take an `EvmChain`.

use std::sync::Arc;

use broker_core::chain::{Chain, ServiceParams};
use broker_core::settlement::{Policy, Preview, Reason};
use broker_core::testing::{Fault, ONE, SimChain, SimOptions};
use broker_core::{
    Broker, Error, LocalSigner, MemoryLedger, Neuron, Signer, Tariff, Usage, UserId,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    println!("the chain is SIMULATED: contracts in memory, no node, no money");
    let chain = Arc::new(SimChain::new(SimOptions::default()));
    let signer = LocalSigner::from_secret(&[7; 32])?; // a key that everybody knows: yours here
    let service = ServiceParams {
        kind: "chatbot".to_owned(),
        url: "http://127.0.0.1:3080".to_owned(),
        model: "simulated".to_owned(),
        verifiability: "TeeML".to_owned(),
        tee_signer: signer.address(),
        ..ServiceParams::default()
    };
    chain.register(service).await?;
    chain.owner_acknowledges(true)?;
    let price = Neuron::new(10_000_000_000_000);
    let broker = Broker::builder()
        .ledger(MemoryLedger::new())
        .tariff(Tariff::per_token(price, price))
        .signer(signer)
        .start()?;

    let [much, little, leaving] = [1, 2, 3].map(|n| UserId::new([n; 20]));
    for (user, tokens) in [(much, 700), (little, 3), (leaving, 50)] {
        chain.deposit(user, Neuron::new(ONE))?;
        // The escrow covers what the user may spend.
        broker.mirror_escrow(user, chain.account(user).await?).await?;
        let hold = broker.reserve(user, "nonce-1", br#"{"max_tokens":64}"#).await?;
        hold.capture(Usage::new(tokens, 0), b"Hello.").await?;
    }
    chain.request_refund(leaving)?;

    let policy = Policy::default();
    let preview = broker.settle_plan(&*chain, &policy).await?;
    print(&preview);
    let reasons: Vec<_> = preview.plan.users.iter().map(|user| (user.user, user.reason)).collect();
    let refund = Some(Reason::Refund);
    assert_eq!(reasons, [(much, Some(Reason::Amount)), (little, None), (leaving, refund)]);
    assert!(preview.obstacles.is_empty());
    assert!(chain.paid().is_empty(), "a dry run sends nothing");
    assert_eq!(broker.totals().await?.vouchered, Neuron::ZERO, "and writes nothing");

    println!("\nwith gas above the wallet's cap:");
    chain.inject(Fault::GasSpike(100));
    let preview_dear = broker.settle_plan(&*chain, &policy).await?;
    print(&preview_dear);
    assert_eq!(preview_dear.obstacles.len(), 1);
    chain.calm();

    let report = broker.settle_due(chain.clone(), policy).await?;
    let mut sums = report.settled.iter().map(|(_, paid)| *paid);
    let collected = sums.try_fold(Neuron::ZERO, Neuron::checked_add);
    println!("\nsettled on the SIMULATED chain: {} neuron", collected.unwrap_or_default());
    assert_eq!(collected, Some(preview.plan.amount), "the plan was kept to the neuron");
    assert_eq!(chain.paid().len(), 2);
    assert_eq!(broker.audit().await?.fault, None);
    println!("audit clean");
    Ok(())
}

fn print(preview: &Preview) {
    for obstacle in &preview.obstacles {
        println!("in the way: {obstacle}");
    }
    for user in &preview.plan.users {
        let due = user.reason.map_or("waits", |reason| reason.as_str());
        println!("{} owes {} neuron: {due}", user.user, user.earned);
    }
    println!("due {} neuron, gas {} neuron at most", preview.plan.amount, preview.plan.gas_cost);
}

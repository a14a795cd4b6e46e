//! `embed [LEDGER]`: broker-core in twenty lines. Holds, serves, charges, and re-adds the books.
//!
//! The ledger is the SQLite file LEDGER, or memory where none is named. Running it twice on one
//! file is refused: the client's nonce has been used for money, and is used once, for ever.

use broker_core::{
    Broker, Cover, LocalSigner, MemoryLedger, Neuron, SqliteLedger, Tariff, Usage, UserId,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), broker_core::Error> {
    let broker = Broker::builder()
        .tariff(Tariff::per_token(Neuron::new(400), Neuron::new(1_600)))
        .signer(LocalSigner::from_secret(&[7; 32])?); // a key that everybody knows: yours here
    let broker = match std::env::args().nth(1) {
        Some(path) => broker.ledger(SqliteLedger::open(path.as_ref())?),
        None => broker.ledger(MemoryLedger::new()),
    };
    let broker = broker.start()?; // the one writer thread

    let user = UserId::named("alice");
    broker.mirror(user, Cover::UpTo(Neuron::new(1_000_000))).await?; // what she has paid

    let body = br#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":64}"#;
    let hold = broker.reserve(user, "client-nonce-1", body).await?; // durable: work may begin
    println!("held {} neuron", hold.amount());
    let (answer, usage) = run_my_model(body);
    let charge = hold.capture(usage, answer).await?; // durable, before she has the last byte
    println!("charged {} neuron, receipt {}", charge.fee, charge.receipt.id);

    assert_eq!(charge.fee, Neuron::new(9 * 400 + 5 * 1_600));
    let left = broker.account(user).await?.available();
    assert_eq!(left.checked_add(charge.fee), Some(Neuron::new(1_000_000)));
    println!("left {left} neuron");
    let audit = broker.audit().await?;
    assert_eq!(audit.fault, None);
    println!("audit clean: {} entries, head {}", audit.entries, audit.head);
    broker.stop();
    Ok(())
}

/// Your model: the answer's bytes, and the tokens it counted.
fn run_my_model(_body: &[u8]) -> (&'static [u8], Usage) {
    (br#"{"choices":[{"message":{"content":"Hello, Alice."}}]}"#, Usage::new(9, 5))
}

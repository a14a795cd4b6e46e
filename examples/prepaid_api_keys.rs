//! `prepaid-api-keys`: customers with API keys and credit. Nobody spends what was not paid, a retry
//! costs nothing, and a request that fails costs nothing.

use std::collections::HashMap;

use broker_core::{
    Broker, Cover, Digest32, Error, LocalSigner, MemoryLedger, Neuron, Refusal, ReleaseReason,
    Tariff, Usage, UserId,
};

/// A shop that sells tokens. It knows its keys by their hashes only.
struct Shop {
    broker: Broker,
    customers: HashMap<Digest32, UserId>,
    paid: HashMap<UserId, Neuron>,
}

impl Shop {
    fn customer(&self, key: &str) -> Option<UserId> {
        self.customers.get(&Digest32::sha256(key.as_bytes())).copied()
    }

    /// A payment that came in. What the ledger is told is the total, so that telling it twice pays
    /// once.
    async fn top_up(&mut self, user: UserId, amount: Neuron) -> Result<(), Error> {
        let before = self.paid.get(&user).copied().unwrap_or_default();
        let total = before.checked_add(amount).ok_or(Refusal::OutOfRange)?;
        self.broker.mirror(user, Cover::UpTo(total)).await?;
        self.paid.insert(user, total);
        println!("{user} has paid {total} neuron so far");
        Ok(())
    }

    /// One request: what it is answered with, or what the customer is told.
    async fn serve(&self, key: &str, nonce: &str, body: &[u8]) -> Result<String, Error> {
        let Some(user) = self.customer(key) else {
            return Ok("401: no such key".to_owned());
        };
        let hold = match self.broker.reserve(user, nonce, body).await {
            Ok(hold) => hold,
            Err(Error::Refused(Refusal::InsufficientFunds { available, needed })) => {
                return Ok(format!("402: costs up to {needed} neuron, {available} are left"));
            }
            Err(Error::Refused(Refusal::Finished { receipt })) => {
                return Ok(format!("409: asked and paid before, receipt {receipt}"));
            }
            Err(Error::Refused(Refusal::KeyReused)) => {
                return Ok("422: another request has this nonce".to_owned());
            }
            Err(other) => return Err(other),
        };
        let Some((answer, usage)) = model(body) else {
            hold.release(ReleaseReason::NotForwarded).await?;
            return Ok("503: the model is away, nothing is charged".to_owned());
        };
        let charge = hold.capture(usage, answer).await?;
        Ok(format!("200: {} neuron", charge.fee))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let broker = Broker::builder()
        .ledger(MemoryLedger::new())
        .tariff(Tariff::per_token(Neuron::new(10), Neuron::new(20)))
        .signer(LocalSigner::from_secret(&[7; 32])?) // a key that everybody knows: yours here
        .template_tokens(100)
        .start()?;
    let names = [("sk-alice", "alice"), ("sk-bob", "bob")];
    let customers = names.map(|(key, name)| (Digest32::sha256(key.as_bytes()), name));
    let customers = customers.map(|(key, name)| (key, UserId::named(name))).into();
    let mut shop = Shop { broker, customers, paid: HashMap::new() };
    let (alice, bob) = (UserId::named("alice"), UserId::named("bob"));
    shop.top_up(alice, Neuron::new(4_000)).await?;

    let ask = br#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":64}"#;
    let other = br#"{"messages":[{"role":"user","content":"ho"}],"max_tokens":64}"#;
    let away = br#"{"messages":[],"max_tokens":1}"#;
    for (key, nonce, body, expected) in [
        ("sk-nobody", "a-1", ask.as_slice(), "401"),
        ("sk-bob", "b-1", ask, "402: costs up to 2890 neuron, 0 are left"),
        ("sk-alice", "a-1", ask, "200: 1120 neuron"),
        ("sk-alice", "a-1", ask, "409: asked and paid before"),
        ("sk-alice", "a-1", other, "422"),
        ("sk-alice", "a-2", away, "503"),
        ("sk-alice", "a-3", ask, "402: costs up to 2890 neuron, 2880 are left"),
    ] {
        say_and_check(key, &shop.serve(key, nonce, body).await?, expected);
    }
    shop.top_up(alice, Neuron::new(10)).await?;
    say_and_check("sk-alice", &shop.serve("sk-alice", "a-3", ask).await?, "200: 1120 neuron");

    let account = shop.broker.account(alice).await?;
    println!("{alice}: spent {} of {} neuron", account.earned, account.cover);
    assert_eq!((account.earned, account.held), (Neuron::new(2 * 1_120), Neuron::ZERO));
    assert_eq!(account.available(), Neuron::new(4_010 - 2 * 1_120));
    assert_eq!(shop.broker.account(bob).await?.earned, Neuron::ZERO);
    assert_eq!(shop.broker.audit().await?.fault, None);
    println!("audit clean");
    Ok(())
}

/// Your model: 48 prompt tokens and 32 generated ones, or nothing where it is away.
fn model(body: &[u8]) -> Option<(&'static [u8], Usage)> {
    let is_away = body.starts_with(br#"{"messages":[]"#);
    (!is_away).then_some((b"Hello.", Usage::new(48, 32)))
}

/// Says it by the customer's name: keys are in no output.
fn say_and_check(key: &str, said: &str, expected: &str) {
    println!("{}: {said}", key.trim_start_matches("sk-"));
    assert!(said.starts_with(expected), "expected {expected}");
}

//! `verify-receipt`: what a customer can check of a receipt, with nothing but the bytes sent and
//! received, the provider's key and its prices. No ledger is asked and none is trusted.
//!
//! Two kinds are checked. The old one is a signature that covers the two bodies; usage and fee
//! stand beside it. The other is a document that the signature covers as a whole: bodies, usage,
//! fee, the prices' digest and the promise of a place in the provider's log. That the fee follows
//! from the usage can be checked, and that the usage is the model's own count cannot.

use broker_core::keyset::{Keyset, ReceiptKey, keyset_document};
use broker_core::receipt::ReadReceipt;
use broker_core::{
    Address, Broker, Cover, Digest32, Error, LedgerError, LocalSigner, MemoryLedger, Neuron,
    Signature, Signer, Tariff, Usage, UserId, recover_text_signer,
};

/// What the provider says of an exchange.
#[derive(Clone)]
struct Claim {
    text: String,
    signature: Signature,
    usage: Usage,
    fee: Neuron,
}

/// What a document is worth to who has the bodies, the keyset that a report attests, and the
/// prices.
fn check_document(document: &str, keyset: &Keyset, known: &Known<'_>) -> Result<(), String> {
    let receipt = ReadReceipt::parse(document.as_bytes()).map_err(|error| error.to_string())?;
    receipt.verify(keyset).map_err(|error| error.to_string())?;
    let hashes = [known.sent, known.received].map(Digest32::sha256);
    if [receipt.request_hash, receipt.response_hash] != hashes {
        return Err("the document is about other bytes than were sent and received".to_owned());
    }
    receipt.check_fee(&known.tariff).map_err(|error| error.to_string())
}

/// What the customer knows.
struct Known<'a> {
    sent: &'a [u8],
    received: &'a [u8],
    /// From the provider's attestation report, or agreed on.
    key: Address,
    tariff: Tariff,
}

/// What a claim is worth: nothing, or that it is true as far as it can be checked.
fn check(claim: &Claim, known: &Known<'_>) -> Result<(), String> {
    let hashes = [known.sent, known.received].map(Digest32::sha256);
    let text = format!("{}:{}", hashes[0], hashes[1]);
    if claim.text != text {
        return Err("the receipt is about other bytes than were sent and received".to_owned());
    }
    match recover_text_signer(&text, &claim.signature) {
        Ok(signer) if signer == known.key => {}
        Ok(signer) => return Err(format!("signed by {signer}, and not by {}", known.key)),
        Err(error) => return Err(error.to_string()),
    }
    match known.tariff.fee(&claim.usage) {
        // Less is fine: a fee above what was held is cut.
        Some(due) if claim.fee <= due => Ok(()),
        Some(due) => Err(format!("{} neuron are charged, and {due} are due", claim.fee)),
        None => Err("this usage costs more than there is money".to_owned()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let sent = br#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":64}"#;
    let received = br#"{"choices":[{"message":{"content":"Hello."}}]}"#;
    let tariff = Tariff::per_token(Neuron::new(400), Neuron::new(1_600));
    let key = LocalSigner::from_secret(&[7; 32])?.address();

    let (claim, document, keyset) = provider(sent, received, &tariff).await?;
    let keyset = Keyset::parse(keyset.as_bytes()).map_err(|e| broken(&e))?;
    println!(
        "text      {}\nsignature {}\nfee       {} neuron",
        claim.text, claim.signature, claim.fee
    );
    let known = Known { sent, received, key, tariff };
    let verdict = check(&claim, &known);
    println!("as it is: {}", word(&verdict));
    assert_eq!(verdict, Ok(()));

    let mut signature = claim.signature;
    signature.0[40] ^= 1;
    let dearer = claim.fee.checked_add(Neuron::new(1)).unwrap_or_default();
    let stranger = LocalSigner::from_secret(&[8; 32])?;
    let lies = [
        ("a byte of the answer", claim.clone(), Known { received: b"Hello!", ..copy(&known) }),
        ("another request", claim.clone(), Known { sent: b"{}", ..copy(&known) }),
        ("a bit of the signature", Claim { signature, ..claim.clone() }, copy(&known)),
        (
            "another key's signature",
            Claim { signature: stranger.sign_text(&claim.text)?, ..claim.clone() },
            copy(&known),
        ),
        ("a neuron more", Claim { fee: dearer, ..claim.clone() }, copy(&known)),
        (
            "other prices",
            claim.clone(),
            Known { tariff: Tariff::per_token(Neuron::new(1), Neuron::new(1)), ..copy(&known) },
        ),
    ];
    for (what, claim, known) in lies {
        let verdict = check(&claim, &known);
        println!("{what}: {}", word(&verdict));
        assert!(verdict.is_err(), "{what} went through");
    }

    println!("document  {document}");
    let verdict = check_document(&document, &keyset, &known);
    println!("the document: {}", word(&verdict));
    assert_eq!(verdict, Ok(()));
    let dearer = document.replacen("\"fee\":\"", "\"fee\":\"1", 1);
    let verdict = check_document(&dearer, &keyset, &known);
    println!("the document with another fee: {}", word(&verdict));
    assert!(verdict.is_err());
    Ok(())
}

fn broken(what: &dyn std::fmt::Display) -> Error {
    Error::Ledger(LedgerError::Corrupt(what.to_string()))
}

/// The other side: serves and charges, and hands out what it says of it.
async fn provider(
    sent: &[u8],
    received: &[u8],
    tariff: &Tariff,
) -> Result<(Claim, String, String), Error> {
    let key = ReceiptKey::from_secret(&[9; 32]); // as little a secret
    let keyset = keyset_document(Some("example"), 1_900_000_000, &[&key], &[]);
    let broker = Broker::builder()
        .ledger(MemoryLedger::new())
        .tariff(tariff.clone())
        .signer(LocalSigner::from_secret(&[7; 32])?) // a key that everybody knows: yours here
        .receipts(key, Digest32::sha256(keyset.as_bytes()))
        .start()?;
    let user = UserId::named("alice");
    broker.mirror(user, Cover::Unlimited).await?;
    let hold = broker.reserve(user, "nonce-1", sent).await?;
    let charge = hold.capture(Usage::new(9, 5), received).await?;
    let (receipt, document) = (charge.receipt, charge.document.unwrap_or_default());
    let (text, signature, usage, fee) =
        (receipt.text(), receipt.signature, receipt.usage, receipt.fee);
    broker.extend_log().await?;
    Ok((Claim { text, signature, usage, fee }, document, keyset))
}

fn copy<'a>(known: &Known<'a>) -> Known<'a> {
    Known { tariff: known.tariff.clone(), ..*known }
}

fn word(verdict: &Result<(), String>) -> String {
    match verdict {
        Ok(()) => "proved".to_owned(),
        Err(why) => format!("refuted: {why}"),
    }
}

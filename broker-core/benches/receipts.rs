//! What a receipt that proves itself costs beside the exchange: its document and signature, its
//! leaf in the log, the rolling hash over a stream's events, and a check of it.
//!
//! `cargo bench -p broker-core --bench receipts`
#![allow(missing_docs, clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a bench")]
#![allow(clippy::float_arithmetic, reason = "times are no money")]

use std::hint::black_box;
use std::time::Instant;

use broker_core::keyset::{Keyset, ReceiptKey, keyset_document};
use broker_core::receipt::{Claims, LedgerPlace, ReadReceipt};
use broker_core::statement::Author;
use broker_core::stream::Chain;
use broker_core::{
    Address, Digest32, LocalSigner, Neuron, Outcome, Receipt, ReceiptId, Signature, Signer, Tariff,
    Timestamp, Usage, UserId,
};

fn main() {
    let key = ReceiptKey::from_secret(&[2; 32]);
    let keyset = keyset_document(None, 1_800_000_000, &[&key], &[]);
    let author = Author { key: &key, keyset: Digest32::sha256(keyset.as_bytes()) };
    let keyset = Keyset::parse(keyset.as_bytes()).unwrap();
    let tariff = Tariff::per_token(Neuron::new(100_000), Neuron::new(200_000));
    let receipt = record(&tariff);
    let proved = receipt.clone().proved(claims(), &tariff, author);
    let document = proved.document(&tariff).unwrap();
    let signer = LocalSigner::from_secret(&[7; 32]).unwrap();
    let text = receipt.text();
    let event = format!("data: {}\n\n", "x".repeat(220));

    println!("a receipt of {} bytes", document.len());
    time("the two-part text signed (secp256k1)", || drop(signer.sign_text(black_box(&text))));
    time("the document made and signed", || {
        black_box(receipt.clone().proved(claims(), &tariff, author));
    });
    time("its leaf in the log", || {
        black_box(proved.log_leaf(&tariff));
    });
    let mut chain = Chain::new(&receipt.id);
    time("the rolling hash over an event of 228 bytes", || chain.feed(black_box(event.as_bytes())));
    time("read, verified, its fee worked out", || {
        let read = ReadReceipt::parse(black_box(document.as_bytes())).unwrap();
        read.verify(&keyset).unwrap();
        read.check_fee(&tariff).unwrap();
    });
}

/// The best of some turns, in microseconds.
fn time(what: &str, mut work: impl FnMut()) {
    let best = (0..TURNS).map(|_| {
        let began = Instant::now();
        (0..TIMES).for_each(|_| work());
        began.elapsed()
    });
    let best = best.min().unwrap_or_default();
    println!("{:8.2} µs  {what}", best.as_secs_f64() * 1e6 / f64::from(TIMES));
}

fn record(tariff: &Tariff) -> Receipt {
    let usage = Usage::new(42, 128);
    Receipt {
        id: ReceiptId::mint(Timestamp(1)),
        user: UserId::named("open"),
        outcome: Outcome::Complete,
        status: 200,
        usage,
        fee: tariff.fee(&usage).unwrap(),
        request_hash: Digest32([1; 32]),
        response_hash: Digest32([2; 32]),
        bytes: 5643,
        events: 131,
        signature: Signature([0x5a; 65]),
        signing_address: Address([0xad; 20]),
        upstream_id: Some("chatcmpl-7ee2a39468ce48d7b2284783f21782b0".to_owned()),
        drained: false,
        served_at: Timestamp(1_750_000_000_000),
        proof: None,
    }
}

fn claims() -> Claims {
    Claims {
        endpoint: "/v1/chat/completions".to_owned(),
        model: Some("tiny".to_owned()),
        forwarded_hash: Some(Digest32([3; 32])),
        finish_reason: Some("stop".to_owned()),
        chain_head: Some(Digest32([4; 32])),
        hold: Neuron::new(1 << 70),
        ledger: Some(LedgerPlace { log: Digest32([5; 32]), account_seq: 17 }),
        ..Claims::default()
    }
}

const TURNS: u32 = 5;
const TIMES: u32 = 2000;

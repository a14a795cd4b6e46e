//! The vectors, and our own receipts for the same exchanges.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::jcs::Json;
use broker_core::keyset::{Keyset, ReceiptKey, keyset_document};
use broker_core::receipt::{Claims, LedgerPlace};
use broker_core::statement::Author;
use broker_core::{
    Address, CacheBilling, Digest32, Fraction, Neuron, Outcome, Receipt, ReceiptId, Schedule,
    Signature, Tariff, Tier, Timestamp, Usage, UsageSource, UserId,
};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

pub(crate) fn written() -> Vec<u8> {
    std::fs::read(folder().join("../fixtures/receipts/receipts.json")).unwrap()
}

pub(crate) struct Vectors(Json);

impl Vectors {
    pub(crate) fn read() -> Self {
        Self(Json::parse(&written()).unwrap())
    }

    pub(crate) fn at(&self, key: &str) -> &Json {
        self.0.get(key).unwrap()
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.at(key).text().unwrap()
    }

    pub(crate) fn list(&self, key: &str) -> &[Json] {
        let Json::List(items) = self.at(key) else { panic!("{key} is no list") };
        items
    }

    pub(crate) fn keyset(&self) -> Keyset {
        Keyset::from_json(self.at("keyset").clone()).unwrap()
    }
}

pub(crate) fn key() -> ReceiptKey {
    ReceiptKey::from_secret(&[2; 32])
}

pub(crate) fn our_keyset() -> String {
    let tls = [Digest32([0xc0; 32])];
    keyset_document(Some("dstack-app://example-app"), 1_800_000_000, &[&key()], &tls)
}

pub(crate) fn author(key: &ReceiptKey) -> Author<'_> {
    Author { key, keyset: Digest32::sha256(our_keyset().as_bytes()) }
}

pub(crate) fn plain() -> Tariff {
    Tariff::per_token(Neuron::new(100_000), Neuron::new(200_000))
}

pub(crate) fn tiered() -> Tariff {
    let fraction = |numerator, denominator| Fraction { numerator, denominator };
    let tier = |max_input_tokens, input, output| Tier { max_input_tokens, input, output };
    let tiers = vec![
        tier(32_000, fraction(1, 1), fraction(1, 1)),
        tier(0, fraction(3, 2), fraction(u64::MAX, 7)),
    ];
    let cache = CacheBilling { divisor: 10, write: Some(fraction(5, 4)), write_1h: None };
    let schedule = Some(Arc::new(Schedule::new(tiers, Some(cache)).unwrap()));
    Tariff { schedule, ..Tariff::per_token(Neuron::new(100_000), Neuron::new(1 << 100)) }
}

pub(crate) fn id(n: u64) -> ReceiptId {
    ReceiptId::parse(&format!("00000000-0000-4000-8000-{n:012x}")).unwrap()
}

/// The first vector's exchange: a whole stream.
pub(crate) fn streamed(vectors: &Vectors) -> (Receipt, Claims) {
    let body: String = vectors.list("events").iter().map(|event| event.text().unwrap()).collect();
    let usage = Usage::new(42, 128);
    let receipt = Receipt {
        events: 4,
        usage,
        fee: plain().fee(&usage).unwrap(),
        upstream_id: Some("chatcmpl-1".to_owned()),
        ..record(1, vectors, body.as_bytes())
    };
    let heads = vectors.list("chain_heads");
    let claims = Claims {
        endpoint: "/v1/chat/completions".to_owned(),
        model: Some("tiny".to_owned()),
        forwarded_hash: Some(Digest32::sha256(vectors.text("forwarded").as_bytes())),
        finish_reason: Some("stop".to_owned()),
        chain_head: heads.last().and_then(Json::text).map(digest),
        hold: Neuron::new(1_000_000_000_000),
        ledger: Some(LedgerPlace { log: Digest32([0x5e; 32]), account_seq: 17 }),
        ..Claims::default()
    };
    (receipt, claims)
}

/// The second's: a client that left, on a tariff with tiers.
pub(crate) fn left(vectors: &Vectors) -> (Receipt, Claims) {
    let body: String = vectors.list("events").iter().map(|event| event.text().unwrap()).collect();
    let usage = Usage { cached_input: 1000, cache_write: 200, ..Usage::new(2000, 3) };
    let receipt = Receipt {
        outcome: Outcome::ClientGone,
        events: 1,
        drained: true,
        usage,
        fee: tiered().fee(&usage).unwrap(),
        ..record(2, vectors, &body.as_bytes()[..90])
    };
    let claims = Claims {
        endpoint: "/v1/chat/completions".to_owned(),
        model: Some("quo\"te\\ \u{e9}\u{20ac}\u{1f600}\n\u{1}\u{7f}".to_owned()),
        forwarded_hash: Some(receipt.request_hash),
        hold: Neuron::new(3 << 101),
        ledger: Some(LedgerPlace { log: Digest32([0x5e; 32]), account_seq: (1 << 53) - 1 }),
        ..Claims::default()
    };
    (receipt, claims)
}

/// The third's: a refusal that no log promises.
pub(crate) fn refused(vectors: &Vectors) -> (Receipt, Claims) {
    let body = br#"{"error":{"message":"no","type":"unauthorized","param":null,"code":null}}"#;
    let receipt = Receipt {
        outcome: Outcome::Refused,
        status: 401,
        request_hash: Digest32::sha256(b""),
        ..record(3, vectors, body)
    };
    let claims = Claims {
        method: "GET".to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        unread: true,
        ..Claims::default()
    };
    (receipt, claims)
}

fn record(n: u64, vectors: &Vectors, body: &[u8]) -> Receipt {
    Receipt {
        id: id(n),
        user: UserId::new([0xab; 20]),
        outcome: Outcome::Complete,
        status: 200,
        usage: Usage { source: UsageSource::None, ..Usage::default() },
        fee: Neuron::ZERO,
        request_hash: Digest32::sha256(vectors.text("request").as_bytes()),
        response_hash: Digest32::sha256(body),
        bytes: body.len() as u64,
        events: 0,
        signature: Signature([0x5a; 65]),
        signing_address: Address([0xad; 20]),
        upstream_id: None,
        drained: false,
        served_at: Timestamp((1_750_000_000 + n) * 1000 + 999),
        proof: None,
    }
}

pub(crate) fn digest(hex: &str) -> Digest32 {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<_> = hex.as_bytes().chunks(2).map(byte).collect();
    Digest32(bytes.try_into().unwrap())
}

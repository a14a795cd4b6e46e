//! Small holds and receipts that tests tell apart by a number.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use broker_core::keyset::ReceiptKey;
use broker_core::receipt::{Claims, LedgerPlace};
use broker_core::statement::Author;
use broker_core::{
    Address, Charged, Command, Cover, Digest32, Fingerprint, Hold, Ledger, LogLeaf, Neuron,
    Outcome, Receipt, ReceiptId, ReleaseReason, RequestKey, Signature, Tariff, Timestamp, Usage,
    UsageSource, UserId,
};

pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(crate) fn neuron(amount: u128) -> Neuron {
    Neuron::new(amount)
}

pub(crate) fn user(n: u8) -> UserId {
    UserId::new([n; 20])
}

pub(crate) fn key(n: u8) -> RequestKey {
    RequestKey(Digest32([n; 32]))
}

pub(crate) fn receipt_id(n: u8) -> ReceiptId {
    id_of([n; 16])
}

pub(crate) fn id_of(bytes: [u8; 16]) -> ReceiptId {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    ReceiptId::parse(&parts.join("-")).unwrap()
}

/// The hold `n` of a user: its key, fingerprint and receipt id all follow from `n`.
pub(crate) fn hold(n: u8, user: UserId, amount: u128) -> Hold {
    Hold {
        key: key(n),
        fingerprint: Fingerprint(Digest32([n; 32])),
        receipt: receipt_id(n),
        user,
        amount: neuron(amount),
        tariff: Tariff::per_token(neuron(1), neuron(2)),
        expires: NOW.plus_millis(60_000),
    }
}

/// The receipt that ends a hold with a fee, for as many prompt tokens at one neuron each.
pub(crate) fn receipt(hold: &Hold, fee: u128) -> Receipt {
    Receipt {
        id: hold.receipt,
        user: hold.user,
        outcome: Outcome::Complete,
        status: 200,
        usage: Usage {
            input: u64::try_from(fee).unwrap_or(u64::MAX),
            source: UsageSource::Engine,
            ..Usage::default()
        },
        fee: neuron(fee),
        request_hash: Digest32::sha256(b"request"),
        response_hash: Digest32::sha256(b"response"),
        bytes: 512,
        events: 6,
        signature: Signature([0x5a; 65]),
        signing_address: Address([0xad; 20]),
        upstream_id: None,
        drained: false,
        served_at: NOW,
        proof: None,
    }
    .proved_by_half(hold)
}

/// Every other receipt proves itself.
trait ByHalf {
    fn proved_by_half(self, hold: &Hold) -> Self;
}

impl ByHalf for Receipt {
    fn proved_by_half(self, hold: &Hold) -> Self {
        if self.id.0.as_bytes()[15] % 2 == 1 {
            return self;
        }
        let claims = Claims {
            endpoint: "/v1/chat/completions".to_owned(),
            hold: hold.amount,
            ledger: Some(LedgerPlace { log: Digest32([7; 32]), account_seq: 1 }),
            ..Claims::default()
        };
        let key = ReceiptKey::from_secret(&[3; 32]);
        let author = Author { key: &key, keyset: Digest32([8; 32]) };
        self.proved(claims, &hold.tariff, author)
    }
}

pub(crate) fn capture(hold: &Hold, fee: u128) -> Command {
    Command::Capture { key: hold.key, receipt: Box::new(receipt(hold, fee)) }
}

/// Brings the receipt log up to date, as a sealer does.
pub(crate) fn log_all(ledger: &mut dyn Ledger) {
    let reader = ledger.reader().unwrap();
    loop {
        let size = reader.log().unwrap().size;
        let leaves: Vec<_> = reader.unlogged(1_000).unwrap().iter().map(leaf).collect();
        if leaves.is_empty() {
            return;
        }
        assert!(ledger.extend_log(size, &leaves).unwrap());
    }
}

pub(crate) fn leaf(charged: &Charged) -> LogLeaf {
    let hash = charged.receipt.log_leaf(&charged.tariff).unwrap();
    LogLeaf { entry: charged.entry, hash }
}

/// As [`hold`], of 65,536; the receipt of each proves itself.
pub(crate) fn nth_hold(n: u16, user: UserId, amount: u128) -> Hold {
    let [high, low] = n.to_be_bytes();
    let (mut key, mut id) = ([0x20; 32], [0x20; 16]);
    (key[0], key[1], id[0], id[1]) = (high, low, high, low);
    let key = RequestKey(Digest32(key));
    Hold { key, receipt: id_of(id), ..hold(0, user, amount) }
}

/// So many receipts with a proof, at three neuron each, of a user without a limit.
pub(crate) fn prove(ledger: &mut dyn Ledger, user: UserId, numbers: std::ops::Range<u16>) {
    let cover = Command::Mirror { user, cover: Cover::Unlimited };
    ledger.apply(&[cover], NOW).unwrap().remove(0).unwrap();
    for n in numbers.clone().step_by(100) {
        let holds = (n..numbers.end.min(n.saturating_add(100))).map(|n| nth_hold(n, user, 5));
        let both = holds.flat_map(|hold| [Command::Reserve(hold.clone()), capture(&hold, 3)]);
        let batch: Vec<_> = both.collect();
        assert!(ledger.apply(&batch, NOW).unwrap().iter().all(Result::is_ok));
    }
}

pub(crate) fn release(n: u8, why: ReleaseReason) -> Command {
    Command::Release { key: key(n), why }
}

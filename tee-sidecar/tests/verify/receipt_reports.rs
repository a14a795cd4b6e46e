//! Receipts by the report that attests their keyset.

use broker_core::receipt::{Claims, LedgerPlace};
use broker_core::{
    Clock as _, Digest32, Neuron, Outcome, Receipt, ReceiptId, Signature, Signer as _, Tariff,
    Timestamp, Usage, UserId,
};
use tee_sidecar::auditor::{KeyFiles, ReceiptFiles, audit_receipt};
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;

use crate::aci::aci;
use crate::support::{Desk, Judged, NONCE, Then, identities, report, signer};

/// A receipt by the key of this byte.
fn receipt(secret: u8) -> String {
    let tariff = Tariff::per_token(Neuron::new(100), Neuron::new(200));
    let usage = Usage::new(3, 4);
    let receipt = Receipt {
        id: ReceiptId::mint(Timestamp(1)),
        user: UserId::named("alice"),
        outcome: Outcome::Complete,
        status: 200,
        usage,
        fee: tariff.fee(&usage).unwrap(),
        request_hash: Digest32::sha256(b"request"),
        response_hash: Digest32::sha256(b"response"),
        bytes: 8,
        events: 0,
        signature: Signature([0x5a; 65]),
        signing_address: signer().address(),
        upstream_id: None,
        drained: false,
        served_at: Then.now(),
        proof: None,
    };
    let forwarded_hash = Some(receipt.request_hash);
    let ledger = Some(LedgerPlace { log: Digest32([5; 32]), account_seq: 1 });
    let hold = Neuron::new(10_000);
    let claims = Claims { forwarded_hash, hold, ledger, ..Claims::default() };
    let identity = identities(secret).at(Then.now());
    receipt.proved(claims, &tariff, identity.author()).document(&tariff).unwrap()
}

fn judge(desk: &Desk, receipt: &str, report: &serde_json::Value) -> Judged {
    let keys = KeyFiles {
        reports: vec![desk.file("aci.json", report.to_string().as_bytes())],
        keysets: Vec::new(),
    };
    let receipt = desk.file("receipt.json", receipt.as_bytes());
    let files = ReceiptFiles { receipt, keys, ..ReceiptFiles::default() };
    Judged(audit_receipt(&files, &desk.options))
}

#[test]
fn a_report_that_holds_vouches_for_the_receipts_of_its_keyset_and_no_others() {
    let desk = Desk::new();
    let report = aci(&[], Some(NONCE));
    let judged = judge(&desk, &receipt(2), &report);
    judged.proved();
    assert!(judged.checks(CheckResult::Proved).contains(&"receipt.signature"));
    assert_eq!(judge(&desk, &receipt(3), &report).exit(), Exit::Missing);
}

#[test]
fn a_report_that_does_not_hold_vouches_for_nothing() {
    let desk = Desk::new();
    let good = aci(&[], Some(NONCE));
    let mut spoiled = good.clone();
    let digest = format!("sha256:{}", "0".repeat(64));
    spoiled["workload_keyset_digest"] = digest.into();
    assert_ne!(judge(&desk, &receipt(2), &spoiled).exit(), Exit::Done);
    assert_eq!(judge(&Desk::strict(), &receipt(2), &good).exit(), Exit::Refuted, "simulated");
    // This form binds the key of answers, and none of receipts.
    let other = judge(&desk, &receipt(2), &report(None));
    assert_eq!(other.exit(), Exit::Missing);
    assert!(other.checks(CheckResult::Missing).contains(&"receipt.signature"));
}

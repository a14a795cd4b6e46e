//! Answers against their signatures and the attested key.

use std::path::PathBuf;
use std::sync::Arc;

use broker_core::{Address, Digest32, LocalSigner, Signer, signed_text};
use serde_json::{Value, json};
use tee_sidecar::auditor::{AnswerFiles, audit_answer};
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;

use crate::support::{Desk, Judged, NONCE, address, identities, report, runtime, service, signer};

const REQUEST: &[u8] = br#"{"messages":[]}"#;
const RESPONSE: &[u8] = b"data: {}\n\ndata: [DONE]\n\n";

fn signature_by(signer: &LocalSigner) -> Value {
    let text = signed_text(&Digest32::sha256(REQUEST), &Digest32::sha256(RESPONSE));
    json!({
        "text": text,
        "signature": signer.sign_text(&text).unwrap().to_string(),
        "signing_address": signer.address().to_string(),
        "signing_algo": "ecdsa",
        "simulated": true,
    })
}

fn files(desk: &Desk, request: &[u8], response: &[u8], signature: &Value) -> AnswerFiles {
    AnswerFiles {
        request: desk.file("request", request),
        response: desk.file("response", response),
        signature: desk.file("signature.json", signature.to_string().as_bytes()),
        report: Some(desk.file("attested.json", report(None).to_string().as_bytes())),
        address: None,
    }
}

fn judge(desk: &Desk, files: &AnswerFiles) -> Judged {
    Judged(audit_answer(files, &desk.options))
}

#[test]
fn an_answers_bytes_its_signature_and_the_attested_key_are_one() {
    let desk = Desk::new();
    judge(&desk, &files(&desk, REQUEST, RESPONSE, &signature_by(&signer()))).proved();
}

#[test]
fn other_bytes_on_either_side_are_refused() {
    let desk = Desk::new();
    let signature = signature_by(&signer());
    judge(&desk, &files(&desk, b"{}", RESPONSE, &signature)).refuted_by(&["answer"]);
    judge(&desk, &files(&desk, REQUEST, b"{}", &signature)).refuted_by(&["answer"]);
    let crlf = b"data: {}\r\n\r\ndata: [DONE]\r\n\r\n";
    judge(&desk, &files(&desk, REQUEST, crlf, &signature)).refuted_by(&["answer"]);
}

#[test]
fn a_signature_of_another_key_is_not_the_reports() {
    let desk = Desk::new();
    let other = LocalSigner::from_secret(&[8; 32]).unwrap();
    let forged = signature_by(&other);
    judge(&desk, &files(&desk, REQUEST, RESPONSE, &forged)).refuted_by(&["answer.signer"]);
    // It may even name the right address.
    let mut lying = forged;
    lying["signing_address"] = Value::from(address().to_string());
    judge(&desk, &files(&desk, REQUEST, RESPONSE, &lying)).refuted_by(&["answer"]);
}

#[test]
fn without_a_report_or_an_address_nothing_says_whose_key_it_is() {
    let desk = Desk::new();
    let mut files = files(&desk, REQUEST, RESPONSE, &signature_by(&signer()));
    files.report = None;
    assert_eq!(judge(&desk, &files).exit(), Exit::Missing);
    files.address = Some(address());
    judge(&desk, &files).proved();
    files.address = Some(Address([1; 20]));
    judge(&desk, &files).refuted_by(&["answer.signer"]);
}

#[test]
fn a_report_that_does_not_hold_vouches_for_nobody() {
    let desk = Desk::new();
    let mut files = files(&desk, REQUEST, RESPONSE, &signature_by(&signer()));
    let mut spoiled = report(None);
    spoiled["report_data"] = Value::from("00".repeat(64));
    files.report = Some(desk.file("attested.json", spoiled.to_string().as_bytes()));
    judge(&desk, &files).refuted_by(&["report.report_data"]);
    let mut bare = report(None);
    bare.as_object_mut().unwrap().remove("nvidia_payload");
    files.report = Some(desk.file("attested.json", bare.to_string().as_bytes()));
    assert_eq!(judge(&desk, &files).exit(), Exit::Missing);
}

/// An ACI report attests the keys of receipts: of the signer of answers it says nothing.
#[test]
fn a_report_about_keysets_only_is_not_enough_for_a_signature() {
    let desk = Desk::new();
    let mut files = files(&desk, REQUEST, RESPONSE, &signature_by(&signer()));
    let reports = service(Arc::new(signer()), identities(2), None);
    let report = runtime().block_on(reports.aci_report_for(Some(NONCE), None)).unwrap();
    files.report = Some(desk.file("attested.json", &report));
    let judged = judge(&desk, &files);
    assert_eq!(judged.checks(CheckResult::Missing), ["answer.signer"], "{:#?}", judged.0);
    assert_eq!(judged.exit(), Exit::Missing);
}

#[test]
fn a_simulated_signature_is_refused_by_default() {
    let mut desk = Desk::new();
    desk.options.policy = None;
    let files = files(&desk, REQUEST, RESPONSE, &signature_by(&signer()));
    judge(&desk, &files).refuted_by(&["answer.simulated", "simulated"]);
}

#[test]
fn files_that_are_missing_or_no_signature_are_told_apart() {
    let desk = Desk::new();
    let mut files = files(&desk, REQUEST, RESPONSE, &json!({"text": 1}));
    assert_eq!(judge(&desk, &files).exit(), Exit::Malformed);
    files.signature = PathBuf::from("/no/such/file");
    assert_eq!(judge(&desk, &files).exit(), Exit::Missing);
}

//! Reports of Attested Confidential Inference, the head of the receipt log, and the line of
//! keysets: a report that proves, one thing changed, and the check that has to notice.

use std::sync::Arc;

use broker_core::keyset::ReceiptKey;
use broker_core::log::LogHead;
use broker_core::statement::Author;
use broker_core::{
    Clock as _, Digest32, Ledger as _, LocalSigner, MemoryLedger, Signer, Timestamp, spawn_writer,
};
use serde_json::{Value, json};
use tee_sidecar::attest::{KeysetKeeper, ReportQuery, ReportService};
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::{Asked, CheckResult, Materials, audit_report};
use tee_sidecar::evidence::policy::Policy;
use tee_sidecar::evidence::saved::parse_reports;
use tee_sidecar::evidence::simulator::Knobs;
use tee_sidecar::evidence::{Nonce32, ReportData};
use tee_sidecar::identity::Identities;

use crate::support::{
    Desk, NONCE, NOW_SECS, Then, address, identities, nonce, quote_of, report, runtime, service,
    signer,
};

type Edit = fn(&mut Value);

const HEAD: LogHead = LogHead {
    log: Digest32([0x5e; 32]),
    size: 7,
    root: Digest32([0xab; 32]),
    at: Timestamp(NOW_SECS * 1000),
};

/// A machine whose ledger kept these keysets before, as (receipt key, signer of answers), and keeps
/// its own; what it answers.
fn with_past<T>(past: &[(u8, u8)], ask: impl AsyncFnOnce(&ReportService) -> T) -> T {
    runtime().block_on(async {
        let ledger = MemoryLedger::new();
        let reader = ledger.reader().unwrap();
        let ledger = spawn_writer(Box::new(ledger), Arc::new(Then));
        let mut last = None;
        for (receipts, signer) in past.iter().copied().chain([(2, 7)]) {
            let signer: Arc<dyn Signer> =
                Arc::new(LocalSigner::from_secret(&[signer; 32]).unwrap());
            let identities = identities(receipts);
            let reports = service(signer.clone(), identities.clone(), None);
            reports.show_log(|identity| Some(HEAD.sign(identity.author())));
            let (ledger, reader, clock) = (ledger.clone(), reader.clone(), Arc::new(Then));
            let kept = reports.clone();
            let keeper = KeysetKeeper { reports, identities, signer, ledger, reader, clock };
            keeper.keep().await.unwrap();
            last = Some(kept);
        }
        ask(&last.unwrap()).await
    })
}

pub(crate) fn aci(past: &[(u8, u8)], nonce: Option<&str>) -> Value {
    let asked = async |one: &ReportService| one.aci_report_for(nonce, None).await.unwrap();
    serde_json::from_slice(&with_past(past, asked)).unwrap()
}

fn bound(past: &[(u8, u8)]) -> Value {
    let (nonce, binding) = (Some(NONCE.to_owned()), Some("v2".to_owned()));
    let query = ReportQuery { nonce, binding, ..ReportQuery::default() };
    let asked = async |one: &ReportService| one.report(&query).await.unwrap();
    let mut report: Value = serde_json::from_slice(&with_past(past, asked)).unwrap();
    report.as_object_mut().unwrap().remove("all_attestations");
    report
}

fn keyset_digest() -> Digest32 {
    identities(2).at(Then.now()).digest()
}

/// Its quote over another statement, by the same machine.
fn requote(report: &mut Value, data: &ReportData) {
    let evidence = &mut report["attestation"]["evidence"];
    evidence["quote"] = quote_of(Knobs::default(), data).0.into();
    evidence["quote_report_data"] = data.to_string().into();
    report["attestation"]["report_data"] = hex::encode(data.first_half()).into();
}

#[test]
fn an_aci_report_proves_keyset_and_nonce() {
    let judged = Desk::new().judge(&aci(&[], Some(NONCE)));
    judged.proved();
    let proved = judged.checks(CheckResult::Proved);
    for check in ["keyset", "report_data", "nonce", "keyset.expiry", "keyset.keys", "gpu0.nonce"] {
        assert!(proved.contains(&check), "{check}: {proved:?}");
    }
    let open = judged.checks(CheckResult::NotChecked);
    for check in ["provenance", "custody", "tls", "key_lineage", "ledger_head"] {
        assert!(open.contains(&check), "{check}: {open:?}");
    }
    assert_eq!(judged.0.unwrap().findings.iter().filter(|one| one.check == "aci").count(), 0);
}

#[test]
fn a_report_for_everybody_proves_the_keyset_and_no_freshness() {
    let report = aci(&[], None);
    assert_eq!(report["attestation"]["evidence"]["request_nonce"], Value::Null);
    let mut desk = Desk::new();
    desk.judge(&report).refuted_by(&["nonce", "gpu.nonce", "gpu0.nonce"]);
    desk.options.nonce = None;
    let judged = desk.judge(&report);
    judged.proved();
    assert!(judged.checks(CheckResult::NotChecked).contains(&"nonce"));
    assert!(judged.checks(CheckResult::Proved).contains(&"gpu0.nonce"), "the GPUs name the keyset");
}

#[test]
fn an_aci_report_of_another_nonce_is_an_old_one() {
    let report = aci(&[], Some(NONCE));
    let mut desk = Desk::new();
    desk.options.nonce = Some(Nonce32::from_bytes([9; 32]));
    desk.judge(&report).refuted_by(&["nonce"]);
    let mut relabelled = report.clone();
    relabelled["attestation"]["evidence"]["request_nonce"] = "09".repeat(32).into();
    let judged = desk.judge(&relabelled);
    assert!(judged.checks(CheckResult::Refuted).contains(&"report_data"), "{:#?}", judged.0);
    // Without any nonce at hand nothing can be recomputed.
    let mut silent = report;
    silent["attestation"]["evidence"]["request_nonce"] = Value::Null;
    Desk::new().judge(&silent).proved();
    desk.options.nonce = None;
    let judged = desk.judge(&silent);
    assert!(judged.checks(CheckResult::Missing).contains(&"nonce"), "{:#?}", judged.0);
    assert_ne!(judged.exit(), Exit::Done);
}

#[test]
fn whatever_an_aci_report_restates_is_compared() {
    let edits: [(&str, Edit); 10] = [
        ("aci", |r| r["api_version"] = json!("aci/2")),
        ("aci", |r| r["attestation"]["tee_type"] = json!("sev_snp")),
        ("keyset", |r| r["workload_keyset_digest"] = json!(format!("sha256:{}", "0".repeat(64)))),
        ("report.report_data", |r| r["attestation"]["report_data"] = json!("00".repeat(32))),
        ("report.report_data", |r| r["attestation"]["report_data"] = json!("")),
        ("report.report_data", |r| {
            r["attestation"]["evidence"]["quote_report_data"] = json!("00".repeat(64));
        }),
        ("compose", |r| {
            r["attestation"]["evidence"]["info"]["tcb_info"]["app_compose"] = json!("{}");
            r["attestation"]["evidence"]["app_compose"] = json!("{}");
        }),
        ("report_data", |r| r["attestation"]["workload_keyset"]["subject"] = json!("me")),
        ("report_data", |r| {
            r["attestation"]["workload_keyset"]["not_after"] = json!(NOW_SECS + 1);
        }),
        ("report_data", |r| {
            let keys = &mut r["attestation"]["workload_keyset"]["receipt_signing_keys"];
            let foreign = ReceiptKey::from_secret(&[3; 32]).public_key();
            keys[0]["public_key"] = json!(hex::encode(foreign));
        }),
    ];
    for (check, edit) in edits {
        let mut report = aci(&[], Some(NONCE));
        edit(&mut report);
        let judged = Desk::new().judge(&report);
        assert_eq!(judged.exit(), Exit::Refuted, "{check}: {:#?}", judged.0);
        assert!(judged.checks(CheckResult::Refuted).contains(&check), "{check}: {:#?}", judged.0);
    }
}

#[test]
fn what_an_aci_report_lacks_is_missing() {
    let edits: [(&str, Edit); 6] = [
        ("keyset", |r| drop(r["attestation"].as_object_mut().unwrap().remove("workload_keyset"))),
        ("keyset", |r| drop(r.as_object_mut().unwrap().remove("workload_keyset_digest"))),
        ("aci", |r| drop(r.as_object_mut().unwrap().remove("api_version"))),
        ("aci", |r| drop(r["attestation"].as_object_mut().unwrap().remove("tee_type"))),
        ("report.report_data", |r| {
            drop(r["attestation"].as_object_mut().unwrap().remove("report_data"));
        }),
        ("quote", |r| drop(r["attestation"].as_object_mut().unwrap().remove("evidence"))),
    ];
    for (check, edit) in edits {
        let mut report = aci(&[], Some(NONCE));
        edit(&mut report);
        let judged = Desk::new().judge(&report);
        assert_ne!(judged.exit(), Exit::Done, "{check}");
        assert!(judged.checks(CheckResult::Missing).contains(&check), "{check}: {:#?}", judged.0);
    }
}

#[test]
fn the_keysets_spelling_is_free_and_another_kind_of_number_is_none() {
    let report = aci(&[], Some(NONCE)).to_string();
    let keyset = identities(2).at(Then.now()).keyset().to_owned();
    assert!(report.contains(&keyset));
    let spaced = keyset.replace(':', " : ").replace(',', ",\n");
    Desk::new().judge_bytes(report.replace(&keyset, &spaced).as_bytes()).proved();
    let twice = keyset.replacen('{', "{\"subject\":null,", 1);
    let judged = Desk::new().judge_bytes(report.replace(&keyset, &twice).as_bytes());
    assert_eq!(judged.exit(), Exit::Malformed);
    let float = keyset.replacen("\"not_after\":", "\"not_after\":1.", 1);
    let judged = Desk::new().judge_bytes(report.replace(&keyset, &float).as_bytes());
    assert_eq!(judged.exit(), Exit::Malformed);
}

#[test]
fn a_keyset_past_its_time_or_valid_for_too_long_is_refused() {
    let report = aci(&[], Some(NONCE));
    let until = report["attestation"]["workload_keyset"]["not_after"].as_u64().unwrap();
    for (at, good) in [(until - 1, true), (until, false), (until + 1, false)] {
        let mut desk = Desk::new();
        desk.options.at = Some(at);
        let refuted = desk.judge(&report);
        let expired = refuted.checks(CheckResult::Refuted).contains(&"keyset.expiry");
        assert_eq!(expired, !good, "{at}");
    }
    let strict = "simulated: accept\nkeyset: {validSecsMax: 60}";
    Desk::new().policy(strict).judge(&report).refuted_by(&["keyset.expiry"]);
}

#[test]
fn another_layouts_quote_does_not_carry_the_statement() {
    let digest = keyset_digest();
    for data in [
        ReportData::ecdsa_and_nonce(address(), &nonce()),
        ReportData::aci(&Digest32([1; 32]), Some(&nonce())),
        ReportData::aci(&digest, Some(&Nonce32::from_bytes([9; 32]))),
    ] {
        let mut replayed = aci(&[], Some(NONCE));
        requote(&mut replayed, &data);
        let judged = Desk::new().judge(&replayed);
        assert!(judged.checks(CheckResult::Refuted).contains(&"report_data"), "{:#?}", judged.0);
    }
    // The form for everybody in the place of a fresh one.
    let mut stale = aci(&[], Some(NONCE));
    requote(&mut stale, &ReportData::aci(&digest, None));
    Desk::new().judge(&stale).refuted_by(&["nonce"]);
}

#[test]
fn the_connection_has_to_end_at_a_tls_key_of_the_keyset() {
    let [own, other] = [1, 2].map(|byte| Digest32([byte; 32]));
    let of = |spki| {
        let key = ReceiptKey::from_secret(&[2; 32]);
        let identities = Arc::new(Identities::new(key, spki, Then.now()));
        let reports = service(Arc::new(signer()), identities, None);
        let bytes = runtime().block_on(reports.aci_report_for(Some(NONCE), None)).unwrap();
        parse_reports(&bytes).unwrap().remove(0)
    };
    let (listed, unlisted) = (of(Some(own)), of(None));
    use CheckResult::{Missing, NotChecked, Proved, Refuted};
    for (report, tls_peer, tls, wanted) in [
        (&listed, Some(own), true, Proved),
        (&listed, Some(other), false, Refuted),
        (&listed, None, true, Missing),
        (&listed, None, false, NotChecked),
        (&unlisted, Some(own), false, NotChecked),
        (&unlisted, Some(own), true, Missing),
    ] {
        let materials = Materials {
            now_secs: NOW_SECS,
            nonce: Some(nonce()),
            collateral: None,
            rims: &[],
            ocsp: &[],
            nras: None,
            tls_peer,
            asked: Asked { binding_v2: false, tls },
        };
        let audit = audit_report(report, &materials, &Policy::default());
        let found: Vec<_> = audit.findings.iter().filter(|one| one.check == "tls").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].result, wanted, "{tls_peer:?} {tls}");
    }
}

#[test]
fn provenance_counts_as_far_as_it_is_measured() {
    let report = aci(&[], Some(NONCE));
    let asked = "simulated: accept\nkeyset: {provenance: required}";
    let judged = Desk::new().policy(asked).judge(&report);
    assert_eq!(judged.checks(CheckResult::Missing), ["provenance"]);
    let compose = report["attestation"]["evidence"]["app_compose"].as_str().unwrap();
    let hash = Digest32::sha256(compose.as_bytes());
    let named = format!("{asked}\ntd: {{composeHash: ['{hash}']}}");
    let judged = Desk::new().policy(&named).judge(&report);
    judged.proved();
    assert!(judged.checks(CheckResult::Proved).contains(&"provenance"));
}

#[test]
fn the_own_binding_covers_the_head_of_the_log_and_the_keyset_that_it_names() {
    let report = bound(&[]);
    let judged = Desk::new().judge(&report);
    judged.proved();
    let proved = judged.checks(CheckResult::Proved);
    for check in ["log_head", "keyset", "keyset.expiry"] {
        assert!(proved.contains(&check), "{check}: {proved:?}");
    }
    let edits: [(&str, Edit); 7] = [
        ("log_head", |r| r["log_head"]["tree_size"] = json!(8)),
        ("log_head", |r| r["binding"]["log_head_sha256"] = Value::Null),
        ("report_data", |r| r["binding"]["log_head_sha256"] = json!("00".repeat(32))),
        ("report_data", |r| {
            r["binding"]["log_head_sha256"] = Value::Null;
            r["log_head"] = Value::Null;
        }),
        ("keyset", |r| {
            r["binding"]["log_head_sha256"] = Value::Null;
            r["log_head"] = Value::Null;
        }),
        ("log_head", |r| r["workload_keyset"]["not_after"] = json!(NOW_SECS + 5)),
        ("log_head", |r| {
            // Another head, properly signed by another key.
            let key = ReceiptKey::from_secret(&[3; 32]);
            let other = HEAD.sign(Author { key: &key, keyset: keyset_digest() });
            r["binding"]["log_head_sha256"] = json!(Digest32::sha256(other.as_bytes()).to_string());
            r["log_head"] = serde_json::from_str(&other).unwrap();
        }),
    ];
    for (check, edit) in edits {
        let mut report = report.clone();
        edit(&mut report);
        let judged = Desk::new().judge(&report);
        assert_eq!(judged.exit(), Exit::Refuted, "{check}: {:#?}", judged.0);
        assert!(judged.checks(CheckResult::Refuted).contains(&check), "{check}: {:#?}", judged.0);
    }
    for field in ["log_head", "workload_keyset"] {
        let mut report = report.clone();
        report[field] = Value::Null;
        let judged = Desk::new().judge(&report);
        assert_eq!(judged.exit(), Exit::Missing, "{field}: {:#?}", judged.0);
    }
}

#[test]
fn other_layouts_carry_no_head() {
    let mut plain = report(None);
    Desk::new().judge(&plain).proved();
    let bound = bound(&[]);
    plain["log_head"] = bound["log_head"].clone();
    Desk::new().judge(&plain).refuted_by(&["log_head"]);
    plain["log_head"] = Value::Null;
    plain["workload_keyset"] = bound["workload_keyset"].clone();
    Desk::new().judge(&plain).refuted_by(&["keyset"]);
}

#[test]
fn a_line_of_keysets_holds_under_one_signer_and_is_said_to_be_broken_under_another() {
    let required = "simulated: accept\nkeyset: {lineage: required}";
    for past in [&[(5, 7)][..], &[(4, 8), (5, 7)]] {
        let report = bound(past);
        assert_eq!(report["key_lineage"]["state"], "holds");
        let judged = Desk::new().policy(required).judge(&report);
        let told = judged.details("key_lineage", CheckResult::Proved);
        assert!(told.contains("vouches for this keyset"), "{told}");
    }
    // A ledger that forgot what was before says the same as one that begins.
    let first = bound(&[]);
    let judged = Desk::new().judge(&first);
    assert!(judged.details("key_lineage", CheckResult::NotChecked).contains("nothing before it"));
    let judged = Desk::new().policy(required).judge(&first);
    assert_eq!(judged.checks(CheckResult::Missing), ["key_lineage"]);
    let broken = bound(&[(5, 8)]);
    assert_eq!(broken["key_lineage"]["state"], "broken");
    let judged = Desk::new().judge(&broken);
    assert!(judged.details("key_lineage", CheckResult::NotChecked).contains("BROKEN"));
    Desk::new().policy(required).judge(&broken).refuted_by(&["key_lineage"]);
    // A report of the common shape says nothing of keysets.
    let judged = Desk::new().policy(required).judge(&report(None));
    assert_eq!(judged.checks(CheckResult::Missing), ["key_lineage"]);
    // The quote of an ACI report does not bind who vouches.
    let judged = Desk::new().policy(required).judge(&aci(&[(5, 7)], Some(NONCE)));
    assert_eq!(judged.checks(CheckResult::Missing), ["key_lineage"]);
}

#[test]
fn a_lineage_that_says_more_than_was_signed_is_refuted() {
    let edits: [Edit; 6] = [
        |r| r["key_lineage"]["state"] = json!("holds"),
        |r| r["key_lineage"]["state"] = json!("first"),
        |r| r["key_lineage"]["previous"] = Value::Null,
        |r| r["key_lineage"]["signing_address"] = json!(format!("0x{}", "ab".repeat(20))),
        |r| {
            // A signer of their own for both, as one without the key would have to do.
            let own = bound(&[(4, 8), (5, 8)])["key_lineage"].clone();
            r["key_lineage"]["previous_statement"] = own["previous_statement"].clone();
        },
        |r| r["key_lineage"]["statement"] = r["key_lineage"]["previous_statement"].clone(),
    ];
    let broken = bound(&[(5, 8)]);
    for edit in edits.iter().take(4).chain(&edits[5..]) {
        let mut report = broken.clone();
        edit(&mut report);
        let judged = Desk::new().judge(&report);
        assert_eq!(judged.exit(), Exit::Refuted, "{:#?}", judged.0);
        assert_eq!(judged.checks(CheckResult::Refuted), ["key_lineage"]);
    }
    let mut exchanged = bound(&[(5, 7)]);
    edits[4](&mut exchanged);
    Desk::new().judge(&exchanged).refuted_by(&["key_lineage"]);
}

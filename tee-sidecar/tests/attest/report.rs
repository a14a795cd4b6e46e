//! Reports as clients get them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tee_sidecar::attest::{AttestError, ReportError, ReportQuery};
use tee_sidecar::evidence::simulator::{Knobs, SoftwarePlatform};
use tee_sidecar::evidence::tdx::{TcbPolicy, TcbStatus, verify_quote};
use tee_sidecar::evidence::{Nonce32, ReportData};

use crate::support::{
    Fault, Faulty, NONCE, NOW_SECS, ask, quoted_report_data, service, service_of, signer,
    with_nonce,
};

fn bound(nonce: &str) -> Vec<u8> {
    let nonce = Nonce32::parse(nonce).unwrap();
    ReportData::ecdsa_and_nonce(signer().address(), &nonce).as_bytes().to_vec()
}

/// The report with its quotes reduced to what a reader of the file can check.
fn masked(mut report: Value) -> Value {
    fn mask(report: &mut Value) {
        for field in ["intel_quote", "quote"] {
            assert!(hex::decode(report[field].as_str().unwrap()).unwrap().len() > 1000);
            report[field] = Value::from("(hex)");
        }
    }
    mask(&mut report);
    mask(&mut report["all_attestations"][0]);
    report
}

#[tokio::test]
async fn the_reports_shape_is_the_golden_file() {
    let report = masked(ask(&service(), &with_nonce(NONCE)).await.unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/attestation_report.json");
    let got = format!("{}\n", serde_json::to_string_pretty(&report).unwrap());
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if got != golden {
        let seen = std::env::temp_dir().join("attestation_report.json");
        std::fs::write(&seen, got).unwrap();
        panic!("the report is not fixtures/attestation_report.json; it is in {}", seen.display());
    }
}

#[tokio::test]
async fn every_field_has_the_type_that_verifiers_read() {
    let report = ask(&service(), &with_nonce(NONCE)).await.unwrap();
    for text in ["event_log", "vm_config", "nvidia_payload", "signing_address", "report_data"] {
        assert!(report[text].is_string(), "{text}");
    }
    assert!(report["info"]["vm_config"].is_string());
    assert!(report["info"]["tcb_info"].is_object());
    assert!(report["info"]["tcb_info"]["app_compose"].is_string());
    assert_eq!(report["intel_quote"], report["quote"]);
    assert_eq!(report["signing_public_key"].as_str().unwrap().len(), 128);
    assert_eq!(report["signing_address"], signer().address().to_string());
    assert_eq!(report["simulated"], true);
    assert_eq!(report["gpu_status"], "none");

    let own = &report["all_attestations"][0];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut expected = keys(&report);
    expected.remove("all_attestations");
    assert_eq!(keys(own), expected, "itself, without nesting");
    assert!(own.as_object().unwrap().iter().all(|(key, value)| &report[key] == value));

    let payload: Value = serde_json::from_str(report["nvidia_payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload, serde_json::json!({"nonce": NONCE, "evidence_list": [], "arch": "NONE"}));
}

#[tokio::test]
async fn a_report_verifies_as_an_auditor_would_verify_it() {
    let platform = Arc::new(SoftwarePlatform::new().unwrap());
    let report = ask(&service_of(platform.clone()), &with_nonce(NONCE)).await.unwrap();
    let quote = hex::decode(report["intel_quote"].as_str().unwrap()).unwrap();
    let root = platform.trust_root();
    let policy = TcbPolicy::default();
    let verified =
        verify_quote(&quote, platform.own_collateral(), &root, NOW_SECS, &policy).unwrap();
    assert_eq!(verified.fields.report_data.as_slice(), bound(NONCE));
    assert_eq!(report["report_data"], hex::encode(verified.fields.report_data));
}

/// A8.
#[tokio::test]
async fn a_nonce_of_upper_case_is_taken_and_echoed_in_lower_case() {
    let report = ask(&service(), &with_nonce(&NONCE.to_uppercase())).await.unwrap();
    assert_eq!(report["request_nonce"], NONCE);
    assert_eq!(quoted_report_data(&report), bound(NONCE));
}

/// A8.
#[tokio::test]
async fn a_nonce_of_another_form_is_refused_before_any_quote_is_made() {
    let attester = Faulty::new(Fault::Nothing);
    let service = service_of(attester.clone());
    for bad in ["", &NONCE[1..], &"z".repeat(64), &format!("0x{NONCE}"), &format!("{NONCE}00")] {
        let refused = ask(&service, &with_nonce(bad)).await.unwrap_err();
        assert!(matches!(refused, ReportError::BadNonce(_)), "{bad:?}: {refused}");
        assert!(refused.to_string().contains("64 hex digits"));
    }
    assert_eq!(attester.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_nonce_one_report_serves_everybody_for_300_seconds() {
    let attester = Faulty::new(Fault::Slow(1));
    let service = service_of(attester.clone());
    let any = ReportQuery::default();
    let reports = futures_util::future::join_all((0..50).map(|_| service.report(&any))).await;
    let first = reports[0].clone().unwrap();
    assert!(reports.iter().all(|report| report.as_ref() == Ok(&first)));
    assert_eq!(attester.asked(), 1);

    tokio::time::advance(Duration::from_secs(290)).await;
    assert_eq!(service.report(&any).await.unwrap(), first);
    tokio::time::advance(Duration::from_secs(11)).await;
    let second: Value = serde_json::from_slice(&service.report(&any).await.unwrap()).unwrap();
    let first: Value = serde_json::from_slice(&first).unwrap();
    assert_ne!(first["request_nonce"], second["request_nonce"]);
    assert_eq!(attester.asked(), 2);
    let nonce = second["request_nonce"].as_str().unwrap();
    assert_eq!(quoted_report_data(&second), bound(nonce));
}

/// A9.
#[tokio::test]
async fn every_nonce_gets_a_quote_of_its_own() {
    let attester = Faulty::new(Fault::Nothing);
    let service = service_of(attester.clone());
    for byte in 0..5_u8 {
        let nonce = hex::encode([byte; 32]);
        let report = ask(&service, &with_nonce(&nonce)).await.unwrap();
        assert_eq!(quoted_report_data(&report), bound(&nonce));
    }
    ask(&service, &with_nonce(NONCE)).await.unwrap();
    ask(&service, &with_nonce(NONCE)).await.unwrap();
    assert_eq!(attester.asked(), 7, "the same nonce twice is two quotes");
}

/// A1.
#[tokio::test(start_paused = true)]
async fn after_100_cancelled_requests_the_next_nonce_is_the_right_one() {
    let service = service_of(Faulty::new(Fault::Slow(2)));
    for byte in 0..100_u8 {
        let query = with_nonce(&hex::encode([byte; 32]));
        let cancelled = tokio::time::timeout(Duration::from_secs(1), service.report(&query)).await;
        assert!(cancelled.is_err());
    }
    let report = ask(&service, &with_nonce(NONCE)).await.unwrap();
    assert_eq!(quoted_report_data(&report), bound(NONCE));
    assert_eq!(report["request_nonce"], NONCE);
}

#[tokio::test(start_paused = true)]
async fn callers_without_a_nonce_who_leave_start_one_quote_and_take_nothing_with_them() {
    let attester = Faulty::new(Fault::Slow(2));
    let service = service_of(attester.clone());
    let any = ReportQuery::default();
    for _ in 0..100 {
        let left = tokio::time::timeout(Duration::from_millis(1), service.report(&any)).await;
        assert!(left.is_err());
    }
    ask(&service, &any).await.unwrap();
    assert_eq!(attester.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_grows_old_is_made_again_while_it_is_still_served() {
    let attester = Faulty::new(Fault::Slow(2));
    let service = service_of(attester.clone());
    let any = ReportQuery::default();
    let first = service.report(&any).await.unwrap();
    tokio::time::advance(Duration::from_secs(200)).await;
    let asked = tokio::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(service.report(&any).await.unwrap(), first);
    }
    assert_eq!(asked.elapsed(), Duration::ZERO, "nobody waits for the next one");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_ne!(service.report(&any).await.unwrap(), first);
    assert_eq!(attester.asked(), 2);
}

/// A7.
#[tokio::test(start_paused = true)]
async fn a_flood_of_nonces_is_bounded_and_refused_beyond_the_bound() {
    let attester = Faulty::new(Fault::Slow(1));
    let service = service_of(attester.clone());
    let queries: Vec<_> = (0..200_u8).map(|byte| with_nonce(&hex::encode([byte; 32]))).collect();
    let started = tokio::time::Instant::now();
    let reports =
        futures_util::future::join_all(queries.iter().map(|query| service.report(query))).await;
    let good = reports.iter().filter(|report| report.is_ok()).count();
    assert!((40..=44).contains(&good), "{good}: four at a time, as far as one waits");
    assert!(reports.iter().all(|r| r.is_ok() || r.as_ref() == Err(&ReportError::Busy)));
    assert_eq!(attester.asked(), good);
    assert!(started.elapsed().as_secs() <= 11, "nobody waits for longer");
}

/// A6.
#[tokio::test(start_paused = true)]
async fn a_failing_tee_gives_an_error_and_never_an_empty_or_foreign_quote() {
    for fault in [Fault::NoQuote, Fault::EmptyQuote, Fault::OtherReportData, Fault::Slow(11)] {
        let service = service_of(Faulty::new(fault));
        for query in [with_nonce(NONCE), ReportQuery::default()] {
            let refused = ask(&service, &query).await.unwrap_err();
            assert!(matches!(refused, ReportError::NoEvidence(_)), "{refused}");
        }
        assert!(service.self_check().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_failing_attempt_share_its_error_and_later_ones_try_again() {
    let attester = Faulty::new(Fault::NoQuote);
    let service = service_of(attester.clone());
    let any = ReportQuery::default();
    let refused = futures_util::future::join_all((0..20).map(|_| service.report(&any))).await;
    assert!(refused.iter().all(Result::is_err));
    assert_eq!(attester.asked(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(service.report(&any).await.is_err());
    assert_eq!(attester.asked(), 2);
}

/// A5.
#[tokio::test]
async fn a_report_is_given_only_for_our_own_address_in_any_case() {
    let service = service();
    let own = signer().address().to_string();
    let asked = |address: &str| ReportQuery {
        signing_address: Some(address.to_owned()),
        ..with_nonce(NONCE)
    };
    for address in [own.clone(), own.to_lowercase(), own.to_uppercase()] {
        ask(&service, &asked(&address)).await.unwrap();
    }
    let other = format!("0x{}", "ab".repeat(20));
    for address in [other.clone(), other.to_uppercase(), own[..41].to_owned(), String::new()] {
        let refused = ask(&service, &asked(&address)).await.unwrap_err();
        assert_eq!(refused, ReportError::OtherSigner, "{address}");
    }
}

#[tokio::test]
async fn algorithms_and_tls_bindings_that_are_not_offered_are_refused_by_kind() {
    let service = service();
    let algo =
        |name: &str| ReportQuery { signing_algo: Some(name.to_owned()), ..ReportQuery::default() };
    ask(&service, &algo("ecdsa")).await.unwrap();
    assert_eq!(
        ask(&service, &algo("ed25519")).await.unwrap_err(),
        ReportError::AlgorithmNotOffered
    );
    for unknown in ["", "rsa", "ECDSA"] {
        let refused = ask(&service, &algo(unknown)).await.unwrap_err();
        assert_eq!(refused, ReportError::UnknownAlgorithm);
    }

    let tls = |fingerprint: Option<&str>, version: Option<&str>| ReportQuery {
        include_tls_fingerprint: fingerprint.map(str::to_owned),
        version: version.map(str::to_owned),
        ..ReportQuery::default()
    };
    ask(&service, &tls(Some("false"), Some("1"))).await.unwrap();
    for query in [tls(Some("true"), None), tls(None, Some("2")), tls(Some("false"), Some("2"))] {
        assert_eq!(ask(&service, &query).await.unwrap_err(), ReportError::NoTls);
    }
    for query in [tls(Some("yes"), None), tls(None, Some("3"))] {
        let refused = ask(&service, &query).await.unwrap_err();
        assert!(matches!(refused, ReportError::BadParameter { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_client_that_names_a_model_also_finds_the_report_under_model_attestations() {
    let service = service();
    for nonce in [None, Some(NONCE.to_owned())] {
        let query = ReportQuery { nonce, model: Some("any".to_owned()), ..ReportQuery::default() };
        let named = ask(&service, &query).await.unwrap();
        assert_eq!(named["model_attestations"], named["all_attestations"]);
        let plain = ask(&service, &ReportQuery { model: None, ..query }).await.unwrap();
        assert_eq!(plain.get("model_attestations"), None);
    }
}

#[tokio::test]
async fn a_start_proves_its_own_evidence() {
    service().self_check().await.unwrap();
    assert!(service().is_simulated());
}

#[tokio::test]
async fn a_start_with_evidence_that_does_not_hold_is_refused() {
    for knobs in [
        Knobs { tcb_status: TcbStatus::OutOfDate, ..Knobs::default() },
        Knobs { tcb_status: TcbStatus::Revoked, ..Knobs::default() },
        Knobs { debug: true, ..Knobs::default() },
    ] {
        let platform = SoftwarePlatform::with_knobs(knobs).unwrap();
        let refused = service_of(Arc::new(platform)).self_check().await.unwrap_err();
        assert!(matches!(refused, AttestError::SelfCheck(_)), "{refused}");
    }
    let refused = service_of(Faulty::new(Fault::OtherEventLog)).self_check().await.unwrap_err();
    assert!(matches!(refused, AttestError::SelfCheck(_)), "{refused}");
}

#[tokio::test]
async fn a_fresh_report_takes_milliseconds() {
    let service = service();
    let platform = SoftwarePlatform::new().unwrap();
    let data = ReportData::ascii_address(signer().address());
    let started = Instant::now();
    for _ in 0..20 {
        platform.quote_now(&data).unwrap();
    }
    println!("one quote: {:?}", started.elapsed() / 20);
    let started = Instant::now();
    for byte in 0..20_u8 {
        service.report(&with_nonce(&hex::encode([byte; 32]))).await.unwrap();
    }
    let each = started.elapsed() / 20;
    println!("one fresh report: {each:?}");
    assert!(each < Duration::from_millis(200), "{each:?}");
}

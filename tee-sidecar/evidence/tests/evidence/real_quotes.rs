//! Real quotes at the moments for which their results are known.
//!
//! The evidence is not part of the project; without it these tests say so and pass, except in CI.

use std::fs;
use std::path::Path;

use dcap_qvl::QuoteCollateralV3;
use serde_json::Value;
use tee_evidence::event_log::EventLog;
use tee_evidence::simulator::SoftwarePlatform;
use tee_evidence::tdx::{
    TcbPolicy, TcbStatus, TrustRoot, VerifiedQuote, VerifyError, inspect_quote, verify_quote,
};

use crate::support::captured;

fn read_json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

fn collateral(folder: &Path, name: &str) -> QuoteCollateralV3 {
    let path = folder.join("tdx").join(format!("{name}_collateral.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn quote(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join("tdx").join(format!("{name}.bin"))).unwrap()
}

fn hex_field(json: &Value, field: &str) -> Vec<u8> {
    hex::decode(json[field].as_str().unwrap()).unwrap()
}

fn at(
    quote: &[u8],
    collateral: &QuoteCollateralV3,
    now_secs: u64,
    policy: &TcbPolicy,
) -> Result<VerifiedQuote, VerifyError> {
    verify_quote(quote, collateral, &TrustRoot::Intel, now_secs, policy)
}

fn message(refused: Result<VerifiedQuote, VerifyError>) -> String {
    refused.unwrap_err().to_string()
}

#[test]
fn a_version_4_quote_is_up_to_date_in_its_own_time_and_expired_later() {
    let Some(folder) = captured() else { return };
    let (quote, collateral) = (quote(&folder, "tdx_quote"), collateral(&folder, "tdx_quote"));
    let default = TcbPolicy::default();
    let verified = at(&quote, &collateral, 1_751_630_400, &default).unwrap();
    assert_eq!(verified.status, TcbStatus::UpToDate);
    assert_eq!(verified.advisory_ids, Vec::<String>::new());
    assert!(verified.cross_checked);
    assert_eq!(verified.fields.report_data.as_slice(), &quote[568..632]);

    let strict = TcbPolicy { dynamic_platform: false, ..TcbPolicy::default() };
    let refused = message(at(&quote, &collateral, 1_751_630_400, &strict));
    assert!(refused.contains("Dynamic platform is not allowed by policy"), "{refused}");
    let refused = message(at(&quote, &collateral, 1_795_305_600, &default));
    assert!(refused.contains("CrlExpired"), "{refused}");
}

#[test]
fn the_same_quote_is_out_of_date_under_later_collateral() {
    let Some(folder) = captured() else { return };
    let quote = quote(&folder, "tdx_quote");
    let collateral = collateral(&folder, "tdx_quote_td15ex");
    let refused = message(at(&quote, &collateral, 1_792_756_800, &TcbPolicy::default()));
    assert!(refused.contains("OutOfDate"), "{refused}");

    let policy = TcbPolicy { also_accepted: vec![TcbStatus::OutOfDate], ..TcbPolicy::default() };
    let mut verified = at(&quote, &collateral, 1_792_756_800, &policy).unwrap();
    verified.advisory_ids.sort();
    assert_eq!(verified.status, TcbStatus::OutOfDate);
    let advisories = ["01192", "01245", "01312", "01313"].map(|id| format!("INTEL-SA-{id}"));
    assert_eq!(verified.advisory_ids, advisories);
}

#[test]
fn a_platform_without_a_matching_level_is_refused() {
    let Some(folder) = captured() else { return };
    let quote = quote(&folder, "tdx_quote_outdated");
    let collateral = collateral(&folder, "tdx_quote_outdated");
    let refused = message(at(&quote, &collateral, 1_772_300_000, &TcbPolicy::default()));
    assert!(refused.contains("No matching TCB level found"), "{refused}");
}

#[test]
fn a_version_5_quote_verifies_without_the_cross_check_and_says_so() {
    let Some(folder) = captured() else { return };
    let quote = quote(&folder, "tdx_quote_td15ex");
    let collateral = collateral(&folder, "tdx_quote_td15ex");
    let verified = at(&quote, &collateral, 1_792_756_800, &TcbPolicy::default()).unwrap();
    assert_eq!(verified.status, TcbStatus::UpToDate);
    assert!(!verified.cross_checked);
    assert_eq!(verified.fields.report_data.as_slice(), &quote[574..638]);
}

#[test]
fn an_sgx_quote_is_the_wrong_tee() {
    let Some(folder) = captured() else { return };
    let quote = quote(&folder, "sgx_quote");
    let policy = TcbPolicy {
        also_accepted: vec![TcbStatus::ConfigurationAndSWHardeningNeeded],
        ..TcbPolicy::default()
    };
    let refused = at(&quote, &collateral(&folder, "sgx_quote"), 1_751_630_400, &policy);
    assert_eq!(refused, Err(VerifyError::NotTdx(0)));
}

#[test]
fn a_near_report_verifies_binds_its_key_and_replays() {
    let Some(folder) = captured() else { return };
    let report = read_json(&folder, "reports/near_ecdsa_registry/near_report.json");
    let report = &report["model_attestations"][0];
    let collateral = collateral(&folder, "tdx_quote_outdated");
    let quote = hex_field(report, "intel_quote");
    let verified = at(&quote, &collateral, 1_773_500_000, &TcbPolicy::default()).unwrap();
    assert_eq!(verified.status, TcbStatus::UpToDate);
    assert!(verified.cross_checked);

    let address = report["signing_address"].as_str().unwrap().trim_start_matches("0x");
    let nonce = report["request_nonce"].as_str().unwrap();
    let bound = format!("{address}{}{nonce}", "00".repeat(12));
    assert_eq!(hex::encode(verified.fields.report_data), bound);

    let log = EventLog::parse(&report["event_log"].to_string()).unwrap();
    let log = log.verify(&verified.fields.rtmrs).unwrap();
    let composed = report["info"]["compose_hash"].as_str().unwrap();
    assert_eq!(log.payload("compose-hash").map(hex::encode).as_deref(), Some(composed));
}

#[test]
fn a_dstack_answer_verifies_and_replays() {
    let Some(folder) = captured() else { return };
    let answer = read_json(&folder, "tdx/dstack_getquote_report.json");
    let collateral = collateral(&folder, "tdx_quote_outdated");
    let quote = hex_field(&answer, "quote");
    let verified = at(&quote, &collateral, 1_772_300_000, &TcbPolicy::default()).unwrap();
    assert_eq!(verified.status, TcbStatus::UpToDate);
    assert_eq!(verified.fields.report_data.as_slice(), hex_field(&answer, "report_data"));

    let log = EventLog::parse(answer["event_log"].as_str().unwrap()).unwrap();
    let log = log.verify(&verified.fields.rtmrs).unwrap();
    assert_eq!(log.payload("compose-hash").map(<[u8]>::len), Some(32));
}

#[test]
fn a_real_quote_is_refused_under_the_simulated_root() {
    let Some(folder) = captured() else { return };
    let (quote, collateral) = (quote(&folder, "tdx_quote"), collateral(&folder, "tdx_quote"));
    let root = SoftwarePlatform::new().unwrap().trust_root();
    let policy = TcbPolicy::default();
    assert!(verify_quote(&quote, &collateral, &root, 1_751_630_400, &policy).is_err());
}

#[test]
fn a_real_quote_cut_at_any_length_that_drops_signed_bytes_is_refused() {
    let Some(folder) = captured() else { return };
    for (name, now_secs) in [("tdx_quote", 1_751_630_400), ("tdx_quote_td15ex", 1_792_756_800)] {
        let (quote, collateral) = (quote(&folder, name), collateral(&folder, name));
        let padding = quote.iter().rev().take_while(|byte| **byte == 0).count();
        for length in (0..quote.len() - padding).step_by(7) {
            let refused = at(&quote[..length], &collateral, now_secs, &TcbPolicy::default());
            assert!(refused.is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn the_own_signatures_of_real_quotes_lead_to_intels_root_without_collateral() {
    let Some(folder) = captured() else { return };
    for (name, now_secs, cross_checked) in [
        ("tdx_quote", 1_751_630_400, true),
        ("tdx_quote_outdated", 1_772_300_000, false),
        ("tdx_quote_td15ex", 1_792_756_800, false),
    ] {
        let quote = quote(&folder, name);
        let inspected = inspect_quote(&quote, &TrustRoot::Intel, now_secs).unwrap();
        assert_eq!(inspected.cross_checked, cross_checked, "{name}");
        assert!(!inspected.fields.debug);
        let root = SoftwarePlatform::new().unwrap().trust_root();
        let refused = inspect_quote(&quote, &root, now_secs).unwrap_err();
        assert!(matches!(refused, VerifyError::Chain(_)), "{refused}");
        // One bit in the body, in the attestation key, in the enclave's report and its signature.
        for position in [60, 600, 700 + 64, 900, 1_200] {
            let mut changed = quote.clone();
            changed[position] ^= 1;
            let refused = inspect_quote(&changed, &TrustRoot::Intel, now_secs).unwrap_err();
            assert!(matches!(refused, VerifyError::Forged(_)), "{name} {position}: {refused}");
        }
    }
}

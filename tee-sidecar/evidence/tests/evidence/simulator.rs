//! The software platform against the production verifier.

use broker_core::Digest32;
use dcap_qvl::verify::QuoteVerifier;
use tee_evidence::simulator::{Knobs, SoftwarePlatform};
use tee_evidence::tdx::{
    TcbPolicy, TcbStatus, TrustRoot, VerifiedQuote, VerifyError, inspect_quote, verify_quote,
};

use crate::support::{NOW_SECS, report_data};

fn verify(platform: &SoftwarePlatform, quote: &[u8]) -> Result<VerifiedQuote, VerifyError> {
    let policy = TcbPolicy::default();
    verify_quote(quote, platform.own_collateral(), &platform.trust_root(), NOW_SECS, &policy)
}

fn refusal(platform: &SoftwarePlatform, quote: &[u8]) -> String {
    verify(platform, quote).unwrap_err().to_string()
}

fn quote_of(knobs: Knobs) -> (SoftwarePlatform, Vec<u8>) {
    let platform = SoftwarePlatform::with_knobs(knobs).unwrap();
    let quote = platform.quote_now(&report_data()).unwrap().bytes;
    (platform, quote)
}

fn with_status(tcb_status: TcbStatus) -> (SoftwarePlatform, Vec<u8>) {
    quote_of(Knobs { tcb_status, ..Knobs::default() })
}

#[test]
fn under_its_own_root_a_simulated_quote_is_up_to_date_and_says_what_was_bound() {
    let (platform, quote) = quote_of(Knobs::default());
    let verified = verify(&platform, &quote).unwrap();
    assert_eq!(&verified.fields.report_data, report_data().as_bytes());
    assert_eq!(verified.status, TcbStatus::UpToDate);
    assert_eq!(verified.advisory_ids, Vec::<String>::new());
    assert!(verified.cross_checked);
    assert_eq!(verified.fields.mrtd.as_slice(), &quote[184..232]);
    assert_eq!(verified.fields.rtmrs.concat(), &quote[376..568]);
}

#[test]
fn the_strictest_policy_accepts_the_simulated_platform_too() {
    let (platform, quote) = quote_of(Knobs::default());
    let strict = TcbPolicy {
        dynamic_platform: false,
        cached_keys: false,
        smt: false,
        ..TcbPolicy::default()
    };
    let root = platform.trust_root();
    verify_quote(&quote, platform.own_collateral(), &root, NOW_SECS, &strict).unwrap();
}

#[test]
fn an_out_of_date_platform_is_refused_unless_the_policy_names_that_state() {
    let (platform, quote) = with_status(TcbStatus::OutOfDate);
    assert!(refusal(&platform, &quote).contains("OutOfDate"));

    let policy = TcbPolicy { also_accepted: vec![TcbStatus::OutOfDate], ..TcbPolicy::default() };
    let root = platform.trust_root();
    let verified =
        verify_quote(&quote, platform.own_collateral(), &root, NOW_SECS, &policy).unwrap();
    assert_eq!(verified.status, TcbStatus::OutOfDate);

    let bounded = TcbPolicy { out_of_date_secs_max: 365 * 86_400, ..policy };
    let refused = verify_quote(&quote, platform.own_collateral(), &root, NOW_SECS, &bounded);
    assert!(refused.unwrap_err().to_string().contains("too old"));
}

#[test]
fn another_hosts_chain_in_the_collateral_changes_nothing() {
    let (platform, quote) = quote_of(Knobs::default());
    let mut collateral = platform.own_collateral().clone();
    collateral.pck_certificate_chain = Some(collateral.tcb_info_issuer_chain.clone());
    let root = platform.trust_root();
    verify_quote(&quote, &collateral, &root, NOW_SECS, &TcbPolicy::default()).unwrap();
}

#[test]
fn every_state_but_up_to_date_is_refused_by_default() {
    for status in [
        TcbStatus::SWHardeningNeeded,
        TcbStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded,
        TcbStatus::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded,
    ] {
        let (platform, quote) = with_status(status);
        assert!(verify(&platform, &quote).is_err(), "{status}");
    }
}

#[test]
fn a_revoked_platform_is_refused_even_when_the_policy_names_that_state() {
    let (platform, quote) = with_status(TcbStatus::Revoked);
    assert!(refusal(&platform, &quote).contains("Revoked"));
    let policy = TcbPolicy { also_accepted: vec![TcbStatus::Revoked], ..TcbPolicy::default() };
    let root = platform.trust_root();
    assert!(verify_quote(&quote, platform.own_collateral(), &root, NOW_SECS, &policy).is_err());
}

#[test]
fn intels_root_refuses_a_simulated_quote() {
    let (platform, quote) = quote_of(Knobs::default());
    let policy = TcbPolicy::default();
    let refused =
        verify_quote(&quote, platform.own_collateral(), &TrustRoot::Intel, NOW_SECS, &policy);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("InvalidCrlSignatureForPublicKey"), "{message}");
    assert!(inspect_quote(&quote, &TrustRoot::Intel, NOW_SECS).is_err());
}

#[test]
fn the_simulated_root_is_not_intels() {
    let platform = SoftwarePlatform::new().unwrap();
    let intel = QuoteVerifier::new_prod();
    let quote = platform.quote_now(&report_data()).unwrap().bytes;
    assert!(intel.verify(&quote, platform.own_collateral(), NOW_SECS).is_err());
    assert_eq!(platform.trust_root(), TrustRoot::Test(platform.root_ca_der().to_vec()));
}

#[test]
fn a_debug_td_is_refused() {
    let (platform, quote) = quote_of(Knobs { debug: true, ..Knobs::default() });
    let message = refusal(&platform, &quote);
    assert!(message.contains("Debug mode is enabled"), "{message}");
}

#[test]
fn changed_report_data_is_refused() {
    let (platform, mut quote) = quote_of(Knobs::default());
    quote[600] ^= 1;
    let message = refusal(&platform, &quote);
    assert!(message.contains("ISV enclave report signature is invalid"), "{message}");
}

#[test]
fn collateral_outside_its_dates_is_refused() {
    let (platform, quote) = quote_of(Knobs::default());
    for now_secs in [0, 1_500_000_000, 4_100_000_000] {
        let root = platform.trust_root();
        let policy = TcbPolicy::default();
        let collateral = platform.own_collateral();
        assert!(verify_quote(&quote, collateral, &root, now_secs, &policy).is_err(), "{now_secs}");
    }
}

#[test]
fn tdx_quote_reads_the_simulated_quote_and_verifies_it_with_the_platforms_key() {
    let (platform, quote) = quote_of(Knobs::default());
    let parsed = tdx_quote::Quote::from_bytes(&quote).unwrap();
    let key = tdx_quote::VerifyingKey::from_sec1_bytes(&platform.pck_public_key()).unwrap();
    parsed.verify_with_pck(&key).unwrap();
    assert_eq!(&parsed.report_input_data(), report_data().as_bytes());
    // Another key of the same platform.
    assert!(parsed.verify_with_pck(&parsed.attestation_key).is_err());
    assert!(parsed.verify().is_err(), "the chain does not end at Intel's root");
}

#[test]
fn a_quote_cut_at_any_length_never_verifies_and_never_panics() {
    let (platform, quote) = quote_of(Knobs::default());
    let root = platform.trust_root();
    for length in 0..quote.len() {
        assert!(verify(&platform, &quote[..length]).is_err(), "{length} bytes");
        assert!(inspect_quote(&quote[..length], &root, NOW_SECS).is_err(), "{length} bytes");
    }
}

#[test]
fn trailing_bytes_are_accepted_as_real_quotes_have_them() {
    let (platform, mut quote) = quote_of(Knobs::default());
    quote.extend([0; 70]);
    verify(&platform, &quote).unwrap();
}

#[test]
fn a_flipped_bit_in_any_signed_byte_is_refused() {
    let (platform, quote) = quote_of(Knobs::default());
    let signature_section = 636;
    // Signature, attestation key, certification header, enclave report and its signature, auth
    // data.
    let last_signed = signature_section + 64 + 64 + 6 + 384 + 64 + 2 + 32;
    for position in (0..632).chain(signature_section..last_signed) {
        let mut changed = quote.clone();
        changed[position] ^= 1 << (position % 8);
        assert!(verify(&platform, &changed).is_err(), "byte {position}");
    }
}

#[test]
fn a_changed_byte_anywhere_never_panics_and_never_changes_what_is_read() {
    let (platform, quote) = quote_of(Knobs::default());
    let root = platform.trust_root();
    let right = inspect_quote(&quote, &root, NOW_SECS).unwrap();
    for position in 0..quote.len() {
        let mut changed = quote.clone();
        changed[position] ^= 1 << (position % 8);
        if let Ok(inspected) = inspect_quote(&changed, &root, NOW_SECS) {
            assert_eq!(inspected, right, "byte {position}");
        }
    }
}

#[test]
fn hostile_bytes_never_panic() {
    let platform = SoftwarePlatform::new().unwrap();
    for length in [0, 1, 47, 48, 631, 632, 636, 700, 5000] {
        for byte in [0x00, 0x04, 0xff] {
            assert!(verify(&platform, &vec![byte; length]).is_err());
        }
    }
}

#[test]
fn changed_collateral_is_refused() {
    let (platform, quote) = with_status(TcbStatus::OutOfDate);
    let mut forged = platform.own_collateral().clone();
    forged.tcb_info = forged.tcb_info.replace("OutOfDate", "UpToDate");
    let refused =
        verify_quote(&quote, &forged, &platform.trust_root(), NOW_SECS, &TcbPolicy::default());
    assert!(refused.is_err());
}

#[test]
fn the_platforms_quotes_are_the_same_for_the_same_report_data() {
    let one = SoftwarePlatform::new().unwrap();
    let two = SoftwarePlatform::new().unwrap();
    let data = report_data();
    assert_eq!(one.quote_now(&data).unwrap().bytes, two.quote_now(&data).unwrap().bytes);
    assert_eq!(one.root_ca_der(), two.root_ca_der());
}

#[test]
fn the_guests_description_is_what_was_measured_and_says_simulated_everywhere() {
    let (platform, quote) = quote_of(Knobs::default());
    let info = platform.info();
    let tcb_info = &info["tcb_info"];
    let app_compose = tcb_info["app_compose"].as_str().unwrap();
    let compose_hash = Digest32::sha256(app_compose.as_bytes());
    assert_eq!(tcb_info["compose_hash"], compose_hash.to_string());
    assert_eq!(info["compose_hash"], compose_hash.to_string());
    assert_eq!(hex::encode(&quote[232..265]), format!("01{compose_hash}"));
    assert_eq!(tcb_info["mrtd"], hex::encode(&quote[184..232]));
    for (register, start) in [376, 424, 472, 520].into_iter().enumerate() {
        let expected = hex::encode(&quote[start..start + 48]);
        assert_eq!(tcb_info[format!("rtmr{register}")], expected);
    }
    assert_eq!(info["simulated"], true);
    assert_eq!(tcb_info["simulated"], true);
    assert!(app_compose.contains("simulated"));
    assert!(info["vm_config"].as_str().unwrap().contains(r#""simulated":true"#));
}

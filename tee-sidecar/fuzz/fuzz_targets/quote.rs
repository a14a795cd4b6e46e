//! Quotes, under the software platform's root and under Intel's. The bytes are a quote, which is
//! tried as it is and, in version 4, signed again by the software platform's key.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};
use tee_evidence::simulator::SoftwarePlatform;
use tee_evidence::tdx::{
    QuoteFields, TcbPolicy, TrustRoot, inspect_quote, read_quote, verify_quote,
};

static PLATFORM: LazyLock<SoftwarePlatform> =
    LazyLock::new(|| SoftwarePlatform::new().expect("the software platform can be built"));

static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let scalar = Sha256::digest("tee-sidecar simulator: attestation");
    SigningKey::from_slice(&scalar).expect("the platform's attestation key")
});

fuzz_target!(|quote: &[u8]| {
    check(quote);
    if let Some(signed) = signed_again(quote) {
        check(&signed);
    }
});

fn check(quote: &[u8]) {
    let root = PLATFORM.trust_root();
    let read = read_quote(quote);
    let inspected = inspect_quote(quote, &root, NOW_SECS);
    let (collateral, policy) = (PLATFORM.own_collateral(), TcbPolicy::default());
    let verified = verify_quote(quote, collateral, &root, NOW_SECS, &policy);
    assert!(inspect_quote(quote, &TrustRoot::Intel, NOW_SECS).is_err(), "Intel signed no seed");
    if let Ok(inspected) = inspected {
        assert_eq!(read.as_ref(), Ok(&inspected.fields));
        check_offsets(quote, &inspected.fields);
        assert_eq!(inspected.cross_checked, inspected.fields.version == 4);
    }
    if let Ok(verified) = verified {
        assert_eq!(read.as_ref(), Ok(&verified.fields));
        check_offsets(quote, &verified.fields);
        assert!(!verified.fields.debug);
        let by_intel = verify_quote(quote, collateral, &TrustRoot::Intel, NOW_SECS, &policy);
        assert!(by_intel.is_err(), "Intel signed no seed");
        let padded = [quote, &[0; 8]].concat();
        assert_eq!(read_quote(&padded), read, "padding changes nothing");
    }
}

/// What holds says what stands at the places where it has to stand.
fn check_offsets(quote: &[u8], fields: &QuoteFields) {
    let body = if fields.version == 4 { 48 } else { 48 + 6 };
    let at = |start: usize, length: usize| &quote[body + start..body + start + length];
    assert_eq!(at(136, 48), fields.mrtd);
    assert_eq!(at(184, 48), fields.mr_config_id);
    assert_eq!(at(328, 192), fields.rtmrs.concat());
    assert_eq!(at(520, 64), fields.report_data);
    assert_eq!(at(120, 1)[0] & 1 == 1, fields.debug);
}

/// Behind the first check every field is the attacker's.
fn signed_again(quote: &[u8]) -> Option<Vec<u8>> {
    let (signed, _) = quote.split_at_checked(SIGNED_BYTES)?;
    if signed[0] != 4 {
        return None;
    }
    let signature: Signature = KEY.sign(signed);
    let mut changed = quote.to_vec();
    let place = changed.get_mut(SIGNATURE_START..SIGNATURE_START + 64)?;
    place.copy_from_slice(&signature.to_bytes());
    Some(changed)
}

const NOW_SECS: u64 = 1_790_000_000;

/// Header and body, then a length of four bytes, then the signature.
const SIGNED_BYTES: usize = 48 + 584;
const SIGNATURE_START: usize = SIGNED_BYTES + 4;

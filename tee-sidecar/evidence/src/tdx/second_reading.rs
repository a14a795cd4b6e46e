//! The second reading of a quote, by `tdx-quote`.

use dcap_qvl::intel::extract_cert_chain;
use dcap_qvl::quote::Quote;
use tdx_quote::{Quote as SecondReading, VerifyingKey};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{QuoteFields, TrustRoot, VerifyError};

/// The version that `tdx-quote` reads. Its signed range for version 5 is wrong.
pub(super) const VERSION: u16 = 4;

/// Reads the bytes again and compares. The first parser has accepted them, and they are long
/// enough: `tdx-quote` slices the signed range before it looks at the length.
pub(super) fn compare(
    bytes: &[u8],
    parsed: &Quote,
    fields: &QuoteFields,
    root: &TrustRoot,
) -> Result<(), VerifyError> {
    if bytes.len() < SIGNED_BYTES {
        return Err(VerifyError::Malformed("shorter than what is signed".to_owned()));
    }
    let again = SecondReading::from_bytes(bytes).map_err(|e| refused(&e))?;
    let rtmrs = [again.rtmr0(), again.rtmr1(), again.rtmr2(), again.rtmr3()];
    for (what, same) in [
        ("the report data", again.report_input_data() == fields.report_data),
        ("MRTD", again.mrtd() == fields.mrtd),
        ("RTMR0 to RTMR3", rtmrs == fields.rtmrs),
    ] {
        if !same {
            return Err(VerifyError::Disagreement(what));
        }
    }
    match root {
        TrustRoot::Intel => again.verify().map(drop).map_err(|e| refused(&e)),
        TrustRoot::Test(_) => again.verify_with_pck(&pck_key(parsed)?).map_err(|e| refused(&e)),
    }
}

/// The public key of the platform's certificate in the quote. `tdx-quote` can only follow the
/// chain to Intel's root; under another root the chain is the first verifier's to judge.
fn pck_key(parsed: &Quote) -> Result<VerifyingKey, VerifyError> {
    let chain = extract_cert_chain(parsed).map_err(|e| refused(&e))?;
    let leaf = chain.first().ok_or_else(|| refused(&"no platform certificate"))?;
    let leaf = Certificate::from_der(leaf).map_err(|e| refused(&e))?;
    let key = leaf.tbs_certificate.subject_public_key_info.subject_public_key;
    VerifyingKey::from_sec1_bytes(key.raw_bytes()).map_err(|e| refused(&e))
}

fn refused(cause: &dyn std::fmt::Display) -> VerifyError {
    VerifyError::CrossCheck(cause.to_string())
}

/// Header and TD 1.0 body: what the attestation key of a version 4 quote signs.
const SIGNED_BYTES: usize = 48 + 584;

#[cfg(all(test, feature = "simulator"))]
mod tests {
    use broker_core::Address;

    use super::*;
    use crate::simulator::SoftwarePlatform;
    use crate::tdx::inspect_quote;
    use crate::{Nonce32, ReportData};

    #[test]
    fn a_value_that_the_second_reading_does_not_find_refuses_the_quote() {
        let platform = SoftwarePlatform::new().unwrap();
        let nonce = Nonce32::parse(&"5c".repeat(32)).unwrap();
        let data = ReportData::ecdsa_and_nonce(Address([7; 20]), &nonce);
        let quote = platform.quote_now(&data).unwrap().bytes;
        let parsed = Quote::parse(&quote).unwrap();
        assert!(matches!(parsed.report, dcap_qvl::quote::Report::TD10(_)));
        let root = platform.trust_root();
        let right = inspect_quote(&quote, &root, 1_790_000_000).unwrap().fields;
        compare(&quote, &parsed, &right, &root).unwrap();

        let mut wrong = [right.clone(), right.clone(), right];
        wrong[0].report_data[63] ^= 1;
        wrong[1].mrtd[0] ^= 1;
        wrong[2].rtmrs[3][47] ^= 1;
        let named = ["the report data", "MRTD", "RTMR0 to RTMR3"];
        for (fields, what) in wrong.iter().zip(named) {
            let refused = compare(&quote, &parsed, fields, &root);
            assert_eq!(refused, Err(VerifyError::Disagreement(what)));
        }
    }
}

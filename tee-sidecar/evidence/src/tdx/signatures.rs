//! A quote's own signatures and certificates, up to the root. No collateral is needed for that, so
//! a machine without a way out can still prove its evidence to itself before it serves it.
//!
//! The attestation key signs header and body; the quoting enclave vouches for that key in its
//! report; the platform's certificate (PCK) signs that report, and its chain ends at the root.

use dcap_qvl::quote::{AuthData, Quote};
use sha2::{Digest as _, Sha256};

use super::{TrustRoot, VerifyError};
use crate::certificates::{Chain, Curve, PublicKey};

pub(super) fn verify(
    bytes: &[u8],
    parsed: &Quote,
    root: &TrustRoot,
    now_secs: u64,
) -> Result<(), VerifyError> {
    let AuthData::V4(auth) = &parsed.auth_data else {
        return Err(forged("it has the signature section of an SGX quote"));
    };
    let signed = bytes.get(..parsed.signed_length());
    let signed = signed.ok_or_else(|| VerifyError::Malformed("shorter than signed".to_owned()))?;
    let attestation_key = point(&auth.ecdsa_attestation_key);
    if !attestation_key.verify_raw(signed, &auth.ecdsa_signature) {
        return Err(forged("the attestation key's signature over the quote is wrong"));
    }
    let kinds = (auth.certification_data.cert_type, parsed.inner_cert_type());
    if kinds != (ENCLAVE_REPORT_AND_CHAIN, super::PEM_CHAIN) {
        return Err(forged("its certification data is not a PEM chain"));
    }
    let enclave = &auth.qe_report_data;
    let vouched = Sha256::new()
        .chain_update(auth.ecdsa_attestation_key)
        .chain_update(&enclave.qe_auth_data.data)
        .finalize();
    let told = enclave.qe_report.get(ENCLAVE_REPORT_DATA..).unwrap_or_default();
    if told.split_at_checked(vouched.len()).is_none_or(|(hash, _)| hash != vouched.as_slice()) {
        return Err(forged("the quoting enclave vouches for another attestation key"));
    }
    let chain = Chain::parse_pem(parsed.inner_cert_data());
    let chain = chain.map_err(|e| VerifyError::Chain(e.to_string()))?;
    let trusted = match root {
        TrustRoot::Intel => INTEL_ROOT,
        TrustRoot::Test(der) => der,
    };
    chain.verify(trusted, now_secs).map_err(|e| VerifyError::Chain(e.to_string()))?;
    let platform = chain.leaf().public_key();
    match platform {
        Some(key) if key.verify_raw(&enclave.qe_report, &enclave.qe_report_signature) => Ok(()),
        _ => Err(forged("the platform's signature over the quoting enclave is wrong")),
    }
}

fn point(xy: &[u8]) -> PublicKey {
    PublicKey::from_point(Curve::P256, &[&[4], xy].concat())
}

fn forged(why: &str) -> VerifyError {
    VerifyError::Forged(why.to_owned())
}

/// The kind of certification data that holds an enclave's report, and more certification data.
const ENCLAVE_REPORT_AND_CHAIN: u16 = 6;

/// Where an enclave's report holds what the enclave chose to bind.
const ENCLAVE_REPORT_DATA: usize = 320;

/// Intel's SGX Root CA, valid to the end of 2049.
const INTEL_ROOT: &[u8] = include_bytes!("roots/intel_sgx_root_ca.der");

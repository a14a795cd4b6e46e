//! The report and the certificates of a GPU made of software.

use std::ffi::c_uint;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Mutex, PoisonError};

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha384};

use crate::abi::{AttestationReport, Certificate, INSUFFICIENT_SIZE, Return, SUCCESS, UNKNOWN};
use crate::calls::{alone, entered};
use crate::knobs::Knobs;

/// Fills in the attestation chain. The identity chain beside it stays empty: nobody asks for it.
pub(crate) fn certificate(knobs: &Knobs, gpu: usize, out: &mut Certificate) -> Return {
    let chain = match knobs.text_of("FAKE_NVML_CHAIN", gpu) {
        Some(path) => fs::read(path).unwrap_or_default(),
        None => made_up_chain(gpu),
    };
    let Some(size) = put(&chain, &mut out.attestation_cert_chain) else {
        return INSUFFICIENT_SIZE;
    };
    out.attestation_cert_chain_size = knobs.number("FAKE_NVML_CHAIN_SIZE", gpu).unwrap_or(size);
    SUCCESS
}

/// Fills in the report over the nonce that the caller put there.
pub(crate) fn report(knobs: &Knobs, gpu: usize, out: &mut AttestationReport) -> Return {
    alone(|| {
        entered(
            "nvmlDeviceGetConfComputeGpuAttestationReport",
            &format!("{gpu} {}", hex(&out.nonce)),
        );
        match knobs.number("FAKE_NVML_REPORT_RC", gpu) {
            Some(SUCCESS) | None => make_report(knobs, gpu, out),
            Some(refusal) => refusal,
        }
    })
}

fn make_report(knobs: &Knobs, gpu: usize, out: &mut AttestationReport) -> Return {
    let base = match knobs.text_of("FAKE_NVML_REPORT", gpu) {
        Some(path) => fs::read(path).unwrap_or_default(),
        None => made_up_report(gpu),
    };
    let before = remember(out.nonce);
    let label = knobs.text("FAKE_NVML_KEY_LABEL").unwrap_or("fake-nvml");
    let made = match knobs.text("FAKE_NVML_MODE").unwrap_or("resign") {
        "canned" => Some(base),
        "stale" => resigned(base, &before.unwrap_or(out.nonce), label),
        "resign" => resigned(base, &out.nonce, label),
        _ => None,
    };
    let Some(report) = made else { return UNKNOWN };
    let Some(size) = put(&report, &mut out.report) else { return INSUFFICIENT_SIZE };
    out.report_size = knobs.number("FAKE_NVML_REPORT_SIZE", gpu).unwrap_or(size);
    out.cec_size = knobs.number("FAKE_NVML_CEC_SIZE", gpu).unwrap_or_default();
    SUCCESS
}

/// The report with this nonce and a signature of the key that follows from `label`.
fn resigned(mut report: Vec<u8>, nonce: &[u8; 32], label: &str) -> Option<Vec<u8>> {
    report.get_mut(4..36)?.copy_from_slice(nonce);
    let signed = report.len().checked_sub(SIGNATURE_BYTES)?;
    let key = SigningKey::from_slice(&Sha384::digest(label)).ok()?;
    let signature: Signature = key.sign(report.get(..signed)?);
    report.get_mut(signed..)?.copy_from_slice(&signature.to_bytes());
    Some(report)
}

/// Keeps the nonce for the next call, and gives that of the call before.
fn remember(nonce: [u8; 32]) -> Option<[u8; 32]> {
    LAST_NONCE.lock().unwrap_or_else(PoisonError::into_inner).replace(nonce)
}

/// As long as an H100's and as if it were one, with the GPU's number in it.
fn made_up_report(gpu: usize) -> Vec<u8> {
    let mut report = vec![gpu.to_le_bytes()[0]; REPORT_BYTES];
    if let Some(header) = report.get_mut(..4) {
        header.copy_from_slice(&[0x11, 0xe0, 0x01, 0xff]);
    }
    report
}

fn made_up_chain(gpu: usize) -> Vec<u8> {
    let mut chain = String::new();
    for holder in ["leaf", "second", "third", "fourth", "root"] {
        let _infallible = writeln!(
            chain,
            "-----BEGIN CERTIFICATE-----\n{holder}+of+GPU+{gpu}\n-----END CERTIFICATE-----"
        );
    }
    chain.into_bytes()
}

/// Copies to the front of `room`, and gives the length; nothing where it is too long.
fn put(bytes: &[u8], room: &mut [u8]) -> Option<c_uint> {
    room.get_mut(..bytes.len())?.copy_from_slice(bytes);
    c_uint::try_from(bytes.len()).ok()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

static LAST_NONCE: Mutex<Option<[u8; 32]>> = Mutex::new(None);

const REPORT_BYTES: usize = 4117;
const SIGNATURE_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use p384::ecdsa::VerifyingKey;
    use p384::ecdsa::signature::Verifier as _;

    use super::*;

    #[test]
    fn a_resigned_report_holds_under_the_key_of_its_label_and_under_no_other() {
        let report = resigned(made_up_report(3), &[0xab; 32], "this label").unwrap();
        assert_eq!(report[4..36], [0xab; 32]);
        let (signed, signature) = report.split_at(report.len() - SIGNATURE_BYTES);
        let signature = Signature::from_slice(signature).unwrap();
        let holds = |label: &str| {
            let key = SigningKey::from_slice(&Sha384::digest(label)).unwrap();
            VerifyingKey::from(&key).verify(signed, &signature).is_ok()
        };
        assert!(holds("this label"));
        assert!(!holds("that label"));
    }
}

//! The collateral: what Intel's service would say of the platform, signed under the simulated root.

use dcap_qvl::QuoteCollateralV3;
use serde_json::{Value, json};

use super::pki::Pki;
use super::sgx_extension::{COMPONENT_SVN, COMPONENTS, FMSPC, PCE_SVN};
use super::{SimulatorError, TcbStatus};

/// Who signed the quoting enclave.
pub(super) const QE_MR_SIGNER: [u8; 32] = [0x44; 32];

/// Which enclave of that signer it is.
pub(super) const QE_PRODUCT: u16 = 2;

/// The quoting enclave's version.
pub(super) const QE_SVN: u16 = 4;

pub(super) fn sign(pki: &Pki, status: TcbStatus) -> Result<QuoteCollateralV3, SimulatorError> {
    let tcb_info = tcb_info(status).to_string();
    let qe_identity = qe_identity().to_string();
    Ok(QuoteCollateralV3 {
        pck_crl_issuer_chain: pki.pck_ca_chain_pem.clone(),
        root_ca_crl: pki.root_crl_der.clone(),
        pck_crl: pki.pck_crl_der.clone(),
        tcb_info_issuer_chain: pki.tcb_chain_pem.clone(),
        tcb_info_signature: pki.tcb_signer.sign_raw(tcb_info.as_bytes())?.to_vec(),
        tcb_info,
        qe_identity_issuer_chain: pki.tcb_chain_pem.clone(),
        qe_identity_signature: pki.tcb_signer.sign_raw(qe_identity.as_bytes())?.to_vec(),
        qe_identity,
        pck_certificate_chain: None,
    })
}

fn tcb_info(status: TcbStatus) -> Value {
    json!({
        "id": "TDX",
        "version": 3,
        "issueDate": ISSUED,
        "nextUpdate": NEXT_UPDATE,
        "fmspc": hex::encode(FMSPC),
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": EVALUATION,
        "tdxModule": {
            "mrsigner": "00".repeat(48),
            "attributes": "00".repeat(8),
            "attributesMask": "ff".repeat(8),
        },
        "tcbLevels": [{
            "tcb": {
                "sgxtcbcomponents": components(COMPONENT_SVN),
                "pcesvn": PCE_SVN,
                "tdxtcbcomponents": components(0),
            },
            "tcbDate": ISSUED,
            "tcbStatus": status.to_string(),
        }],
    })
}

fn components(svn: u8) -> Vec<Value> {
    (0..COMPONENTS).map(|_| json!({ "svn": svn })).collect()
}

fn qe_identity() -> Value {
    json!({
        "id": "TD_QE",
        "version": 2,
        "issueDate": ISSUED,
        "nextUpdate": NEXT_UPDATE,
        "tcbEvaluationDataNumber": EVALUATION,
        "miscselect": "00".repeat(4),
        "miscselectMask": "ff".repeat(4),
        "attributes": "00".repeat(16),
        "attributesMask": "00".repeat(16),
        "mrsigner": hex::encode(QE_MR_SIGNER),
        "isvprodid": QE_PRODUCT,
        "tcbLevels": [{
            "tcb": { "isvsvn": QE_SVN },
            "tcbDate": ISSUED,
            "tcbStatus": TcbStatus::UpToDate.to_string(),
        }],
    })
}

const ISSUED: &str = "2020-01-01T00:00:00Z";
const NEXT_UPDATE: &str = "2099-01-01T00:00:00Z";
const EVALUATION: u32 = 17;

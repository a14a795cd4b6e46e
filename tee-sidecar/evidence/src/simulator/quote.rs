//! A version 4 quote over a TD 1.0 body.

use dcap_qvl::INTEL_QE_VENDOR_ID;
use dcap_qvl::quote::{
    AuthData, AuthDataV4, CertificationData, Data, EnclaveReport, Header,
    QEReportCertificationData, Quote, Report, TDReport10,
};
use parity_scale_codec::Encode as _;
use sha2::{Digest as _, Sha256};

use super::collateral::{QE_MR_SIGNER, QE_PRODUCT, QE_SVN};
use super::machine::Machine;
use super::pki::Pki;
use super::{SimulatorError, failed};
use crate::ReportData;

pub(super) fn build(
    pki: &Pki,
    certified: &QEReportCertificationData,
    machine: &Machine,
    report_data: &ReportData,
    debug: bool,
) -> Result<Vec<u8>, SimulatorError> {
    let header = header();
    let body = body(machine, report_data, debug);
    let signed = [header.encode(), body.encode()].concat();
    let auth_data = AuthDataV4 {
        ecdsa_signature: pki.attestation.sign_raw(&signed)?,
        ecdsa_attestation_key: pki.attestation.xy(),
        // The codec writes the enclave's report as the body of this.
        certification_data: CertificationData {
            cert_type: CERTIFIED_BY_QE_REPORT,
            body: Data::new(Vec::new()),
        },
        qe_report_data: certified.clone(),
    };
    let quote = Quote { header, report: Report::TD10(body), auth_data: AuthData::V4(auth_data) };
    Ok(quote.encode())
}

const fn header() -> Header {
    Header {
        version: 4,
        attestation_key_type: ECDSA_P256,
        tee_type: TEE_TYPE_TDX,
        qe_svn: 0,
        pce_svn: 0,
        qe_vendor_id: INTEL_QE_VENDOR_ID,
        user_data: [0; 20],
    }
}

const fn body(machine: &Machine, report_data: &ReportData, debug: bool) -> TDReport10 {
    let [rt_mr0, rt_mr1, rt_mr2, rt_mr3] = machine.rtmrs;
    TDReport10 {
        tee_tcb_svn: [0; 16],
        mr_seam: [0; 48],
        mr_signer_seam: [0; 48],
        seam_attributes: [0; 8],
        td_attributes: [debug as u8, 0, 0, SEPT_VE_DISABLE, 0, 0, 0, 0],
        xfam: [0; 8],
        mr_td: machine.mrtd,
        mr_config_id: machine.mr_config_id,
        mr_owner: [0; 48],
        mr_owner_config: [0; 48],
        rt_mr0,
        rt_mr1,
        rt_mr2,
        rt_mr3,
        report_data: *report_data.as_bytes(),
    }
}

/// The quoting enclave's report on the attestation key, signed by the platform's key: the same in
/// every quote.
pub(super) fn certify_key(pki: &Pki) -> Result<QEReportCertificationData, SimulatorError> {
    let key_hash = Sha256::digest([&pki.attestation.xy()[..], &QE_AUTH_DATA].concat());
    let mut report_data = [0; 64];
    report_data.split_at_mut(32).0.copy_from_slice(&key_hash);
    let report = EnclaveReport {
        cpu_svn: [0; 16],
        misc_select: 0,
        reserved1: [0; 28],
        attributes: [0; 16],
        mr_enclave: [0; 32],
        reserved2: [0; 32],
        mr_signer: QE_MR_SIGNER,
        reserved3: [0; 96],
        isv_prod_id: QE_PRODUCT,
        isv_svn: QE_SVN,
        reserved4: [0; 60],
        report_data,
    };
    let qe_report: [u8; 384] =
        report.encode().try_into().map_err(|_| failed("an enclave report of another length"))?;
    Ok(QEReportCertificationData {
        qe_report,
        qe_report_signature: pki.pck.sign_raw(&qe_report)?,
        qe_auth_data: Data::new(QE_AUTH_DATA.to_vec()),
        certification_data: CertificationData {
            cert_type: PEM_CHAIN,
            body: Data::new(pki.pck_chain_pem.clone().into_bytes()),
        },
    })
}

const ECDSA_P256: u16 = 2;
const TEE_TYPE_TDX: u32 = 0x81;
const CERTIFIED_BY_QE_REPORT: u16 = 6;
const PEM_CHAIN: u16 = 5;
/// The fourth byte of the TD's attributes: the only setting that verifiers accept.
const SEPT_VE_DISABLE: u8 = 0x10;
const QE_AUTH_DATA: [u8; 32] = [0; 32];

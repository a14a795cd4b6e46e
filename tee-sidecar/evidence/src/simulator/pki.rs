//! The platform's certificates, shaped like Intel's: a root, the platform CA with the platform's
//! certificate below it, and the signer of the collateral directly below the root.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension,
    DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SerialNumber,
    date_time_ymd,
};

use super::key::TestKey;
use super::{SimulatorError, failed, sgx_extension};

pub(super) struct Pki {
    /// Signs the quoting enclave's report.
    pub(super) pck: TestKey,
    /// Signs quotes.
    pub(super) attestation: TestKey,
    /// Signs the collateral.
    pub(super) tcb_signer: TestKey,
    pub(super) root_der: Vec<u8>,
    /// PCK, PCK CA, root.
    pub(super) pck_chain_pem: String,
    /// PCK CA, root.
    pub(super) pck_ca_chain_pem: String,
    /// TCB signer, root.
    pub(super) tcb_chain_pem: String,
    pub(super) root_crl_der: Vec<u8>,
    pub(super) pck_crl_der: Vec<u8>,
}

impl Pki {
    pub(super) fn new() -> Result<Self, SimulatorError> {
        let root_key = TestKey::of_label("tee-sidecar simulator: root")?;
        let ca_key = TestKey::of_label("tee-sidecar simulator: pck ca")?;
        let pck = TestKey::of_label("tee-sidecar simulator: pck")?;
        let tcb_signer = TestKey::of_label("tee-sidecar simulator: tcb signer")?;
        let attestation = TestKey::of_label("tee-sidecar simulator: attestation")?;

        let root_params = authority("Simulated SGX Root CA");
        let ca_params = authority("Simulated SGX PCK Platform CA");
        let root_issuer = Issuer::from_params(&root_params, &root_key);
        let ca_issuer = Issuer::from_params(&ca_params, &ca_key);

        let root = root_params.self_signed(&root_key).map_err(failed)?;
        let ca = ca_params.signed_by(&ca_key, &root_issuer).map_err(failed)?;
        let leaf = platform_certificate().signed_by(&pck, &ca_issuer).map_err(failed)?;
        let tcb = end_entity("Simulated SGX TCB Signing")
            .signed_by(&tcb_signer, &root_issuer)
            .map_err(failed)?;

        let chain = |certificates: &[&rcgen::Certificate]| -> String {
            certificates.iter().map(|certificate| certificate.pem()).collect()
        };
        Ok(Self {
            root_der: root.der().to_vec(),
            pck_chain_pem: chain(&[&leaf, &ca, &root]),
            pck_ca_chain_pem: chain(&[&ca, &root]),
            tcb_chain_pem: chain(&[&tcb, &root]),
            root_crl_der: empty_crl(&root_issuer)?,
            pck_crl_der: empty_crl(&ca_issuer)?,
            pck,
            attestation,
            tcb_signer,
        })
    }
}

pub(super) fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

pub(super) fn end_entity(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn platform_certificate() -> CertificateParams {
    let mut params = end_entity("Simulated SGX PCK Certificate");
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&sgx_extension::OID, sgx_extension::encode())];
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "tee-sidecar simulator");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params
}

fn empty_crl(issuer: &Issuer<'_, &TestKey>) -> Result<Vec<u8>, SimulatorError> {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2099, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Ok(params.signed_by(issuer).map_err(failed)?.der().to_vec())
}

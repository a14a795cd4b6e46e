//! Keys and certificates of a made-up NVIDIA, for manifests and OCSP answers that nobody signed for
//! us. Everything follows from labels, so that every run is the same.

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm,
    date_time_ymd,
};
use sha2::{Digest as _, Sha384};
use tee_evidence::certificates::Certificate;

/// A moment at which every certificate here holds, and the captured manifests do, too.
pub(crate) const NOW_SECS: u64 = 1_761_307_200;

/// A key and the certificate for it.
pub(crate) struct Identity {
    pub(crate) key: Key,
    pub(crate) certificate: Certificate,
    params: CertificateParams,
}

impl Identity {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with_key(name, name)
    }

    /// A root whose key is that of another label: one with the same name is an impostor.
    pub(crate) fn root_with_key(name: &str, label: &str) -> Self {
        let (key, params) = (Key::of_label(label), authority(name));
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: Certificate::from_der(certificate.der()).unwrap(), key, params }
    }

    pub(crate) fn authority(&self, name: &str) -> Self {
        self.issue(name, authority(name))
    }

    pub(crate) fn signer(&self, name: &str) -> Self {
        self.issue(name, end_entity(name))
    }

    pub(crate) fn responder(&self, name: &str) -> Self {
        let mut params = end_entity(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        self.issue(name, params)
    }

    pub(crate) fn issue(&self, name: &str, params: CertificateParams) -> Self {
        let key = Key::of_label(name);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self { certificate: Certificate::from_der(certificate.der()).unwrap(), key, params }
    }
}

pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(crate) fn end_entity(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params
}

/// A P-384 key.
pub(crate) struct Key {
    key: SigningKey,
    point: Vec<u8>,
}

impl Key {
    pub(crate) fn of_label(label: &str) -> Self {
        let key = SigningKey::from_slice(&Sha384::digest(label)).unwrap();
        let point = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Self { key, point }
    }

    pub(crate) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(message);
        signature.to_bytes().to_vec()
    }

    pub(crate) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.sign_der(message))
    }
}

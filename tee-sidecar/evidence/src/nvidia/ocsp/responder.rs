//! Who signed an OCSP answer, and whether they may. NVIDIA's authorities each have a responder of
//! their own, directly below them, whose certificate comes with the answer.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_cert::Certificate as X509;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_ocsp::ResponderId;

use super::{OCSP_SIGNING, OcspError, unreadable};
use crate::certificates::Certificate;

/// The certificate of the responder that the answer names.
pub(super) fn find(id: &ResponderId, certificates: &[X509]) -> Result<Certificate, OcspError> {
    let found = certificates.iter().find(|one| is_named(one, id));
    let found = found.ok_or(OcspError::Responder("its certificate is not in the answer"))?;
    Certificate::from_der(&found.to_der().map_err(unreadable)?).map_err(unreadable)
}

/// Checks that the issuer itself appointed the responder, and that this holds now.
pub(super) fn may_answer_for(
    responder: &Certificate,
    issuer: &Certificate,
    now_secs: u64,
) -> Result<(), OcspError> {
    let refused = |why| Err(OcspError::Responder(why));
    let named_issuer = &responder.parsed().tbs_certificate.issuer;
    if named_issuer != &issuer.parsed().tbs_certificate.subject || !responder.is_signed_by(issuer) {
        return refused("the certificate's issuer did not appoint it");
    }
    if !(responder.not_before_secs()..=responder.not_after_secs()).contains(&now_secs) {
        return refused("its certificate is not valid now");
    }
    let purposes = responder.extension(EXTENDED_KEY_USAGE).map(ExtendedKeyUsage::from_der);
    if !matches!(purposes, Some(Ok(purposes)) if purposes.0.contains(&OCSP_SIGNING)) {
        return refused("its certificate is not for signing OCSP answers");
    }
    let usage = responder.extension(KEY_USAGE).map(KeyUsage::from_der);
    match usage {
        None => Ok(()),
        Some(Ok(usage)) if usage.0.contains(KeyUsages::DigitalSignature) => Ok(()),
        Some(_) => refused("its key is not for signing"),
    }
}

fn is_named(certificate: &X509, id: &ResponderId) -> bool {
    let subject = &certificate.tbs_certificate;
    match id {
        ResponderId::ByName(name) => name == &subject.subject,
        ResponderId::ByKey(hash) => {
            let key = subject.subject_public_key_info.subject_public_key.as_bytes();
            key.is_some_and(|key| {
                digest(&SHA1_FOR_LEGACY_USE_ONLY, key).as_ref() == hash.as_bytes()
            })
        }
    }
}

const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

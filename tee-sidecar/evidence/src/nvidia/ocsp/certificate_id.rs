//! How an OCSP answer names a certificate: its serial number, and hashes of its issuer's name and
//! key.

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, digest};
use x509_cert::der::Encode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_ocsp::CertId;

use crate::certificates::Certificate;

/// Whether `id` names this certificate of this issuer.
pub(super) fn is_of(id: &CertId, certificate: &Certificate, issuer: &Certificate) -> bool {
    let issued = &certificate.parsed().tbs_certificate;
    let issuer = &issuer.parsed().tbs_certificate;
    let key = issuer.subject_public_key_info.subject_public_key.as_bytes();
    let (Some(algorithm), Some(key), Ok(name)) =
        (algorithm(id.hash_algorithm.oid), key, issuer.subject.to_der())
    else {
        return false;
    };
    issued.issuer == issuer.subject
        && issued.serial_number == id.serial_number
        && id.issuer_name_hash.as_bytes() == digest(algorithm, &name).as_ref()
        && id.issuer_key_hash.as_bytes() == digest(algorithm, key).as_ref()
}

/// SHA-1 is what most of the world's responders use here. It names, it does not sign.
fn algorithm(oid: ObjectIdentifier) -> Option<&'static Algorithm> {
    match oid {
        OID_SHA1 => Some(&SHA1_FOR_LEGACY_USE_ONLY),
        OID_SHA256 => Some(&SHA256),
        OID_SHA384 => Some(&SHA384),
        _ => None,
    }
}

const OID_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const OID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const OID_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");

//! X.509 certificates on P-256 and P-384, and chains of them that must end in a pinned root.
//!
//! Intel's and NVIDIA's evidence both come with such a chain. It is accepted as presented: leaf
//! first, each certificate signed by the next, the last one equal to the pinned root byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::Digest32;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1,
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey,
    VerificationAlgorithm,
};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// Why a certificate or a chain is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Not a certificate, or no PEM.
    #[error("certificate {position} cannot be read: {cause}")]
    Unreadable {
        /// Its place in the chain, the leaf is 0.
        position: usize,
        /// What is wrong.
        cause: String,
    },
    /// Nothing was presented, or far more than any real chain has.
    #[error("a chain has 1 to {CERTIFICATES_MAX} certificates, not {0}")]
    Length(usize),
    /// The last certificate is not the one that is trusted.
    #[error("the chain does not end in the pinned root")]
    OtherRoot,
    /// A certificate was not issued by the one behind it.
    #[error("certificate {position} ({subject}) is not issued by the next: {why}")]
    Link {
        /// Its place in the chain.
        position: usize,
        /// Its subject.
        subject: String,
        /// Names, a flag or the signature.
        why: &'static str,
    },
    /// A certificate says something that has to be understood, and is not.
    #[error("certificate {position} has a critical extension that is not understood: {oid}")]
    Critical {
        /// Its place in the chain.
        position: usize,
        /// The extension.
        oid: String,
    },
    /// A certificate does not hold at the stated moment.
    #[error("certificate {position} ({subject}) is not valid at {now_secs}")]
    Expired {
        /// Its place in the chain.
        position: usize,
        /// Its subject.
        subject: String,
        /// The moment, in Unix seconds.
        now_secs: u64,
    },
}

/// A chain, leaf first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain(Vec<Certificate>);

impl Chain {
    /// Reads a text of PEM certificates, leaf first. Zero bytes behind it are ignored: drivers fill
    /// their buffers with them.
    pub fn parse_pem(text: &[u8]) -> Result<Self, ChainError> {
        let unreadable = |position, cause: &str| {
            let cause = cause.to_owned();
            ChainError::Unreadable { position, cause }
        };
        let text = std::str::from_utf8(text).map_err(|_| unreadable(0, "not PEM text"))?;
        let mut rest = text.trim_end_matches('\0').trim();
        let mut certificates = Vec::new();
        while !rest.is_empty() {
            let position = certificates.len();
            if position == CERTIFICATES_MAX {
                return Err(ChainError::Length(position.saturating_add(1)));
            }
            let (body, behind) = rest
                .strip_prefix(PEM_BEGIN)
                .and_then(|inner| inner.split_once(PEM_END))
                .ok_or_else(|| unreadable(position, "not a PEM certificate"))?;
            let packed: String = body.split_ascii_whitespace().collect();
            let der = STANDARD.decode(packed).map_err(|_| unreadable(position, "bad base64"))?;
            certificates.push(Certificate::at(position, &der)?);
            rest = behind.trim_start();
        }
        Self::of(certificates)
    }

    /// A chain of DER certificates, leaf first.
    pub fn from_ders<D: AsRef<[u8]>>(ders: &[D]) -> Result<Self, ChainError> {
        let certificates = ders.iter().enumerate();
        let certificates = certificates.map(|(at, der)| Certificate::at(at, der.as_ref()));
        Self::of(certificates.collect::<Result<_, _>>()?)
    }

    fn of(certificates: Vec<Certificate>) -> Result<Self, ChainError> {
        match certificates.len() {
            1..=CERTIFICATES_MAX => Ok(Self(certificates)),
            other => Err(ChainError::Length(other)),
        }
    }

    /// The certificates, leaf first; never empty.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// The first certificate.
    #[allow(clippy::indexing_slicing, reason = "no constructor leaves it empty")]
    pub fn leaf(&self) -> &Certificate {
        &self.0[0]
    }

    /// Checks every link, every date, and that the last certificate is `root`, in DER.
    pub fn verify(&self, root: &[u8], now_secs: u64) -> Result<(), ChainError> {
        if self.0.last().is_none_or(|last| last.der != root) {
            return Err(ChainError::OtherRoot);
        }
        for (position, certificate) in self.0.iter().enumerate() {
            // The root is trusted as it is; only its dates count.
            if let Some(issuer) = self.0.get(position.saturating_add(1)) {
                certificate.verify_link(issuer, position)?;
            }
            certificate.check_critical(position)?;
            if !(certificate.not_before_secs()..=certificate.not_after_secs()).contains(&now_secs) {
                let subject = certificate.subject();
                return Err(ChainError::Expired { position, subject, now_secs });
            }
        }
        Ok(())
    }
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
}

impl Certificate {
    /// Reads one DER certificate and nothing behind it.
    pub fn from_der(der: &[u8]) -> Result<Self, ChainError> {
        Self::at(0, der)
    }

    fn at(position: usize, der: &[u8]) -> Result<Self, ChainError> {
        let unreadable = |cause: String| ChainError::Unreadable { position, cause };
        let parsed =
            x509_cert::Certificate::from_der(der).map_err(|e| unreadable(e.to_string()))?;
        // What is signed is encoded again from what was read, so both must be the same bytes.
        if parsed.to_der().map_err(|e| unreadable(e.to_string()))? != der {
            return Err(unreadable("not in DER".to_owned()));
        }
        Ok(Self { der: der.to_vec(), parsed })
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as parsed, for its names and extensions.
    pub const fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    /// The subject's name in full.
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate.subject.to_string()
    }

    /// The subject's public key.
    pub fn public_key(&self) -> Option<PublicKey> {
        PublicKey::of(&self.parsed.tbs_certificate.subject_public_key_info)
    }

    /// The content of the first extension of this kind.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        let extensions = self.parsed.tbs_certificate.extensions.as_deref().unwrap_or_default();
        let found = extensions.iter().find(|extension| extension.extn_id == oid)?;
        Some(found.extn_value.as_bytes())
    }

    /// First second of its validity, Unix time.
    pub fn not_before_secs(&self) -> u64 {
        self.parsed.tbs_certificate.validity.not_before.to_unix_duration().as_secs()
    }

    /// Last second of its validity, Unix time.
    pub fn not_after_secs(&self) -> u64 {
        self.parsed.tbs_certificate.validity.not_after.to_unix_duration().as_secs()
    }

    /// Whether `issuer` signed this certificate, whatever the names and flags say.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let signed = self.parsed.tbs_certificate.to_der().ok();
        let (Some(key), Some(signed), Some(signature)) =
            (issuer.public_key(), signed, self.parsed.signature.as_bytes())
        else {
            return false;
        };
        let algorithm = &self.parsed.signature_algorithm;
        algorithm == &self.parsed.tbs_certificate.signature
            && key.verify_der(algorithm, &signed, signature)
    }

    /// An extension that must be understood and is not would restrict what the chain proves.
    fn check_critical(&self, position: usize) -> Result<(), ChainError> {
        let extensions = self.parsed.tbs_certificate.extensions.as_deref().unwrap_or_default();
        let known = |oid| UNDERSTOOD.contains(&oid);
        match extensions.iter().find(|one| one.critical && !known(one.extn_id)) {
            None => Ok(()),
            Some(unknown) => {
                Err(ChainError::Critical { position, oid: unknown.extn_id.to_string() })
            }
        }
    }

    fn verify_link(&self, issuer: &Self, position: usize) -> Result<(), ChainError> {
        let broken = |why| Err(ChainError::Link { position, subject: self.subject(), why });
        if self.parsed.tbs_certificate.issuer != issuer.parsed.tbs_certificate.subject {
            return broken("it names another issuer");
        }
        if !issuer.may_issue(position) {
            return broken("the issuer is no certificate authority for this depth");
        }
        if !self.is_signed_by(issuer) {
            return broken("the signature is wrong");
        }
        Ok(())
    }

    /// Whether it is an authority that may stand above `below` other authorities.
    fn may_issue(&self, below: usize) -> bool {
        let constraints = self.extension(BASIC_CONSTRAINTS);
        let Some(Ok(constraints)) = constraints.map(BasicConstraints::from_der) else {
            return false;
        };
        let deep_enough =
            constraints.path_len_constraint.is_none_or(|most| usize::from(most) >= below);
        let signs_certificates = self.extension(KEY_USAGE).is_some_and(|usage| {
            KeyUsage::from_der(usage).is_ok_and(|usage| usage.0.contains(KeyUsages::KeyCertSign))
        });
        constraints.ca && deep_enough && signs_certificates
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo in DER, by which a TLS key is bound. The
/// certificate may be anyone's: nothing but this of it counts.
pub fn spki_sha256(certificate: &[u8]) -> Option<Digest32> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    let info = parsed.tbs_certificate.subject_public_key_info.to_der().ok()?;
    Some(Digest32::sha256(&info))
}

/// A public key on one of the two curves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    curve: Curve,
    /// 04, x, y.
    point: Vec<u8>,
}

/// The curves in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// secp256r1, signing over SHA-256.
    P256,
    /// secp384r1, signing over SHA-384.
    P384,
}

impl PublicKey {
    /// A key from its uncompressed point (04, x, y).
    pub fn from_point(curve: Curve, point: &[u8]) -> Self {
        Self { curve, point: point.to_vec() }
    }

    fn of(info: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        let parameters = info.algorithm.parameters.as_ref()?;
        let named = parameters.decode_as::<ObjectIdentifier>().ok()?;
        let curve = match (info.algorithm.oid, named) {
            (EC_PUBLIC_KEY, SECP256R1) => Curve::P256,
            (EC_PUBLIC_KEY, SECP384R1) => Curve::P384,
            _ => return None,
        };
        Some(Self { curve, point: info.subject_public_key.as_bytes()?.to_vec() })
    }

    /// The curve.
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The uncompressed point (04, x, y).
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// Whether `signature` (r and s, fixed length, big-endian) is this key's over the hash of
    /// `message`: SHA-256 on P-256, SHA-384 on P-384.
    pub fn verify_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self.curve {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED,
        };
        UnparsedPublicKey::new(algorithm, &self.point).verify(message, signature).is_ok()
    }

    /// Whether `signature` (DER, as in certificates and OCSP answers) is this key's.
    pub fn verify_der(
        &self,
        algorithm: &AlgorithmIdentifierOwned,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.curve, algorithm.oid) {
            (Curve::P256, ECDSA_WITH_SHA256) => &ECDSA_P256_SHA256_ASN1,
            (Curve::P256, ECDSA_WITH_SHA384) => &ECDSA_P256_SHA384_ASN1,
            (Curve::P384, ECDSA_WITH_SHA256) => &ECDSA_P384_SHA256_ASN1,
            (Curve::P384, ECDSA_WITH_SHA384) => &ECDSA_P384_SHA384_ASN1,
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.point).verify(message, signature).is_ok()
    }
}

/// Real chains have three to five.
const CERTIFICATES_MAX: usize = 10;

const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const PEM_END: &str = "-----END CERTIFICATE-----";
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// What a DICE layer says of the next one (TCG), which the firmware check reads.
const DICE_TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
const DICE_UEID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.4");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const UNDERSTOOD: [ObjectIdentifier; 5] =
    [BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, DICE_TCB_INFO, DICE_UEID];
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

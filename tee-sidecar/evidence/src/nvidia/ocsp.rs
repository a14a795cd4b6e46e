//! What NVIDIA says of a certificate's revocation: OCSP answers (RFC 6960), which live for a day.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate as X509;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::CrlReason;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus, SingleResponse};

use crate::certificates::{Certificate, Chain};

mod certificate_id;
mod responder;

/// An answer that was read but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspAnswer(BasicOcspResponse);

impl OcspAnswer {
    /// Reads an answer in DER, and nothing behind it.
    pub fn parse(der: &[u8]) -> Result<Self, OcspError> {
        if der.len() > ANSWER_BYTES_MAX {
            return Err(unreadable(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
        }
        let answer = OcspResponse::from_der(der).map_err(unreadable)?;
        if answer.response_status != OcspResponseStatus::Successful {
            return Err(OcspError::Unsuccessful(answer.response_status as u32));
        }
        let body = answer.response_bytes.ok_or_else(|| unreadable("it is empty"))?;
        if body.response_type != BASIC_ANSWER {
            return Err(unreadable("it is not of the basic type"));
        }
        let basic = BasicOcspResponse::from_der(body.response.as_bytes()).map_err(unreadable)?;
        // What is signed is encoded again from what was read, so both must be the same bytes.
        if basic.to_der().map_err(unreadable)? != body.response.as_bytes() {
            return Err(unreadable("it is not in DER"));
        }
        Ok(Self(basic))
    }

    /// Reads an answer in base64, with any white space.
    pub fn parse_base64(text: &str) -> Result<Self, OcspError> {
        // Bounds the copy, too: four characters for three bytes.
        if text.len() > ANSWER_BYTES_MAX.saturating_mul(2) {
            return Err(unreadable(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
        }
        let packed: String = text.split_ascii_whitespace().collect();
        Self::parse(&STANDARD.decode(packed).map_err(unreadable)?)
    }

    /// Whether the answer speaks of this certificate.
    pub fn is_about(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        self.about(certificate, issuer).next().is_some()
    }

    /// Checks that the answer is about `certificate`, signed by a responder of its `issuer`, holds
    /// at this moment, and says that the certificate is good.
    ///
    /// The issuer is trusted here: verify the chain that it comes from. NVIDIA's responders are
    /// always delegated, so an answer that the issuer signed itself is refused.
    pub fn verify(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        now_secs: u64,
        hold: CertificateHold,
    ) -> Result<Good, OcspError> {
        if !certificate.is_signed_by(issuer) {
            return Err(OcspError::OtherIssuer);
        }
        let mut about = self.about(certificate, issuer);
        let (Some(single), None) = (about.next(), about.next()) else {
            return Err(OcspError::OtherCertificate);
        };
        self.verify_signature(issuer, now_secs)?;
        if is_any_critical(self.0.tbs_response_data.response_extensions.as_ref())
            || is_any_critical(single.single_extensions.as_ref())
        {
            return Err(OcspError::UnknownExtension);
        }
        let until_secs = until(single, now_secs)?;
        Ok(Good { until_secs, on_hold: is_on_hold(single, hold)? })
    }

    fn verify_signature(&self, issuer: &Certificate, now_secs: u64) -> Result<(), OcspError> {
        let data = &self.0.tbs_response_data;
        let certificates: &[X509] = self.0.certs.as_deref().unwrap_or_default();
        let responder = responder::find(&data.responder_id, certificates)?;
        responder::may_answer_for(&responder, issuer, now_secs)?;
        let key = responder.public_key().ok_or(OcspError::Signature)?;
        let signed = data.to_der().map_err(unreadable)?;
        let signature = self.0.signature.as_bytes().ok_or(OcspError::Signature)?;
        if key.verify_der(&self.0.signature_algorithm, &signed, signature) {
            return Ok(());
        }
        Err(OcspError::Signature)
    }

    fn about(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> impl Iterator<Item = &SingleResponse> {
        let singles = self.0.tbs_response_data.responses.iter();
        singles.filter(|one| certificate_id::is_of(&one.cert_id, certificate, issuer))
    }
}

/// What to make of a certificate that is on hold: revoked, but perhaps not for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateHold {
    /// As revoked.
    #[default]
    Refuse,
    /// As good.
    Accept,
}

/// A certificate that is good, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Good {
    /// The last second for which the answer speaks, Unix time.
    pub until_secs: u64,
    /// Whether it is good only because certificates on hold are accepted.
    pub on_hold: bool,
}

/// Why an answer does not show that a certificate is good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspError {
    /// No OCSP answer, or not in DER.
    #[error("the OCSP answer cannot be read: {0}")]
    Unreadable(String),
    /// The responder could not or would not answer.
    #[error("the OCSP responder did not answer but gave status {0} of RFC 6960")]
    Unsuccessful(u32),
    /// The certificate comes from elsewhere.
    #[error("the certificate is not signed by the issuer that it is checked with")]
    OtherIssuer,
    /// Nothing, or more than one thing, is said of the certificate.
    #[error("the OCSP answer is not about this certificate, or says several things of it")]
    OtherCertificate,
    /// The responder may not answer for the issuer.
    #[error("the OCSP responder is refused: {0}")]
    Responder(&'static str),
    /// Not signed by the responder.
    #[error("the OCSP answer's signature is wrong")]
    Signature,
    /// Something critical that is not understood.
    #[error("the OCSP answer has a critical extension that is not understood")]
    UnknownExtension,
    /// Not yet, or no more.
    #[error("the OCSP answer holds from {from_secs} to {until_secs}, not at {now_secs}")]
    Stale {
        /// Its first second, Unix time.
        from_secs: u64,
        /// Its last second, Unix time.
        until_secs: u64,
        /// The moment in question, Unix time.
        now_secs: u64,
    },
    /// An answer without an end says nothing of now.
    #[error("the OCSP answer does not say how long it holds")]
    Endless,
    /// The certificate is revoked.
    #[error("the certificate is revoked ({0})")]
    Revoked(String),
    /// The responder does not know the certificate.
    #[error("the OCSP responder does not know the certificate")]
    Unknown,
}

/// A certificate that needs an answer, with its issuer.
pub type Subject<'a> = (&'a Certificate, &'a Certificate);

/// The certificates of a GPU's chain that need an answer: all except the leaf, which the GPU issues
/// to itself, and the root.
pub fn device_subjects(chain: &Chain) -> Vec<Subject<'_>> {
    rim_subjects(chain).into_iter().skip(1).collect()
}

/// The certificates of a manifest's chain that need an answer: all except the root.
pub fn rim_subjects(chain: &Chain) -> Vec<Subject<'_>> {
    let certificates = chain.certificates();
    certificates.iter().zip(certificates.iter().skip(1)).collect()
}

fn until(single: &SingleResponse, now_secs: u64) -> Result<u64, OcspError> {
    let from_secs = single.this_update.0.to_unix_duration().as_secs();
    let until_secs = single.next_update.ok_or(OcspError::Endless)?.0.to_unix_duration().as_secs();
    if (from_secs..=until_secs).contains(&now_secs) {
        return Ok(until_secs);
    }
    Err(OcspError::Stale { from_secs, until_secs, now_secs })
}

fn is_on_hold(single: &SingleResponse, hold: CertificateHold) -> Result<bool, OcspError> {
    match &single.cert_status {
        CertStatus::Good(_) => Ok(false),
        CertStatus::Unknown(_) => Err(OcspError::Unknown),
        CertStatus::Revoked(info) => match info.revocation_reason {
            Some(CrlReason::CertificateHold) if hold == CertificateHold::Accept => Ok(true),
            Some(reason) => Err(OcspError::Revoked(format!("{reason:?}"))),
            None => Err(OcspError::Revoked("no reason is given".to_owned())),
        },
    }
}

fn is_any_critical(extensions: Option<&Extensions>) -> bool {
    extensions.is_some_and(|all| all.iter().any(|extension| extension.critical))
}

fn unreadable(cause: impl ToString) -> OcspError {
    OcspError::Unreadable(cause.to_string())
}

/// The purpose of certificates whose keys sign OCSP answers.
pub(super) const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");

const BASIC_ANSWER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// NVIDIA's answers have about 1 KB.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

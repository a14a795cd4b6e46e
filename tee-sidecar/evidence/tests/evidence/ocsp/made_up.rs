//! Answers of a responder with a root of its own: what it may say, and what it must not.

use std::time::Duration;

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use tee_evidence::certificates::Certificate;
use tee_evidence::nvidia::ocsp::{CertificateHold, Good, OcspAnswer, OcspError};
use x509_cert::der::asn1::{BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Any, Decode as _, Encode as _, Tag};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId,
    ResponseData, RevokedInfo, SingleResponse, Version,
};

use crate::nvidia_pki::{Identity, NOW_SECS, end_entity};

const HOUR_SECS: u64 = 3600;

/// An authority, a certificate of it, and the responder that it appointed.
pub(crate) struct Responder {
    root: Identity,
    subject: Identity,
    responder: Identity,
    by_name: bool,
    hash: (&'static str, &'static Algorithm),
    edit: fn(&mut ResponseData),
}

impl Responder {
    pub(crate) fn new() -> Self {
        let root = Identity::root("Test Device CA");
        Self {
            subject: root.authority("Test Identity"),
            responder: root.responder("Test Responder"),
            root,
            by_name: false,
            hash: ("2.16.840.1.101.3.4.2.2", &SHA384),
            edit: |_| {},
        }
    }

    pub(crate) fn editing(edit: fn(&mut ResponseData)) -> Self {
        Self { edit, ..Self::new() }
    }

    /// A good answer, or what became of it by the edit.
    pub(crate) fn good(&self) -> Vec<u8> {
        self.signed(self.data())
    }

    /// The part of it that is signed.
    pub(crate) fn data(&self) -> ResponseData {
        let mut data = ResponseData {
            version: Version::V1,
            responder_id: self.id(),
            produced_at: at(NOW_SECS),
            responses: vec![self.single()],
            response_extensions: None,
        };
        (self.edit)(&mut data);
        data
    }

    pub(crate) fn is_about(&self, answer: &OcspAnswer) -> bool {
        answer.is_about(&self.subject.certificate, &self.root.certificate)
    }

    pub(crate) fn verify(&self, der: &[u8]) -> Result<Good, OcspError> {
        self.verify_with(der, CertificateHold::Refuse)
    }

    fn verify_with(&self, der: &[u8], hold: CertificateHold) -> Result<Good, OcspError> {
        let (subject, issuer) = (&self.subject.certificate, &self.root.certificate);
        OcspAnswer::parse(der)?.verify(subject, issuer, NOW_SECS, hold)
    }

    fn outcome(&self) -> Result<Good, OcspError> {
        self.verify(&self.good())
    }

    /// An answer with this in it, whatever it says.
    pub(crate) fn signed(&self, data: ResponseData) -> Vec<u8> {
        let signature = self.responder.key.sign_der(&data.to_der().unwrap());
        let basic = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: algorithm("1.2.840.10045.4.3.3", None),
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: Some(vec![self.responder.certificate.parsed().clone()]),
        };
        OcspResponse::successful(basic).unwrap().to_der().unwrap()
    }

    fn id(&self) -> ResponderId {
        let certificate = &self.responder.certificate.parsed().tbs_certificate;
        if self.by_name {
            return ResponderId::ByName(certificate.subject.clone());
        }
        let key = certificate.subject_public_key_info.subject_public_key.raw_bytes();
        ResponderId::ByKey(octets(digest(&SHA1_FOR_LEGACY_USE_ONLY, key).as_ref()))
    }

    fn single(&self) -> SingleResponse {
        let issuer = &self.root.certificate.parsed().tbs_certificate;
        let key = issuer.subject_public_key_info.subject_public_key.raw_bytes();
        let name = issuer.subject.to_der().unwrap();
        let (oid, hash) = self.hash;
        SingleResponse {
            cert_id: CertId {
                hash_algorithm: algorithm(oid, Some(Any::new(Tag::Null, []).unwrap())),
                issuer_name_hash: octets(digest(hash, &name).as_ref()),
                issuer_key_hash: octets(digest(hash, key).as_ref()),
                serial_number: self
                    .subject
                    .certificate
                    .parsed()
                    .tbs_certificate
                    .serial_number
                    .clone(),
            },
            cert_status: CertStatus::Good(Null),
            this_update: at(NOW_SECS - HOUR_SECS),
            next_update: Some(at(NOW_SECS + HOUR_SECS)),
            single_extensions: None,
        }
    }
}

fn octets(bytes: &[u8]) -> OctetString {
    OctetString::new(bytes).unwrap()
}

fn algorithm(oid: &str, parameters: Option<Any>) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap(oid), parameters }
}

fn at(secs: u64) -> OcspGeneralizedTime {
    GeneralizedTime::from_unix_duration(Duration::from_secs(secs)).unwrap().into()
}

pub(crate) fn extension(critical: bool) -> Extension {
    let extn_id = ObjectIdentifier::new_unwrap("1.2.3.4");
    Extension { extn_id, critical, extn_value: octets(&[5, 0]) }
}

fn revoked(reason: Option<CrlReason>) -> CertStatus {
    let revocation_time = at(NOW_SECS - HOUR_SECS);
    CertStatus::Revoked(RevokedInfo { revocation_time, revocation_reason: reason })
}

#[test]
fn a_good_answer_is_good_until_its_end_however_it_names_responder_and_certificate() {
    let good = Good { until_secs: NOW_SECS + HOUR_SECS, on_hold: false };
    assert_eq!(Responder::new().outcome().unwrap(), good);
    assert_eq!(Responder { by_name: true, ..Responder::new() }.outcome().unwrap(), good);
    for hash in [("1.3.14.3.2.26", &SHA1_FOR_LEGACY_USE_ONLY), ("2.16.840.1.101.3.4.2.1", &SHA256)]
    {
        assert_eq!(Responder { hash, ..Responder::new() }.outcome().unwrap(), good);
    }
    let unknown = Responder { hash: ("2.16.840.1.101.3.4.2.3", &SHA512), ..Responder::new() };
    assert_eq!(unknown.outcome().unwrap_err(), OcspError::OtherCertificate);
}

#[test]
fn an_answer_by_another_name_key_or_serial_number_is_about_another_certificate() {
    let edits: [fn(&mut ResponseData); 4] = [
        |data| data.responses[0].cert_id.issuer_name_hash = octets(&[0; 48]),
        |data| data.responses[0].cert_id.issuer_key_hash = octets(&[0; 48]),
        |data| data.responses[0].cert_id.serial_number = 5_u8.into(),
        |data| data.responses.clear(),
    ];
    for edit in edits {
        let responder = Responder::editing(edit);
        assert_eq!(responder.outcome().unwrap_err(), OcspError::OtherCertificate);
        let answer = OcspAnswer::parse(&responder.good()).unwrap();
        assert!(!responder.is_about(&answer));
    }
}

#[test]
fn a_certificate_of_another_issuer_with_the_same_serial_number_is_another_certificate() {
    let responder = Responder::new();
    let answer = OcspAnswer::parse(&responder.good()).unwrap();
    let (own, issuer) = (&responder.subject.certificate, &responder.root.certificate);
    assert!(answer.is_about(own, issuer));
    // Serial numbers here follow from keys, and the keys are the same.
    let other = Identity::root("Other CA").authority("Test Identity").certificate;
    let serial_number =
        |certificate: &Certificate| certificate.parsed().tbs_certificate.serial_number.clone();
    assert_eq!(serial_number(&other), serial_number(own));
    assert!(!answer.is_about(&other, issuer));
}

#[test]
fn an_answer_that_is_not_in_der_is_refused_though_it_says_the_same() {
    let good = OcspResponse::from_der(&Responder::new().good()).unwrap();
    let mut body = good.response_bytes.unwrap();
    let basic = BasicOcspResponse::from_der(body.response.as_bytes()).unwrap();
    let data = basic.tbs_response_data.to_der().unwrap();
    // The first version is the default, which DER leaves out.
    let version = [0xa0, 3, 2, 1, 0];
    let data = sequence(&[&version, &data[3..]].concat());
    let signature = basic.signature.to_der().unwrap();
    let certificates = sequence(&basic.certs.unwrap()[0].to_der().unwrap());
    let explicit = [&[0xa0, 0x82], length(&certificates).as_slice(), &certificates].concat();
    let algorithm = basic.signature_algorithm.to_der().unwrap();
    body.response = octets(&sequence(&[data, algorithm, signature, explicit].concat()));
    let answer = OcspResponse { response_bytes: Some(body), ..OcspResponse::try_later() };
    let answer = OcspResponse { response_status: good.response_status, ..answer };
    let refused = OcspAnswer::parse(&answer.to_der().unwrap()).unwrap_err().to_string();
    assert!(refused.contains("not in DER"), "{refused}");
}

/// A sequence of 256 to 65535 bytes, or one of 128 to 255.
fn sequence(content: &[u8]) -> Vec<u8> {
    match u8::try_from(content.len()) {
        Ok(short) => [&[0x30, 0x81, short], content].concat(),
        Err(_) => [&[0x30, 0x82], length(content).as_slice(), content].concat(),
    }
}

fn length(content: &[u8]) -> [u8; 2] {
    u16::try_from(content.len()).unwrap().to_be_bytes()
}

#[test]
fn an_answer_that_says_two_things_of_one_certificate_is_refused() {
    let twice = Responder::editing(|data| {
        let mut second = data.responses[0].clone();
        second.cert_status = CertStatus::Unknown(Null);
        data.responses.push(second);
    });
    assert_eq!(twice.outcome().unwrap_err(), OcspError::OtherCertificate);
    let with_another = Responder::editing(|data| {
        let mut second = data.responses[0].clone();
        second.cert_id.serial_number = 5_u8.into();
        data.responses.insert(0, second);
    });
    with_another.outcome().unwrap();
}

#[test]
fn revoked_and_unknown_certificates_are_refused() {
    let unknown = Responder::editing(|data| data.responses[0].cert_status = CertStatus::unknown());
    assert_eq!(unknown.outcome().unwrap_err(), OcspError::Unknown);
    let compromised = Responder::editing(|data| {
        data.responses[0].cert_status = revoked(Some(CrlReason::KeyCompromise));
    });
    let unreasoned = Responder::editing(|data| data.responses[0].cert_status = revoked(None));
    for responder in [compromised, unreasoned] {
        for hold in [CertificateHold::Refuse, CertificateHold::Accept] {
            let refused = responder.verify_with(&responder.good(), hold).unwrap_err();
            assert!(matches!(refused, OcspError::Revoked(_)), "{refused}");
        }
    }
}

#[test]
fn a_certificate_on_hold_is_good_only_where_holds_are_accepted_and_is_marked() {
    let on_hold = Responder::editing(|data| {
        data.responses[0].cert_status = revoked(Some(CrlReason::CertificateHold));
    });
    let refused = on_hold.outcome().unwrap_err();
    assert_eq!(refused, OcspError::Revoked("CertificateHold".to_owned()));
    let good = on_hold.verify_with(&on_hold.good(), CertificateHold::Accept).unwrap();
    assert!(good.on_hold);
    assert_eq!(CertificateHold::default(), CertificateHold::Refuse);
}

#[test]
fn answers_without_an_end_or_of_another_time_are_refused() {
    let endless = Responder::editing(|data| data.responses[0].next_update = None);
    assert_eq!(endless.outcome().unwrap_err(), OcspError::Endless);
    let edits: [fn(&mut ResponseData); 2] = [
        |data| data.responses[0].this_update = at(NOW_SECS + 1),
        |data| data.responses[0].next_update = Some(at(NOW_SECS - 1)),
    ];
    for edit in edits {
        let refused = Responder::editing(edit).outcome().unwrap_err();
        assert!(matches!(refused, OcspError::Stale { .. }), "{refused}");
    }
}

#[test]
fn critical_extensions_are_refused_and_others_ignored() {
    let ignored = Responder::editing(|data| {
        data.response_extensions = Some(vec![extension(false)]);
        data.responses[0].single_extensions = Some(vec![extension(false)]);
    });
    ignored.outcome().unwrap();
    let edits: [fn(&mut ResponseData); 2] = [
        |data| data.response_extensions = Some(vec![extension(true)]),
        |data| data.responses[0].single_extensions = Some(vec![extension(true)]),
    ];
    for edit in edits {
        assert_eq!(Responder::editing(edit).outcome().unwrap_err(), OcspError::UnknownExtension);
    }
}

#[test]
fn a_responder_that_the_issuer_did_not_appoint_for_answers_now_is_refused() {
    let refusal = |responder: Identity| {
        let refused = Responder { responder, ..Responder::new() }.outcome().unwrap_err();
        assert!(matches!(refused, OcspError::Responder(_)), "{refused}");
        refused.to_string()
    };
    let Responder { root, subject, .. } = Responder::new();
    let foreign = Identity::root("Other CA").responder("Test Responder");
    assert!(refusal(foreign).contains("did not appoint"));
    let impostor = Identity::root_with_key("Test Device CA", "another key");
    assert!(refusal(impostor.responder("Test Responder")).contains("did not appoint"));
    let renamed = Identity::root_with_key("Other CA", "Test Device CA");
    assert!(refusal(renamed.responder("Test Responder")).contains("did not appoint"));
    let nephew = subject.responder("Test Responder");
    assert!(refusal(nephew).contains("did not appoint"));
    assert!(refusal(root.signer("Test Responder")).contains("not for signing OCSP answers"));

    let mut past = end_entity("Test Responder");
    past.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::OcspSigning];
    let (mut encrypting, mut serving) = (past.clone(), past.clone());
    past.not_after = rcgen::date_time_ymd(2025, 10, 24);
    assert!(refusal(root.issue("Test Responder", past)).contains("not valid now"));
    serving.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    assert!(refusal(root.issue("Test Responder", serving)).contains("signing OCSP answers"));
    encrypting.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment];
    assert!(refusal(root.issue("Test Responder", encrypting)).contains("key is not for signing"));

    let mut other = Responder::new();
    other.edit = |data| data.responder_id = ResponderId::ByKey(octets(&[0; 20]));
    let refused = other.outcome().unwrap_err().to_string();
    assert!(refused.contains("its certificate is not in the answer"));
}

#[test]
fn an_answer_signed_by_another_key_than_the_named_responders_is_refused() {
    let mut responder = Responder::new();
    let certificate = responder.responder.certificate.clone();
    responder.responder = responder.root.responder("Another Responder");
    let foreign_key = std::mem::replace(&mut responder.responder.certificate, certificate);
    assert_ne!(foreign_key, responder.responder.certificate);
    assert_eq!(responder.outcome().unwrap_err(), OcspError::Signature);
}

#[test]
fn a_responder_that_gives_an_error_or_nothing_gives_no_answer() {
    for (error, status) in [
        (OcspResponse::malformed_request(), 1),
        (OcspResponse::internal_error(), 2),
        (OcspResponse::try_later(), 3),
        (OcspResponse::sig_required(), 5),
        (OcspResponse::unauthorized(), 6),
    ] {
        let refused = OcspAnswer::parse(&error.to_der().unwrap()).unwrap_err();
        assert_eq!(refused, OcspError::Unsuccessful(status));
    }
    let empty = [0x30, 3, 0x0a, 1, 0];
    assert!(OcspAnswer::parse(&empty).unwrap_err().to_string().contains("it is empty"));

    let mut other = OcspResponse::from_der(&Responder::new().good()).unwrap();
    let bytes = other.response_bytes.as_mut().unwrap();
    bytes.response_type = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
    let refused = OcspAnswer::parse(&other.to_der().unwrap()).unwrap_err().to_string();
    assert!(refused.contains("not of the basic type"));
}

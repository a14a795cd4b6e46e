//! The digest of the firmware that signs reports.
//!
//! The boot ROM measures that firmware and writes the digest into the certificate that it issues
//! for the firmware's key, as DICE has it; the report repeats it. A report that names other
//! firmware was not made by what was certified.

use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use x509_cert::der::{self, Decode as _, Reader, SliceReader, Tag, TagNumber, Tagged as _};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::SpdmReport;
use super::spdm::FWID_BYTES;
use crate::certificates::{Certificate, Chain};

/// The report names the firmware that its certificate was issued for. Worth something only for a
/// signature and a chain that were checked.
///
/// Firmware before 550.90.07 does not name itself. Nobody but the GPU can take the field out, as it
/// is signed; a newer report without it is refused, for then something is wrong with the firmware.
pub fn check_fwid(report: &SpdmReport, chain: &Chain) -> Result<FwidState, FwidError> {
    let certified = certified_fwid(chain.leaf())?;
    match report.fwid() {
        Some(reported) if reported == certified => Ok(FwidState::Matches(certified)),
        Some(_) => Err(FwidError::Mismatch),
        None if is_older_than_the_field(report) => Ok(FwidState::AbsentInOldReport { certified }),
        None => Err(FwidError::Missing),
    }
}

/// The firmware's digest according to a GPU's own certificate.
pub fn certified_fwid(leaf: &Certificate) -> Result<[u8; FWID_BYTES], FwidError> {
    let read = match (leaf.extension(COMPOSITE_DEVICE_ID), leaf.extension(TCB_INFO)) {
        (Some(content), None) => composite_device_id(content),
        (None, Some(content)) => tcb_info(content),
        (None, None) => return Err(FwidError::NotCertified),
        (Some(_), Some(_)) => return Err(FwidError::Ambiguous),
    };
    read.map_err(|e| FwidError::Unreadable(e.to_string()))?.ok_or(FwidError::NoSha384)
}

/// What a report says of its firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FwidState {
    /// The digest that the certificate has.
    Matches([u8; FWID_BYTES]),
    /// Nothing: the driver is older than the field. Only the certificate names the firmware.
    AbsentInOldReport {
        /// The certificate's digest.
        certified: [u8; FWID_BYTES],
    },
}

/// Why the firmware is not the certified one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FwidError {
    /// A certificate without the extension.
    #[error("the GPU's certificate names no firmware")]
    NotCertified,
    /// Both forms of the extension at once.
    #[error("the GPU's certificate names its firmware in two ways")]
    Ambiguous,
    /// The extension has another structure.
    #[error("the firmware's name in the GPU's certificate cannot be read: {0}")]
    Unreadable(String),
    /// No digest of the kind that reports have.
    #[error("the GPU's certificate names its firmware by no SHA-384 digest")]
    NoSha384,
    /// Two different digests.
    #[error("the report names other firmware than the GPU's certificate")]
    Mismatch,
    /// A report that should have one.
    #[error("the report names no firmware, although its driver is not older than 550.90.07")]
    Missing,
}

/// Hopper: a version, the public key of the device, and one digest.
fn composite_device_id(content: &[u8]) -> der::Result<Option<[u8; FWID_BYTES]>> {
    let mut reader = SliceReader::new(content)?;
    let digest = reader.sequence(|parts| {
        parts.decode::<UintRef<'_>>()?;
        parts.decode::<SubjectPublicKeyInfoRef<'_>>()?;
        sha384_digest(parts)
    })?;
    reader.finish(digest)
}

/// Blackwell: numbered elements, of which one is the list of digests.
fn tcb_info(content: &[u8]) -> der::Result<Option<[u8; FWID_BYTES]>> {
    let mut reader = SliceReader::new(content)?;
    let digests = reader.sequence(|parts| {
        let mut digests = None;
        let mut last = None;
        while !parts.is_finished() {
            let element = AnyRef::decode(parts)?;
            let Tag::ContextSpecific { number, constructed } = element.tag() else {
                return Err(element.tag().unexpected_error(None));
            };
            // Each at most once: DER keeps the order of their numbers.
            if last.is_some_and(|last| last >= number) {
                return Err(element.tag().non_canonical_error());
            }
            last = Some(number);
            if number == DIGESTS && constructed {
                digests = Some(element.value());
            }
        }
        Ok(digests)
    })?;
    reader.finish(())?;
    digests.map_or(Ok(None), first_sha384_digest)
}

fn first_sha384_digest(list: &[u8]) -> der::Result<Option<[u8; FWID_BYTES]>> {
    let mut reader = SliceReader::new(list)?;
    let mut first = None;
    while !reader.is_finished() {
        let digest = sha384_digest(&mut reader)?;
        first = first.or(digest);
    }
    Ok(first)
}

/// An algorithm and its digest; none where that is not SHA-384.
fn sha384_digest<'r>(reader: &mut impl Reader<'r>) -> der::Result<Option<[u8; FWID_BYTES]>> {
    reader.sequence(|pair| {
        let algorithm: ObjectIdentifier = pair.decode()?;
        let digest: OctetStringRef<'_> = pair.decode()?;
        Ok(if algorithm == SHA384 { digest.as_bytes().try_into().ok() } else { None })
    })
}

/// A version that cannot be read is not an old one.
fn is_older_than_the_field(report: &SpdmReport) -> bool {
    let Some(driver) = report.driver_version() else { return false };
    let parts: Result<Vec<u32>, _> = driver.split('.').map(str::parse).collect();
    parts.is_ok_and(|parts| parts.as_slice() < FIRST_DRIVER_WITH_FWID.as_slice())
}

/// The oldest driver of which a report with the field is known.
const FIRST_DRIVER_WITH_FWID: [u32; 3] = [550, 90, 7];

/// TCG DICE, CompositeDeviceID.
const COMPOSITE_DEVICE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");

/// TCG DICE, DiceTcbInfo, and the number of its list of digests.
const TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1");
const DIGESTS: TagNumber = TagNumber::N6;

const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");

#[cfg(test)]
mod tests {
    use x509_cert::der::Encode as _;
    use x509_cert::der::asn1::OctetString;

    use super::*;

    const CHAIN: &[u8] = include_bytes!("../../../../fixtures/nvidia/hopperCertChain.txt");
    const ONE: [u8; 48] = [1; 48];
    const TWO: [u8; 48] = [2; 48];

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u8::try_from(content.len()).unwrap();
        let length = if length < 128 { vec![length] } else { vec![0x81, length] };
        [&[tag], &length[..], &content].concat()
    }

    fn named(algorithm: &ObjectIdentifier, digest: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&tlv(6, &[algorithm.as_bytes()]), &tlv(4, &[digest])])
    }

    fn sha256() -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1")
    }

    /// The sample's own certificate with these extensions of the two kinds; its signature is wrong.
    fn leaf(extensions: &[(ObjectIdentifier, Vec<u8>)]) -> Certificate {
        let chain = Chain::parse_pem(CHAIN).unwrap();
        let mut changed = chain.leaf().parsed().clone();
        let list = changed.tbs_certificate.extensions.as_mut().unwrap();
        let mut template = list.last().unwrap().clone();
        list.retain(|extension| extension.extn_id != COMPOSITE_DEVICE_ID);
        for (oid, content) in extensions {
            template.extn_id = *oid;
            template.extn_value = OctetString::new(content.clone()).unwrap();
            list.push(template.clone());
        }
        Certificate::from_der(&changed.to_der().unwrap()).unwrap()
    }

    fn of_tcb_info(elements: &[&[u8]]) -> Result<[u8; 48], FwidError> {
        certified_fwid(&leaf(&[(TCB_INFO, tlv(0x30, elements))]))
    }

    #[test]
    fn blackwells_first_sha384_digest_counts_and_no_other_bytes() {
        let decoy = tlv(0x81, &[&named(&SHA384, &TWO)]);
        let digests = tlv(0xa6, &[&named(&SHA384, &ONE), &named(&SHA384, &TWO)]);
        let flags = tlv(0x87, &[&[5, 0]]);
        assert_eq!(of_tcb_info(&[&decoy, &digests, &flags]), Ok(ONE));
        let digests = tlv(0xa6, &[&named(&sha256(), &[7; 32]), &named(&SHA384, &TWO)]);
        assert_eq!(of_tcb_info(&[&digests]), Ok(TWO));
    }

    #[test]
    fn a_tcb_info_of_another_structure_names_no_firmware() {
        let digests = tlv(0xa6, &[&named(&SHA384, &ONE)]);
        let unreadable =
            |elements: &[&[u8]]| matches!(of_tcb_info(elements), Err(FwidError::Unreadable(_)));
        assert!(unreadable(&[&digests, &digests]), "twice");
        assert!(unreadable(&[&digests, &tlv(0x80, &[b"vendor"])]), "out of order");
        assert!(unreadable(&[&digests, &tlv(4, &[b"other"])]), "no number");
        assert!(unreadable(&[&tlv(0xa6, &[&named(&SHA384, &ONE), &[0]])]), "trailing byte");
        assert!(unreadable(&[&tlv(0xa6, &[&tlv(4, &[&ONE])])]), "no algorithm");
        for elements in [
            &[][..],
            &[tlv(0xa6, &[])],
            &[tlv(0x86, &[&named(&SHA384, &ONE)])],
            &[tlv(0xa5, &[&named(&SHA384, &ONE)])],
            &[tlv(0xa6, &[&named(&sha256(), &ONE)])],
            &[tlv(0xa6, &[&named(&SHA384, &[1; 32])])],
        ] {
            let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            assert_eq!(of_tcb_info(&elements), Err(FwidError::NoSha384), "{elements:?}");
        }
    }

    #[test]
    fn a_composite_device_id_is_a_version_a_key_and_a_digest() {
        let chain = Chain::parse_pem(CHAIN).unwrap();
        let key = &chain.leaf().parsed().tbs_certificate.subject_public_key_info;
        let key = key.to_der().unwrap();
        let (version, digest) = (tlv(2, &[&[1]]), named(&SHA384, &ONE));
        let read =
            |parts: &[&[u8]]| certified_fwid(&leaf(&[(COMPOSITE_DEVICE_ID, tlv(0x30, parts))]));
        assert_eq!(read(&[&version, &key, &digest]), Ok(ONE));
        let other = named(&sha256(), &[1; 32]);
        assert_eq!(read(&[&version, &key, &other]), Err(FwidError::NoSha384));
        for parts in [
            &[&version[..], &key, &digest, &named(&SHA384, &TWO)][..],
            &[&version, &digest],
            &[&key, &digest],
            &[&version, &key, &ONE],
            &[],
        ] {
            assert!(matches!(read(parts), Err(FwidError::Unreadable(_))), "{parts:?}");
        }
    }

    #[test]
    fn a_certificate_with_no_name_of_firmware_or_with_two_is_refused() {
        assert_eq!(certified_fwid(&leaf(&[])), Err(FwidError::NotCertified));
        let content = tlv(0x30, &[&tlv(0xa6, &[&named(&SHA384, &ONE)])]);
        let both = leaf(&[(TCB_INFO, content.clone()), (COMPOSITE_DEVICE_ID, content)]);
        assert_eq!(certified_fwid(&both), Err(FwidError::Ambiguous));
    }
}

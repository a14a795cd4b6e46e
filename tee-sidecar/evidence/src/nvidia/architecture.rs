//! Which generation a device is of, by its certificates and not by a label beside them.
//!
//! The names of the first certificate and of the one that issued it both begin with the chip. The
//! names further up do not tell: an NVSwitch's chain has the same authorities as an H100's.

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Tag, Tagged as _};

use super::Architecture;
use crate::certificates::{Certificate, Chain};

/// The certificates are of a known GPU, and of the generation that the evidence claims. Worth
/// something only for a chain that was checked.
pub fn check_architecture(
    chain: &Chain,
    claimed: Architecture,
) -> Result<Architecture, ArchitectureError> {
    let leaf = common_name(chain.leaf())?;
    let issuer = model(chain)?;
    let certified = of_chip(chip(&leaf)).ok_or_else(|| ArchitectureError::Unknown(leaf.clone()))?;
    if chip(&leaf) != chip(&issuer) {
        return Err(ArchitectureError::Mixed { leaf, issuer });
    }
    if certified != claimed {
        return Err(ArchitectureError::Label { certified, claimed });
    }
    Ok(certified)
}

/// The name of the certificate that issued the first one.
pub(super) fn model(chain: &Chain) -> Result<String, ArchitectureError> {
    let issuer = chain.certificates().get(1).ok_or(ArchitectureError::Nameless)?;
    common_name(issuer)
}

/// Why certificates are not those of the claimed GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// A certificate without exactly one common name, or no second certificate.
    #[error("the certificates do not name the device")]
    Nameless,
    /// A switch, or a GPU that is not understood.
    #[error("\"{0}\" is no Hopper or Blackwell GPU")]
    Unknown(String),
    /// Two certificates of one device name two chips.
    #[error("\"{leaf}\" was certified by \"{issuer}\", another chip")]
    Mixed {
        /// The first certificate's name.
        leaf: String,
        /// The second one's.
        issuer: String,
    },
    /// The label beside the evidence is wrong.
    #[error("the evidence says {claimed}, its certificates {certified}")]
    Label {
        /// According to the certificates.
        certified: Architecture,
        /// According to the label.
        claimed: Architecture,
    },
}

fn of_chip(chip: &str) -> Option<Architecture> {
    if chip == "GH100" {
        return Some(Architecture::Hopper);
    }
    match chip.strip_prefix("GB")?.as_bytes() {
        [b'1' | b'2', b'0'..=b'9', b'0'..=b'9'] => Some(Architecture::Blackwell),
        _ => None,
    }
}

fn chip(name: &str) -> &str {
    name.split(' ').next().unwrap_or_default()
}

fn common_name(certificate: &Certificate) -> Result<String, ArchitectureError> {
    let subject = &certificate.parsed().tbs_certificate.subject;
    let attributes = subject.0.iter().flat_map(|names| names.0.iter());
    let mut names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(ArchitectureError::Nameless);
    };
    let text = std::str::from_utf8(name.value.value());
    match (name.value.tag(), text) {
        (Tag::Utf8String | Tag::PrintableString, Ok(text)) => Ok(text.to_owned()),
        _ => Err(ArchitectureError::Nameless),
    }
}

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chips_of_the_two_generations_are_known() {
        assert_eq!(of_chip("GH100"), Some(Architecture::Hopper));
        for known in ["GB100", "GB102", "GB202"] {
            assert_eq!(of_chip(known), Some(Architecture::Blackwell), "{known}");
        }
        for unknown in ["", "LS_10", "GH10", "GH1000", "gh100", "GB", "GB10", "GB300", "GB10x"] {
            assert_eq!(of_chip(unknown), None, "{unknown:?}");
        }
    }
}

//! What a manifest says: a software identity tag (ISO/IEC 19770-2) with a payload of measurements.

use std::collections::BTreeMap;

use roxmltree::Node;

use super::{RimError, RimKind, xml};

/// A manifest that NVIDIA signed, and that holds at the moment of verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRim {
    /// Its identity tag.
    pub tag_id: String,
    /// What it is about; the form of the version says it.
    pub kind: RimKind,
    /// The version that it describes, such as `550.90.07` or `96.00.9F.00.01`.
    pub version: String,
    /// The chip that it is for, such as `GH100`.
    pub product: String,
    /// What is measured, active or not.
    pub references: References,
}

/// Reference values by RIM index, which starts at 0.
pub type References = BTreeMap<u8, Reference>;

/// What one measurement may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whether it counts for this version.
    pub active: bool,
    /// The length of the measurement in bytes.
    pub size: usize,
    /// The accepted values.
    pub alternatives: Vec<Vec<u8>>,
}

impl VerifiedRim {
    /// Reads the canonical form of a document: the very bytes that were signed.
    pub(super) fn read(content: &str) -> Result<Self, RimError> {
        let document = xml::parse(content)?;
        let tag = document.root_element();
        if !is_named(tag, "SoftwareIdentity") {
            return Err(RimError::Content("it is no software identity tag"));
        }
        let parts = xml::child_elements(tag).ok_or(RimError::Content("there is text in it"))?;
        let meta = only(&parts, "Meta").ok_or(RimError::Content("it has not one Meta element"))?;
        let payload =
            only(&parts, "Payload").ok_or(RimError::Content("it has not one Payload element"))?;
        let version = required(meta, "colloquialVersion", "it has no version")?;
        Ok(Self {
            tag_id: required(tag, "tagId", "it has no tagId")?,
            kind: kind_of(&version).ok_or(RimError::Content("its version has no known form"))?,
            product: required(meta, "product", "it names no product")?,
            references: references(payload)?,
            version,
        })
    }

    /// Checks that this is the manifest of the version that a GPU reports.
    pub fn verify_version(&self, reported: &str) -> Result<(), RimError> {
        if self.version.eq_ignore_ascii_case(reported) {
            return Ok(());
        }
        let (rim, reported) = (self.version.clone(), reported.to_owned());
        Err(RimError::OtherVersion { kind: self.kind, rim, reported })
    }
}

fn references(payload: Node<'_, '_>) -> Result<References, RimError> {
    let resources = xml::child_elements(payload)
        .ok_or(RimError::Content("there is text among measurements"))?;
    let mut references = References::new();
    for resource in resources {
        let reference = Reference::read(resource)?;
        if references.insert(number(resource, "index")?, reference).is_some() {
            return Err(RimError::Content("an index is there twice"));
        }
    }
    if references.values().any(|reference| reference.active) {
        return Ok(references);
    }
    Err(RimError::Content("no measurement in it is active"))
}

impl Reference {
    fn read(resource: Node<'_, '_>) -> Result<Self, RimError> {
        let is_measurement = resource.attribute("type") == Some("Measurement");
        if !is_named(resource, "Resource") || !is_measurement {
            return Err(RimError::Content("its payload has more than measurements"));
        }
        let active = match resource.attribute("active") {
            Some("True") => true,
            Some("False") => false,
            _ => return Err(RimError::Content("a measurement is neither active nor inactive")),
        };
        let count = number(resource, "alternatives")?;
        let hashes = |attribute: &roxmltree::Attribute<'_, '_>| {
            attribute.namespace() == Some(SHA384_NAMESPACE)
        };
        if count == 0 || resource.attributes().filter(hashes).count() != usize::from(count) {
            return Err(RimError::Content("a measurement has not as many values as it says"));
        }
        let value = |at: u8| {
            let name = format!("Hash{at}");
            let value = resource.attribute((SHA384_NAMESPACE, name.as_str()));
            value.and_then(|value| hex::decode(value).ok())
        };
        let alternatives: Option<_> = (0..count).map(value).collect();
        let alternatives = alternatives.ok_or(RimError::Content("a value is missing or no hex"))?;
        Ok(Self { active, size: usize::from(number(resource, "size")?), alternatives })
    }
}

/// VBIOS versions are five hexadecimal bytes, driver versions two to four decimal numbers.
fn kind_of(version: &str) -> Option<RimKind> {
    let groups: Vec<&str> = version.split('.').collect();
    let hexadecimal =
        |group: &&str| group.len() == 2 && group.bytes().all(|b| b.is_ascii_hexdigit());
    let decimal = |group: &&str| {
        (1..=DRIVER_DIGITS_MAX).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit())
    };
    match groups.len() {
        5 if groups.iter().all(hexadecimal) => Some(RimKind::Vbios),
        2..=4 if groups.iter().all(decimal) => Some(RimKind::Driver),
        _ => None,
    }
}

fn only<'a, 'i>(parts: &[Node<'a, 'i>], name: &str) -> Option<Node<'a, 'i>> {
    let mut named = parts.iter().filter(|part| is_named(**part, name));
    named.next().copied().filter(|_| named.next().is_none())
}

fn required(node: Node<'_, '_>, name: &str, missing: &'static str) -> Result<String, RimError> {
    node.attribute(name).map(str::to_owned).ok_or(RimError::Content(missing))
}

fn number(resource: Node<'_, '_>, name: &str) -> Result<u8, RimError> {
    let digits = resource.attribute(name).unwrap_or_default();
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| plain);
    number.ok_or(RimError::Content("a measurement's index, count or size is no small number"))
}

fn is_named(node: Node<'_, '_>, name: &str) -> bool {
    node.tag_name().namespace() == Some(TAG_NAMESPACE) && node.tag_name().name() == name
}

const DRIVER_DIGITS_MAX: usize = 6;

const TAG_NAMESPACE: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384_NAMESPACE: &str = "http://www.w3.org/2001/04/xmlenc#sha384";

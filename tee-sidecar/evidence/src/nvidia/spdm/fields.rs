//! The opaque data of a response: numbered fields in which a GPU names its driver and its board.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::{FWID_BYTES, SpdmError};

/// The fields of a report by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<u16, Vec<u8>>);

/// The numbers of the fields that are read here.
pub mod field {
    /// Text.
    pub const DRIVER_VERSION: u16 = 3;
    /// Eight bytes on GPUs.
    pub const VBIOS_VERSION: u16 = 6;
    /// One byte.
    pub const NVDEC0_STATUS: u16 = 11;
    /// Text.
    pub const CHIP_SKU: u16 = 15;
    /// Text.
    pub const PROJECT: u16 = 17;
    /// Text.
    pub const PROJECT_SKU: u16 = 18;
    /// A SHA-384 digest.
    pub const FWID: u16 = 20;
    /// Text.
    pub const CHIP_INFO: u16 = 35;
    /// A number of two bytes.
    pub const FEATURE_FLAG: u16 = 36;
}

impl Fields {
    /// Both forms: fields alone, and behind a header, where each also has a type of its value.
    pub(super) fn parse(opaque: &[u8]) -> Result<Self, SpdmError> {
        let mut cursor = Cursor::new(opaque);
        let typed = opaque.starts_with(HEADER_MAGIC);
        if typed {
            cursor.take(HEADER_BYTES, "the opaque data's header")?;
        }
        let mut fields = BTreeMap::new();
        while cursor.left() != 0 {
            let id = cursor.u16("an opaque field's number")?;
            if typed {
                let _value_type = cursor.u16("an opaque field's type")?;
            }
            let length = usize::from(cursor.u16("an opaque field's length")?);
            let value = cursor.take(length, "an opaque field")?;
            if fields.insert(id, value.to_vec()).is_some() {
                return Err(SpdmError::DuplicateField(id));
            }
        }
        let fields = Self(fields);
        // A digest of another length must not read as a report that has none.
        for (id, name, length) in FIXED_BYTES {
            if fields.get(id).is_some_and(|value| value.len() != length) {
                return Err(SpdmError::Field(id, name));
            }
        }
        Ok(fields)
    }

    /// The field's bytes.
    pub fn get(&self, id: u16) -> Option<&[u8]> {
        self.0.get(&id).map(Vec::as_slice)
    }

    /// Every field by its number.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.0.iter().map(|(id, value)| (*id, value.as_slice()))
    }

    /// A text padded with zeros. Versions and board names become parts of file names and addresses,
    /// so a character beyond letters, digits, `.`, `-` and `_` makes it no text.
    pub(super) fn text(&self, id: u16) -> Option<String> {
        let text = std::str::from_utf8(self.get(id)?).ok()?.trim_end_matches('\0');
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned())
    }

    /// The first four bytes from the last to the first, then the fifth.
    pub(super) fn vbios_version(&self) -> Option<String> {
        let [d, c, b, a, e, _, _, _] = *self.get(field::VBIOS_VERSION)? else { return None };
        Some(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}"))
    }
}

const FIXED_BYTES: [(u16, &str, usize); 3] = [
    (field::NVDEC0_STATUS, "NVDEC0_STATUS", 1),
    (field::FWID, "FWID", FWID_BYTES),
    (field::FEATURE_FLAG, "FEATURE_FLAG", 2),
];

const HEADER_MAGIC: &[u8] = b"NVDAOD";

/// The magic, a profile, two versions and two reserved bytes.
const HEADER_BYTES: usize = 12;

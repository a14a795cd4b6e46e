//! The report of a GPU: an SPDM 1.1 GET_MEASUREMENTS request and the response to it, end to end.
//!
//! Reading proves nothing. Only the signature over every byte before it does, and only under a key
//! whose certificates hold: see [`super::verify_gpu`].

use super::Measurements;

mod cursor;
mod fields;
mod record;

use cursor::Cursor;
pub use fields::{Fields, field};

/// A report, read completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpdmReport {
    signed: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
    request_nonce: [u8; NONCE_BYTES],
    response_nonce: [u8; NONCE_BYTES],
    measurements: Measurements,
    fields: Fields,
}

impl SpdmReport {
    /// Reads a report and nothing behind it.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpdmError> {
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(SpdmError::TooLong(bytes.len()));
        }
        let mut cursor = Cursor::new(bytes);
        let request_nonce = read_request(&mut cursor)?;
        let measurements = read_measurements(&mut cursor)?;
        let response_nonce = cursor.array("the response's nonce")?;
        let opaque_bytes = usize::from(cursor.u16("the opaque data's length")?);
        let fields = Fields::parse(cursor.take(opaque_bytes, "the opaque data")?)?;
        let unsigned_bytes = cursor.left();
        let signature = cursor.array("the signature")?;
        if cursor.left() != 0 {
            return Err(SpdmError::Trailing(cursor.left()));
        }
        let signed = bytes.iter().copied().take(bytes.len().saturating_sub(unsigned_bytes));
        Ok(Self {
            signed: signed.collect(),
            signature,
            request_nonce,
            response_nonce,
            measurements,
            fields,
        })
    }

    /// The nonce that was asked for: the caller's.
    pub const fn nonce(&self) -> &[u8; NONCE_BYTES] {
        &self.request_nonce
    }

    /// The nonce that the GPU drew itself. It says nothing about freshness.
    pub const fn response_nonce(&self) -> &[u8; NONCE_BYTES] {
        &self.response_nonce
    }

    /// The measured blocks by index, which starts at 1.
    pub const fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// What the GPU says of itself beside the measurements.
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The version of the driver, such as `550.90.07`.
    pub fn driver_version(&self) -> Option<String> {
        self.fields.text(field::DRIVER_VERSION)
    }

    /// The version of the VBIOS, such as `96.00.9F.00.01`.
    pub fn vbios_version(&self) -> Option<String> {
        self.fields.vbios_version()
    }

    /// The chip's stock-keeping unit, such as `882`.
    pub fn chip_sku(&self) -> Option<String> {
        self.fields.text(field::CHIP_SKU)
    }

    /// The board's project, such as `1010`.
    pub fn project(&self) -> Option<String> {
        self.fields.text(field::PROJECT)
    }

    /// The board's variant, such as `0200`.
    pub fn project_sku(&self) -> Option<String> {
        self.fields.text(field::PROJECT_SKU)
    }

    /// The chip's name, where the firmware gives one.
    pub fn chip_info(&self) -> Option<String> {
        self.fields.text(field::CHIP_INFO)
    }

    /// The state of the first video decoder: 0x55 off, 0xAA on.
    pub fn nvdec0_status(&self) -> Option<u8> {
        self.fields.get(field::NVDEC0_STATUS)?.first().copied()
    }

    /// The digest of the firmware that signs reports. Old drivers do not give it.
    pub fn fwid(&self) -> Option<[u8; FWID_BYTES]> {
        self.fields.get(field::FWID)?.try_into().ok()
    }

    /// Whether the GPU works alone (0), with others (1) or over protected PCIe (2).
    pub fn feature_flag(&self) -> Option<u16> {
        Some(u16::from_le_bytes(self.fields.get(field::FEATURE_FLAG)?.try_into().ok()?))
    }

    /// The bytes under the signature: everything before it.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signature: r and s, big-endian, on P-384 over SHA-384.
    pub const fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.signature
    }
}

/// Why bytes are not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpdmError {
    /// More than a driver can give.
    #[error("a report has at most {REPORT_BYTES_MAX} bytes, not {0}")]
    TooLong(usize),
    /// The bytes end inside this part, or a length before it lies.
    #[error("the report ends inside {0}")]
    Truncated(&'static str),
    /// Bytes behind the signature, or a length before it lies.
    #[error("{0} bytes follow the signature")]
    Trailing(usize),
    /// It does not begin with the request that is always sent.
    #[error("the request is not SPDM 1.1 GET_MEASUREMENTS of all blocks, signed, from slot 0")]
    NotARequest,
    /// Something else than measurements follows the request.
    #[error("the response is not SPDM 1.1 MEASUREMENTS")]
    NotAResponse,
    /// The record has other blocks than its header says, or none.
    #[error("the response announces {announced} measurement blocks and has {found}")]
    BlockCount {
        /// According to the header.
        announced: u8,
        /// According to the record.
        found: usize,
    },
    /// A block is not one that can be compared.
    #[error("measurement block {index} {why}")]
    Block {
        /// Its SPDM index.
        index: u8,
        /// What is wrong.
        why: &'static str,
    },
    /// A field says two things.
    #[error("opaque field {0} comes twice")]
    DuplicateField(u16),
    /// A field that every report of this kind has is missing, or has another form.
    #[error("opaque field {0} ({1}) is missing or has an unknown form")]
    Field(u16, &'static str),
}

/// The caller's nonce.
fn read_request(cursor: &mut Cursor<'_>) -> Result<[u8; NONCE_BYTES], SpdmError> {
    if cursor.array("the request")? != GET_MEASUREMENTS {
        return Err(SpdmError::NotARequest);
    }
    let nonce = cursor.array("the request's nonce")?;
    match cursor.u8("the request's slot")? {
        SLOT => Ok(nonce),
        _ => Err(SpdmError::NotARequest),
    }
}

fn read_measurements(cursor: &mut Cursor<'_>) -> Result<Measurements, SpdmError> {
    if cursor.array("the response")? != MEASUREMENTS {
        return Err(SpdmError::NotAResponse);
    }
    // SPDM 1.1 reserves the first parameter in this answer; the second repeats the slot.
    let [_, slot] = cursor.array("the response's parameters")?;
    if slot != SLOT {
        return Err(SpdmError::NotAResponse);
    }
    let announced = cursor.u8("the number of blocks")?;
    let record_bytes = cursor.u24("the record's length")?;
    record::parse(cursor.take(record_bytes, "the measurement record")?, announced)
}

/// The size of the buffer into which drivers write reports. Real ones have about 4,200 bytes.
const REPORT_BYTES_MAX: usize = 0x2000;

const NONCE_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 96;

/// SHA-384.
pub(super) const FWID_BYTES: usize = 48;

/// SPDM 1.1, GET_MEASUREMENTS, with a signature, all blocks.
const GET_MEASUREMENTS: [u8; 4] = [0x11, 0xe0, 0x01, 0xff];

/// SPDM 1.1, MEASUREMENTS.
const MEASUREMENTS: [u8; 2] = [0x11, 0x60];

/// The place of the only certificate chain.
const SLOT: u8 = 0;

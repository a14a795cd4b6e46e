//! Reads little-endian values from the front of a slice, by length and never by index.

use super::SpdmError;

pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, bytes: usize, part: &'static str) -> Result<&'a [u8], SpdmError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(SpdmError::Truncated(part))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        part: &'static str,
    ) -> Result<[u8; N], SpdmError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(SpdmError::Truncated(part))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, part: &'static str) -> Result<u8, SpdmError> {
        self.array(part).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self, part: &'static str) -> Result<u16, SpdmError> {
        self.array(part).map(u16::from_le_bytes)
    }

    /// A length of three bytes.
    pub(super) fn u24(&mut self, part: &'static str) -> Result<usize, SpdmError> {
        let [low, middle, high] = self.array(part)?;
        let value = u32::from_le_bytes([low, middle, high, 0]);
        usize::try_from(value).map_err(|_| SpdmError::Truncated(part))
    }
}

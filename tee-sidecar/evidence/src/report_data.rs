//! The 64 bytes that a quote carries for us, and the nonce in them.

use std::fmt;

use broker_core::keyset::aci_report_data;
use broker_core::{Address, Digest32};
use serde::{Serialize, Serializer};

use crate::binding::Binding;

/// What a quote binds: made by one constructor for each layout that verifiers know, and in no other
/// way, so that no quote ever covers zeros or bytes that a caller chose.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportData([u8; 64]);

impl ReportData {
    /// The layout of vllm-proxy and its kin: the address, zeros to 32 bytes, the nonce.
    pub fn ecdsa_and_nonce(address: Address, nonce: &Nonce32) -> Self {
        let mut bytes = [0; 64];
        bytes.split_at_mut(20).0.copy_from_slice(&address.0);
        bytes.split_at_mut(32).1.copy_from_slice(&nonce.0);
        Self(bytes)
    }

    /// The layout that also binds the TLS key: SHA-256 of the unpadded address and the SHA-256 of
    /// the key's SubjectPublicKeyInfo, then the nonce.
    pub fn with_tls(address: Address, spki_sha256: &Digest32, nonce: &Nonce32) -> Self {
        let Digest32(bound) = Digest32::sha256(&[&address.0[..], &spki_sha256.0[..]].concat());
        let mut bytes = [0; 64];
        bytes.split_at_mut(32).0.copy_from_slice(&bound);
        bytes.split_at_mut(32).1.copy_from_slice(&nonce.0);
        Self(bytes)
    }

    /// The layout of the 0G broker: the address as 42 ASCII characters, then zeros. It has no
    /// nonce.
    pub fn ascii_address(address: Address) -> Self {
        let mut bytes = [0; 64];
        for (byte, character) in bytes.iter_mut().zip(address.to_string().bytes()) {
            *byte = character;
        }
        Self(bytes)
    }

    /// The layout that also binds GPU evidence, model and receipt log.
    pub fn bound(binding: &Binding<'_>) -> Self {
        Self(binding.digest())
    }

    /// The layout of Attested Confidential Inference: SHA-256 of the statement that names the keyset
    /// and the nonce, or that there was none; then zeros.
    pub fn aci(keyset: &Digest32, nonce: Option<&Nonce32>) -> Self {
        let Digest32(statement) = aci_report_data(keyset, nonce.map(Nonce32::as_bytes));
        let mut bytes = [0; 64];
        bytes.split_at_mut(32).0.copy_from_slice(&statement);
        Self(bytes)
    }

    /// The first half.
    pub fn first_half(&self) -> [u8; 32] {
        let mut half = [0; 32];
        half.copy_from_slice(self.0.split_at(32).0);
        half
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Display for ReportData {
    /// 128 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ReportData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportData({self})")
    }
}

/// The 32 bytes by which a client knows that a quote is fresh.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce32([u8; 32]);

/// A nonce of another form. Nothing is hashed or padded into shape: the client could not find it in
/// the quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce is exactly 64 hex digits (32 bytes), without 0x")]
pub struct BadNonce;

impl Nonce32 {
    /// Reads exactly 64 hex digits of either case.
    pub fn parse(text: &str) -> Result<Self, BadNonce> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadNonce)?;
        Ok(Self(bytes))
    }

    /// Reads exactly 64 lower-case hex digits, the one form that Attested Confidential Inference
    /// knows.
    pub fn parse_lower(text: &str) -> Result<Self, BadNonce> {
        let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
        if upper { Err(BadNonce) } else { Self::parse(text) }
    }

    /// A nonce of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Nonce32 {
    /// 64 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Nonce32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce32({self})")
    }
}

impl Serialize for Nonce32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address([0xab; 20]);

    #[test]
    fn each_layout_puts_its_parts_where_verifiers_read_them() {
        let nonce = Nonce32::parse(&"5C".repeat(32)).unwrap();
        let a = ReportData::ecdsa_and_nonce(ADDRESS, &nonce);
        assert_eq!(
            a.to_string(),
            format!("{}{}{}", "ab".repeat(20), "00".repeat(12), "5c".repeat(32))
        );

        let spki = Digest32([0x11; 32]);
        let b = ReportData::with_tls(ADDRESS, &spki, &nonce);
        let joined = [[0xab; 20].as_slice(), &[0x11; 32]].concat();
        assert_eq!(b.to_string(), format!("{}{}", Digest32::sha256(&joined), "5c".repeat(32)));

        let d = ReportData::ascii_address(ADDRESS);
        assert_eq!(&d.as_bytes()[..42], ADDRESS.to_string().as_bytes());
        assert!(d.as_bytes()[42..].iter().all(|byte| *byte == 0));
    }

    /// The check values of the specification's test vectors.
    #[test]
    fn the_layout_of_the_aci_specification_has_its_values() {
        let hex = "53a5cd44b30dcc51999754c719f2628a041f174ecbf9662a6f8e898a10cd9371";
        let keyset = Digest32(*Nonce32::parse(hex).unwrap().as_bytes());
        let nonce = Nonce32::from_bytes(std::array::from_fn(|n| n as u8));
        for (nonce, wanted) in [
            (Some(nonce), "df2174d28130852b413646a3786927b93e94c11d770268b65def8bdba45cb49e"),
            (None, "0633919ca3f00e97bafaa3304278eb22420cc3ff0d19f87dfca2d3f7508150bc"),
        ] {
            let data = ReportData::aci(&keyset, nonce.as_ref());
            assert_eq!(data.to_string(), format!("{wanted}{}", "00".repeat(32)));
            assert_eq!(hex::encode(data.first_half()), wanted);
        }
        assert_eq!(Nonce32::parse_lower(&"AB".repeat(32)), Err(BadNonce));
        assert!(Nonce32::parse_lower(&"ab".repeat(32)).is_ok());
    }

    #[test]
    fn a_nonce_has_exactly_64_hex_digits_and_is_echoed_in_lower_case() {
        assert_eq!(Nonce32::parse(&"AB".repeat(32)).unwrap().to_string(), "ab".repeat(32));
        for bad in [
            String::new(),
            "ab".repeat(31),
            "a".repeat(63),
            "ab".repeat(33),
            "zz".repeat(32),
            format!("0x{}", "ab".repeat(31)),
            format!("0x{}", "ab".repeat(32)),
            format!(" {}", "a".repeat(63)),
            "ａ".repeat(64),
        ] {
            assert_eq!(Nonce32::parse(&bad), Err(BadNonce), "{bad:?}");
        }
    }
}

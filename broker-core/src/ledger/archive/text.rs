//! Bytes, codes and long numbers as an archive spells them.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::account::{Bucket, UserId};
use crate::command::ReleaseReason;
use crate::receipt::{Outcome, ReceiptId};
use crate::tariff::UsageSource;

/// Bytes in lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|error| de::Error::custom(format!("no {N} bytes in hex: {error}")))?;
        Ok(Self(bytes))
    }
}

/// Any number of bytes in lower-case hex.
#[derive(Clone, Debug)]
pub(super) struct HexBytes(pub(super) Vec<u8>);

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text).map(Self).map_err(de::Error::custom)
    }
}

/// What is written as its text, and read from it.
macro_rules! as_text {
    ($($module:ident: $type:ty, $read:expr, $write:expr;)*) => {$(
        pub(super) mod $module {
            use super::*;

            pub(in super::super) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let write: fn(&$type) -> String = $write;
                serializer.serialize_str(&write(value))
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                let read: fn(&str) -> Option<$type> = $read;
                read(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not known")))
            }
        }
    )*};
}

as_text! {
    user: UserId, |text| UserId::from_str(text).ok(), ToString::to_string;
    receipt_id: ReceiptId, ReceiptId::parse, ToString::to_string;
    number: u64, |text| text.parse().ok(), ToString::to_string;
    reason: ReleaseReason, |text| code(&REASONS, text).and_then(ReleaseReason::from_code),
        |why| name(&REASONS, *why as u8);
    outcome: Outcome, |text| (1..=7).filter_map(Outcome::from_code).find(|o| o.as_str() == text),
        |outcome| outcome.as_str().to_owned();
    source: UsageSource, |text| code(&SOURCES, text).and_then(UsageSource::from_code),
        |source| name(&SOURCES, *source as u8);
}

/// A bucket by its name.
#[derive(Clone, Copy)]
pub(super) struct BucketName(pub(super) Bucket);

impl Serialize for BucketName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&name(&BUCKETS, self.0 as u8))
    }
}

impl<'de> Deserialize<'de> for BucketName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bucket = code(&BUCKETS, &text).and_then(Bucket::from_code);
        bucket.map(Self).ok_or_else(|| de::Error::custom(format!("{text:?} is no bucket")))
    }
}

type Names = [(u8, &'static str)];

const BUCKETS: [(u8, &str); 5] =
    [(0, "world"), (1, "available"), (2, "held"), (3, "earned"), (4, "vouchered")];
const REASONS: [(u8, &str); 3] = [(1, "crashed"), (2, "expired"), (3, "not_forwarded")];
const SOURCES: [(u8, &str); 3] = [(0, "none"), (1, "engine"), (2, "estimate")];

fn name(names: &Names, code: u8) -> String {
    let found = names.iter().find(|(known, _)| *known == code);
    found.map(|(_, name)| (*name).to_owned()).unwrap_or_default()
}

fn code(names: &Names, text: &str) -> Option<u8> {
    names.iter().find(|(_, name)| *name == text).map(|(code, _)| *code)
}

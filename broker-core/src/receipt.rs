//! The record in which an exchange ends: what was asked, answered, counted, charged and signed.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::account::UserId;
use crate::clock::Timestamp;
use crate::digest::{Digest32, Framed};
use crate::money::Neuron;
use crate::signer::{Address, Signature};
use crate::tariff::Usage;

mod document;
mod proof;
mod reading;

pub(crate) use document::source_name;
pub use proof::{Claims, LedgerPlace, Proof};
pub use reading::{BadReceipt, ReadCharge, ReadClose, ReadReceipt, WrongFee};
pub(crate) use reading::{contradiction, due};

/// Our own id of an exchange: a UUID that nobody can guess or choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptId(pub Uuid);

impl ReceiptId {
    /// A new id: 48 bits of time and 74 random ones from the operating system, under the mark of
    /// version 4, which the network's clients expect.
    ///
    /// Ids are in the order of time, to the millisecond, so that a ledger's index over them grows
    /// at one place: at random ones each would cost a page of its own. Nothing else depends on it,
    /// nor on a clock that is right.
    pub fn mint(now: Timestamp) -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        let [_, _, millis @ ..] = now.0.to_be_bytes();
        for (byte, of_time) in bytes.iter_mut().zip(millis) {
            *byte = of_time;
        }
        Self(Uuid::from_bytes(bytes))
    }

    /// Reads the hyphenated lower-case form that [`fmt::Display`] writes, and no other.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl Serialize for ReceiptId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The whole answer was handed over.
    Complete = 1,
    /// The client left before the end.
    ClientGone = 2,
    /// The engine's answer broke off.
    TruncatedUpstream = 3,
    /// The engine answered with an error, or not at all.
    UpstreamError = 4,
    /// The request was not forwarded.
    Refused = 5,
    /// The sidecar was stopped before the end.
    Shutdown = 6,
    /// The sidecar died before the end.
    Crashed = 7,
}

impl Outcome {
    /// The outcome a stored number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Complete,
            2 => Self::ClientGone,
            3 => Self::TruncatedUpstream,
            4 => Self::UpstreamError,
            5 => Self::Refused,
            6 => Self::Shutdown,
            7 => Self::Crashed,
            _ => return None,
        })
    }

    /// The outcome that [`Self::as_str`] names.
    pub fn named(word: &str) -> Option<Self> {
        (1..=7).filter_map(Self::from_code).find(|outcome| outcome.as_str() == word)
    }

    /// The word that the public contract uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::TruncatedUpstream => "truncated_upstream",
            Self::UpstreamError => "upstream_error",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
            Self::Crashed => "crashed",
        }
    }
}

/// The text that is signed for an exchange: `hex(sha256(request)):hex(sha256(response))`.
///
/// Two parts and no more: verifiers split at the colon, and a model name may hold one.
pub fn signed_text(request_hash: &Digest32, response_hash: &Digest32) -> String {
    format!("{request_hash}:{response_hash}")
}

/// Everything the ledger keeps of a finished exchange. Holds hashes and counts, never a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Our id of the exchange.
    pub id: ReceiptId,
    /// Who pays.
    pub user: UserId,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status the client was sent.
    pub status: u16,
    /// What is charged for.
    pub usage: Usage,
    /// What is charged; at most the hold.
    pub fee: Neuron,
    /// SHA-256 of the request body as it arrived.
    pub request_hash: Digest32,
    /// SHA-256 of the response bytes handed to the HTTP layer.
    pub response_hash: Digest32,
    /// How many bytes those were.
    pub bytes: u64,
    /// How many server-sent events those were; zero for a buffered answer.
    pub events: u64,
    /// Over [`Receipt::text`].
    pub signature: Signature,
    /// The key that signed.
    pub signing_address: Address,
    /// The engine's own id of its answer, if it gave one; never empty.
    pub upstream_id: Option<String>,
    /// The client left and the engine was read on to its final count, by the host's choice.
    pub drained: bool,
    /// When the exchange ended.
    pub served_at: Timestamp,
    /// What makes it a document that proves itself; records of older versions have none.
    pub proof: Option<Box<Proof>>,
}

impl Receipt {
    /// The signed text.
    pub fn text(&self) -> String {
        signed_text(&self.request_hash, &self.response_hash)
    }

    /// A hash over every field, which the ledger chains.
    pub fn digest(&self) -> Digest32 {
        let usage = &self.usage;
        // Receipts without these hash as they did before there were any.
        let writes = [usage.cache_write, usage.cache_write_1h];
        let proof = self.proof.as_deref().map(Proof::to_bytes);
        let writes =
            (writes != [0, 0] || proof.is_some()).then(|| writes.map(u64::to_be_bytes).concat());
        Framed::new("broker-core.receipt.v1")
            .part(self.id.0.as_bytes())
            .part(self.user.as_bytes())
            .part(&[self.outcome as u8, usage.source as u8, u8::from(self.drained)])
            .part(&self.status.to_be_bytes())
            .part(&usage.input.to_be_bytes())
            .part(&usage.cached_input.to_be_bytes())
            .part(&usage.output.to_be_bytes())
            .part(&self.fee.to_be_bytes())
            .part(&self.request_hash.0)
            .part(&self.response_hash.0)
            .part(&self.bytes.to_be_bytes())
            .part(&self.events.to_be_bytes())
            .part(&self.signature.0)
            .part(&self.signing_address.0)
            .part(self.upstream_id.as_deref().unwrap_or_default().as_bytes())
            .part(&[u8::from(self.upstream_id.is_some())])
            .part(&self.served_at.0.to_be_bytes())
            .part_if(writes.as_deref())
            .part_if(proof.as_deref())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_4_in_the_order_of_time_and_otherwise_random() {
        let at = Timestamp(1_764_000_000_000);
        let ids: Vec<_> = (0..128).map(|_| ReceiptId::mint(at).0.as_u128()).collect();
        let both = |bit: &u32| ids.iter().any(|id| id >> bit & 1 != ids[0] >> bit & 1);
        let version_and_variant = [62, 63, 76, 77, 78, 79];
        let random: Vec<_> = (0..128).filter(both).collect();
        let wanted = (0..80).filter(|bit| !version_and_variant.contains(bit));
        assert_eq!(random, wanted.collect::<Vec<_>>());
        for id in ids {
            let id = Uuid::from_u128(id);
            assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
            assert_eq!(id.as_u128() >> 80, u128::from(at.0));
        }
    }

    #[test]
    fn no_time_is_too_far_off_for_an_id() {
        for at in [0, 1 << 48, u64::MAX].map(Timestamp) {
            let id = ReceiptId::mint(at);
            assert_eq!(id.0.get_version_num(), 4);
            assert_eq!(ReceiptId::parse(&id.to_string()), Some(id));
            assert_ne!(id, ReceiptId::mint(at));
        }
    }
}

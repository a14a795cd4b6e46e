//! Transfers: movements as they are written down, each chained to the one before.

use crate::account::{Bucket, Movement};
use crate::clock::Timestamp;
use crate::digest::{Digest32, Framed, RequestKey};
use crate::rules::{Effects, Record};

/// One movement in the books. Never changed, never deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its place in the books: 1 for the first, without gaps.
    pub seq: u64,
    /// What kind of command moved the money.
    pub kind: TransferKind,
    /// The money.
    pub movement: Movement,
    /// The request it was moved for.
    pub key: Option<RequestKey>,
    /// The digest of the receipt in the first movement of a capture, else zeros: so the chain
    /// covers the receipts of everything that cost or held money.
    pub memo: Digest32,
    /// When it was written.
    pub at: Timestamp,
}

impl Transfer {
    /// The next link of the chain: a hash over the link before and every field of this row.
    pub fn digest(&self, previous: &Digest32) -> Digest32 {
        let key = self.key.map(|RequestKey(digest)| digest.0);
        let movement = &self.movement;
        Framed::new("broker-core.transfer.v1")
            .part(&previous.0)
            .part(&self.seq.to_be_bytes())
            .part(&[self.kind as u8])
            .part(movement.user.as_bytes())
            .part(&[movement.debit as u8, movement.credit as u8])
            .part(&movement.amount.to_be_bytes())
            .part(key.as_ref().map_or(&[], |bytes| bytes.as_slice()))
            .part(&self.memo.0)
            .part(&self.at.0.to_be_bytes())
            .finish()
    }
}

/// The kind of command that moved money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TransferKind {
    /// The cover changed.
    Mirror = 1,
    /// Money was set aside, and the cover of an unlimited account topped up for it.
    Reserve = 2,
    /// A hold ended with a fee.
    Capture = 3,
    /// A hold ended without one.
    Release = 4,
}

impl TransferKind {
    /// The kind a stored number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Mirror,
            2 => Self::Reserve,
            3 => Self::Capture,
            4 => Self::Release,
            _ => return None,
        })
    }

    /// Whether a command of this kind moves money from `debit` to `credit`.
    pub const fn moves(self, debit: Bucket, credit: Bucket) -> bool {
        use Bucket::{Available, Earned, Held, World};
        matches!(
            (self, debit, credit),
            (Self::Mirror, World, Available)
                | (Self::Mirror, Available, World)
                | (Self::Reserve, World, Available)
                | (Self::Reserve, Available, Held)
                | (Self::Capture, Held, Earned)
                | (Self::Capture, Held, Available)
                | (Self::Release, Held, Available)
        )
    }
}

/// The transfers that write down a command's movements after the row `last_seq`.
pub(crate) fn transfers(
    effects: &Effects<'_>,
    last_seq: u64,
    at: Timestamp,
) -> impl Iterator<Item = Transfer> {
    let (kind, key, mut memo) = match effects.record {
        Record::Cover => (TransferKind::Mirror, None, Digest32::default()),
        Record::Hold(hold) => (TransferKind::Reserve, Some(hold.key), Digest32::default()),
        Record::Receipt(key, receipt) => (TransferKind::Capture, Some(key), receipt.digest()),
        Record::Release(key, _) => (TransferKind::Release, Some(key), Digest32::default()),
    };
    let mut seq = last_seq;
    effects.movements.iter().map(move |movement| {
        // 2^64 rows are out of reach; a repeated number would be refused as a duplicate.
        seq = seq.saturating_add(1);
        let memo = std::mem::take(&mut memo);
        Transfer { seq, kind, movement: *movement, key, memo, at }
    })
}

//! Entries: commands as they are written down, each chained to the one before.

use crate::account::{Movement, UserId};
use crate::clock::Timestamp;
use crate::command::Books;
use crate::digest::{Digest32, Framed, RequestKey};
use crate::rules::{Effects, Record};

/// One command that was carried out. Never changed, never deleted.
///
/// A command that moves no money has an entry too: so what cost nothing cannot vanish either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the books: 1 for the first, without gaps.
    pub seq: u64,
    /// The number under which its records are filed. The same as its place with one writer; with
    /// several, numbers rise for each user, and places are given later.
    pub number: u64,
    /// What kind of command it was.
    pub kind: EntryKind,
    /// Whose account it was about.
    pub user: UserId,
    /// The request it was about.
    pub key: Option<RequestKey>,
    /// The digest of what it recorded: of the cover, the hold, the receipt or the release. So the
    /// chain covers all of them.
    pub memo: Digest32,
    /// When it was written.
    pub at: Timestamp,
    /// The money it moved, in order; three movements at most.
    pub movements: Vec<Movement>,
}

impl Entry {
    /// The next link of the chain: a hash over the link before, every field and every movement.
    pub fn digest(&self, previous: &Digest32) -> Digest32 {
        let key = self.key.map(|RequestKey(digest)| digest.0);
        let framed = Framed::new("broker-core.entry.v1")
            .part(&previous.0)
            .part(&self.seq.to_be_bytes())
            .part(&[self.kind as u8])
            .part(self.user.as_bytes())
            .part(key.as_ref().map_or(&[], |bytes| bytes.as_slice()))
            .part(&self.memo.0)
            .part(&self.at.0.to_be_bytes());
        let movements = self.movements.iter().fold(framed, |framed, movement| {
            let buckets = [movement.debit as u8, movement.credit as u8];
            framed.part(&buckets).part(&movement.amount.to_be_bytes())
        });
        // Where both are the same, entries hash as they did before numbers could differ.
        let number = (self.number != self.seq).then(|| self.number.to_be_bytes());
        movements.part_if(number.as_ref().map(<[u8; 8]>::as_slice)).finish()
    }
}

/// The kind of a command that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// The cover was set.
    Mirror = 1,
    /// Money was set aside, and the cover of an unlimited account topped up for it.
    Reserve = 2,
    /// A hold ended with a receipt.
    Capture = 3,
    /// A hold ended without one.
    Release = 4,
    /// The ledger became a provider's.
    Bind = 5,
    /// An escrow's cover and nonce were taken over.
    Escrow = 6,
    /// Fees came under a voucher.
    Seal = 7,
    /// A voucher got another signature.
    Countersign = 8,
    /// A voucher ended.
    Settle = 9,
    /// An account was frozen.
    Freeze = 10,
    /// Archived receipts were let go.
    Retire = 11,
}

impl EntryKind {
    /// The kind a stored number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Mirror,
            2 => Self::Reserve,
            3 => Self::Capture,
            4 => Self::Release,
            5 => Self::Bind,
            6 => Self::Escrow,
            7 => Self::Seal,
            8 => Self::Countersign,
            9 => Self::Settle,
            10 => Self::Freeze,
            11 => Self::Retire,
            _ => return None,
        })
    }
}

/// The entry that writes down a command's effects after the entry `last_seq`.
pub(crate) fn entry(effects: &Effects<'_>, last_seq: u64, at: Timestamp) -> Entry {
    let (kind, key, memo) = match effects.record {
        Record::Cover(cover) => (EntryKind::Mirror, None, cover.digest()),
        Record::Hold(hold) => (EntryKind::Reserve, Some(hold.key), hold.digest(at)),
        Record::Receipt(key, receipt) => (EntryKind::Capture, Some(key), receipt.digest()),
        Record::Release(key, why) => (EntryKind::Release, Some(key), why.digest(&key, at)),
        Record::Binding(binding) => (EntryKind::Bind, None, binding.digest()),
        Record::Escrow(cover, nonce) => {
            (EntryKind::Escrow, None, Books::escrow_digest(&effects.user, cover, nonce))
        }
        Record::Seal(seal, carry) => (EntryKind::Seal, None, seal.digest(carry)),
        Record::Countersign(signed) => (EntryKind::Countersign, None, signed.record_digest()),
        Record::Settle(settle) => (EntryKind::Settle, None, settle.digest()),
        Record::Freeze(nonce) => {
            (EntryKind::Freeze, None, Books::freeze_digest(&effects.user, nonce))
        }
        Record::Retire(retire) => (EntryKind::Retire, None, retire.digest()),
    };
    // 2^64 rows are out of reach; a repeated number would be refused as a duplicate.
    let seq = last_seq.saturating_add(1);
    Entry {
        seq,
        number: seq,
        kind,
        user: effects.user,
        key,
        memo,
        at,
        movements: effects.movements.clone(),
    }
}

//! What a voucher commits to: the Merkle root over the receipts that it collects.
//!
//! The contract never looks at `requestsHash`, so its meaning is ours. Every receipt is a leaf:
//!
//! ```text
//! leaf = keccak256(0x00 ‖ kind ‖ word ‖ word …)     node = keccak256(0x01 ‖ left ‖ right)
//! ```
//!
//! `kind` is the Keccak-256 of `broker-core.receipt-leaf.v1`; the words are 32 bytes, big-endian
//! and right-aligned as in Solidity's ABI: receipt id, user, prompt tokens, those of them that were
//! cached, written into the cache and written for an hour, generated tokens, input price, output
//! price, hash of the tariff's schedule (0 without one), fee, request hash, response hash, time in
//! milliseconds. A receipt that proves itself has a shorter leaf: the kind
//! `broker-core.receipt-leaf.v2`, its id, its fee and its leaf in the receipt log
//! ([`crate::log::leaf_hash`] of its document), so that the voucher commits to the documents that
//! users have. What a voucher before this one left unpaid is one more leaf, the first:
//! `broker-core.carry-leaf.v1`, user, amount. The tree is that of RFC 9162: the left half of n
//! leaves is the largest power of two below n. So the fees of the leaves and the carry add up to
//! the voucher, and anyone who has the leaves can say so.

use crate::account::UserId;
use crate::digest::Digest32;
use crate::log;
use crate::money::Neuron;
use crate::receipt::{Receipt, ReceiptId};
use crate::tariff::Tariff;

/// The receipts of one voucher, added one by one, in the ledger's order.
#[derive(Clone, Debug)]
pub struct Collected {
    user: UserId,
    total: Neuron,
    receipts: u64,
    /// Roots of complete subtrees, the largest first, each with its height.
    peaks: Vec<(u32, Digest32)>,
}

impl Collected {
    /// Starts with what an earlier voucher of `user`'s left unpaid.
    pub fn new(user: UserId, carry: Neuron) -> Self {
        let mut collected = Self { user, total: carry, receipts: 0, peaks: Vec::new() };
        if !carry.is_zero() {
            let words = [address(user.as_bytes()), number(carry.get())];
            collected.push(leaf(b"broker-core.carry-leaf.v1", &words));
        }
        collected
    }

    /// Adds a receipt and the tariff that its request was admitted under. `None` where the total
    /// leaves the range of money; then nothing was added.
    pub fn add(&mut self, receipt: &Receipt, tariff: &Tariff) -> Option<()> {
        self.add_leaf(receipt.fee, receipt_leaf(receipt, tariff))
    }

    /// As [`Self::add`], for a receipt that is known by its fee and its leaf.
    pub fn add_leaf(&mut self, fee: Neuron, leaf: Digest32) -> Option<()> {
        self.total = self.total.checked_add(fee)?;
        self.receipts = self.receipts.saturating_add(1);
        self.push(leaf);
        Some(())
    }

    /// Whose receipts.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The fees and the carry, in neuron.
    pub const fn total(&self) -> Neuron {
        self.total
    }

    /// How many receipts.
    pub const fn receipts(&self) -> u64 {
        self.receipts
    }

    /// The root; that of no leaves is the hash of nothing.
    pub fn root(&self) -> Digest32 {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = peaks.next() else { return Digest32::keccak256(b"") };
        peaks.fold(last, |right, left| node(&left, &right))
    }

    fn push(&mut self, leaf: Digest32) {
        let (mut height, mut hash) = (0_u32, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(below, _)| *below == height) {
            hash = node(&left, &hash);
            height = height.saturating_add(1);
        }
        self.peaks.push((height, hash));
    }
}

/// The leaf of one receipt.
pub fn receipt_leaf(receipt: &Receipt, tariff: &Tariff) -> Digest32 {
    if let Some(document) = receipt.document(tariff) {
        return proved_leaf(&receipt.id, receipt.fee, &log::leaf_hash(document.as_bytes()));
    }
    let usage = &receipt.usage;
    let schedule = tariff.schedule_bytes().map_or([0; 32], |bytes| Digest32::keccak256(&bytes).0);
    let words = [
        word(receipt.id.0.as_bytes()),
        address(receipt.user.as_bytes()),
        number(u128::from(usage.input)),
        number(u128::from(usage.cached_input)),
        number(u128::from(usage.cache_write)),
        number(u128::from(usage.cache_write_1h)),
        number(u128::from(usage.output)),
        number(tariff.input_price.get()),
        number(tariff.output_price.get()),
        schedule,
        number(receipt.fee.get()),
        receipt.request_hash.0,
        receipt.response_hash.0,
        number(u128::from(receipt.served_at.0)),
    ];
    leaf(b"broker-core.receipt-leaf.v1", &words)
}

/// The leaf of a receipt that proves itself, from what its document says.
pub fn proved_leaf(id: &ReceiptId, fee: Neuron, log_leaf: &Digest32) -> Digest32 {
    let words = [word(id.0.as_bytes()), number(fee.get()), log_leaf.0];
    leaf(b"broker-core.receipt-leaf.v2", &words)
}

fn leaf(kind: &[u8], words: &[[u8; 32]]) -> Digest32 {
    let kind = Digest32::keccak256(kind).0;
    Digest32::keccak256(&[&[0], kind.as_slice(), &words.concat()].concat())
}

fn node(left: &Digest32, right: &Digest32) -> Digest32 {
    Digest32::keccak256(&[&[1], left.0.as_slice(), &right.0].concat())
}

pub(crate) fn number(number: u128) -> [u8; 32] {
    word(&number.to_be_bytes())
}

pub(crate) fn address(bytes: &[u8; 20]) -> [u8; 32] {
    word(bytes)
}

/// Right-aligned in 32 bytes, as Solidity's ABI has it.
fn word(bytes: &[u8]) -> [u8; 32] {
    let mut word = [0; 32];
    let (_, end) = word.split_at_mut(32_usize.saturating_sub(bytes.len()));
    end.copy_from_slice(bytes);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_halves(leaves: &[Digest32]) -> Digest32 {
        match leaves {
            [] => Digest32::keccak256(b""),
            [leaf] => *leaf,
            _ => {
                let half = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(half);
                node(&by_halves(left), &by_halves(right))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_rfc_9162_for_any_number_of_leaves() {
        for count in 0..70_u8 {
            let leaves: Vec<_> = (0..count).map(|n| Digest32::keccak256(&[n])).collect();
            let mut collected = Collected::new(UserId::new([1; 20]), Neuron::ZERO);
            leaves.iter().for_each(|leaf| collected.push(*leaf));
            assert_eq!(collected.root(), by_halves(&leaves), "{count} leaves");
        }
    }

    #[test]
    fn a_carry_is_part_of_the_total_and_of_the_root() {
        let user = UserId::new([1; 20]);
        let collected = Collected::new(user, Neuron::new(7));
        assert_eq!(collected.total(), Neuron::new(7));
        assert_ne!(collected.root(), Collected::new(user, Neuron::new(8)).root());
        assert_ne!(collected.root(), Collected::new(user, Neuron::ZERO).root());
    }
}

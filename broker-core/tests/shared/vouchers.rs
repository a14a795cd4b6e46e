//! Vouchers over what a ledger has to collect, and their end.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use broker_core::chain::{Block, Payment};
use broker_core::{
    Address, Binding, Command, Digest32, Domain, LedgerReader, LocalSigner, Neuron, Seal, Settle,
    SignedVoucher, UserId, Voucher,
};

pub(crate) const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address([0xc0; 20]) };
pub(crate) const PROVIDER: Address = Address([0xfe; 20]);
pub(crate) const BINDING: Binding = Binding { domain: DOMAIN, provider: PROVIDER };

/// The voucher that a user's receipts come to.
pub(crate) fn seal(reader: &dyn LedgerReader, user: UserId) -> Seal {
    let unsealed = reader.unsealed(&user).unwrap().unwrap();
    let voucher = Voucher {
        user,
        provider: PROVIDER,
        total: unsealed.collected.total(),
        requests_hash: unsealed.collected.root(),
        nonce: unsealed.books.nonce.unwrap_or_default() + 1,
    };
    Seal { voucher: signed(voucher, 0x11), sealed_to: unsealed.sealed_to, since: 7 }
}

pub(crate) fn signed(voucher: Voucher, key: u8) -> SignedVoucher {
    voucher.sign(&DOMAIN, &LocalSigner::from_secret(&[key; 32]).unwrap()).unwrap()
}

pub(crate) fn settle(user: UserId, nonce: u64, paid: u128, cover: u128) -> Command {
    let payment = Payment {
        paid: Neuron::new(paid),
        cover: Neuron::new(cover),
        block: Block { number: 9, hash: Digest32([9; 32]) },
        transaction: Digest32([8; 32]),
    };
    Command::Settle(Box::new(Settle { user, nonce, payment }))
}

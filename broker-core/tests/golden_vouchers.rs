//! Bytes about collecting that others have signed, stored or can recompute: they never change.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use books::{hold, neuron, receipt, user};
use broker_core::chain::{Block, Payment};
use broker_core::requests::{Collected, receipt_leaf};
use broker_core::{
    Address, Binding, Digest32, Domain, LocalSigner, Seal, Settle, SignedVoucher, Usage, Voucher,
};

/// Made with ethers 6 from the description in `requests.rs`.
#[test]
fn leaves_and_roots_equal_those_of_another_implementation() {
    let (first, second) = (hold(1, user(1), 10), hold(2, user(1), 10));
    let one = receipt(&first, 3);
    let mut two = receipt(&second, 5);
    two.proof = None;
    two.usage = Usage { cached_input: 2, cache_write: 1, cache_write_1h: 1, ..two.usage };
    assert_eq!(
        receipt_leaf(&one, &first.tariff).to_string(),
        "65e1fd33cb929802840c8a734693f47f542148e7d4d21d1bf6b2a96f57b691a7"
    );
    let mut collected = Collected::new(user(1), neuron(7));
    collected.add(&one, &first.tariff).unwrap();
    collected.add(&two, &second.tariff).unwrap();
    assert_eq!((collected.total(), collected.receipts()), (neuron(15), 2));
    assert_eq!(
        collected.root().to_string(),
        "008862ef5ac9bd390cc08727d721e80be5236b69cd906f0393d8301dda199db1"
    );
}

#[test]
fn what_the_chain_of_entries_holds_of_vouchers_is_what_it_was() {
    let domain = Domain { chain_id: 31_337, contract: Address([0xc0; 20]) };
    let provider = Address([0xfe; 20]);
    let requests_hash = Digest32([0xab; 32]);
    let voucher =
        Voucher { user: user(1), provider, total: neuron(15), requests_hash, nonce: 1 << 40 };
    let signer = LocalSigner::from_secret(&[0x11; 32]).unwrap();
    let signed: SignedVoucher = voucher.sign(&domain, &signer).unwrap();
    let seal = Seal { voucher: signed, sealed_to: 7, since: 9 };
    let block = Block { number: 12, hash: Digest32([9; 32]) };
    let transaction = Digest32([8; 32]);
    let payment = Payment { paid: neuron(14), cover: neuron(3), block, transaction };
    let settle = Settle { user: user(1), nonce: 1 << 40, payment };
    for (digest, stored) in [
        (Binding { domain, provider }.digest(), BINDING),
        (seal.digest(neuron(2)), SEAL),
        (signed.record_digest(), COUNTERSIGN),
        (settle.digest(), SETTLE),
    ] {
        assert_eq!(digest.to_string(), stored);
    }
}

const BINDING: &str = "70e2b999733cfb5753bf3822a6a5aa2addce64b05e77591864099ca3b0399608";
const SEAL: &str = "fc80d6c91325375899eaf4e915229c943595a8c6e217032c2b230e198269899e";
const COUNTERSIGN: &str = "61b66d9390b021b203e10bd8c37d59b4a400d5b9625bd193951870f63cfe5bf9";
const SETTLE: &str = "61eb4864aa29b606ee728c9d1830cf65df0dc33a4da1417555c43ed5d9d2b314";

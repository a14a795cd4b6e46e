//! Books with every kind of entry.

use broker_core::chain::{Block, Payment};
use broker_core::{
    Address, Binding, Command, Cover, Digest32, Domain, Ledger, LocalSigner, Receipt,
    ReleaseReason, Seal, Settle, Voucher,
};

use crate::books::{NOW, capture, hold, neuron, receipt, release, user};

const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address([0xc0; 20]) };
const PROVIDER: Address = Address([0xfe; 20]);

/// Twenty entries, a millisecond apart; the last is a hold that stays open.
pub(crate) fn fill(ledger: &mut dyn Ledger) {
    let reader = ledger.reader().unwrap();
    let mut at = NOW;
    let mut one = |command: Command| {
        at = at.plus_millis(1);
        ledger.apply(&[command], at).unwrap().remove(0).unwrap();
    };
    let escrow = |who: u8, cover: u128, nonce: u64| Command::Escrow {
        user: user(who),
        cover: neuron(cover),
        nonce,
    };
    one(Command::Mirror { user: user(3), cover: Cover::UpTo(neuron(100)) });
    one(Command::Mirror { user: user(4), cover: Cover::Unlimited });
    for (n, who) in [(1, 3), (2, 4)] {
        let held = hold(n, user(who), 40);
        one(Command::Reserve(held.clone()));
        let receipt = Receipt { upstream_id: Some("engine".into()), ..receipt(&held, 25) };
        one(Command::Capture { key: held.key, receipt: Box::new(receipt) });
    }
    one(Command::Reserve(hold(3, user(3), 5)));
    one(release(3, ReleaseReason::NotForwarded));
    one(Command::Bind(Binding { domain: DOMAIN, provider: PROVIDER }));
    one(escrow(1, 1_000, u64::MAX >> 1));
    for n in 4..6 {
        one(Command::Reserve(hold(n, user(1), 60)));
        one(capture(&hold(n, user(1), 60), 30));
    }
    let unsealed = reader.unsealed(&user(1)).unwrap().unwrap();
    let voucher = Voucher {
        user: user(1),
        provider: PROVIDER,
        total: unsealed.collected.total(),
        requests_hash: unsealed.collected.root(),
        nonce: unsealed.books.nonce.unwrap() + 1,
    };
    let sign = |key: u8| voucher.sign(&DOMAIN, &LocalSigner::from_secret(&[key; 32]).unwrap());
    let seal = Seal { voucher: sign(1).unwrap(), sealed_to: unsealed.sealed_to, since: 7 };
    one(Command::Seal(Box::new(seal)));
    one(Command::Countersign(Box::new(sign(2).unwrap())));
    let block = Block { number: 9, hash: Digest32([9; 32]) };
    let transaction = Digest32([8; 32]);
    let payment = Payment { paid: neuron(45), cover: neuron(0), block, transaction };
    one(Command::Settle(Box::new(Settle { user: user(1), nonce: voucher.nonce, payment })));
    one(escrow(2, 1, 0));
    one(Command::Freeze { user: user(2), nonce: 3 });
    one(Command::Reserve(hold(6, user(3), 7)));
}

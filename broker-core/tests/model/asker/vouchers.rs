//! Escrows and vouchers that are asked for, many of them wrong.

use broker_core::chain::{Block, Payment};
use broker_core::{
    Address, Binding, Command, Digest32, Domain, LocalSigner, Seal, Settle, Signature,
    SignedVoucher, UserId, Voucher,
};

use super::Asker;
use crate::books::neuron;
use crate::watch::{Person, Watch};

const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address([0xc0; 20]) };
const PROVIDER: Address = Address([0xfe; 20]);

impl Asker {
    pub(super) fn bind(&mut self) -> Command {
        Command::Bind(Binding { domain: DOMAIN, provider: PROVIDER })
    }

    /// With the nonce that is right now, most of the time.
    pub(super) fn escrow(&mut self, watch: &Watch, user: UserId) -> Command {
        let person = watch.people.get(&user);
        let last = person.and_then(|person| person.nonce);
        let is_open = person.is_some_and(|person| person.open.is_some());
        let nonce = match (last, self.rng.below(10)) {
            // One of the clock's, that another broker left behind, is a beginning as any other.
            (None, 0) => 17_000_000_000_000_000,
            (None, small) => small,
            (Some(last), 0) => last + 1,
            (Some(last), 1) => last.saturating_sub(1),
            (Some(last), 2) => last,
            (Some(last), _) if is_open => last.saturating_sub(1),
            (Some(last), _) => last,
        };
        Command::Escrow { user, cover: neuron(self.cover()), nonce }
    }

    /// What is due under the next nonce, or something near to it, or what was sealed before.
    pub(super) fn seal(&mut self, watch: &Watch, user: UserId) -> Command {
        let nobody = Person::default();
        let person = watch.people.get(&user).unwrap_or(&nobody);
        let next = person.nonce.unwrap_or_default() + 1;
        let again: Vec<Seal> = self.seals.clone();
        let again = again.iter().filter(|seal| seal.voucher.voucher.user == user);
        let again: Vec<Seal> = again.copied().collect();
        let seal = match (self.rng.below(12), self.rng.pick(&again).copied()) {
            (0, Some(seal)) => seal,
            (1, Some(seal)) => with(seal, |voucher| voucher.nonce = next),
            (how, _) => {
                let reach = person.reach();
                // All of it, or a part.
                let upto = if how < 4 { self.rng.pick(&reach) } else { reach.first() };
                let upto = upto.copied().unwrap_or(person.sealed_to);
                let right = due(person, user, upto, next);
                match how {
                    2 => with(right, |voucher| voucher.total = neuron(voucher.total.get() ^ 1)),
                    3 => with(right, |voucher| voucher.requests_hash = Digest32([1; 32])),
                    4 => with(right, |voucher| voucher.nonce += 1),
                    5 => with(right, |voucher| voucher.nonce -= 1),
                    6 => Seal { sealed_to: upto + 1, ..right },
                    7 => with(right, |voucher| voucher.provider = Address([1; 20])),
                    _ => right,
                }
            }
        };
        let voucher = seal.voucher.voucher;
        // A signature takes longer than all the rest, and what is empty is refused anyway.
        let is_worth = !voucher.total.is_zero();
        let seal = if is_worth { Seal { voucher: signed(voucher, 0x11), ..seal } } else { seal };
        self.seals.push(seal);
        Command::Seal(Box::new(seal))
    }

    pub(super) fn countersign(&mut self, watch: &Watch, user: UserId) -> Command {
        let open = watch.people.get(&user).and_then(|person| person.open.as_ref());
        let asked = self.seals.last().map(|seal| seal.voucher.voucher);
        let key = 0x20 + self.rng.below(2) as u8;
        let voucher = match (open, asked) {
            (Some(open), _) => open.voucher,
            (None, Some(asked)) => asked,
            (None, None) => return self.bind(),
        };
        let voucher = match self.rng.below(5) {
            0 => Voucher { total: neuron(voucher.total.get() ^ 1), ..voucher },
            1 => Voucher { nonce: voucher.nonce + 1, ..voucher },
            _ => voucher,
        };
        Command::Countersign(Box::new(signed(voucher, key)))
    }

    /// In full, in part, or not at all; with another nonce, or with more than was asked.
    pub(super) fn settle(&mut self, watch: &Watch, user: UserId) -> Command {
        let person = watch.people.get(&user);
        let open = person.and_then(|person| person.open.as_ref()).map(|open| open.voucher);
        let total = open.map_or(9, |voucher| voucher.total.get());
        let last = person.and_then(|person| person.nonce).unwrap_or_default();
        let (paid, nonce) = match self.rng.below(10) {
            0 => (total.saturating_add(1), last),
            1 => (total, last + 1),
            2 => (total, last.saturating_sub(1)),
            3 => (0, last),
            4 | 5 => (total / 2, last),
            _ => (total, last),
        };
        let payment = Payment {
            paid: neuron(paid),
            cover: neuron(self.cover()),
            block: Block { number: 9, hash: Digest32([9; 32]) },
            transaction: Digest32([8; 32]),
        };
        Command::Settle(Box::new(Settle { user, nonce, payment }))
    }
}

fn due(person: &Person, user: UserId, upto: u64, nonce: u64) -> Seal {
    let due = person.due(user, upto);
    let (total, requests_hash) = (due.total(), due.root());
    let voucher = Voucher { user, provider: PROVIDER, total, requests_hash, nonce };
    let (signature, signing_address) = (Signature([0x5a; 65]), Address([0xad; 20]));
    let voucher = SignedVoucher { voucher, signature, signing_address };
    Seal { voucher, sealed_to: upto, since: 7 }
}

fn with(mut seal: Seal, change: impl FnOnce(&mut Voucher)) -> Seal {
    change(&mut seal.voucher.voucher);
    seal
}

fn signed(voucher: Voucher, key: u8) -> SignedVoucher {
    voucher.sign(&DOMAIN, &LocalSigner::from_secret(&[key; 32]).unwrap()).unwrap()
}

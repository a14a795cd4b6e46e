//! Fees under vouchers: each under one at most, one voucher at a time, each nonce once.

use broker_core::requests::Collected;
use broker_core::{
    Address, Applied, Command, Hold, Neuron, Receipt, Seal, Settle, Signature, SignedVoucher,
    Tariff, UserId, Voucher,
};

use super::{Person, Watch};

/// A captured fee.
pub(crate) struct Fee {
    pub(crate) entry: u64,
    pub(crate) receipt: Receipt,
    pub(crate) tariff: Tariff,
    pub(crate) way: Way,
}

/// Where a fee has gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Under no voucher yet.
    Waits,
    /// Under the voucher of this nonce.
    Under(u64),
    /// Charged before the escrow was first seen: no voucher ever collects it.
    Elsewhere,
}

/// The voucher that is not settled.
pub(crate) struct Open {
    pub(crate) voucher: Voucher,
    pub(crate) signed: Vec<(Address, Signature)>,
}

impl Fee {
    pub(crate) fn new(entry: u64, receipt: &Receipt, hold: &Hold) -> Self {
        let tariff = hold.tariff.clone();
        Self { entry, receipt: receipt.clone(), tariff, way: Way::Waits }
    }

    fn waits(&self) -> bool {
        self.way == Way::Waits && !self.receipt.fee.is_zero()
    }
}

impl Person {
    /// What a voucher up to an entry comes to.
    pub(crate) fn due(&self, user: UserId, upto: u64) -> Collected {
        let mut collected = Collected::new(user, Neuron::new(self.carry));
        for fee in self.fees.iter().filter(|fee| fee.waits() && fee.entry <= upto) {
            collected.add(&fee.receipt, &fee.tariff).unwrap();
        }
        collected
    }

    /// The entries that a voucher can reach to, the last one first.
    pub(crate) fn reach(&self) -> Vec<u64> {
        let fees = self.fees.iter().rev().filter(|fee| fee.waits()).map(|fee| fee.entry);
        let carried = (self.carry > 0).then_some(self.sealed_to);
        fees.chain(carried).collect()
    }

    fn against_seal(&self, seal: &Seal) -> Option<&'static str> {
        let voucher = &seal.voucher.voucher;
        if self.frozen {
            return Some("the account is frozen");
        }
        if self.open.is_some() {
            return Some("I8: a voucher is open");
        }
        let Some(last) = self.nonce else { return Some("no escrow was seen") };
        if last.checked_add(1) != Some(voucher.nonce) {
            return Some("I9: the nonce is not the next one");
        }
        if !self.reach().contains(&seal.sealed_to) {
            return Some("I7: these fees are under a voucher, or are none");
        }
        let due = self.due(voucher.user, seal.sealed_to);
        if (voucher.total, voucher.requests_hash) != (due.total(), due.root()) {
            return Some("I10: the fees come to something else");
        }
        None
    }

    fn against_escrow(&self, cover: Neuron, nonce: u64) -> Option<&'static str> {
        match (self.nonce, &self.open) {
            (None, _) if cover.get().checked_add(self.earned).is_none() => Some("no amount"),
            (None, _) => None,
            (Some(last), None) if nonce != last => Some("I9: another nonce than the last"),
            (Some(last), Some(_)) if nonce.checked_add(1) != Some(last) => {
                Some("I9: another nonce than the one before the voucher's")
            }
            _ => None,
        }
    }

    fn against_end(&self, end: &Settle) -> Option<&'static str> {
        let open = self.open.as_ref().filter(|open| open.voucher.nonce == end.nonce);
        let Some(open) = open else { return Some("I9: no voucher of the nonce is open") };
        if end.payment.paid > open.voucher.total {
            return Some("I11: more is paid than was asked");
        }
        let before = end.payment.cover.checked_add(end.payment.paid);
        before.is_none().then_some("the sum is no amount")
    }

    fn against_signature(&self, signed: &SignedVoucher) -> Option<&'static str> {
        match &self.open {
            Some(open) if open.voucher == signed.voucher => {
                let mut keys = open.signed.iter().map(|(key, _)| key);
                let has_signed = keys.any(|key| *key == signed.signing_address);
                has_signed.then_some("the key has signed it")
            }
            _ => Some("I9: another voucher than the open one"),
        }
    }

    fn seal(&mut self, seal: &Seal) {
        let SignedVoucher { voucher, signature, signing_address } = seal.voucher;
        for fee in &mut self.fees {
            if fee.waits() && fee.entry <= seal.sealed_to {
                fee.way = Way::Under(voucher.nonce);
            }
        }
        self.earned -= voucher.total.get();
        self.vouchered += voucher.total.get();
        (self.carry, self.nonce, self.sealed_to) = (0, Some(voucher.nonce), seal.sealed_to);
        self.open = Some(Open { voucher, signed: vec![(signing_address, signature)] });
    }

    fn settle(&mut self, end: &Settle) -> u128 {
        let open = self.open.take().unwrap();
        let paid = end.payment.paid.get();
        let rest = open.voucher.total.get() - paid;
        self.vouchered -= open.voucher.total.get();
        self.earned += rest;
        self.carry = rest;
        self.paid = self.paid.wrapping_add(paid);
        self.cover = end.payment.cover.get();
        rest
    }

    fn escrow(&mut self, cover: Neuron, nonce: u64, entry: u64) {
        (self.cover, self.unlimited) = (cover.get(), false);
        if self.nonce.is_some() {
            return;
        }
        (self.nonce, self.sealed_to, self.charged) = (Some(nonce), entry - 1, 0);
        self.earned = 0;
        self.fees.iter_mut().for_each(|fee| fee.way = Way::Elsewhere);
    }
}

impl Watch {
    pub(super) fn against_collecting(&self, command: &Command) -> Option<&'static str> {
        let nobody = Person::default();
        let person = |user: &UserId| self.people.get(user).unwrap_or(&nobody);
        match command {
            Command::Escrow { user, cover, nonce } => person(user).against_escrow(*cover, *nonce),
            Command::Seal(seal) => match self.bound {
                Some(provider) if provider == seal.voucher.voucher.provider => {
                    person(&seal.voucher.voucher.user).against_seal(seal)
                }
                _ => Some("the ledger is another provider's"),
            },
            Command::Countersign(signed) => person(&signed.voucher.user).against_signature(signed),
            Command::Settle(end) => person(&end.user).against_end(end),
            Command::Freeze { user, .. } => person(user).frozen.then_some("it is frozen"),
            other => panic!("nothing is known of {other:?}"),
        }
    }

    pub(super) fn enter_collecting(&mut self, command: &Command) -> Applied {
        let entry = self.entries;
        let people = &mut self.people;
        match command {
            Command::Escrow { user, cover, nonce } => {
                people.entry(*user).or_default().escrow(*cover, *nonce, entry);
                Applied::Mirrored
            }
            Command::Seal(seal) => {
                people.entry(seal.voucher.voucher.user).or_default().seal(seal);
                Applied::Sealed
            }
            Command::Countersign(signed) => {
                let open = people.entry(signed.voucher.user).or_default().open.as_mut();
                open.unwrap().signed.push((signed.signing_address, signed.signature));
                Applied::Countersigned
            }
            Command::Settle(end) => {
                let rest = Neuron::new(people.entry(end.user).or_default().settle(end));
                Applied::Settled { rest }
            }
            Command::Freeze { user, .. } => {
                people.entry(*user).or_default().frozen = true;
                Applied::Frozen
            }
            other => panic!("nothing is known of {other:?}"),
        }
    }
}

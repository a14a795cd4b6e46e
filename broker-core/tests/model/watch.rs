//! What the document promises, kept in books of its own: which commands may be carried out, and
//! what every account then holds. It shares nothing with the rules that ledgers decide by.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{
    Account, Address, Applied, Command, Cover, Decision, Hold, Ledger, Neuron, Receipt, ReceiptId,
    RequestKey, UserId,
};

mod vouchers;

pub(crate) use vouchers::{Fee, Open, Way};

/// What is known of a ledger from what was asked of it and what it answered.
#[derive(Default)]
pub(crate) struct Watch {
    /// Commands that were carried out; each has an entry.
    pub(crate) entries: u64,
    pub(crate) bound: Option<Address>,
    pub(crate) people: BTreeMap<UserId, Person>,
    pub(crate) holds: BTreeMap<RequestKey, Held>,
    ids: BTreeSet<ReceiptId>,
}

/// A hold, and whether it has ended.
pub(crate) struct Held {
    pub(crate) hold: Hold,
    pub(crate) is_open: bool,
}

/// A user, amounts in neuron.
#[derive(Default)]
pub(crate) struct Person {
    cover: u128,
    held: u128,
    pub(crate) earned: u128,
    vouchered: u128,
    unlimited: bool,
    /// Holds ever.
    exchanges: u64,
    frozen: bool,
    /// The last nonce, once the escrow was seen.
    pub(crate) nonce: Option<u64>,
    pub(crate) sealed_to: u64,
    pub(crate) carry: u128,
    pub(crate) open: Option<Open>,
    pub(crate) fees: Vec<Fee>,
    /// Of the fees since the escrow was first seen. Sums wrap: equal they are all the same.
    charged: u128,
    paid: u128,
}

impl Watch {
    /// Takes an answer in.
    ///
    /// # Errors
    /// Where the answer breaks a promise.
    pub(crate) fn saw(&mut self, command: &Command, decision: &Decision) -> Result<(), String> {
        match (self.objection(command), decision) {
            (Some(_), Err(_)) => Ok(()),
            (None, Ok(applied)) => {
                let expected = self.enter(command);
                match *applied == expected {
                    true => Ok(()),
                    false => Err(format!("{applied:?} and not {expected:?}: {command:?}")),
                }
            }
            (Some(promise), Ok(_)) => Err(format!("{promise}, and was done: {command:?}")),
            (None, Err(refusal)) => Err(format!("{refusal:?} for no reason: {command:?}")),
        }
    }

    /// Why a command may not be carried out.
    pub(crate) fn objection(&self, command: &Command) -> Option<&'static str> {
        match command {
            Command::Mirror { .. } | Command::Retire(_) => None,
            Command::Reserve(hold) => self.against_hold(hold),
            Command::Capture { key, receipt } => match self.holds.get(key) {
                Some(held) if held.is_open => against_receipt(&held.hold, receipt),
                _ => Some("I5: no hold is open under the key"),
            },
            Command::Release { key, .. } => match self.holds.get(key) {
                Some(held) if held.is_open => None,
                _ => Some("I5: no hold is open under the key"),
            },
            Command::Bind(_) => self.bound.map(|_| "the ledger has its provider"),
            command => self.against_collecting(command),
        }
    }

    fn against_hold(&self, hold: &Hold) -> Option<&'static str> {
        if self.holds.contains_key(&hold.key) {
            return Some("I6: the key was used");
        }
        if self.ids.contains(&hold.receipt) {
            return Some("I6: the receipt's id was used");
        }
        let nobody = Person::default();
        let person = self.people.get(&hold.user).unwrap_or(&nobody);
        if person.frozen {
            return Some("I3: the account is frozen");
        }
        match person.committed().checked_add(hold.amount.get()) {
            None => Some("the sum is no amount"),
            Some(sum) if sum > person.cover && !person.unlimited => Some("I3: it is not covered"),
            Some(_) => None,
        }
    }

    fn enter(&mut self, command: &Command) -> Applied {
        self.entries += 1;
        match command {
            Command::Mirror { user, cover } => {
                let person = self.people.entry(*user).or_default();
                person.unlimited = *cover == Cover::Unlimited;
                if let Cover::UpTo(total) = cover {
                    person.cover = total.get();
                }
                Applied::Mirrored
            }
            Command::Reserve(hold) => {
                let person = self.people.entry(hold.user).or_default();
                person.held += hold.amount.get();
                // Who pays afterwards is covered as far as need be.
                person.cover = person.cover.max(person.committed());
                self.ids.insert(hold.receipt);
                self.holds.insert(hold.key, Held { hold: hold.clone(), is_open: true });
                person.exchanges += 1;
                Applied::Held { account_seq: person.exchanges }
            }
            Command::Capture { key, receipt } => {
                let (person, hold) = self.end(key);
                person.charge(hold, receipt);
                let fee = receipt.fee;
                let entry = self.entries;
                let person = self.people.get_mut(&receipt.user).unwrap();
                person.fees.push(Fee::new(entry, receipt, hold_of(&self.holds, key)));
                Applied::Captured { fee }
            }
            Command::Release { key, .. } => {
                let (person, hold) = self.end(key);
                person.held -= hold.get();
                Applied::Released
            }
            Command::Bind(binding) => {
                self.bound = Some(binding.provider);
                Applied::Bound
            }
            Command::Retire(_) => Applied::Retired,
            command => self.enter_collecting(command),
        }
    }

    fn end(&mut self, key: &RequestKey) -> (&mut Person, Neuron) {
        let held = self.holds.get_mut(key).unwrap();
        held.is_open = false;
        (self.people.get_mut(&held.hold.user).unwrap(), held.hold.amount)
    }

    /// Every account is as these books have it.
    ///
    /// # Errors
    /// What is wrong with one.
    pub(crate) fn balances(&self, ledger: &dyn Ledger) -> Result<(), String> {
        for (user, person) in &self.people {
            let found = ledger.account(user).map_err(|error| error.to_string())?;
            if found != person.account() {
                return Err(format!("I2: {user} has {found:?}, not {:?}", person.account()));
            }
            let owed = person.earned.wrapping_add(person.vouchered);
            if person.charged != person.paid.wrapping_add(owed) {
                return Err(format!("I11: {user}: charged is not paid and owed"));
            }
        }
        Ok(())
    }

    /// The holds that are open are those that nothing has ended, and add up to what is held.
    ///
    /// # Errors
    /// What is wrong with one.
    pub(crate) fn open_holds(&self, ledger: &dyn Ledger) -> Result<(), String> {
        let mut held: BTreeMap<UserId, u128> = BTreeMap::new();
        let open = ledger.open_holds().map_err(|error| error.to_string())?;
        for hold in &open {
            if !self.holds.get(&hold.key).is_some_and(|held| held.is_open && held.hold == *hold) {
                return Err(format!("I5: a hold is open that should not: {hold:?}"));
            }
            *held.entry(hold.user).or_default() += hold.amount.get();
        }
        for (user, person) in &self.people {
            if held.get(user).copied().unwrap_or_default() != person.held {
                return Err(format!("I4: {user} has other holds than {} neuron", person.held));
            }
        }
        Ok(())
    }
}

fn hold_of<'a>(holds: &'a BTreeMap<RequestKey, Held>, key: &RequestKey) -> &'a Hold {
    &holds.get(key).unwrap().hold
}

fn against_receipt(hold: &Hold, receipt: &Receipt) -> Option<&'static str> {
    if receipt.id != hold.receipt || receipt.user != hold.user {
        return Some("I5: the receipt is another exchange's");
    }
    if receipt.proof.as_ref().is_some_and(|proof| proof.claims.hold != hold.amount) {
        return Some("the receipt claims another hold");
    }
    if receipt.fee > hold.amount {
        return Some("I5: the fee is above the hold");
    }
    // By token, and never more than the hold.
    let part = |tokens: u64, price: Neuron| price.get().checked_mul(u128::from(tokens));
    let input = part(receipt.usage.input, hold.tariff.input_price);
    let output = part(receipt.usage.output, hold.tariff.output_price);
    let sum = input.zip(output).and_then(|(input, output)| input.checked_add(output));
    let due = sum.map_or(hold.amount.get(), |sum| sum.min(hold.amount.get()));
    (receipt.fee.get() != due).then_some("the fee is not the usage's")
}

impl Person {
    pub(crate) fn committed(&self) -> u128 {
        self.held + self.earned + self.vouchered
    }

    fn charge(&mut self, hold: Neuron, receipt: &Receipt) {
        self.held -= hold.get();
        self.earned += receipt.fee.get();
        self.charged = self.charged.wrapping_add(receipt.fee.get());
    }

    fn account(&self) -> Account {
        Account {
            cover: Neuron::new(self.cover),
            held: Neuron::new(self.held),
            earned: Neuron::new(self.earned),
            vouchered: Neuron::new(self.vouchered),
            unlimited: self.unlimited,
            frozen: self.frozen,
            exchanges: self.exchanges,
        }
    }
}

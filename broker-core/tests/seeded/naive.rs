//! A ledger in memory that decides by the rules and can be made to see or write the wrong thing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_core::requests::Collected;
use broker_core::rules::{Effects, KnownHold, Record, View, decide};
use broker_core::{
    Account, AuditReport, Binding, Books, Command, Decision, Hold, HoldState, Ledger, LedgerError,
    LedgerReader, OpenVoucher, Receipt, ReceiptId, RequestKey, Tariff, Timestamp, UserId,
};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// A voucher may have any nonce that is higher than the last, such as one of the clock's.
    ClockNonce,
    /// The fee is not compared with the hold.
    FeeAboveHold,
    /// Another request under a key that is known is taken for a new one.
    KeyReused,
    /// That a hold has ended is not written down.
    ForgottenEnd,
    /// Balances are read once for a batch, and each command writes what it made of them.
    LostUpdate,
    /// Which receipts are under a voucher is not written down.
    CollectedTwice,
    /// A fee is earned twice.
    DoubledFee,
    /// That a voucher is open is forgotten when the next one is made.
    SecondVoucher,
}

/// The ledger.
pub(crate) struct Naive {
    bug: Bug,
    entries: u64,
    binding: Option<Binding>,
    users: BTreeMap<UserId, User>,
    holds: BTreeMap<RequestKey, KnownHold>,
    opened: Vec<RequestKey>,
    ids: BTreeSet<ReceiptId>,
}

#[derive(Clone, Default)]
struct User {
    account: Account,
    books: Books,
    open: Option<OpenVoucher>,
    captured: Vec<(u64, Receipt, Tariff)>,
}

impl Naive {
    pub(crate) fn new(bug: Bug) -> Self {
        Self {
            bug,
            entries: 0,
            binding: None,
            users: BTreeMap::new(),
            holds: BTreeMap::new(),
            opened: Vec::new(),
            ids: BTreeSet::new(),
        }
    }

    fn one(
        &mut self,
        command: &Command,
        read: &BTreeMap<UserId, User>,
        now: Timestamp,
    ) -> Result<Decision, LedgerError> {
        let mut view = self.view(command);
        if self.bug == Bug::LostUpdate
            && let Some(user) = self.subject(command)
        {
            view.account = read.get(&user).map(|known| known.account).unwrap_or_default();
        }
        let decided = decide(&view, command).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
        Ok(decided.map(|effects| {
            self.write(&effects, now);
            effects.applied
        }))
    }

    fn subject(&self, command: &Command) -> Option<UserId> {
        match command {
            Command::Mirror { user, .. } | Command::Escrow { user, .. } => Some(*user),
            Command::Freeze { user, .. } => Some(*user),
            Command::Seal(seal) => Some(seal.voucher.voucher.user),
            Command::Countersign(signed) => Some(signed.voucher.user),
            Command::Settle(settle) => Some(settle.user),
            Command::Reserve(hold) => Some(hold.user),
            Command::Capture { key, .. } | Command::Release { key, .. } => {
                self.holds.get(key).map(|known| known.hold.user)
            }
            _ => None,
        }
    }

    fn view(&self, command: &Command) -> View {
        let known = self.subject(command).and_then(|user| self.users.get(&user));
        let User { account, books, open, .. } = known.cloned().unwrap_or_default();
        let binding = self.binding;
        let mut view = View { account, books, open, binding, ..View::default() };
        match command {
            Command::Reserve(new) => {
                view.hold = self.holds.get(&new.key).cloned();
                view.receipt_id_taken = self.ids.contains(&new.receipt);
                let is_other = |known: &KnownHold| known.hold.fingerprint != new.fingerprint;
                if self.bug == Bug::KeyReused && view.hold.as_ref().is_some_and(is_other) {
                    view.hold = None;
                }
            }
            Command::Capture { key, receipt } => {
                view.hold = self.holds.get(key).cloned();
                if let (Bug::FeeAboveHold, Some(known)) = (self.bug, &mut view.hold) {
                    known.hold.amount = known.hold.amount.max(receipt.fee);
                }
            }
            Command::Release { key, .. } => view.hold = self.holds.get(key).cloned(),
            Command::Seal(seal) => {
                let nonce = seal.voucher.voucher.nonce;
                if self.bug == Bug::ClockNonce && view.books.nonce.is_some_and(|n| n < nonce) {
                    view.books.nonce = Some(nonce - 1);
                }
                if self.bug == Bug::SecondVoucher {
                    view.open = None;
                }
                view.collected = known.and_then(|known| known.collect(seal));
            }
            _ => {}
        }
        view
    }

    fn write(&mut self, effects: &Effects<'_>, now: Timestamp) {
        self.entries += 1;
        let user = self.users.entry(effects.user).or_default();
        user.account = effects.account;
        if let (Bug::DoubledFee, Record::Receipt(_, receipt)) = (self.bug, &effects.record) {
            user.account.earned = user.account.earned.checked_add(receipt.fee).unwrap();
        }
        let mut books = effects.books_at(self.entries).unwrap_or(user.books);
        if self.bug == Bug::CollectedTwice && matches!(effects.record, Record::Seal(..)) {
            books.sealed_to = user.books.sealed_to;
        }
        user.books = books;
        match effects.record {
            Record::Binding(binding) => self.binding = Some(binding),
            Record::Hold(hold) => {
                let known = KnownHold { hold: hold.clone(), state: HoldState::Open };
                self.holds.insert(hold.key, known);
                self.opened.push(hold.key);
                self.ids.insert(hold.receipt);
            }
            Record::Receipt(key, receipt) => {
                let known = self.holds.get_mut(&key).unwrap();
                if self.bug != Bug::ForgottenEnd {
                    known.state = HoldState::Finished;
                }
                let tariff = known.hold.tariff.clone();
                user.captured.push((self.entries, receipt.clone(), tariff));
            }
            Record::Release(key, why) => {
                self.holds.get_mut(&key).unwrap().state = HoldState::Released(why);
            }
            Record::Seal(seal, _) => {
                let signed = &seal.voucher;
                let signatures = vec![(signed.signing_address, signed.signature)];
                let (voucher, since) = (signed.voucher, seal.since);
                user.open = Some(OpenVoucher { voucher, signatures, since, sealed_at: now });
            }
            Record::Countersign(signed) => {
                let signature = (signed.signing_address, signed.signature);
                user.open.as_mut().unwrap().signatures.push(signature);
            }
            Record::Settle(_) => user.open = None,
            _ => {}
        }
    }
}

impl User {
    fn collect(&self, seal: &broker_core::Seal) -> Option<Collected> {
        let owner = seal.voucher.voucher.user;
        let mut collected = Collected::new(owner, self.books.carry);
        let (from, upto) = (self.books.sealed_to, seal.sealed_to);
        let mut last = from;
        for (entry, receipt, tariff) in &self.captured {
            if *entry > from && *entry <= upto && !receipt.fee.is_zero() {
                collected.add(receipt, tariff)?;
                last = *entry;
            }
        }
        (last == upto && !collected.total().is_zero()).then_some(collected)
    }
}

impl Ledger for Naive {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        let read = self.users.clone();
        batch.iter().map(|command| self.one(command, &read, now)).collect()
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        Ok(self.users.get(user).map(|known| known.account).unwrap_or_default())
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        let known = self.opened.iter().filter_map(|key| self.holds.get(key));
        let open = known.filter(|known| known.state == HoldState::Open);
        Ok(open.map(|known| known.hold.clone()).collect())
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        Err(LedgerError::Stopped)
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        Err(LedgerError::Stopped)
    }
}

//! Receipts that were let go: their entries and movements are still there, and have to fit.

use crate::account::Bucket;
use crate::digest::Digest32;
use crate::ledger::Fault;
use crate::ledger::entry::EntryKind;
use crate::ledger::journal::Line;
use crate::money::Neuron;
use crate::rules::moved;

use super::Replay;

impl Replay {
    /// The end of a hold whose receipt is only in an archive: what was moved tells the fee.
    pub(super) fn add_retired(&mut self, line: &Line, leaf: Digest32) -> Result<(), Fault> {
        let entry = &line.entry;
        let key = entry.key.filter(|_| entry.kind == EntryKind::Capture);
        let hold = key.and_then(|key| self.open.remove(&key));
        let hold = hold.filter(|hold| hold.user == entry.user);
        let hold = hold.ok_or_else(|| line.fault("no open hold has its key"))?;
        let (mut fee, mut sum) = (Neuron::ZERO, Some(Neuron::ZERO));
        let known = self.users.entry(entry.user).or_default();
        let mut account = known.account;
        for step in &entry.movements {
            match (step.debit, step.credit) {
                (Bucket::Held, Bucket::Earned) if fee.is_zero() => fee = step.amount,
                (Bucket::Held, Bucket::Available) => {}
                _ => return Err(line.fault("its entry moves what no receipt moves")),
            }
            sum = sum.and_then(|sum| sum.checked_add(step.amount));
            let after = moved(&account, step);
            account = after.ok_or_else(|| line.fault("a bucket leaves its range"))?;
        }
        if sum != Some(hold.amount) {
            return Err(line.fault("its entry frees another amount than was held"));
        }
        known.has_account |= known.account != account;
        known.account = account;
        self.log.check_retired(&hold.receipt, fee, &leaf)?;
        known.owes(entry.number, fee, || leaf);
        if !fee.is_zero() {
            known.retired = entry.number;
        }
        self.retired = entry.seq;
        self.transfers = self.transfers.saturating_add(entry.movements.len() as u64);
        Ok(())
    }

    /// What can be told only at the end of the journal: receipts were let go by an entry that says
    /// so, and none of them is one that a voucher still depends on.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        let fault =
            |row: String, what: &str| Fault { table: "retired", row, what: what.to_owned() };
        if self.retired > self.retired_upto {
            let what = "its receipt is gone, and no entry let it go";
            return Err(fault(self.retired.to_string(), what));
        }
        let mut known = self.users.values().filter(|known| known.books.nonce.is_some());
        match known.find(|known| known.retired > known.settled_to) {
            Some(known) => {
                let what = "its receipt is gone before its fee was settled";
                Err(fault(known.retired.to_string(), what))
            }
            None => Ok(()),
        }
    }
}

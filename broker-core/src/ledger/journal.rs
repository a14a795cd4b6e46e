//! The journal: every command that was carried out, with all that it wrote, in the chain's order.
//!
//! It is what a ledger is made of: whatever else a ledger stores follows from it. Each kind of
//! ledger can tell its journal, so that one audit, one archive and one move serve all of them.

use crate::account::{Cover, UserId};
use crate::command::{Binding, Command, Hold, ReleaseReason, Retire, Seal, Settle};
use crate::digest::Digest32;
use crate::ledger::entry::Entry;
use crate::ledger::{Fault, LedgerError};
use crate::money::Neuron;
use crate::receipt::Receipt;
use crate::rules::{Effects, Record};
use crate::voucher::SignedVoucher;

/// One command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The command's entry, with its movements.
    pub entry: Entry,
    /// The link of the chain that is stored with it; `None` for one that has no place yet.
    pub link: Option<Digest32>,
    /// What else it wrote.
    pub written: Written,
}

/// Where a receipt stands in the receipt log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedLeaf {
    /// Which leaf, from 0.
    pub leaf: u64,
    /// Its hash.
    pub hash: Digest32,
}

/// What a command wrote beside its entry and its movements.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Written {
    /// Nothing: the cover follows from the movements.
    Cover,
    /// A hold.
    Hold(Box<Hold>),
    /// The receipt that ended a hold.
    Receipt(Box<Receipt>),
    /// A receipt that was let go: its leaf under a voucher, see [`crate::requests`].
    Retired(Digest32),
    /// The release that ended a hold.
    Release(ReleaseReason),
    /// Whose ledger it is.
    Binding(Binding),
    /// What a final block said of an escrow.
    Escrow {
        /// What covers the user's spending, in neuron.
        cover: Neuron,
        /// The nonce that the contract took last.
        nonce: u64,
    },
    /// A voucher, and what it carries over, in neuron.
    Seal(Box<Seal>, Neuron),
    /// Another signature over an open voucher.
    Countersign(Box<SignedVoucher>),
    /// The end of a voucher.
    Settle(Box<Settle>),
    /// The nonce on chain for which an account was frozen.
    Freeze(u64),
    /// Receipts that were let go.
    Retire(Retire),
}

impl Line {
    /// The line that writes a command's effects down.
    pub(crate) fn of(effects: &Effects<'_>, entry: Entry, link: Digest32) -> Self {
        let written = match effects.record {
            Record::Cover(_) => Written::Cover,
            Record::Hold(hold) => Written::Hold(Box::new(hold.clone())),
            Record::Receipt(_, receipt) => Written::Receipt(Box::new(receipt.clone())),
            Record::Release(_, why) => Written::Release(why),
            Record::Binding(binding) => Written::Binding(binding),
            Record::Escrow(cover, nonce) => Written::Escrow { cover, nonce },
            Record::Seal(seal, carry) => Written::Seal(Box::new(*seal), carry),
            Record::Countersign(signed) => Written::Countersign(Box::new(*signed)),
            Record::Settle(settle) => Written::Settle(Box::new(*settle)),
            Record::Freeze(nonce) => Written::Freeze(nonce),
            Record::Retire(retire) => Written::Retire(retire),
        };
        Self { entry, link: Some(link), written }
    }

    /// The command that was carried out. `cover` is what the entry's movements lead to.
    ///
    /// # Errors
    /// The record belongs to another user or request than its entry.
    pub(crate) fn command(&self, cover: Neuron) -> Result<Command, &'static str> {
        let Entry { user, key, memo, .. } = self.entry;
        let key = || key.ok_or("its entry is about no request");
        let of_its_user = |owner: UserId| match owner == user {
            true => Ok(()),
            false => Err("its entry is about another user"),
        };
        Ok(match &self.written {
            Written::Cover if memo == Cover::Unlimited.digest() => {
                Command::Mirror { user, cover: Cover::Unlimited }
            }
            Written::Cover => Command::Mirror { user, cover: Cover::UpTo(cover) },
            Written::Hold(hold) => {
                of_its_user(hold.user)?;
                match key()? == hold.key {
                    true => Command::Reserve((**hold).clone()),
                    false => return Err("its entry is about another request"),
                }
            }
            Written::Receipt(receipt) => Command::Capture { key: key()?, receipt: receipt.clone() },
            Written::Release(why) => Command::Release { key: key()?, why: *why },
            Written::Binding(binding) => Command::Bind(*binding),
            Written::Escrow { cover, nonce } => {
                Command::Escrow { user, cover: *cover, nonce: *nonce }
            }
            Written::Seal(seal, _) => Command::Seal(seal.clone()),
            Written::Countersign(signed) => Command::Countersign(signed.clone()),
            Written::Settle(settle) => Command::Settle(settle.clone()),
            Written::Freeze(nonce) => Command::Freeze { user, nonce: *nonce },
            Written::Retire(retire) => Command::Retire(*retire),
            Written::Retired(_) => return Err("its receipt is not there"),
        })
    }

    /// A fault of the record, under the name that its table gives it.
    pub(crate) fn fault(&self, what: impl Into<String>) -> Fault {
        let number = || self.entry.number.to_string();
        let key = || self.entry.key.map_or_else(number, |key| key.0.to_string());
        let (table, row) = match &self.written {
            Written::Cover => ("entry", self.entry.seq.to_string()),
            Written::Hold(hold) => ("hold", hold.key.0.to_string()),
            Written::Receipt(receipt) => ("receipt", receipt.id.to_string()),
            Written::Release(_) => ("released", key()),
            Written::Binding(_) => ("binding", number()),
            Written::Escrow { .. } => ("escrow", number()),
            Written::Seal(..) => ("voucher", number()),
            Written::Countersign(_) => ("voucher_signature", number()),
            Written::Settle(_) => ("settled", number()),
            Written::Freeze(_) => ("freeze", number()),
            Written::Retire(_) => ("retire", number()),
            Written::Retired(_) => ("retired", number()),
        };
        Fault { table, row, what: what.into() }
    }
}

/// Reads a journal as it is told.
pub trait Visitor {
    /// The next entry, with its movements and its link, before its record is looked at: who checks
    /// the chain names the entry that was changed and not the record that no longer fits it.
    fn entry(&mut self, _entry: &Entry, _link: Option<Digest32>) -> Result<(), Stop> {
        Ok(())
    }

    /// Where the receipt that the same entry recorded stands in the receipt log, before its record.
    /// Not told of one that has no place there, nor by an archive, which has no log.
    fn leaf(&mut self, _entry: &Entry, _leaf: &LoggedLeaf) -> Result<(), Stop> {
        Ok(())
    }

    /// The same entry with its record.
    fn line(&mut self, line: Line) -> Result<(), Stop>;
}

/// The fault of an entry, its movements included.
pub(crate) fn fault_of_entry(entry: &Entry, what: impl Into<String>) -> Fault {
    Fault { table: "entry", row: entry.seq.to_string(), what: what.into() }
}

/// Why the telling of a journal ends early.
#[derive(Debug)]
pub enum Stop {
    /// This row contradicts the others.
    Fault(Fault),
    /// The books could not be read to their end.
    Error(LedgerError),
    /// The visitor has what it wanted.
    Enough,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Error(error)
    }
}

//! An audit's heart: the journal carried out again, line by line, by the rules that made it.
//!
//! Pure. Memory grows with the users, the holds that are open and the fees that no voucher of a
//! user with an escrow covers yet; never with the lines.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::account::{Account, UserId};
use crate::command::{Binding, Books, Hold, HoldState, OpenVoucher, Refusal};
use crate::digest::{Digest32, RequestKey};
use crate::ledger::entry::{Entry, entry};
use crate::ledger::journal::{Line, LoggedLeaf, Stop, Visitor, Written, fault_of_entry};
use crate::ledger::{AuditReport, Fault, LedgerError};
use crate::money::Neuron;
use crate::requests::{Collected, proved_leaf, receipt_leaf};
use crate::rules::{Effects, KnownHold, Record, View, decide, moved};
use crate::signer::recover_signer;
use crate::voucher::SignedVoucher;

pub(crate) mod logged;
mod retired;

use self::logged::Logged;

/// What the lines so far amount to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    /// The place of the last line.
    pub(crate) seq: u64,
    /// The last link of the chain.
    pub(crate) head: Digest32,
    pub(crate) unlinked: u64,
    pub(crate) transfers: u64,
    pub(crate) receipts: u64,
    /// The place of the last receipt that was let go, and the last one that might be.
    retired: u64,
    retired_upto: u64,
    /// The receipt log.
    pub(crate) log: Logged,
    pub(crate) binding: Option<Binding>,
    pub(crate) users: BTreeMap<UserId, Standing>,
    pub(crate) open: HashMap<RequestKey, Hold>,
    /// The entry whose place in the chain is right, and the link that it leads to.
    checked: Option<(u64, Digest32)>,
}

impl Visitor for Replay {
    fn entry(&mut self, entry: &Entry, link: Option<Digest32>) -> Result<(), Stop> {
        let expected = self.seq.saturating_add(1);
        if entry.seq != expected {
            let what = format!("the row before it is missing: {expected} was expected");
            return Err(fault_of_entry(entry, what).into());
        }
        let Some(link) = link else {
            self.unlinked = self.unlinked.saturating_add(1);
            self.checked = Some((entry.seq, self.head));
            return Ok(());
        };
        let digest = entry.digest(&self.head);
        if digest != link || self.unlinked > 0 {
            let what = format!("the chain breaks: with its movements its digest is {digest}");
            return Err(fault_of_entry(entry, format!("{what}, not {link}")).into());
        }
        self.checked = Some((entry.seq, digest));
        Ok(())
    }

    fn leaf(&mut self, entry: &Entry, leaf: &LoggedLeaf) -> Result<(), Stop> {
        Ok(self.log.expect(entry, *leaf, self.unlinked == 0)?)
    }

    fn line(&mut self, line: Line) -> Result<(), Stop> {
        Ok(self.add(&line)?)
    }
}

/// How a user stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) account: Account,
    /// The account was ever anything but empty.
    pub(crate) has_account: bool,
    pub(crate) books: Books,
    pub(crate) voucher: Option<OpenVoucher>,
    /// Fees that no voucher covers yet, once there is an escrow.
    waiting: VecDeque<Waiting>,
    /// Entries up to here are under vouchers that have ended, or behind the first escrow.
    settled_to: u64,
    /// The last entry whose receipt was let go.
    retired: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    fee: Neuron,
    leaf: Digest32,
}

impl Replay {
    /// Carries the next line out again, whose entry was checked before.
    fn add(&mut self, line: &Line) -> Result<(), Fault> {
        let checked = self.checked.take().filter(|(seq, _)| *seq == line.entry.seq);
        let (seq, head) = checked.ok_or_else(|| line.fault("its entry was not checked"))?;
        match line.written {
            Written::Retired(leaf) => self.add_retired(line, leaf)?,
            _ => self.carry_out(line)?,
        }
        (self.seq, self.head) = (seq, head);
        self.log.ends_line()
    }

    fn carry_out(&mut self, line: &Line) -> Result<(), Fault> {
        let found = &line.entry;
        let known = self.users.get(&found.user).map(|known| known.account).unwrap_or_default();
        let cover = found.movements.iter().try_fold(known, |account, step| moved(&account, step));
        let cover = cover.map(|account| account.cover).unwrap_or_default();
        let command = line.command(cover).map_err(|what| line.fault(what))?;
        let view = self.view(line);
        let decided = decide(&view, &command).map_err(|broken| line.fault(broken.to_string()))?;
        let effects = decided.map_err(|refusal| line.fault(refused(line, refusal)))?;
        let mut due = entry(&effects, found.seq.saturating_sub(1), found.at);
        due.number = found.number;
        self.check_signatures(line)?;
        compare(line, &due, view.books.carry)?;
        self.take(line, &effects)
    }

    /// What an audit reports that ended so.
    pub(crate) fn verdict(&self, ended: Result<(), Stop>) -> Result<AuditReport, LedgerError> {
        match ended {
            Ok(()) => Ok(self.report(None)),
            Err(Stop::Fault(fault)) => Ok(self.report(Some(fault))),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Enough) => Err(LedgerError::Corrupt("it was not told to its end".into())),
        }
    }

    /// What an audit reports, with the first fault.
    pub(crate) fn report(&self, fault: Option<Fault>) -> AuditReport {
        AuditReport {
            entries: self.seq,
            transfers: self.transfers,
            accounts: self.users.values().filter(|known| known.has_account).count() as u64,
            receipts: self.receipts,
            open_holds: self.open.len() as u64,
            unlinked: self.unlinked,
            head: self.head,
            fault,
        }
    }

    fn view(&self, line: &Line) -> View {
        let Entry { user, key, .. } = line.entry;
        let hold = key.and_then(|key| self.open.get(&key)).cloned();
        let view = View {
            hold: hold.map(|hold| KnownHold { hold, state: HoldState::Open }),
            binding: self.binding,
            ..View::default()
        };
        let Some(known) = self.users.get(&user) else { return view };
        let collected = match &line.written {
            Written::Seal(seal, _) => known.collect(user, seal.sealed_to),
            _ => None,
        };
        let (account, books, open) = (known.account, known.books, known.voucher.clone());
        View { account, books, open, collected, ..view }
    }

    fn check_signatures(&self, line: &Line) -> Result<(), Fault> {
        let signed = match &line.written {
            Written::Seal(seal, _) => &seal.voucher,
            Written::Countersign(signed) => signed,
            _ => return Ok(()),
        };
        let Some(binding) = self.binding else {
            return Err(line.fault("the ledger is bound to nobody"));
        };
        let SignedVoucher { voucher, signature, signing_address } = signed;
        match recover_signer(&voucher.digest(&binding.domain), signature) {
            Ok(signer) if signer == *signing_address => Ok(()),
            _ => Err(Fault {
                table: "voucher_signature",
                row: line.entry.number.to_string(),
                what: "it is no signature of its key over the voucher".to_owned(),
            }),
        }
    }

    fn take(&mut self, line: &Line, effects: &Effects<'_>) -> Result<(), Fault> {
        let Entry { number, at, movements, .. } = &line.entry;
        self.transfers = self.transfers.saturating_add(movements.len() as u64);
        let known = self.users.entry(effects.user).or_default();
        known.has_account |= known.account != effects.account;
        known.account = effects.account;
        match effects.record {
            Record::Hold(hold) => {
                self.open.insert(hold.key, hold.clone());
            }
            Record::Receipt(key, receipt) => {
                self.receipts = self.receipts.saturating_add(1);
                if let Some(hold) = self.open.remove(&key) {
                    let logged = receipt.log_leaf(&hold.tariff);
                    self.log.check(logged)?;
                    known.owes(*number, receipt.fee, || match logged {
                        Some(leaf) => proved_leaf(&receipt.id, receipt.fee, &leaf),
                        None => receipt_leaf(receipt, &hold.tariff),
                    });
                }
            }
            Record::Release(key, _) => {
                self.open.remove(&key);
            }
            Record::Binding(binding) => self.binding = Some(binding),
            Record::Seal(seal, _) => {
                known.waiting.retain(|waiting| waiting.number > seal.sealed_to);
                known.voucher = Some(seal.open_since(*at));
            }
            Record::Countersign(signed) => {
                if let Some(open) = &mut known.voucher {
                    open.signatures.push((signed.signing_address, signed.signature));
                }
            }
            Record::Settle(_) => known.voucher = None,
            Record::Retire(retire) => self.retired_upto = self.retired_upto.max(retire.upto),
            Record::Cover(_) | Record::Escrow(..) | Record::Freeze(_) => {}
        }
        known.books = effects.books_at(*number).unwrap_or(known.books);
        if known.voucher.is_none() {
            known.settled_to = known.books.sealed_to;
        }
        Ok(())
    }
}

impl Standing {
    /// Notes a fee that a voucher will cover.
    fn owes(&mut self, number: u64, fee: Neuron, leaf: impl FnOnce() -> Digest32) {
        if self.books.nonce.is_some() && !fee.is_zero() {
            self.waiting.push_back(Waiting { number, fee, leaf: leaf() });
        }
    }

    /// What a voucher of the fees up to the entry `upto` comes to; `None` where that entry is none
    /// of theirs.
    fn collect(&self, user: UserId, upto: u64) -> Option<Collected> {
        let mut collected = Collected::new(user, self.books.carry);
        let mut last = self.books.sealed_to;
        for waiting in self.waiting.iter().take_while(|waiting| waiting.number <= upto) {
            collected.add_leaf(waiting.fee, waiting.leaf)?;
            last = waiting.number;
        }
        (last == upto).then_some(collected)
    }
}

/// Compares what is written with what the rules write.
fn compare(line: &Line, due: &Entry, carry: Neuron) -> Result<(), Fault> {
    let found = &line.entry;
    if (found.kind, found.user, found.key) != (due.kind, due.user, due.key) {
        return Err(line.fault("its entry is of another kind, user or request"));
    }
    let carried = match line.written {
        Written::Seal(_, carried) => carried,
        _ => carry,
    };
    if found.memo != due.memo || carried != carry {
        return Err(line.fault("the chain has another row in its place"));
    }
    if found.movements != due.movements {
        return Err(line.fault("its entry moved other amounts than it says"));
    }
    Ok(())
}

/// A refusal in an auditor's words.
fn refused(line: &Line, refusal: Refusal) -> String {
    match (&line.written, refusal) {
        (_, Refusal::UnknownHold) => "no open hold has its key".to_owned(),
        (Written::Receipt(receipt), Refusal::WrongFee { due }) => {
            format!("its fee is {}, and its usage costs {due}", receipt.fee)
        }
        (Written::Receipt(_), Refusal::ForeignReceipt) => {
            "it belongs to another exchange or user than its hold".to_owned()
        }
        (Written::Seal(seal, _), Refusal::WrongVoucher { due }) => {
            let total = seal.voucher.voucher.total;
            format!("it is worth {total}, and its receipts cost {due} or hash to something else")
        }
        (Written::Seal(..), Refusal::NothingEarned) => "its receipts are not there".to_owned(),
        (_, refusal) => format!("the rules refuse it: {refusal}"),
    }
}

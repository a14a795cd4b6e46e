//! A ledger in memory: the reference that others are compared with, and a fake for tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Binding, Command, Decision, Hold, HoldState, OpenVoucher};
use crate::digest::{Digest32, RequestKey};
use crate::ledger::entry::entry;
use crate::ledger::journal::{Line, Stop, Visitor};
use crate::ledger::proofs::{Kept, LogLeaf};
use crate::ledger::replay::Replay;
use crate::ledger::statement::{RequestPage, RequestQuery, Statement, Unsealed};
use crate::ledger::{AuditReport, Fault, Ledger, LedgerError, LedgerReader, Totals};
use crate::receipt::{Receipt, ReceiptId};
use crate::rules::{Effects, KnownHold, Record, View, decide};

use self::collect::Collections;

mod collect;
mod proofs;
mod retire;

/// A ledger that forgets everything when its last clone is dropped. Clones share one set of books:
/// give one to the writer and read from another.
#[derive(Clone, Default)]
pub struct MemoryLedger(Arc<Mutex<Pages>>);

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// A ledger with the same content and a life of its own: what a disk's snapshot restores.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.pages().clone())))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for MemoryLedger {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        let mut pages = self.pages();
        batch.iter().map(|command| pages.apply(command, now)).collect()
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        Ok(self.pages().account(user))
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        Ok(self.pages().open_holds().cloned().collect())
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        self.pages().audit()
    }

    fn extend_log(&mut self, size: u64, leaves: &[LogLeaf]) -> Result<bool, LedgerError> {
        self.pages().extend_log(size, leaves)
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), LedgerError> {
        self.pages().keep(kept);
        Ok(())
    }

    fn has_one_writer(&self) -> bool {
        true
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        Ok(Arc::new(self.clone()))
    }
}

impl LedgerReader for MemoryLedger {
    fn receipt(&self, id: &ReceiptId) -> Result<Option<Receipt>, LedgerError> {
        Ok(self.pages().receipts.get(id).cloned())
    }

    fn receipt_by_upstream_id(
        &self,
        id: &str,
        owner: Option<&UserId>,
    ) -> Result<Option<Receipt>, LedgerError> {
        let pages = self.pages();
        let holders = pages.aliases.get(id);
        let receipt = match owner {
            Some(owner) => holders.and_then(|holders| holders.get(owner)),
            None => holders.filter(|holders| holders.len() == 1).and_then(|h| h.values().next()),
        };
        Ok(receipt.and_then(|id| pages.receipts.get(id)).cloned())
    }

    fn hold_state(&self, id: &ReceiptId) -> Result<Option<HoldState>, LedgerError> {
        let pages = self.pages();
        let key = pages.keys.get(id);
        Ok(key.and_then(|key| pages.holds.get(key)).map(|known| known.state))
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        Ok(self.pages().account(user))
    }

    fn binding(&self) -> Result<Option<Binding>, LedgerError> {
        Ok(self.pages().collections.binding)
    }

    fn statement(&self, user: &UserId) -> Result<Option<Statement>, LedgerError> {
        let pages = self.pages();
        Ok(pages.accounts.contains_key(user).then(|| pages.statement(user)))
    }

    fn statements(&self) -> Result<Vec<Statement>, LedgerError> {
        let pages = self.pages();
        Ok(pages.accounts.keys().map(|user| pages.statement(user)).collect())
    }

    fn open_vouchers(&self) -> Result<Vec<OpenVoucher>, LedgerError> {
        Ok(self.pages().collections.open_vouchers())
    }

    fn unsealed(&self, user: &UserId) -> Result<Option<Unsealed>, LedgerError> {
        self.pages().unsealed(user)
    }

    fn requests(&self, query: &RequestQuery) -> Result<RequestPage, LedgerError> {
        self.pages().requests(query)
    }

    fn expired_holds(&self, now: Timestamp, limit: u64) -> Result<Vec<RequestKey>, LedgerError> {
        let pages = self.pages();
        let expired = pages.open_holds().filter(|hold| hold.expires < now).map(|hold| hold.key);
        Ok(expired.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    fn head(&self) -> Result<(u64, Digest32), LedgerError> {
        let pages = self.pages();
        let last = pages.lines.last().map(|line| (line.entry.seq, line.link.unwrap_or_default()));
        Ok(last.unwrap_or_default())
    }

    fn link(&self, place: u64) -> Result<Option<Digest32>, LedgerError> {
        let pages = self.pages();
        let index = place.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        Ok(index.and_then(|index| pages.lines.get(index)).and_then(|line| line.link))
    }

    fn unlinked(&self) -> Result<u64, LedgerError> {
        Ok(0)
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        self.pages().totals()
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        self.pages().audit()
    }

    fn retirable(&self, upto: u64, limit: u64) -> Result<Option<u64>, LedgerError> {
        Ok(self.pages().retirable(upto, limit))
    }

    fn journal(&self, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        self.pages().journal(behind, visitor)
    }
}

#[derive(Clone, Default)]
struct Pages {
    accounts: BTreeMap<UserId, Account>,
    holds: HashMap<RequestKey, KnownHold>,
    opened: Vec<RequestKey>,
    keys: HashMap<ReceiptId, RequestKey>,
    receipts: HashMap<ReceiptId, Receipt>,
    aliases: HashMap<String, BTreeMap<UserId, ReceiptId>>,
    lines: Vec<Line>,
    collections: Collections,
    proofs: proofs::Proofs,
}

impl Pages {
    fn account(&self, user: &UserId) -> Account {
        self.accounts.get(user).copied().unwrap_or_default()
    }

    fn open_holds(&self) -> impl Iterator<Item = &Hold> {
        let known = self.opened.iter().filter_map(|key| self.holds.get(key));
        known.filter(|known| known.state == HoldState::Open).map(|known| &known.hold)
    }

    fn apply(&mut self, command: &Command, now: Timestamp) -> Result<Decision, LedgerError> {
        let view = self.view(command)?;
        let decided = decide(&view, command).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
        Ok(decided.map(|effects| {
            self.write(&effects, now);
            effects.applied
        }))
    }

    fn view(&self, command: &Command) -> Result<View, LedgerError> {
        let (key, user) = command.subject();
        let hold = key.and_then(|key| self.holds.get(&key)).cloned();
        let user = user.or(hold.as_ref().map(|known| known.hold.user));
        let mut view = View {
            account: user.map(|user| self.account(&user)).unwrap_or_default(),
            hold,
            receipt_id_taken: match command {
                Command::Reserve(hold) => self.keys.contains_key(&hold.receipt),
                _ => false,
            },
            ..View::default()
        };
        self.see_collections(&mut view, command, user)?;
        Ok(view)
    }

    fn write(&mut self, effects: &Effects<'_>, now: Timestamp) {
        let last = self.lines.last().map(|line| (line.entry.seq, line.link));
        let (seq, head) = last.unwrap_or_default();
        let entry = entry(effects, seq, now);
        let link = entry.digest(&head.unwrap_or_default());
        self.lines.push(Line::of(effects, entry, link));
        if self.account(&effects.user) != effects.account {
            self.accounts.insert(effects.user, effects.account);
        }
        self.collections.write(effects, seq.saturating_add(1), now);
        match effects.record {
            Record::Hold(hold) => {
                let known = KnownHold { hold: hold.clone(), state: HoldState::Open };
                self.holds.insert(hold.key, known);
                self.opened.push(hold.key);
                self.keys.insert(hold.receipt, hold.key);
            }
            Record::Receipt(key, receipt) => {
                self.end(&key, HoldState::Finished);
                if let Some(alias) = &receipt.upstream_id {
                    let holders = self.aliases.entry(alias.clone()).or_default();
                    holders.entry(receipt.user).or_insert(receipt.id);
                }
                self.receipts.insert(receipt.id, receipt.clone());
            }
            Record::Release(key, why) => self.end(&key, HoldState::Released(why)),
            Record::Retire(retire) => self.retire(retire.upto),
            _ => {}
        }
    }

    fn end(&mut self, key: &RequestKey, state: HoldState) {
        if let Some(known) = self.holds.get_mut(key) {
            known.state = state;
        }
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        let mut totals = Totals {
            accounts: self.accounts.len() as u64,
            receipts: self.receipts.len() as u64,
            open_holds: self.open_holds().count() as u64,
            ..Totals::default()
        };
        self.accounts.values().try_for_each(|account| totals.add(account))?;
        Ok(totals)
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        let mut replay = Replay::default();
        let told = self.journal(0, &mut replay).and_then(|()| Ok(replay.finish()?));
        let compared = told.and_then(|()| match self.wrong_account(&replay) {
            Some(fault) => Err(fault.into()),
            None => self.proofs.check(&replay),
        });
        replay.verdict(compared)
    }

    fn journal(&self, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        let lines = self.lines.iter().filter(|line| line.entry.seq > behind);
        for line in lines {
            visitor.entry(&line.entry, line.link)?;
            if let Some(leaf) = self.proofs.leaf(line.entry.number) {
                visitor.leaf(&line.entry, &leaf)?;
            }
            visitor.line(line.clone())?;
        }
        Ok(())
    }

    fn wrong_account(&self, replay: &Replay) -> Option<Fault> {
        let folded = replay.users.iter().filter(|(_, known)| known.has_account);
        let users: BTreeSet<_> = self.accounts.keys().chain(folded.map(|(user, _)| user)).collect();
        let wrong = users.into_iter().find(|user| {
            let known = replay.users.get(user).cloned().unwrap_or_default();
            let stands = (known.books, known.voucher.as_ref());
            self.accounts.get(user) != Some(&known.account) || self.standing(user) != stands
        });
        let account = wrong.map(|user| ("account", user.to_string()));
        let is_open = |hold: &&Hold| replay.open.contains_key(&hold.key);
        let strange = self.open_holds().find(|hold| !is_open(hold));
        let hold = strange.map(|hold| ("hold", hold.key.0.to_string()));
        let (table, row) = account.or(hold)?;
        let what = "it differs from what the entries lead to".to_owned();
        Some(Fault { table, row, what })
    }
}

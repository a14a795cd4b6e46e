//! A ledger in memory: the reference that others are compared with, and a fake for tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Command, Decision, Hold, HoldState};
use crate::digest::{Digest32, RequestKey};
use crate::ledger::entry::{Entry, entry};
use crate::ledger::fold::Fold;
use crate::ledger::{AuditReport, Fault, Ledger, LedgerError, LedgerReader};
use crate::money::Neuron;
use crate::receipt::{Receipt, ReceiptId};
use crate::rules::{Effects, KnownHold, Record, View, decide};

/// A ledger that forgets everything when its last clone is dropped. Clones share one set of books:
/// give one to the writer and read from another.
#[derive(Clone, Default)]
pub struct MemoryLedger(Arc<Mutex<Books>>);

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for MemoryLedger {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        let mut books = self.books();
        batch.iter().map(|command| books.apply(command, now)).collect()
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        Ok(self.books().account(user))
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        Ok(self.books().open_holds().cloned().collect())
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        Ok(self.books().audit())
    }
}

impl LedgerReader for MemoryLedger {
    fn receipt(&self, id: &ReceiptId) -> Result<Option<Receipt>, LedgerError> {
        Ok(self.books().receipts.get(id).cloned())
    }

    fn receipt_by_upstream_id(
        &self,
        id: &str,
        owner: Option<&UserId>,
    ) -> Result<Option<Receipt>, LedgerError> {
        let books = self.books();
        let holders = books.aliases.get(id);
        let receipt = match owner {
            Some(owner) => holders.and_then(|holders| holders.get(owner)),
            None => holders.filter(|holders| holders.len() == 1).and_then(|h| h.values().next()),
        };
        Ok(receipt.and_then(|id| books.receipts.get(id)).cloned())
    }

    fn hold_state(&self, id: &ReceiptId) -> Result<Option<HoldState>, LedgerError> {
        let books = self.books();
        let key = books.keys.get(id);
        Ok(key.and_then(|key| books.holds.get(key)).map(|known| known.state))
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        Ok(self.books().account(user))
    }
}

#[derive(Default)]
struct Books {
    accounts: BTreeMap<UserId, Account>,
    holds: HashMap<RequestKey, KnownHold>,
    opened: Vec<RequestKey>,
    keys: HashMap<ReceiptId, RequestKey>,
    receipts: HashMap<ReceiptId, Receipt>,
    aliases: HashMap<String, BTreeMap<UserId, ReceiptId>>,
    entries: Vec<(Entry, Digest32)>,
}

impl Books {
    fn account(&self, user: &UserId) -> Account {
        self.accounts.get(user).copied().unwrap_or_default()
    }

    fn open_holds(&self) -> impl Iterator<Item = &Hold> {
        let known = self.opened.iter().filter_map(|key| self.holds.get(key));
        known.filter(|known| known.state == HoldState::Open).map(|known| &known.hold)
    }

    fn apply(&mut self, command: &Command, now: Timestamp) -> Result<Decision, LedgerError> {
        let view = self.view(command);
        let decided = decide(&view, command).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
        Ok(decided.map(|effects| {
            self.write(&effects, now);
            effects.applied
        }))
    }

    fn view(&self, command: &Command) -> View {
        let (key, user) = match command {
            Command::Mirror { user, .. } => (None, Some(*user)),
            Command::Reserve(hold) => (Some(hold.key), Some(hold.user)),
            Command::Capture { key, .. } | Command::Release { key, .. } => (Some(*key), None),
        };
        let hold = key.and_then(|key| self.holds.get(&key)).cloned();
        let user = user.or(hold.as_ref().map(|known| known.hold.user));
        View {
            account: user.map(|user| self.account(&user)).unwrap_or_default(),
            hold,
            receipt_id_taken: match command {
                Command::Reserve(hold) => self.keys.contains_key(&hold.receipt),
                _ => false,
            },
        }
    }

    fn write(&mut self, effects: &Effects<'_>, now: Timestamp) {
        let last = self.entries.last().map(|(entry, digest)| (entry.seq, *digest));
        let (seq, head) = last.unwrap_or_default();
        let entry = entry(effects, seq, now);
        let digest = entry.digest(&head);
        self.entries.push((entry, digest));
        if self.account(&effects.user) != effects.account {
            self.accounts.insert(effects.user, effects.account);
        }
        match effects.record {
            Record::Cover(_) => {}
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
        }
    }

    fn end(&mut self, key: &RequestKey, state: HoldState) {
        if let Some(known) = self.holds.get_mut(key) {
            known.state = state;
        }
    }

    fn audit(&self) -> AuditReport {
        let mut fold = Fold::default();
        let mut fault = None;
        for (entry, digest) in &self.entries {
            if let Err(what) = fold.add(entry, digest) {
                fault = Some(Fault { table: "entry", row: entry.seq.to_string(), what });
                break;
            }
        }
        AuditReport {
            entries: fold.seq,
            transfers: fold.transfers,
            accounts: self.accounts.len() as u64,
            receipts: self.receipts.len() as u64,
            open_holds: self.open_holds().count() as u64,
            head: fold.head,
            fault: fault.or_else(|| self.wrong_account(&fold)),
        }
    }

    fn wrong_account(&self, fold: &Fold) -> Option<Fault> {
        let mut open: BTreeMap<UserId, Neuron> = BTreeMap::new();
        for hold in self.open_holds() {
            let sum = open.entry(hold.user).or_default();
            *sum = sum.checked_add(hold.amount).unwrap_or(Neuron::new(u128::MAX));
        }
        let wrong = self.accounts.iter().find(|(user, account)| {
            let folded = fold.accounts.get(user).copied().unwrap_or_default();
            let held = open.get(user).copied().unwrap_or_default();
            **account != folded || account.held != held
        });
        wrong.map(|(user, _)| Fault {
            table: "account",
            row: user.to_string(),
            what: "it differs from the sum of its movements or of its open holds".to_owned(),
        })
    }
}

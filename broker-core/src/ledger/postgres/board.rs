//! What a batch is decided from: read once, under the locks, and kept up to date command by
//! command.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::account::{Account, UserId};
use crate::command::{Command, HoldState, Refusal};
use crate::digest::RequestKey;
use crate::ledger::LedgerError;
use crate::receipt::ReceiptId;
use crate::rules::{Effects, KnownHold, Record, View, decide};

use super::fault::Trouble;
use super::memory::Memory;
use super::retire;
use super::rows::{Columns, account_columns};
use super::session::Session;
use super::sought::{HOLDS, OWNERS, Sought};
use super::write::HoldNumber;

/// Accounts that are locked, and the holds that the commands of a batch name.
#[derive(Default)]
pub(super) struct Board {
    accounts: HashMap<UserId, Account>,
    holds: HashMap<RequestKey, Filed>,
    receipts: HashSet<ReceiptId>,
    /// Keys that were not asked for, see [`Memory`]. What is written is no longer among them: the
    /// write is the question.
    believed: HashSet<RequestKey>,
    /// Anything in this batch was believed.
    believes: bool,
}

/// A hold and the entry that recorded it, which has no number until it is written.
pub(super) struct Filed {
    pub(super) number: Option<HoldNumber>,
    pub(super) known: KnownHold,
}

impl Board {
    /// Locks the accounts of everybody whom the batch is about, in the order of their bytes, and
    /// reads what its commands are decided from.
    pub(super) fn lock(
        session: &mut Session,
        memory: &Memory,
        batch: &[Command],
    ) -> Result<Self, Trouble> {
        let users = users(session, memory, batch)?;
        let new: Vec<_> = users.iter().filter(|user| !memory.has_account(user)).collect();
        if !new.is_empty() {
            session.execute(MAKE, &[&new])?;
        }
        let mut board = Self::default();
        let users: Vec<_> = users.into_iter().collect();
        for row in session.query(LOCK, &[&users])? {
            let mut columns = Columns::of(&row);
            board.accounts.insert(columns.take()?, columns.account()?);
        }
        if board.accounts.len() != users.len() {
            return Err(Trouble::Conflict("an account that was known is gone".to_owned()));
        }
        if batch.iter().any(is_odd) {
            session.batch(LOCK_HOLDS)?;
        }
        // A statement sees what was committed before it began: with the accounts locked, that is
        // all there is to see of their holds.
        let sought = board.believe(memory, batch);
        board.ask(session, &sought)?;
        Ok(board)
    }

    /// Takes over what is remembered. The rest has to be asked for.
    fn believe(&mut self, memory: &Memory, batch: &[Command]) -> Sought {
        let mut sought = Sought::default();
        for command in batch {
            match (command, command.subject().0) {
                (_, None) => {}
                (Command::Reserve(hold), Some(key)) => {
                    if self.believed.contains(&key) || !memory.is_new(hold) {
                        sought.add(command);
                    } else {
                        self.believed.insert(key);
                    }
                }
                (_, Some(key)) if self.believed.contains(&key) => {}
                (_, Some(key)) => match memory.open_hold(&key) {
                    None => sought.add(command),
                    Some(filed) => {
                        self.receipts.insert(filed.known.hold.receipt);
                        self.holds.insert(key, filed);
                        self.believed.insert(key);
                    }
                },
            }
        }
        for key in sought.keys() {
            self.believed.remove(key);
            self.holds.remove(key);
        }
        self.believes = !self.believed.is_empty();
        sought
    }

    /// Reads holds, but for those that are known and perhaps changed in this batch already.
    fn ask(&mut self, session: &mut Session, sought: &Sought) -> Result<(), Trouble> {
        if sought.is_empty() {
            return Ok(());
        }
        for row in session.query(HOLDS, &sought.values())? {
            let mut columns = Columns::of(&row);
            let number = Some(columns.take()?);
            let hold = columns.hold()?;
            let known = KnownHold { state: columns.hold_state()?, hold };
            self.receipts.insert(known.hold.receipt);
            self.holds.entry(known.hold.key).or_insert(Filed { number, known });
        }
        Ok(())
    }

    /// True where a command was decided from what is only believed. That is read now, and the
    /// command has to be decided again. With it all that no command was decided from yet: refusals
    /// come in crowds, and each question is waited for under the locks.
    pub(super) fn doubts(
        &mut self,
        session: &mut Session,
        command: &Command,
    ) -> Result<bool, Trouble> {
        if !command.subject().0.is_some_and(|key| self.believed.contains(&key)) {
            return Ok(false);
        }
        let mut sought = Sought::default();
        for key in std::mem::take(&mut self.believed) {
            self.holds.remove(&key);
            sought.add_key(key);
        }
        self.ask(session, &sought)?;
        Ok(true)
    }

    /// True where something that this batch does may rest on what is not so.
    pub(super) fn believes(&self) -> bool {
        self.believes
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &UserId> {
        self.accounts.keys()
    }

    pub(super) fn receipts(&self) -> impl Iterator<Item = &ReceiptId> {
        self.receipts.iter()
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = &Filed> {
        self.holds.values()
    }

    /// What a command is decided from, but for what only those that collect look at.
    pub(super) fn view(&self, command: &Command) -> Result<View, Trouble> {
        let (key, user) = command.subject();
        let hold = key.and_then(|key| self.holds.get(&key)).map(|filed| filed.known.clone());
        let user = user.or(hold.as_ref().map(|known| known.hold.user));
        let account = match user {
            None => Account::default(),
            // A hold that somebody made since its owner was looked for.
            Some(user) => self.accounts.get(&user).copied().ok_or_else(|| {
                Trouble::Conflict("a hold appeared while its owner was looked for".to_owned())
            })?,
        };
        let receipt_id_taken = match command {
            Command::Reserve(hold) => self.receipts.contains(&hold.receipt),
            _ => false,
        };
        Ok(View { account, hold, receipt_id_taken, ..View::default() })
    }

    /// Decides a command by the rules.
    pub(super) fn decide<'a>(
        &self,
        view: &View,
        command: &'a Command,
    ) -> Result<Result<Effects<'a>, Refusal>, Trouble> {
        decide(view, command).map_err(|broken| match self.believes {
            true => Trouble::Conflict(format!("what was believed cannot be: {broken}")),
            false => Trouble::Failed(LedgerError::Corrupt(broken.to_string())),
        })
    }

    /// Takes over what a command did.
    pub(super) fn follow(&mut self, effects: &Effects<'_>) {
        if !matches!(effects.record, Record::Binding(_) | Record::Retire(_)) {
            self.accounts.insert(effects.user, effects.account);
        }
        match effects.record {
            Record::Hold(hold) => {
                let known = KnownHold { hold: hold.clone(), state: HoldState::Open };
                self.receipts.insert(hold.receipt);
                self.believed.remove(&hold.key);
                self.holds.insert(hold.key, Filed { number: None, known });
            }
            Record::Receipt(key, _) => self.end(&key, HoldState::Finished),
            Record::Release(key, why) => self.end(&key, HoldState::Released(why)),
            _ => {}
        }
    }

    fn end(&mut self, key: &RequestKey, state: HoldState) {
        self.believed.remove(key);
        if let Some(filed) = self.holds.get_mut(key) {
            filed.known.state = state;
        }
    }

    /// The entry of the hold that a record begins, which from now on is `number`, or ends.
    pub(super) fn number(&mut self, record: &Record<'_>, number: HoldNumber) -> Option<HoldNumber> {
        match record {
            Record::Hold(hold) => {
                let filed = self.holds.get_mut(&hold.key)?;
                filed.number = Some(number);
                filed.number
            }
            Record::Receipt(key, _) | Record::Release(key, _) => self.holds.get(key)?.number,
            _ => None,
        }
    }

    /// An account as it stands now.
    pub(super) fn account(&self, user: &UserId) -> Account {
        self.accounts.get(user).copied().unwrap_or_default()
    }
}

/// Everybody whose account the batch may touch.
fn users(
    session: &mut Session,
    memory: &Memory,
    batch: &[Command],
) -> Result<BTreeSet<UserId>, Trouble> {
    let mut users = BTreeSet::new();
    let mut strange = Sought::default();
    for command in batch {
        match (command, command.subject()) {
            // Nobody's account changes; this one is what two of them meet at.
            (Command::Bind(binding), _) => {
                users.insert(UserId::new(binding.provider.0));
            }
            (Command::Retire(retire), _) => {
                users.insert(UserId::NOBODY);
                users.extend(retire::users(session, retire)?);
            }
            (_, (_, Some(user))) => {
                users.insert(user);
            }
            (_, (Some(key), None)) => match memory.owner(&key) {
                Some(owner) => {
                    users.insert(owner);
                }
                None => strange.add(command),
            },
            (_, (None, None)) => {}
        }
    }
    if !strange.is_empty() {
        for row in session.query(OWNERS, &strange.values())? {
            users.insert(Columns::of(&row).take()?);
        }
    }
    Ok(users)
}

const MAKE: &str =
    "INSERT INTO account (user_id) SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING";

const LOCK: &str = concat!(
    "SELECT a.user_id, ",
    account_columns!(),
    " FROM account a WHERE a.user_id = ANY ($1) ORDER BY a.user_id FOR UPDATE"
);

/// A key that nobody chose, for another hold's id. No caller makes such a one; no index has all
/// holds that it could be the key of.
fn is_odd(command: &Command) -> bool {
    match command {
        Command::Reserve(hold) => hold.key.minted_for().is_some_and(|id| id != hold.receipt),
        _ => false,
    }
}

/// Nobody adds a hold meanwhile, and who wants to looks again afterwards.
const LOCK_HOLDS: &str = "LOCK TABLE hold IN SHARE ROW EXCLUSIVE MODE";

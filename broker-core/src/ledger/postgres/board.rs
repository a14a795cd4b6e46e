//! What a batch is decided from: read once, under the locks, and kept up to date command by
//! command.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::account::{Account, UserId};
use crate::command::{Command, HoldState};
use crate::digest::RequestKey;
use crate::receipt::ReceiptId;
use crate::rules::{Effects, KnownHold, Record, View};

use super::fault::Trouble;
use super::retire;
use super::rows::{Columns, account_columns};
use super::session::Session;
use super::sought::{HOLDS, OWNERS, Sought};
use super::values::Count;
use super::write::HoldNumber;

/// Accounts that are locked, and the holds that the commands of a batch name.
#[derive(Default)]
pub(super) struct Board {
    accounts: HashMap<UserId, Account>,
    holds: HashMap<RequestKey, Filed>,
    receipts: HashSet<ReceiptId>,
}

/// A hold and the entry that recorded it, which has no number until it is written.
struct Filed {
    number: Option<HoldNumber>,
    known: KnownHold,
}

/// What was learned once and never changes: it saves questions, and is right whenever it is there.
#[derive(Default)]
pub(super) struct Memory {
    /// Accounts that have a row.
    users: HashSet<UserId>,
    /// Whose hold is under a key.
    owners: HashMap<RequestKey, UserId>,
}

impl Memory {
    /// After a commit.
    pub(super) fn learn(&mut self, board: &Board) {
        if self.users.len() > REMEMBERED_MAX {
            self.users.clear();
        }
        self.users.extend(board.accounts.keys().copied());
        if self.owners.len() > REMEMBERED_MAX {
            self.owners.clear();
        }
        for Filed { known, .. } in board.holds.values() {
            // The end of a hold is the last that is asked of it.
            match known.state {
                HoldState::Open => self.owners.insert(known.hold.key, known.hold.user),
                _ => self.owners.remove(&known.hold.key),
            };
        }
    }

    /// After something that cannot be, such as a database that was set back.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
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
        let new: Vec<_> = users.iter().filter(|user| !memory.users.contains(*user)).collect();
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
        // A statement sees what was committed before it began: with the accounts locked, that is
        // all there is to see of their holds.
        board.read_holds(session, batch)?;
        Ok(board)
    }

    fn read_holds(&mut self, session: &mut Session, batch: &[Command]) -> Result<(), Trouble> {
        let mut sought = Sought::default();
        for command in batch {
            if let Some(key) = command.subject().0 {
                sought.add(key);
            }
            if let Command::Reserve(hold) = command {
                sought.ids.push(hold.receipt);
            }
        }
        if sought.is_empty() {
            return Ok(());
        }
        for row in session.query(HOLDS, &sought.values())? {
            let mut columns = Columns::of(&row);
            let number = Some(columns.take()?);
            let hold = columns.hold()?;
            let known = KnownHold { state: columns.hold_state()?, hold };
            self.receipts.insert(known.hold.receipt);
            self.holds.insert(known.hold.key, Filed { number, known });
        }
        Ok(())
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

    /// Takes over what a command did.
    pub(super) fn follow(&mut self, effects: &Effects<'_>) {
        if !matches!(effects.record, Record::Binding(_) | Record::Retire(_)) {
            self.accounts.insert(effects.user, effects.account);
        }
        match effects.record {
            Record::Hold(hold) => {
                let known = KnownHold { hold: hold.clone(), state: HoldState::Open };
                self.receipts.insert(hold.receipt);
                self.holds.insert(hold.key, Filed { number: None, known });
            }
            Record::Receipt(key, _) => self.end(&key, HoldState::Finished),
            Record::Release(key, why) => self.end(&key, HoldState::Released(why)),
            _ => {}
        }
    }

    fn end(&mut self, key: &RequestKey, state: HoldState) {
        if let Some(filed) = self.holds.get_mut(key) {
            filed.known.state = state;
        }
    }

    /// The entry of the hold that a record begins, which is written as `number`, or ends.
    pub(super) fn number(&mut self, record: &Record<'_>, number: u64) -> Option<HoldNumber> {
        match record {
            Record::Hold(hold) => {
                let filed = self.holds.get_mut(&hold.key)?;
                filed.number = Some(Count(number));
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
    let mut strange = Vec::new();
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
            (_, (Some(key), None)) => match memory.owners.get(&key) {
                Some(owner) => {
                    users.insert(*owner);
                }
                None => strange.push(key),
            },
            (_, (None, None)) => {}
        }
    }
    if !strange.is_empty() {
        let mut sought = Sought::default();
        strange.into_iter().for_each(|key| sought.add(key));
        for row in session.query(OWNERS, &sought.values())? {
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

const REMEMBERED_MAX: usize = 200_000;

//! What a writer knows without asking for it: who has an account, and which holds are open.
//!
//! Others write as well: replicas, and the leader that frees the holds of the dead. So what is
//! remembered of a hold is *believed*, and this is why nothing wrong comes of it:
//!
//! * What was recorded never changes. A hold that is remembered is the hold of its key and of its
//!   number; only whether it is still open may have changed, and whether a key is still new.
//! * A decision that writes has its beliefs checked by the write itself, under the locks of the
//!   accounts: ending holds has to take as many rows out of `open_hold`, and a new hold has to pass
//!   the indexes over ids and keys, and a look at `hold_of_other`. Where it does not, the whole
//!   batch is undone as a conflict, everything is forgotten, and the next attempt reads all that it
//!   is decided from.
//! * A decision that writes nothing is checked by nothing. So no refusal is given for a belief: the
//!   hold is read, and the command decided again. Books that seem broken are a conflict as long as
//!   anything in the batch is believed.
//! * Only what was committed, and answered, is learned, and it is forgotten with the connection and
//!   with whatever ends a batch early. A server that was set back has cut its connections; whoever
//!   exchanges tables below a connected sidecar would have numbers mean other holds, which an audit
//!   finds and no write does: all of them are stopped first.

use std::collections::{HashMap, HashSet};

use crate::account::UserId;
use crate::command::{Hold, HoldState};
use crate::digest::RequestKey;
use crate::receipt::ReceiptId;
use crate::rules::KnownHold;

use super::board::{Board, Filed};
use super::write::HoldNumber;

/// Of one connection.
#[derive(Default)]
pub(super) struct Memory {
    /// Accounts that have a row.
    users: HashSet<UserId>,
    /// Holds that were open after a batch.
    open: HashMap<RequestKey, (HoldNumber, Hold)>,
    /// Ids that holds have, or that their keys were minted for. Whoever asks twice is answered
    /// without a conflict, as long as they are remembered: one costs an attempt, and its entries'
    /// numbers.
    ids: HashSet<ReceiptId>,
    /// Nothing is believed: something turned out not to be so.
    is_wary: bool,
}

impl Memory {
    /// After a commit.
    pub(super) fn learn(&mut self, board: &Board) {
        if self.users.len() > USERS_MAX {
            self.users.clear();
        }
        self.users.extend(board.users().copied());
        if self.ids.len() > IDS_MAX {
            self.ids.clear();
        }
        self.ids.extend(board.receipts().copied());
        if self.open.len() > HOLDS_MAX {
            self.open.clear();
        }
        for Filed { number, known } in board.holds() {
            self.ids.extend(known.hold.key.minted_for());
            match (number, known.state) {
                (Some(number), HoldState::Open) => {
                    self.open.insert(known.hold.key, (*number, known.hold.clone()));
                }
                _ => {
                    self.open.remove(&known.hold.key);
                }
            }
        }
        self.is_wary = false;
    }

    /// After whatever ended a batch early, and with each connection.
    pub(super) fn forget(&mut self) {
        *self = Self { is_wary: true, ..Self::default() };
    }

    pub(super) fn has_account(&self, user: &UserId) -> bool {
        self.users.contains(user)
    }

    pub(super) fn owner(&self, key: &RequestKey) -> Option<UserId> {
        self.open.get(key).map(|(_, hold)| hold.user)
    }

    /// A hold as it was when it was last seen.
    pub(super) fn open_hold(&self, key: &RequestKey) -> Option<Filed> {
        let (number, hold) = self.open.get(key)?;
        let known = KnownHold { hold: hold.clone(), state: HoldState::Open };
        Some(Filed { number: Some(*number), known })
    }

    /// Whoever has a key minted asks for it once.
    pub(super) fn is_new(&self, hold: &Hold) -> bool {
        let is_own = hold.key.minted_for() == Some(hold.receipt);
        is_own && !self.is_wary && !self.ids.contains(&hold.receipt)
    }
}

const USERS_MAX: usize = 200_000;
const IDS_MAX: usize = 100_000;

/// Far above what is in flight at a time. Holds of whoever never ends them must not pile up.
const HOLDS_MAX: usize = 16_384;

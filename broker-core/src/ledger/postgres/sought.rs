//! How holds are found: by their keys and by the ids of their receipts.

use postgres::types::ToSql;

use crate::command::Command;
use crate::digest::RequestKey;
use crate::receipt::ReceiptId;

use super::rows::hold_columns;

/// Holds that are looked for.
#[derive(Default)]
pub(super) struct Sought {
    /// Keys that somebody chose.
    names: Vec<RequestKey>,
    /// Keys that nobody chose.
    minted: Vec<RequestKey>,
    /// The ids that holds promise to their receipts.
    ids: Vec<ReceiptId>,
}

impl Sought {
    /// The hold that a command names, and the one that has the id of the hold that it begins.
    pub(super) fn add(&mut self, command: &Command) {
        let Some(key) = command.subject().0 else { return };
        self.add_key(key);
        if let Command::Reserve(hold) = command {
            self.ids.push(hold.receipt);
        }
    }

    /// The hold under a key, and the one whose id it was minted for.
    pub(super) fn add_key(&mut self, key: RequestKey) {
        match key.minted_for() {
            None => self.names.push(key),
            Some(id) => {
                self.ids.push(id);
                self.minted.push(key);
            }
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &RequestKey> {
        self.names.iter().chain(&self.minted)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.ids.is_empty()
    }

    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 3] {
        [&self.names, &self.ids, &self.minted]
    }
}

/// Conditions are spelled as the indexes over keys spell them, which would not be used otherwise.
macro_rules! found {
    () => {
        "(SELECT n.entry FROM hold n WHERE n.key = ANY ($1) \
          AND substr(n.key, 17) <> decode('00000000000000000000000000000000', 'hex') \
          UNION SELECT m.entry FROM hold m WHERE m.receipt = ANY ($2) \
          UNION SELECT o.entry FROM hold o WHERE o.key = ANY ($3) \
          AND substr(o.key, 17) = decode('00000000000000000000000000000000', 'hex') \
          AND substr(o.key, 1, 16) <> o.receipt) f JOIN hold h ON h.entry = f.entry"
    };
}

/// Whose holds they are.
pub(super) const OWNERS: &str = concat!("SELECT h.user_id FROM ", found!());

/// Joined, and not asked for with EXISTS: that would be carried out by going through all open
/// holds, each time.
pub(super) const HOLDS: &str = concat!(
    "SELECT h.entry, ",
    hold_columns!(),
    ", o.hold IS NOT NULL, x.why FROM ",
    found!(),
    " LEFT JOIN open_hold o ON o.hold = h.entry LEFT JOIN released x ON x.hold = h.entry"
);

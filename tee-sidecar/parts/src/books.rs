//! The ledger: holds and charges in batches, as its writer commits them.

use broker_core::{
    Command, Cover, Digest32, Fingerprint, Hold, Ledger, ReceiptId, RequestKey, SqliteLedger,
    UserId,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::proof::{Desk, HOLD, NOW};

const PAYERS: u64 = 16;

/// A ledger on SQLite in a folder of its own.
pub struct Books {
    ledger: SqliteLedger,
    desk: Desk,
    /// Exchanges made up to here.
    made: u64,
    _folder: TempDir,
}

/// Some exchanges: what begins them, and what ends them.
pub struct Turn {
    begins: Vec<Command>,
    ends: Vec<Command>,
}

impl Books {
    /// An empty ledger whose users have money.
    ///
    /// # Panics
    /// There is no place for it.
    pub fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
        let covers: Vec<_> = (0..PAYERS)
            .map(|n| Command::Mirror { user: payer(n), cover: Cover::Unlimited })
            .collect();
        ledger.apply(&covers, NOW).unwrap();
        Self { ledger, desk: Desk::new(), made: 0, _folder: folder }
    }

    /// The next so many exchanges, each with ids of its own and a receipt that proves itself.
    pub fn turn(&mut self, exchanges: usize) -> Turn {
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..exchanges {
            let digest = Digest32::sha256(&self.made.to_be_bytes());
            let receipt = id_of(self.made, &digest);
            let (key, user) = (RequestKey::minted(&receipt), payer(self.made));
            begins.push(Command::Reserve(Hold {
                key,
                fingerprint: Fingerprint(digest),
                receipt,
                user,
                amount: HOLD,
                tariff: self.desk.tariff().clone(),
                expires: NOW.plus_millis(60_000),
            }));
            let receipt = Box::new(self.desk.receipt_of(receipt, user, self.made / PAYERS + 1));
            ends.push(Command::Capture { key, receipt });
            self.made += 1;
        }
        Turn { begins, ends }
    }

    /// Holds the money of all exchanges in one commit, and charges them in another.
    ///
    /// # Panics
    /// One is refused, or nothing can be written.
    pub fn commit(&mut self, turn: &Turn) {
        for batch in [&turn.begins, &turn.ends] {
            let decided = self.ledger.apply(batch, NOW).unwrap();
            assert!(decided.iter().all(Result::is_ok), "{decided:?}");
        }
    }
}

fn payer(n: u64) -> UserId {
    UserId::named(&format!("payer-{}", n % PAYERS))
}

/// A receipt's id in the order of time and otherwise at random, as minted ones are, and the same in
/// each run.
fn id_of(n: u64, digest: &Digest32) -> ReceiptId {
    let [_, _, time @ ..] = n.to_be_bytes();
    let random = digest.0.iter().take(10);
    ReceiptId(Uuid::from_slice(&time.iter().chain(random).copied().collect::<Vec<_>>()).unwrap())
}

//! One ledger after the other, for tests that each of them has to pass.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::time::{Duration, Instant};

use broker_core::{
    Account, Applied, AuditReport, Command, Cover, Decision, Ledger, LedgerReader, MemoryLedger,
    UserId,
};
#[cfg(feature = "postgres")]
use broker_core::{Caretaker, PostgresLedger, PostgresReader};
#[cfg(feature = "sqlite")]
use broker_core::{SqliteLedger, SqliteReader};

use crate::books::{NOW, neuron};
#[cfg(feature = "postgres")]
use crate::pg;

/// A ledger, and a reader beside it.
pub(crate) struct Rig {
    pub(crate) ledger: Box<dyn Ledger>,
    pub(crate) reader: Box<dyn LedgerReader>,
    /// Gives entries their places in PostgreSQL.
    #[cfg(feature = "postgres")]
    _caretaker: Option<Caretaker>,
    /// What both are in; goes after them.
    _place: Box<dyn std::any::Any>,
}

impl Rig {
    pub(crate) fn memory() -> Self {
        let ledger = MemoryLedger::new();
        Self {
            ledger: Box::new(ledger.clone()),
            reader: Box::new(ledger),
            #[cfg(feature = "postgres")]
            _caretaker: None,
            _place: Box::new(()),
        }
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = SqliteLedger::open(&path).unwrap();
        let reader = SqliteReader::open(&path).unwrap();
        Self {
            ledger: Box::new(ledger),
            reader: Box::new(reader),
            #[cfg(feature = "postgres")]
            _caretaker: None,
            _place: Box::new(folder),
        }
    }

    /// `None` where there is no PostgreSQL.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres() -> Option<Self> {
        let database = pg::lent()?;
        let ledger = PostgresLedger::open(&database.url()).unwrap();
        let reader = PostgresReader::open(&database.url()).unwrap();
        let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
        let (ledger, reader) = (Box::new(ledger), Box::new(reader));
        let (_caretaker, _place) = (Some(caretaker), Box::new(database));
        Some(Self { ledger, reader, _caretaker, _place })
    }

    pub(crate) fn run(&mut self, batch: &[Command]) -> Vec<Decision> {
        self.ledger.apply(batch, NOW).unwrap()
    }

    pub(crate) fn one(&mut self, command: Command) -> Decision {
        self.run(&[command])[0]
    }

    pub(crate) fn cover(&mut self, user: UserId, total: u128) {
        let cover = Cover::UpTo(neuron(total));
        assert_eq!(self.one(Command::Mirror { user, cover }), Ok(Applied::Mirrored));
    }

    pub(crate) fn unlimited(&mut self, user: UserId) {
        let cover = Cover::Unlimited;
        assert_eq!(self.one(Command::Mirror { user, cover }), Ok(Applied::Mirrored));
    }

    /// The account, on which both sides agree.
    pub(crate) fn account(&self, user: UserId) -> Account {
        let account = self.ledger.account(&user).unwrap();
        assert_eq!(self.reader.account(&user).unwrap(), account);
        account
    }

    pub(crate) fn buckets(&self, user: UserId) -> [u128; 3] {
        let account = self.account(user);
        [account.cover.get(), account.held.get(), account.earned.get()]
    }

    /// What an audit finds once every entry has its place.
    pub(crate) fn audit(&self) -> AuditReport {
        let began = Instant::now();
        loop {
            let report = self.ledger.audit().unwrap();
            if report.unlinked == 0 {
                return report;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "no leader links: {report:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.audit().fault, None);
    }
}

//! A PostgreSQL beside the model.

use std::time::{Duration, Instant};

use broker_core::{
    Caretaker, Command, Decision, Ledger, LedgerReader, MemoryLedger, PostgresLedger,
    PostgresReader, RequestQuery,
};

use crate::books::{NOW, user};
use crate::pg;

/// With hot commands and those that collect in one.
const BATCH: usize = 12;

pub(crate) struct Store {
    ledger: PostgresLedger,
    reader: PostgresReader,
    /// Asked of the model, and not of this ledger yet: several commands share a commit.
    waiting: Vec<(Command, Decision)>,
    _caretaker: Caretaker,
    _database: pg::Lent,
}

impl Store {
    /// `None` where there is no PostgreSQL.
    pub(crate) fn new() -> Option<Self> {
        let database = pg::lent()?;
        let ledger = PostgresLedger::open(&database.url()).unwrap();
        let reader = PostgresReader::open(&database.url()).unwrap();
        let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
        Some(Self {
            ledger,
            reader,
            waiting: Vec::new(),
            _caretaker: caretaker,
            _database: database,
        })
    }

    /// Asks the same as the model was, soon, and expects the same answer.
    pub(crate) fn expect(&mut self, command: &Command, expected: &Decision) {
        self.waiting.push((command.clone(), *expected));
        if self.waiting.len() >= BATCH {
            self.ask();
        }
    }

    fn ask(&mut self) {
        let (batch, expected): (Vec<_>, Vec<_>) = self.waiting.drain(..).unzip();
        assert_eq!(self.ledger.apply(&batch, NOW).unwrap(), expected, "{batch:?}");
    }

    /// Until every entry has its place, which is the model's.
    pub(crate) fn wait_for(&mut self, model: &MemoryLedger) {
        self.ask();
        let began = Instant::now();
        while self.reader.head().unwrap() != model.head().unwrap() {
            assert!(began.elapsed() < Duration::from_secs(10), "the chain is another one");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn assert_like(&mut self, model: &MemoryLedger) {
        self.wait_for(model);
        let report = self.ledger.audit().unwrap();
        assert_eq!(report.fault, None);
        assert_eq!(report, Ledger::audit(model).unwrap());
        assert_eq!(self.reader.statements().unwrap(), model.statements().unwrap());
        assert_eq!(self.reader.open_vouchers().unwrap(), model.open_vouchers().unwrap());
        assert_eq!(self.reader.binding().unwrap(), model.binding().unwrap());
        for n in 1..4 {
            let told = |reader: &dyn LedgerReader| {
                let unsealed = reader.unsealed(&user(n)).unwrap();
                unsealed.map(|due| (due.collected.total(), due.collected.root(), due.sealed_to))
            };
            assert_eq!(told(&self.reader), told(model));
            let statement = self.reader.statement(&user(n)).unwrap();
            assert_eq!(statement, model.statement(&user(n)).unwrap());
        }
        for processed in [None, Some(true), Some(false)] {
            for who in [None, Some(user(1))] {
                let query = RequestQuery { processed, user: who, limit: 5, offset: 1 };
                let expected = model.requests(&query).unwrap();
                assert_eq!(self.reader.requests(&query).unwrap(), expected);
            }
        }
    }
}

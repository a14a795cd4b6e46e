//! Where a ledger is read: never inside a task, since some databases' clients run a runtime of
//! their own and panic there. And without any runtime.

use broker_core::chain::Chain;
use broker_core::ledger::journal::{Stop, Visitor};
use broker_core::ledger::statement::{RequestPage, RequestQuery, Statement, Unsealed};
use broker_core::settlement::Policy;
use broker_core::testing::{ONE, SimChain, SimOptions};
use broker_core::{
    Account, AuditReport, Binding, Charged, Command, Decision, Digest32, Hold, HoldState, Kept,
    KeptKind, Ledger, LedgerError, LedgerReader, LogState, MemoryLedger, OpenVoucher, ProofReader,
    Receipt, ReceiptId, RequestKey, Totals, Usage,
};

use crate::*;

/// A ledger and a reader that wait for a runtime of their own in every call.
#[derive(Clone)]
struct OwnRuntime(MemoryLedger);

impl OwnRuntime {
    fn open() -> Result<Self, LedgerError> {
        let ledger = Self(MemoryLedger::new());
        ledger.there();
        Ok(ledger)
    }

    fn there(&self) -> &MemoryLedger {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {});
        &self.0
    }
}

type Read<T> = Result<T, LedgerError>;

impl Ledger for OwnRuntime {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Read<Vec<Decision>> {
        self.there().clone().apply(batch, now)
    }

    fn account(&self, user: &UserId) -> Read<Account> {
        Ledger::account(self.there(), user)
    }

    fn open_holds(&self) -> Read<Vec<Hold>> {
        self.there().open_holds()
    }

    fn audit(&self) -> Read<AuditReport> {
        Ledger::audit(self.there())
    }

    fn has_one_writer(&self) -> bool {
        true
    }

    fn reader(&self) -> Read<Arc<dyn LedgerReader>> {
        self.there();
        Ok(Arc::new(self.clone()))
    }
}

impl ProofReader for OwnRuntime {
    fn log(&self) -> Read<LogState> {
        self.there().log()
    }

    fn log_hashes(&self, level: u8, from: u64, count: u64) -> Read<Vec<Digest32>> {
        self.there().log_hashes(level, from, count)
    }

    fn log_index(&self, id: &ReceiptId) -> Read<Option<u64>> {
        self.there().log_index(id)
    }

    fn unlogged(&self, limit: u64) -> Read<Vec<Charged>> {
        self.there().unlogged(limit)
    }

    fn charged(&self, id: &ReceiptId) -> Read<Option<Charged>> {
        self.there().charged(id)
    }

    fn charged_to(&self, user: &UserId, behind: u64, limit: u64) -> Read<Vec<Charged>> {
        self.there().charged_to(user, behind, limit)
    }

    fn kept(&self, kind: KeptKind, name: &Digest32) -> Read<Option<Kept>> {
        self.there().kept(kind, name)
    }

    fn kept_last(&self, kind: KeptKind, limit: u64) -> Read<Vec<Kept>> {
        self.there().kept_last(kind, limit)
    }
}

impl LedgerReader for OwnRuntime {
    fn receipt(&self, id: &ReceiptId) -> Read<Option<Receipt>> {
        self.there().receipt(id)
    }

    fn receipt_by_upstream_id(&self, id: &str, owner: Option<&UserId>) -> Read<Option<Receipt>> {
        self.there().receipt_by_upstream_id(id, owner)
    }

    fn hold_state(&self, id: &ReceiptId) -> Read<Option<HoldState>> {
        self.there().hold_state(id)
    }

    fn account(&self, user: &UserId) -> Read<Account> {
        LedgerReader::account(self.there(), user)
    }

    fn binding(&self) -> Read<Option<Binding>> {
        self.there().binding()
    }

    fn statement(&self, user: &UserId) -> Read<Option<Statement>> {
        self.there().statement(user)
    }

    fn statements(&self) -> Read<Vec<Statement>> {
        self.there().statements()
    }

    fn open_vouchers(&self) -> Read<Vec<OpenVoucher>> {
        self.there().open_vouchers()
    }

    fn unsealed(&self, user: &UserId) -> Read<Option<Unsealed>> {
        self.there().unsealed(user)
    }

    fn requests(&self, query: &RequestQuery) -> Read<RequestPage> {
        self.there().requests(query)
    }

    fn expired_holds(&self, now: Timestamp, limit: u64) -> Read<Vec<RequestKey>> {
        self.there().expired_holds(now, limit)
    }

    fn totals(&self) -> Read<Totals> {
        self.there().totals()
    }

    fn audit(&self) -> Read<AuditReport> {
        LedgerReader::audit(self.there())
    }

    fn head(&self) -> Read<(u64, Digest32)> {
        self.there().head()
    }

    fn unlinked(&self) -> Read<u64> {
        self.there().unlinked()
    }

    fn link(&self, place: u64) -> Read<Option<Digest32>> {
        self.there().link(place)
    }

    fn retirable(&self, upto: u64, limit: u64) -> Read<Option<u64>> {
        self.there().retirable(upto, limit)
    }

    fn journal(&self, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        self.there().journal(behind, visitor)
    }
}

pub(crate) async fn a_life(broker: Broker) {
    let chain = Arc::new(SimChain::new(SimOptions::default()));
    chain.deposit(user(1), neuron(ONE)).unwrap();
    let view = chain.account(user(1)).await.unwrap();
    broker.mirror_escrow(user(1), view).await.unwrap();
    let reserved = broker.reserve(user(1), "one", BODY).await.unwrap();
    let charge = reserved.capture(Usage::new(12, 30), ANSWER).await.unwrap();
    assert_eq!(broker.account(user(1)).await.unwrap().earned, charge.fee);
    assert_eq!(broker.receipt(charge.receipt.id).await.unwrap(), Some(charge.receipt));
    assert_eq!(broker.requests(RequestQuery::default()).await.unwrap().total, 1);
    assert!(broker.statement(user(1)).await.unwrap().is_some());
    assert_eq!(broker.totals().await.unwrap().receipts, 1);
    assert_eq!(broker.sweep().await.unwrap(), 0);
    broker.settle_plan(&*chain, &Policy::default()).await.unwrap();
    broker.settle_all(chain).await.unwrap();
    assert_clean(&broker).await;
    broker.stop();
}

#[tokio::test]
async fn a_ledger_with_a_runtime_of_its_own_is_opened_and_read_outside_of_tasks() {
    let inside = std::panic::catch_unwind(|| OwnRuntime(MemoryLedger::new()).there().clone());
    assert!(inside.is_err(), "this ledger would notice");
    a_life(builder().ledger_with(OwnRuntime::open).start().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_a_runtime_of_many_threads() {
    a_life(builder().ledger_with(OwnRuntime::open).start().unwrap()).await;
}

#[test]
fn without_a_runtime_every_call_does_the_same_in_place() {
    pollster::block_on(a_life(builder().ledger(MemoryLedger::new()).start().unwrap()));
}

#[tokio::test]
async fn a_reader_that_panics_panics_in_its_caller_and_nobody_else_s() {
    let broker = broker_with(10_000).await;
    let asking = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.read::<()>(|_| panic!("on purpose")).await })
    };
    assert!(asking.await.unwrap_err().is_panic());
    assert_eq!(broker.account(user(1)).await.unwrap().cover, neuron(10_000));
}

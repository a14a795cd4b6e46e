//! A broker on a real PostgreSQL, inside a runtime.

use broker_core::ledger::postgres::{Caretaker, PostgresLedger};
use broker_core::{LedgerError, Usage};

use crate::apart::a_life;
use crate::*;

/// Opened as who embeds it does: the caretaker is kept beside the broker.
async fn start(url: String) -> (Broker, Caretaker) {
    let (tell, told) = std::sync::mpsc::channel();
    let open = move || {
        let ledger = PostgresLedger::open(&url)?;
        let caretaker = ledger.caretaker(Duration::from_secs(1))?;
        tell.send(caretaker).map_err(|_| LedgerError::Stopped)?;
        Ok(ledger)
    };
    let broker = builder().ledger_with(open).start().unwrap();
    (broker, told.recv().unwrap())
}

#[tokio::test]
async fn a_broker_lives_its_life_on_postgresql() {
    let Some(server) = crate::pg::server() else { return };
    let database = server.database();
    let (broker, caretaker) = start(database.url()).await;
    a_life(broker).await;
    tokio::task::spawn_blocking(move || drop(caretaker)).await.unwrap();
}

#[tokio::test]
async fn a_second_broker_on_the_database_frees_nothing_of_the_first_s_and_sees_its_receipts() {
    let Some(server) = crate::pg::server() else { return };
    let database = server.database();
    let (first, one) = start(database.url()).await;
    first.mirror(user(1), Cover::UpTo(neuron(10_000))).await.unwrap();
    let running = first.reserve(user(1), "one", BODY).await.unwrap();
    let (second, two) = start(database.url()).await;
    assert_eq!(second.recovered(), 0);
    assert_eq!(second.account(user(1)).await.unwrap().held, CEILING);
    let refused = second.reserve(user(1), "one", BODY).await.unwrap_err();
    let receipt = running.receipt_id();
    assert_eq!(refused.refusal(), Some(&broker_core::Refusal::InFlight { receipt }));
    let charge = running.capture(Usage::new(12, 30), ANSWER).await.unwrap();
    assert_eq!(second.receipt(receipt).await.unwrap(), Some(charge.receipt));
    assert_clean(&second).await;
    first.stop();
    second.stop();
    drop((first, second));
    tokio::task::spawn_blocking(move || drop((one, two))).await.unwrap();
}

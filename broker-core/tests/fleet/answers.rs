//! Connections that are cut at every point of a batch: it is carried out, once.

use std::time::Duration;

use broker_core::{
    Address, Binding, Command, Cover, Digest32, Domain, Ledger, LedgerReader, MemoryLedger,
    PostgresLedger, PostgresReader, ReleaseReason,
};

use crate::books::{NOW, capture, hold, neuron, release, user};
use crate::pg;
use crate::proxy::{Cut, Proxy};

/// Hot commands before and behind one that collects; refusals; two users.
fn batch(n: u8) -> Vec<Command> {
    let (first, second) = (hold(n, user(1), 9), hold(n + 1, user(2), 9));
    vec![
        Command::Mirror { user: user(2), cover: Cover::UpTo(neuron(10_000 + u128::from(n))) },
        Command::Reserve(first.clone()),
        Command::Reserve(second),
        capture(&first, 4),
        Command::Escrow { user: user(1), cover: neuron(9_000 + u128::from(n)), nonce: 7 },
        Command::Reserve(hold(n + 2, user(1), 1_000_000)),
        release(n + 1, ReleaseReason::NotForwarded),
        capture(&first, 4),
    ]
}

fn binding() -> Command {
    let domain = Domain { chain_id: 31_337, contract: Address([0xc0; 20]) };
    Command::Bind(Binding { domain, provider: Address([0xfe; 20]) })
}

#[test]
fn a_connection_that_is_cut_at_any_word_of_a_batch_changes_no_answer() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let proxy = Proxy::to(server.port());
    let mut ledger = PostgresLedger::open(&database.url_at(proxy.port)).unwrap();
    let mut model = MemoryLedger::new();
    let mut n = 0;
    let mut cuts = 0;
    for what in [Cut::Request, Cut::Answer] {
        for word in 1.. {
            let batch = batch(n);
            let expected = Ledger::apply(&mut model, &batch, NOW).unwrap();
            proxy.cut(what, word);
            let found = ledger.apply(&batch, NOW);
            assert_eq!(found.unwrap(), expected, "{what:?} {word} is cut off");
            n += 3;
            if !proxy.was_cut(what) {
                break;
            }
            cuts += 1;
        }
    }
    // BEGIN, locks, holds, rows and COMMIT are words in any case.
    assert!(cuts >= 24, "only {cuts} cuts");
    compare(&ledger, &model, &database.url());
}

#[test]
fn a_command_without_an_account_is_found_again_as_well() {
    let Some(server) = pg::server() else { return };
    let proxy = Proxy::to(server.port());
    for what in [Cut::Request, Cut::Answer] {
        for word in 1.. {
            let database = pg::lent().unwrap();
            let mut ledger = PostgresLedger::open(&database.url_at(proxy.port)).unwrap();
            let mut model = MemoryLedger::new();
            proxy.cut(what, word);
            let expected = Ledger::apply(&mut model, &[binding()], NOW).unwrap();
            let found = ledger.apply(&[binding()], NOW);
            assert_eq!(found.unwrap(), expected, "{what:?} {word} is cut off");
            if !proxy.was_cut(what) {
                break;
            }
        }
    }
}

#[test]
fn a_connection_that_does_not_come_back_is_an_unknown_end_and_says_so() {
    let Some(server) = pg::another_server(&[]) else { return };
    let proxy = Proxy::to(server.port());
    let database = server.database();
    let mut ledger = PostgresLedger::open(&database.url_at(proxy.port)).unwrap();
    ledger.apply(&batch(0), NOW).unwrap();
    drop(database);
    drop(server);
    let began = std::time::Instant::now();
    let error = ledger.apply(&batch(3), NOW).unwrap_err().to_string();
    assert!(error.contains("within 30 s"), "{error}");
    assert!(error.contains("nothing of the batch was written"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
}

fn compare(ledger: &PostgresLedger, model: &MemoryLedger, url: &str) {
    let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
    let report = crate::deal::audited(url);
    drop(caretaker);
    let expected = Ledger::audit(model).unwrap();
    let counts = |report: &broker_core::AuditReport| {
        (report.entries, report.transfers, report.accounts, report.receipts, report.open_holds)
    };
    assert_eq!(counts(&report), counts(&expected));
    let reader = PostgresReader::open(url).unwrap();
    let statements = reader.statements().unwrap();
    let without_places = |mut all: Vec<broker_core::Statement>| {
        // Numbers of attempts that came to nothing are never used again.
        all.iter_mut().for_each(|one| one.books.sealed_to = 0);
        all
    };
    assert_eq!(without_places(statements), without_places(model.statements().unwrap()));
    assert_ne!(report.head, Digest32::default());
}

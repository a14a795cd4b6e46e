//! What a writer remembers of holds, where others write beside it: it is never the reason of a
//! wrong answer.

use broker_core::{
    Applied, Command, Decision, Digest32, Fingerprint, Hold, Ledger, MemoryLedger, PostgresLedger,
    Refusal, ReleaseReason, RequestKey,
};

use crate::books::{NOW, capture, hold, id_of, neuron, user};
use crate::deal::cover;
use crate::pg;
use crate::proxy::{Cut, Proxy};

/// A hold under a key that nobody chose.
fn minted(n: u8, who: u8, amount: u128) -> Hold {
    let receipt = id_of([n; 16]);
    Hold { key: RequestKey::minted(&receipt), ..hold(n, user(who), amount) }
}

fn end(hold: &Hold, why: ReleaseReason) -> Command {
    Command::Release { key: hold.key, why }
}

fn one(ledger: &mut dyn Ledger, command: Command) -> Decision {
    ledger.apply(&[command], NOW).unwrap().remove(0)
}

/// Two replicas, and users that have 100 each.
fn pair(database: &pg::Database<'_>) -> (PostgresLedger, PostgresLedger) {
    let mut first = PostgresLedger::open(&database.url()).unwrap();
    cover(&mut first, 100);
    (first, PostgresLedger::open(&database.url()).unwrap())
}

fn agree(ledger: &PostgresLedger, database: &pg::Database<'_>) {
    assert_eq!(ledger.audit().unwrap().fault, None);
    let twice = "SELECT count(*) - count(DISTINCT key) FROM broker_ledger.hold";
    assert_eq!(database.sql(twice), "0");
}

#[test]
fn a_hold_that_another_replica_ended_has_ended() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let (mut first, mut second) = pair(&database);
    let wrong_fee = |hold: &Hold| {
        let Command::Capture { key, mut receipt } = capture(hold, 4) else { unreachable!() };
        receipt.fee = neuron(5);
        Command::Capture { key, receipt }
    };
    let foreign = |hold: &Hold| {
        let other = minted(99, 2, 9);
        Command::Capture { key: hold.key, receipt: capture_of(&other) }
    };
    let finished = |hold: &Hold| Refusal::Finished { receipt: hold.receipt };
    type Asked<'a> = (&'a dyn Fn(&Hold) -> Command, &'a dyn Fn(&Hold) -> Refusal);
    let asked: [Asked<'_>; 5] = [
        (&|hold| capture(hold, 4), &|_| Refusal::HoldEnded),
        (&|hold| end(hold, ReleaseReason::NotForwarded), &|_| Refusal::HoldEnded),
        (&wrong_fee, &|_| Refusal::HoldEnded),
        (&foreign, &|_| Refusal::HoldEnded),
        (&|hold| Command::Reserve(hold.clone()), &finished),
    ];
    // So much is held all the time that no account tells the difference.
    one(&mut first, Command::Reserve(minted(9, 1, 50))).unwrap();
    for (n, (command, refusal)) in (10..).zip(asked) {
        let held = minted(n, 1, 10);
        one(&mut first, Command::Reserve(held.clone())).unwrap();
        one(&mut second, end(&held, ReleaseReason::Crashed)).unwrap();
        assert_eq!(one(&mut first, command(&held)), Err(refusal(&held)), "{n}");
        // And once more, as all that was believed is forgotten by now.
        assert_eq!(one(&mut first, command(&held)), Err(refusal(&held)), "{n}");
    }
    agree(&first, &database);
}

fn capture_of(hold: &Hold) -> Box<broker_core::Receipt> {
    match capture(hold, 4) {
        Command::Capture { receipt, .. } => receipt,
        _ => unreachable!(),
    }
}

#[test]
fn what_is_wrongly_believed_takes_nothing_else_of_its_batch_along() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let (mut first, mut second) = pair(&database);
    // All of the money is held, so that what ends twice would free what is not there.
    let (gone, open) = (minted(20, 1, 60), minted(21, 1, 40));
    let (named, new) = (hold(22, user(2), 5), minted(23, 2, 5));
    for held in [&gone, &open, &named] {
        one(&mut first, Command::Reserve(held.clone())).unwrap();
    }
    one(&mut second, end(&gone, ReleaseReason::Crashed)).unwrap();
    let batch = [
        capture(&gone, 4),
        capture(&open, 4),
        capture(&named, 4),
        Command::Reserve(new.clone()),
        end(&gone, ReleaseReason::NotForwarded),
        capture(&new, 3),
    ];
    let fee = |fee| Ok(Applied::Captured { fee: neuron(fee) });
    assert_eq!(
        first.apply(&batch, NOW).unwrap(),
        [
            Err(Refusal::HoldEnded),
            fee(4),
            fee(4),
            Ok(Applied::Held { account_seq: 2 }),
            Err(Refusal::HoldEnded),
            fee(3),
        ]
    );
    assert_eq!(first.account(&user(1)).unwrap().held, neuron(0));
    agree(&first, &database);
}

#[test]
fn a_key_that_nobody_chose_and_its_id_are_one_hold_s_on_every_replica() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let (mut first, mut second) = pair(&database);
    let held = minted(30, 1, 100);
    one(&mut first, Command::Reserve(held.clone())).unwrap();
    let in_flight = Err(Refusal::InFlight { receipt: held.receipt });
    // Not that there is no money left, which is what follows from a new key.
    assert_eq!(one(&mut second, Command::Reserve(held.clone())), in_flight);
    let altered = Hold { fingerprint: Fingerprint(Digest32([9; 32])), ..held.clone() };
    assert_eq!(one(&mut second, Command::Reserve(altered)), Err(Refusal::KeyReused));
    let another_s = Hold { user: user(2), amount: neuron(10), ..held.clone() };
    assert_eq!(one(&mut second, Command::Reserve(another_s)), Err(Refusal::KeyReused));
    let named = Hold { key: hold(31, user(2), 1).key, user: user(2), ..held.clone() };
    assert_eq!(one(&mut second, Command::Reserve(named.clone())), Err(Refusal::ReceiptIdTaken));
    one(&mut first, capture(&held, 4)).unwrap();
    let finished = Err(Refusal::Finished { receipt: held.receipt });
    assert_eq!(one(&mut second, Command::Reserve(held)), finished);
    // An id that somebody chose a name for is taken for a key that nobody chose.
    let named = Hold { receipt: id_of([32; 16]), amount: neuron(9), ..named };
    one(&mut first, Command::Reserve(named)).unwrap();
    let same_id = minted(32, 3, 9);
    assert_eq!(one(&mut second, Command::Reserve(same_id.clone())), Err(Refusal::ReceiptIdTaken));
    assert_eq!(one(&mut second, capture(&same_id, 4)), Err(Refusal::UnknownHold));
    agree(&first, &database);
}

#[test]
fn a_key_that_was_minted_for_another_id_is_one_hold_s_too() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let (mut first, mut second) = pair(&database);
    let odd = |n, who| Hold { receipt: id_of([n + 1; 16]), ..minted(n, who, 9) };
    let reserve = |ledger: &mut PostgresLedger, hold| one(ledger, Command::Reserve(hold));
    // The odd one first, and last; of one user and of two.
    let (first_odd, first_own) = (odd(40, 1), minted(50, 1, 9));
    reserve(&mut first, first_odd.clone()).unwrap();
    let in_flight = Err(Refusal::InFlight { receipt: first_odd.receipt });
    assert_eq!(reserve(&mut second, minted(40, 1, 9)), in_flight);
    assert_eq!(reserve(&mut second, minted(40, 2, 9)), Err(Refusal::KeyReused));
    one(&mut second, capture(&first_odd, 4)).unwrap();
    reserve(&mut first, first_own.clone()).unwrap();
    let in_flight = Err(Refusal::InFlight { receipt: first_own.receipt });
    assert_eq!(reserve(&mut second, odd(50, 1)), in_flight);
    assert_eq!(reserve(&mut second, odd(50, 2)), Err(Refusal::KeyReused));
    agree(&first, &database);
}

#[test]
fn keys_of_both_kinds_that_meet_on_two_replicas_at_once_become_one_hold() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let (mut first, mut second) = pair(&database);
    for n in (60..160).step_by(2) {
        let odd = Hold { receipt: id_of([n + 1; 16]), ..minted(n, 1, 1) };
        let (odd, own) = (Command::Reserve(odd), Command::Reserve(minted(n, 2, 1)));
        let decided = std::thread::scope(|scope| {
            let odd = scope.spawn(|| one(&mut first, odd));
            let own = one(&mut second, own);
            [odd.join().unwrap(), own]
        });
        assert_eq!(decided.iter().filter(|decision| decision.is_ok()).count(), 1, "{decided:?}");
        assert!(decided.contains(&Err(Refusal::KeyReused)), "{decided:?}");
    }
    agree(&first, &database);
}

#[test]
fn a_batch_that_was_undone_leaves_nothing_to_believe() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let (mut ledger, _) = pair(&database);
    let (lost, kept) = (minted(70, 1, 10), minted(71, 1, 10));
    one(&mut ledger, Command::Reserve(kept.clone())).unwrap();
    database.sql(
        "CREATE FUNCTION broker_ledger.fails() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE 'fails'; END $$; CREATE TRIGGER fails BEFORE INSERT ON \
         broker_ledger.unlinked EXECUTE FUNCTION broker_ledger.fails()",
    );
    let batch = [Command::Reserve(lost.clone()), capture(&kept, 4)];
    ledger.apply(&batch, NOW).unwrap_err();
    database.sql("DROP TRIGGER fails ON broker_ledger.unlinked");
    assert_eq!(one(&mut ledger, capture(&lost, 4)), Err(Refusal::UnknownHold));
    one(&mut ledger, capture(&kept, 4)).unwrap();
    one(&mut ledger, Command::Reserve(lost)).unwrap();
    agree(&ledger, &database);
}

#[test]
fn refusals_of_a_crowd_are_looked_up_in_one_question() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let proxy = Proxy::to(server.port());
    let mut ledger = PostgresLedger::open(&database.url_at(proxy.port)).unwrap();
    let mut model = MemoryLedger::new();
    cover(&mut ledger, 100);
    let cover = Command::Mirror { user: user(1), cover: broker_core::Cover::UpTo(neuron(100)) };
    Ledger::apply(&mut model, &[cover], NOW).unwrap();
    // The first crowd has its statements prepared. BEGIN, locks, holds, rows and COMMIT are five.
    for (n, too_many) in [(100, 1_000), (140, 8)] {
        let open = minted(n, 1, 9);
        both(&mut ledger, &mut model, &[Command::Reserve(open.clone())], "the open one");
        let crowd = (n + 1..n + 31).map(|n| Command::Reserve(minted(n, 1, 1_000)));
        let mut batch: Vec<_> = crowd.collect();
        batch.insert(15, capture(&open, 4));
        proxy.cut(Cut::Request, too_many);
        both(&mut ledger, &mut model, &batch, "nobody has so much");
        assert!(!proxy.was_cut(Cut::Request), "{too_many} questions for one batch");
    }
    agree(&ledger, &database);
}

#[test]
fn a_connection_that_is_cut_between_beginning_and_end_changes_no_answer() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let proxy = Proxy::to(server.port());
    let mut ledger = PostgresLedger::open(&database.url_at(proxy.port)).unwrap();
    let mut model = MemoryLedger::new();
    cover(&mut ledger, 1_000_000);
    let all = broker_core::Cover::UpTo(neuron(1_000_000));
    let covers: Vec<_> =
        (0..crate::deal::USERS).map(|n| Command::Mirror { user: user(n), cover: all }).collect();
    Ledger::apply(&mut model, &covers, NOW).unwrap();
    let (mut n, mut before, mut cuts) = (0, minted(0, 1, 9), 0);
    both(&mut ledger, &mut model, &[Command::Reserve(before.clone())], "the first");
    for what in [Cut::Request, Cut::Answer] {
        for word in 1.. {
            n += 1;
            let next = minted(n, 1 + n % 2, 9);
            let batch = [capture(&before, 4), Command::Reserve(next.clone()), capture(&before, 4)];
            proxy.cut(what, word);
            both(&mut ledger, &mut model, &batch, &format!("{what:?} {word} is cut off"));
            before = next;
            if !proxy.was_cut(what) {
                break;
            }
            cuts += 1;
            // What had ended before the cut has ended, whoever believes what.
            let again = [Command::Reserve(before.clone()), batch[0].clone()];
            both(&mut ledger, &mut model, &again, &format!("behind {what:?} {word}"));
        }
    }
    // BEGIN, locks, rows and COMMIT.
    assert!(cuts >= 8, "only {cuts} cuts");
    assert_eq!(ledger.reader().unwrap().totals().unwrap().open_holds, 1);
    agree(&ledger, &database);
}

fn both(ledger: &mut PostgresLedger, model: &mut MemoryLedger, batch: &[Command], what: &str) {
    let expected = Ledger::apply(model, batch, NOW).unwrap();
    assert_eq!(ledger.apply(batch, NOW).unwrap(), expected, "{what}");
}

//! The writer groups commits, is poisoned by a failure, and loses no command.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/gated.rs"]
mod gated;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use books::{NOW, capture, hold, key, neuron, release, user};
use broker_core::{
    Applied, Clock, Command, Cover, Decision, Ledger, LedgerError, LedgerHandle, MemoryLedger,
    ReleaseReason, Timestamp, WriterLimits,
};
use gated::{Bench, Verdict};

fn mirror(total: u128) -> Command {
    Command::Mirror { user: user(1), cover: Cover::UpTo(neuron(total)) }
}

fn assert_stopped(outcome: &Result<Decision, LedgerError>) {
    assert!(matches!(outcome, Err(LedgerError::Stopped)), "{outcome:?}");
}

#[tokio::test]
async fn an_errand_runs_between_two_batches_and_busy_stops_nothing() {
    let bench = Bench::new(WriterLimits::default());
    let first = bench.handle.apply(mirror(100));
    assert_eq!(bench.batch(), 1);
    let before = bench.handle.apply(mirror(90));
    let looked = bench.handle.with_ledger(|ledger| Ok(ledger.account(&user(1))?.cover));
    let after = bench.handle.apply(mirror(80));
    let busy = bench.handle.with_ledger(|_| Err::<(), _>(LedgerError::Busy));
    bench.rule(Verdict::Commit);
    assert_eq!(bench.batch(), 1, "what is before the errand");
    bench.rule(Verdict::Commit);
    assert_eq!(looked.await.unwrap(), neuron(90));
    assert_eq!(bench.batch(), 1, "what is behind it");
    bench.rule(Verdict::Commit);
    for answer in [first.await, before.await, after.await] {
        assert_eq!(answer.unwrap(), Ok(Applied::Mirrored));
    }
    assert!(matches!(busy.await, Err(LedgerError::Busy)));
    assert!(bench.handle.is_healthy());
    assert_eq!(bench.handle.with_ledger(|_| Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn an_errand_that_fails_stops_the_writer_and_those_behind_it_hear_that() {
    for panics in [false, true] {
        let bench = Bench::new(WriterLimits::default());
        let first = bench.handle.apply(mirror(100));
        assert_eq!(bench.batch(), 1);
        let failed = bench.handle.with_ledger(move |_| match panics {
            true => panic!("a bug in an errand"),
            false => Err::<(), _>(LedgerError::Storage("the disk".to_owned())),
        });
        let (behind, errand) =
            (bench.handle.apply(mirror(1)), bench.handle.with_ledger(|_| Ok(())));
        bench.rule(Verdict::Commit);
        assert_eq!(first.await.unwrap(), Ok(Applied::Mirrored));
        match failed.await {
            Err(LedgerError::Stopped) if panics => {}
            Err(LedgerError::Storage(what)) if !panics => assert_eq!(what, "the disk"),
            other => panic!("{other:?}"),
        }
        assert_stopped(&behind.await);
        assert!(matches!(errand.await, Err(LedgerError::Stopped)));
        bench.handle.failed().await;
        assert!(bench.handle.has_failed());
        let late = bench.handle.with_ledger(|_| Ok(())).await;
        assert!(matches!(late, Err(LedgerError::Stopped)));
    }
}

#[tokio::test]
async fn commands_that_wait_together_share_one_commit() {
    let bench = Bench::new(WriterLimits { batch_commands_max: 4, ..WriterLimits::default() });
    let first = bench.handle.apply(mirror(100));
    assert_eq!(bench.batch(), 1);
    let waiting: Vec<_> =
        (1..=6).map(|n| bench.handle.apply(Command::Reserve(hold(n, user(1), 10)))).collect();
    for expected in [4, 2] {
        bench.rule(Verdict::Commit);
        assert_eq!(bench.batch(), expected);
    }
    bench.rule(Verdict::Commit);
    assert_eq!(first.await.unwrap(), Ok(Applied::Mirrored));
    for (account_seq, answer) in (1..).zip(waiting) {
        assert_eq!(answer.await.unwrap(), Ok(Applied::Held { account_seq }));
    }
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit_returns() {
    let bench = Bench::new(WriterLimits::default());
    let mut answer = Box::pin(bench.handle.apply(mirror(100)));
    assert_eq!(bench.batch(), 1);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut answer).await;
    assert!(early.is_err(), "answered before the commit");
    bench.rule(Verdict::Commit);
    assert_eq!(answer.await.unwrap(), Ok(Applied::Mirrored));
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_written_again() {
    let bench = Bench::new(WriterLimits { batch_commands_max: 1, ..WriterLimits::default() });
    let (failed, queued) = (bench.handle.apply(mirror(1)), bench.handle.apply(mirror(2)));
    assert_eq!(bench.batch(), 1);
    assert!(bench.handle.is_healthy());
    bench.rule(Verdict::Fail);
    let error = failed.await.unwrap_err();
    assert!(matches!(&error, LedgerError::Storage(what) if what == "the disk is on fire"));
    assert!(!bench.handle.is_healthy());
    assert_stopped(&queued.await);
    assert_stopped(&bench.handle.apply(mirror(3)).await);
    bench.handle.release_soon(key(1), ReleaseReason::NotForwarded);
    bench.handle.stop();
    assert!(bench.entered.try_recv().is_err(), "the ledger was tried again");
}

#[tokio::test]
async fn a_panic_in_the_ledger_poisons_the_writer_too() {
    let bench = Bench::new(WriterLimits::default());
    let lost = bench.handle.apply(mirror(1));
    assert_eq!(bench.batch(), 1);
    let queued = bench.handle.apply(mirror(3));
    bench.rule(Verdict::Panic);
    let error = lost.await.unwrap_err();
    assert!(matches!(&error, LedgerError::Storage(what) if what.contains("unknown")), "{error}");
    assert!(!bench.handle.is_healthy());
    assert_stopped(&queued.await);
    bench.handle.stop();
    assert_stopped(&bench.handle.apply(mirror(2)).await);
}

#[tokio::test]
async fn a_failure_is_told_to_whoever_waits_for_it() {
    for verdict in [Verdict::Fail, Verdict::Panic, Verdict::ForgetOne] {
        let bench = Bench::new(WriterLimits::default());
        let mut failed = tokio::spawn(bench.handle.failed());
        let lost = bench.handle.apply(mirror(1));
        assert_eq!(bench.batch(), 1);
        let early = tokio::time::timeout(Duration::from_millis(20), &mut failed).await;
        assert!(early.is_err(), "told of a failure before it");
        bench.rule(verdict);
        tokio::time::timeout(Duration::from_secs(10), failed).await.unwrap().unwrap();
        lost.await.unwrap_err();
        bench.handle.stop();
        bench.handle.failed().await;
    }
}

#[tokio::test]
async fn a_stop_that_was_asked_for_is_no_failure() {
    let bench = Bench::new(WriterLimits::default());
    let (failed, last) = (bench.handle.failed(), bench.handle.clone());
    drop(bench.verdicts);
    tokio::task::spawn_blocking(move || bench.handle.stop()).await.unwrap();
    assert!(!last.is_healthy());
    let told = tokio::time::timeout(Duration::from_millis(50), failed).await;
    assert!(told.is_err(), "a stop was told as a failure");
    drop(last);
}

#[tokio::test]
async fn a_ledger_that_answers_too_little_poisons_the_writer() {
    let bench = Bench::new(WriterLimits::default());
    let answer = bench.handle.apply(mirror(1));
    assert_eq!(bench.batch(), 1);
    bench.rule(Verdict::ForgetOne);
    assert!(matches!(answer.await, Err(LedgerError::Corrupt(_))));
    assert!(!bench.handle.is_healthy());
}

#[tokio::test]
async fn a_full_queue_refuses_beginnings_at_once_and_takes_every_end() {
    let bench = Bench::new(WriterLimits { queue_commands_max: 2, ..WriterLimits::default() });
    let held = hold(1, user(1), 10);
    let begin = [bench.handle.apply(mirror(100))];
    assert_eq!(bench.batch(), 1);
    let reserves =
        [held.clone(), hold(2, user(1), 10)].map(|h| bench.handle.apply(Command::Reserve(h)));
    for refused in [mirror(7), Command::Reserve(hold(3, user(1), 1))] {
        let outcome = bench.handle.apply(refused).await;
        assert!(matches!(outcome, Err(LedgerError::Busy)), "{outcome:?}");
    }
    let end = bench.handle.apply(capture(&held, 4));
    bench.handle.release_soon(key(2), ReleaseReason::NotForwarded);
    drop(bench.verdicts);
    for answer in begin.into_iter().chain(reserves) {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(end.await.unwrap(), Ok(Applied::Captured { fee: neuron(4) }));
    assert_eq!(bench.handle.apply(mirror(50)).await.unwrap(), Ok(Applied::Mirrored));
    assert_eq!(bench.books.open_holds().unwrap(), []);
}

#[tokio::test]
async fn a_busy_ledger_refuses_beginnings_and_every_end_is_tried_again() {
    let bench = Bench::new(WriterLimits::default());
    let held = hold(1, user(1), 10);
    for command in [mirror(100), Command::Reserve(held.clone())] {
        let begun = bench.handle.apply(command);
        assert_eq!(bench.batch(), 1);
        bench.rule(Verdict::Commit);
        begun.await.unwrap().unwrap();
    }
    let first = bench.handle.apply(mirror(90));
    assert_eq!(bench.batch(), 1);
    let reserve = bench.handle.apply(Command::Reserve(hold(2, user(1), 10)));
    let end = bench.handle.apply(capture(&held, 4));
    let again = bench.handle.apply(mirror(80));
    bench.rule(Verdict::Commit);
    assert_eq!(first.await.unwrap(), Ok(Applied::Mirrored));
    assert_eq!(bench.batch(), 3);
    bench.rule(Verdict::Busy);
    for refused in [reserve.await, again.await] {
        assert!(matches!(refused, Err(LedgerError::Busy)), "{refused:?}");
    }
    for _ in 0..3 {
        assert_eq!(bench.batch(), 1, "the end of the hold alone");
        bench.rule(Verdict::Busy);
    }
    assert!(bench.handle.is_healthy());
    assert_eq!(bench.batch(), 1);
    bench.rule(Verdict::Commit);
    assert_eq!(end.await.unwrap(), Ok(Applied::Captured { fee: neuron(4) }));
    drop(bench.verdicts);
    assert_eq!(bench.handle.apply(mirror(80)).await.unwrap(), Ok(Applied::Mirrored));
}

#[tokio::test]
async fn a_ledger_that_stays_busy_has_failed() {
    let limits = WriterLimits { busy_max: Duration::from_millis(250), ..WriterLimits::default() };
    let bench = Bench::new(limits);
    for _ in 0..100 {
        bench.rule(Verdict::Busy);
    }
    let refused = bench.handle.apply(mirror(1)).await;
    assert!(matches!(refused, Err(LedgerError::Busy)), "{refused:?}");
    assert!(bench.handle.is_healthy());
    let end = bench.handle.apply(release(1, ReleaseReason::NotForwarded));
    let error = end.await.unwrap_err().to_string();
    assert!(error.contains("nothing of the batch was written"), "{error}");
    assert!(bench.handle.has_failed());
}

#[tokio::test]
async fn a_command_runs_even_if_its_caller_has_gone() {
    let bench = Bench::new(WriterLimits::default());
    let held = hold(1, user(1), 10);
    let never_polled = [mirror(100), Command::Reserve(held.clone())].map(|c| bench.handle.apply(c));
    drop(never_polled);
    let dropped_while_waiting = tokio::spawn(bench.handle.apply(capture(&held, 6)));
    tokio::task::yield_now().await;
    dropped_while_waiting.abort();
    assert!(dropped_while_waiting.await.is_err());
    drop(bench.verdicts);
    bench.handle.stop();
    let account = Ledger::account(&bench.books, &user(1)).unwrap();
    assert_eq!((account.held, account.earned), (neuron(0), neuron(6)));
}

#[test]
fn a_hold_can_be_freed_from_drop_without_a_runtime() {
    struct Guard(LedgerHandle);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.release_soon(key(1), ReleaseReason::NotForwarded);
        }
    }
    let bench = Bench::new(WriterLimits { queue_commands_max: 2, ..WriterLimits::default() });
    drop(bench.handle.apply(mirror(100)));
    drop(bench.handle.apply(Command::Reserve(hold(1, user(1), 10))));
    let started = Instant::now();
    drop(Guard(bench.handle.clone()));
    assert!(started.elapsed() < Duration::from_secs(1), "the guard waited for the ledger");
    drop(bench.verdicts);
    bench.handle.stop();
    assert_eq!(bench.books.open_holds().unwrap(), []);
    assert_eq!(Ledger::account(&bench.books, &user(1)).unwrap().earned, neuron(0));
}

#[tokio::test]
async fn stop_finishes_the_queue_and_refuses_what_comes_later() {
    let bench = Bench::new(WriterLimits { batch_commands_max: 1, ..WriterLimits::default() });
    let queued: Vec<_> = (1..=5).map(|n| bench.handle.apply(mirror(n))).collect();
    drop(bench.verdicts);
    let stopping = bench.handle.clone();
    let stops = [stopping.clone(), stopping]
        .map(|handle| tokio::task::spawn_blocking(move || handle.stop()));
    for stop in stops {
        stop.await.unwrap();
    }
    for answer in queued {
        assert_eq!(answer.await.unwrap(), Ok(Applied::Mirrored));
    }
    assert_eq!(Ledger::account(&bench.books, &user(1)).unwrap().cover, neuron(5));
    assert!(!bench.handle.is_healthy());
    assert_stopped(&bench.handle.apply(mirror(9)).await);
}

#[test]
fn the_writer_ends_when_the_last_handle_is_dropped() {
    struct Witness(Mutex<Sender<()>>);
    impl Clock for Witness {
        fn now(&self) -> Timestamp {
            NOW
        }
    }
    impl Drop for Witness {
        fn drop(&mut self) {
            // Nobody listens once the test has failed.
            let _ = self.0.lock().unwrap().send(());
        }
    }
    let (ended, end) = channel();
    let clock = Arc::new(Witness(Mutex::new(ended)));
    let books = MemoryLedger::new();
    let handle = broker_core::spawn_writer(Box::new(books.clone()), clock);
    let second = handle.clone();
    drop(handle.apply(mirror(11)));
    drop(handle);
    assert!(second.is_healthy());
    drop(second);
    end.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(Ledger::account(&books, &user(1)).unwrap().cover, neuron(11));
}

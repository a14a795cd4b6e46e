use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

type Answer<O> = Result<O, Refusal>;

fn worker(call: Duration, request: Duration) -> Worker<()> {
    Worker::start("test", Limits { call, request }, |_| Answer::Ok(())).unwrap()
}

async fn ask<O: Send + 'static>(
    worker: &Worker<()>,
    job: impl FnOnce() -> O + Send + 'static,
) -> Answer<O> {
    worker.ask(move |_, _| Ok(job())).await
}

/// A job that runs until something is sent, and runs already.
fn occupy(worker: &Worker<()>) -> (mpsc::Sender<()>, impl Future<Output = bool> + Unpin + '_) {
    let (release, released) = mpsc::channel::<()>();
    let mut running = Box::pin(ask(worker, move || released.recv()).map(|a| a.is_ok()));
    assert!((&mut running).now_or_never().is_none());
    // Until it runs, it waits in the queue like any other.
    while worker.shared.lock().begun == 0 {
        thread::yield_now();
    }
    (release, running)
}

#[tokio::test]
async fn a_panic_is_the_callers_error_and_the_next_caller_is_served() {
    let worker = worker(LONG, LONG);
    for _ in 0..3 {
        let refused = ask::<()>(&worker, || panic!("the test says so")).await;
        assert_eq!(refused, Err(Refusal::Panicked));
        assert_eq!(ask(&worker, || 7).await, Ok(7));
    }
}

#[tokio::test]
async fn a_panic_in_a_call_does_not_leave_a_call_that_hangs() {
    let worker = worker(SHORT / 10, LONG);
    // Past the hook: telling of a panic takes longer than this call may.
    let panics = || std::panic::resume_unwind(Box::new("the test says so"));
    assert_eq!(ask::<()>(&worker, panics).await, Err(Refusal::Panicked));
    tokio::time::sleep(SHORT / 5).await;
    assert_eq!(ask(&worker, || 7).await, Ok(7));
}

#[test]
fn a_start_that_panics_fails_and_one_that_is_refused_says_why() {
    let limits = Limits { call: LONG, request: LONG };
    let open = |_| -> Answer<()> { panic!("the test says so") };
    assert_eq!(Worker::start("test", limits, open).err(), Some(Refusal::Panicked));
    let open = |_| -> Answer<()> { Err(Refusal::Busy(7)) };
    assert_eq!(Worker::start("test", limits, open).err(), Some(Refusal::Busy(7)));
}

#[test]
fn a_start_that_hangs_is_told_from_a_slow_one() {
    let start = |call, open: fn(&Pulse)| {
        let limits = Limits { call, request: SHORT };
        let opened = move |pulse: std::sync::Arc<Pulse>| -> Answer<()> {
            open(&pulse);
            Ok(())
        };
        Worker::start("test", limits, opened).err()
    };
    let hangs = start(SHORT / 3, |_| thread::sleep(SHORT * 4));
    assert_eq!(hangs, Some(Refusal::Hangs(0)));
    let slow = start(SHORT * 3, |pulse| {
        for _ in 0..10 {
            pulse.during(|| thread::sleep(SHORT / 3));
        }
    });
    assert_eq!(slow, Some(Refusal::Late(0)));
}

#[tokio::test]
async fn a_hanging_call_refuses_the_next_at_once_and_is_over_when_it_is_over() {
    let worker = worker(SHORT / 2, SHORT);
    let (release, released) = mpsc::channel::<()>();
    let hanging = ask(&worker, move || released.recv()).await;
    assert!(matches!(hanging, Err(Refusal::Hangs(_))), "{hanging:?}");

    let made = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    for _ in 0..100 {
        let made = made.clone();
        let refused = ask(&worker, move || made.fetch_add(1, Ordering::SeqCst)).await;
        assert!(matches!(refused, Err(Refusal::Hangs(_))), "{refused:?}");
    }
    assert!(started.elapsed() < SHORT, "refused without waiting");

    release.send(()).unwrap();
    let answer = loop {
        match ask(&worker, || 1).await {
            Err(Refusal::Hangs(_)) => tokio::time::sleep(SHORT / 20).await,
            answered => break answered,
        }
    };
    assert_eq!(answer, Ok(1));
    assert_eq!(made.load(Ordering::SeqCst), 0, "refused jobs are never done");
}

/// The first is slow, not hung; the second was never begun.
#[tokio::test]
async fn who_waited_in_the_queue_is_told_another_thing_than_who_was_slow() {
    let worker = worker(LONG, SHORT);
    let (_release, released) = mpsc::channel::<()>();
    let first = ask(&worker, move || released.recv());
    let second = ask(&worker, || ());
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first, Err(Refusal::Late(0)));
    assert_eq!(second, Err(Refusal::NoTurn(0)));
}

#[tokio::test]
async fn a_job_sees_that_its_caller_has_gone() {
    let worker = worker(LONG, LONG);
    let (begun, has_begun) = mpsc::channel();
    let (saw, seen) = mpsc::channel();
    let mut asked = Box::pin(worker.ask(move |_, caller| {
        begun.send(caller.has_gone()).unwrap();
        while !caller.has_gone() {
            thread::yield_now();
        }
        saw.send(()).unwrap();
        Answer::Ok(())
    }));
    assert!((&mut asked).now_or_never().is_none());
    assert!(!has_begun.recv_timeout(LONG).unwrap(), "it is there at first");
    drop(asked);
    seen.recv_timeout(LONG).unwrap();
}

#[tokio::test]
async fn a_caller_that_has_gone_before_its_turn_is_skipped_and_takes_no_place() {
    let worker = worker(LONG, LONG);
    let made = Arc::new(AtomicUsize::new(0));
    let (release, first) = occupy(&worker);
    for _ in 0..1000 {
        let made = made.clone();
        let gone = ask(&worker, move || made.fetch_add(1, Ordering::SeqCst));
        assert!(gone.now_or_never().is_none());
    }
    drop(first);
    release.send(()).unwrap();
    assert_eq!(ask(&worker, || 3).await, Ok(3), "its own answer, not another's");
    assert_eq!(made.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_more_than_the_bound_may_wait() {
    let worker = worker(LONG, LONG);
    let (release, first) = occupy(&worker);
    let mut waiting: Vec<_> =
        (0..WAITING_MAX).map(|number| Box::pin(ask(&worker, move || number))).collect();
    for one in &mut waiting {
        assert!(one.now_or_never().is_none());
    }
    let refused = ask(&worker, || 0).now_or_never().unwrap();
    assert_eq!(refused, Err(Refusal::Busy(WAITING_MAX)));
    release.send(()).unwrap();
    assert!(first.await);
    let answers = join_all(waiting).await;
    assert!(answers.iter().enumerate().all(|(number, answer)| answer == &Ok(number)));
}

#[tokio::test]
async fn the_thread_ends_with_its_owner() {
    let worker = worker(LONG, LONG);
    ask(&worker, || ()).await.unwrap();
    let shared = Arc::downgrade(&worker.shared);
    drop(worker);
    let started = Instant::now();
    while shared.upgrade().is_some() {
        assert!(started.elapsed() < Duration::from_secs(5), "the thread still runs");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

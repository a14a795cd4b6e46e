//! A thread for calls that block: one at a time, with a bounded queue of those who still want one.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::attest::AttestError;

/// The thread. It ends after its last call when this value goes; nobody waits for that.
pub(super) struct Worker {
    shared: Arc<Shared>,
    patience: Duration,
}

impl Worker {
    /// A thread whose callers wait as long as `patience` allows.
    pub(super) fn start(name: &str, patience: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || own.work())?;
        Ok(Self { shared, patience })
    }

    /// What `call` returns. When the caller has gone before its turn, `call` is never made; when it
    /// goes later, the result goes with it. While a call hangs for longer than the patience, new
    /// callers are refused at once.
    pub(super) async fn ask<O, C>(&self, call: C) -> Result<O, AttestError>
    where
        O: Send + 'static,
        C: FnOnce() -> Result<O, AttestError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let number = self.shared.queue(Box::new(Asked { call, answer }), self.patience)?;
        match timeout(self.patience, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AttestError::NoQuote("the call to the kernel panicked".to_owned())),
            Err(_) => {
                self.shared.give_up(number);
                Err(AttestError::Hangs(self.patience.as_secs()))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(u64, Box<dyn Job>)>,
    asked: u64,
    running: Option<Running>,
    ended: bool,
}

struct Running {
    number: u64,
    since: Instant,
    /// Its caller has waited for as long as anybody does.
    given_up: bool,
}

impl Shared {
    fn queue(&self, job: Box<dyn Job>, patience: Duration) -> Result<u64, AttestError> {
        let mut state = self.lock();
        if let Some(Running { since, given_up, .. }) = state.running
            && (given_up || since.elapsed() >= patience)
        {
            return Err(AttestError::Hangs(since.elapsed().as_secs()));
        }
        // Those who have gone take nobody's place.
        state.waiting.retain(|(_, job)| job.is_wanted());
        if state.waiting.len() >= WAITING_MAX {
            let cause = format!("{WAITING_MAX} others wait for a quote; ask again later");
            return Err(AttestError::NoQuote(cause));
        }
        state.asked = state.asked.wrapping_add(1);
        let number = state.asked;
        state.waiting.push_back((number, job));
        drop(state);
        self.changed.notify_all();
        Ok(number)
    }

    /// The caller of this number waits no longer. If its own call runs, that call hangs; if it was
    /// still in the queue, the queue was long and the running call may be a quick one.
    fn give_up(&self, number: u64) {
        if let Some(running) = self.lock().running.as_mut().filter(|r| r.number == number) {
            running.given_up = true;
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic is the caller's error, and the next caller finds the thread alive.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run()));
            self.lock().running = None;
        }
    }

    /// Waits for a job that somebody wants. None when the worker has ended.
    fn next(&self) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            match state.waiting.pop_front() {
                Some((number, job)) if job.is_wanted() => {
                    let since = Instant::now();
                    state.running = Some(Running { number, since, given_up: false });
                    return Some(job);
                }
                Some(_) => {}
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

trait Job: Send {
    /// False when the caller has gone.
    fn is_wanted(&self) -> bool;
    /// Makes the call and hands its result over, if the caller is still there.
    fn run(self: Box<Self>);
}

struct Asked<O, C> {
    call: C,
    answer: oneshot::Sender<Result<O, AttestError>>,
}

impl<O: Send, C: FnOnce() -> Result<O, AttestError> + Send> Job for Asked<O, C> {
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>) {
        let _ = self.answer.send((self.call)());
    }
}

/// Callers that wait while one call is made.
const WAITING_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(30);

    fn worker(patience: Duration) -> Worker {
        Worker::start("test", patience).unwrap()
    }

    /// A call that runs until something is sent.
    async fn occupy(worker: &Worker) -> (mpsc::Sender<()>, impl Future<Output = bool> + Unpin) {
        let (release, released) = mpsc::channel::<()>();
        let mut running = Box::pin(worker.ask(move || Ok(released.recv())).map(|a| a.is_ok()));
        assert!((&mut running).now_or_never().is_none());
        // Until it runs, it waits in the queue like any other.
        while worker.shared.lock().running.is_none() {
            tokio::task::yield_now().await;
        }
        (release, running)
    }

    #[tokio::test]
    async fn a_panic_is_the_callers_error_and_the_next_caller_is_served() {
        let worker = worker(LONG);
        let refused = worker.ask::<(), _>(|| panic!("the test says so")).await.unwrap_err();
        assert!(matches!(refused, AttestError::NoQuote(_)), "{refused}");
        assert_eq!(worker.ask(|| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn a_hanging_call_refuses_the_next_at_once_and_is_over_when_it_is_over() {
        let worker = worker(SHORT);
        let (release, released) = mpsc::channel::<()>();
        let hanging = worker.ask(move || Ok(released.recv())).await.unwrap_err();
        assert_eq!(hanging, AttestError::Hangs(0));

        let made = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        for _ in 0..100 {
            let made = made.clone();
            let call = move || Ok(made.fetch_add(1, Ordering::SeqCst));
            assert!(matches!(worker.ask(call).await, Err(AttestError::Hangs(_))));
        }
        assert!(started.elapsed() < SHORT, "refused without waiting");

        release.send(()).unwrap();
        let answer = loop {
            match worker.ask(|| Ok(1)).await {
                Err(AttestError::Hangs(_)) => tokio::time::sleep(SHORT / 20).await,
                answered => break answered,
            }
        };
        assert_eq!(answer, Ok(1));
        assert_eq!(made.load(Ordering::SeqCst), 0, "refused calls are never made");
    }

    #[tokio::test]
    async fn a_caller_that_has_gone_before_its_turn_is_skipped_and_takes_no_place() {
        let worker = worker(LONG);
        let made = Arc::new(AtomicUsize::new(0));
        let (release, first) = occupy(&worker).await;
        for _ in 0..1000 {
            let made = made.clone();
            let mut gone = Box::pin(worker.ask(move || Ok(made.fetch_add(1, Ordering::SeqCst))));
            assert!((&mut gone).now_or_never().is_none());
        }
        drop(first);
        release.send(()).unwrap();
        assert_eq!(worker.ask(|| Ok(3)).await, Ok(3), "its own answer, not another's");
        assert_eq!(made.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn no_more_than_the_bound_may_wait() {
        let worker = worker(LONG);
        let (release, first) = occupy(&worker).await;
        let mut waiting: Vec<_> =
            (0..WAITING_MAX).map(|number| Box::pin(worker.ask(move || Ok(number)))).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        let refused = worker.ask(|| Ok(0)).now_or_never().unwrap().unwrap_err();
        assert!(matches!(refused, AttestError::NoQuote(_)), "{refused}");
        release.send(()).unwrap();
        assert!(first.await);
        let answers = join_all(waiting).await;
        assert!(answers.iter().enumerate().all(|(number, answer)| answer == &Ok(number)));
    }

    #[tokio::test]
    async fn the_thread_ends_with_its_owner() {
        let worker = worker(LONG);
        worker.ask(|| Ok(())).await.unwrap();
        let shared = Arc::downgrade(&worker.shared);
        drop(worker);
        let started = Instant::now();
        while shared.upgrade().is_some() {
            assert!(started.elapsed() < Duration::from_secs(5), "the thread still runs");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

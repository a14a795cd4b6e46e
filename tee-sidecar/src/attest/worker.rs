//! A thread for calls that block: one job at a time, with a bounded queue of those who still want
//! one.
//!
//! A call into a driver or the kernel cannot be cut short. It therefore runs on a thread of its
//! own, for which nobody waits without a limit: neither those who ask nor the end of the process.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

/// The thread, and the `T` that it owns. It ends after its last job when this value goes; nobody
/// waits for that.
pub(super) struct Worker<T> {
    shared: Arc<Shared<T>>,
    limits: Limits,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A call that takes longer hangs: those who come then are refused at once, until it returns.
    pub(super) call: Duration,
    /// One who asks waits this long: for the turn, and for all calls of the job. The start too.
    pub(super) request: Duration,
}

/// Why a job has no result. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A call, of this job or of one before it, has not returned for so long.
    Hangs(u64),
    /// The turn did not come within this time, and no call hangs.
    NoTurn(u64),
    /// The turn came, and the job was not done within this time; none of its calls hangs.
    Late(u64),
    /// So many wait already.
    Busy(usize),
    /// The job panicked.
    Panicked,
    /// The operating system gave no thread.
    NoThread(String),
}

impl<T: 'static> Worker<T> {
    /// Starts the thread and waits until it has opened what it is to own. The pulse is for calls
    /// that are to be timed one by one.
    pub(super) fn start<E: From<Refusal> + Send + 'static>(
        name: &str,
        limits: Limits,
        open: impl FnOnce(Arc<Pulse>) -> Result<T, E> + Send + 'static,
    ) -> Result<Self, E> {
        let shared = Arc::new(Shared::new());
        let own = shared.clone();
        let (told, opened) = sync_channel(1);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || own.live(open, &told))
            .map_err(|e| Refusal::NoThread(e.to_string()))?;
        // From here on the thread ends with this value, even if it opens after the time is up.
        let worker = Self { shared, limits };
        match opened.recv_timeout(limits.request) {
            Ok(outcome) => outcome.map(|()| worker),
            Err(RecvTimeoutError::Disconnected) => Err(Refusal::Panicked.into()),
            Err(RecvTimeoutError::Timeout) => Err(worker.hangs().unwrap_or(worker.late()).into()),
        }
    }

    /// What `job` returns. When the caller has gone before its turn, `job` is never begun; when it
    /// goes later, the job can see so and the result goes with it.
    pub(super) async fn ask<O, E>(
        &self,
        job: impl FnOnce(&T, &Caller<'_>) -> Result<O, E> + Send + 'static,
    ) -> Result<O, E>
    where
        O: Send + 'static,
        E: From<Refusal> + Send + 'static,
    {
        if let Some(hangs) = self.hangs() {
            return Err(hangs.into());
        }
        let (answer, mut answered) = oneshot::channel();
        let number = self.shared.queue(Box::new(Asked { job, answer }))?;
        let until = Instant::now().checked_add(self.limits.request);
        loop {
            let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()));
            match timeout(left.min(TICK), &mut answered).await {
                Ok(Ok(result)) => return result,
                Ok(Err(_)) => return Err(Refusal::Panicked.into()),
                Err(_) if left <= TICK => return Err(self.too_late(number).into()),
                // Whoever waits behind a call that hangs is told as soon as it does.
                Err(_) => {
                    if let Some(hangs) = self.hangs() {
                        return Err(hangs.into());
                    }
                }
            }
        }
    }

    fn too_late(&self, number: u64) -> Refusal {
        match self.hangs() {
            Some(hangs) => hangs,
            None if self.shared.has_begun(number) => self.late(),
            None => Refusal::NoTurn(self.limits.request.as_secs()),
        }
    }

    fn late(&self) -> Refusal {
        Refusal::Late(self.limits.request.as_secs())
    }

    fn hangs(&self) -> Option<Refusal> {
        let silence = self.shared.pulse.silence().filter(|s| *s >= self.limits.call)?;
        Some(Refusal::Hangs(silence.saturating_add(HALF_A_SECOND).as_secs()))
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

/// The one who asked, as the job sees it.
pub(super) struct Caller<'a> {
    gone: &'a dyn Fn() -> bool,
}

impl Caller<'_> {
    /// True when nobody waits for the result any more: its future was dropped, or its time is up.
    pub(super) fn has_gone(&self) -> bool {
        (self.gone)()
    }
}

/// Since when the thread has been in a call. A job that marks no calls counts as one.
#[derive(Default)]
pub(super) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// Makes one call.
    pub(super) fn during<O>(&self, call: impl FnOnce() -> O) -> O {
        self.set(Some(Instant::now()));
        let _ended = Ended(self);
        call()
    }

    /// How long the call has taken that is going on now, if one is.
    fn silence(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Ends the call even where it panics.
struct Ended<'a>(&'a Pulse);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    pulse: Arc<Pulse>,
}

struct State<T> {
    waiting: VecDeque<(u64, Box<dyn Job<T>>)>,
    /// The number of the youngest job.
    asked: u64,
    /// The number of the job that was begun last. They are begun in their order.
    begun: u64,
    ended: bool,
}

impl<T> Shared<T> {
    fn new() -> Self {
        let state = State { waiting: VecDeque::new(), asked: 0, begun: 0, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), pulse: Arc::default() }
    }

    fn queue(&self, job: Box<dyn Job<T>>) -> Result<u64, Refusal> {
        let mut state = self.lock();
        // Those who have gone take nobody's place.
        state.waiting.retain(|(_, job)| job.is_wanted());
        if state.waiting.len() >= WAITING_MAX {
            return Err(Refusal::Busy(WAITING_MAX));
        }
        state.asked = state.asked.saturating_add(1);
        let number = state.asked;
        state.waiting.push_back((number, job));
        drop(state);
        self.changed.notify_all();
        Ok(number)
    }

    fn has_begun(&self, number: u64) -> bool {
        self.lock().begun >= number
    }

    /// All that the thread does.
    fn live<E>(
        &self,
        open: impl FnOnce(Arc<Pulse>) -> Result<T, E>,
        told: &SyncSender<Result<(), E>>,
    ) {
        let (owned, outcome) = match self.pulse.during(|| open(self.pulse.clone())) {
            Ok(owned) => (Some(owned), Ok(())),
            Err(e) => (None, Err(e)),
        };
        // Whoever started this may have stopped waiting: then the worker has ended too.
        let _nobody_waits = told.send(outcome);
        let Some(owned) = owned else { return };
        while let Some(job) = self.next() {
            // A panic is the caller's error, and the next caller finds the thread alive.
            let run = || self.pulse.during(|| job.run(&owned));
            let _panic = catch_unwind(AssertUnwindSafe(run));
        }
    }

    /// Waits for a job that somebody wants. None when the worker has ended.
    fn next(&self) -> Option<Box<dyn Job<T>>> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            match state.waiting.pop_front() {
                Some((number, job)) if job.is_wanted() => {
                    state.begun = number;
                    return Some(job);
                }
                Some(_) => {}
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

trait Job<T>: Send {
    /// False when the caller has gone.
    fn is_wanted(&self) -> bool;
    /// Does the job and hands its result over, if the caller is still there.
    fn run(self: Box<Self>, owned: &T);
}

struct Asked<O, E, J> {
    job: J,
    answer: oneshot::Sender<Result<O, E>>,
}

impl<T, O, E, J> Job<T> for Asked<O, E, J>
where
    O: Send,
    E: Send,
    J: FnOnce(&T, &Caller<'_>) -> Result<O, E> + Send,
{
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>, owned: &T) {
        let Self { job, answer } = *self;
        let result = job(owned, &Caller { gone: &|| answer.is_closed() });
        let _nobody_waits = answer.send(result);
    }
}

/// Those who wait while one job is done; more are refused.
pub(super) const WAITING_MAX: usize = 64;

/// Durations are told in whole seconds, to the nearest.
/// How often one who waits looks whether a call hangs.
const TICK: Duration = Duration::from_millis(100);

const HALF_A_SECOND: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;

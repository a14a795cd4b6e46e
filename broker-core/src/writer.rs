//! The one thread that owns a ledger, and the handles through which everybody else reaches it.
//!
//! Commands that wait together share one commit. A commit costs a flush of the disk, whatever its
//! size, so this is worth more than an order of magnitude under load and needs no timer.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::clock::{Clock, Timestamp};
use crate::command::{Command, Decision, ReleaseReason};
use crate::digest::RequestKey;
use crate::ledger::{Ledger, LedgerError, LedgerReader};

use self::thread::Writer;

mod thread;

/// Starts the thread that owns `ledger`, with the usual limits.
pub fn spawn_writer(ledger: Box<dyn Ledger>, clock: Arc<dyn Clock>) -> LedgerHandle {
    spawn_writer_with(ledger, clock, WriterLimits::default())
}

/// Starts the thread that owns `ledger`. Where the system gives no thread, every command answers
/// [`LedgerError::Stopped`].
pub fn spawn_writer_with(
    ledger: Box<dyn Ledger>,
    clock: Arc<dyn Clock>,
    limits: WriterLimits,
) -> LedgerHandle {
    let (queue, jobs) = mpsc::unbounded_channel();
    let (tell, health) = watch::channel(Health::Running);
    let writer = Writer::new(ledger, clock, jobs, limits, tell);
    let thread = std::thread::Builder::new().name("ledger-writer".to_owned());
    let thread = thread.spawn(move || writer.run());
    if let Err(error) = &thread {
        // The writer that was not started says that it is gone when it is dropped.
        tracing::error!(%error, "the ledger's writer could not be started");
    }
    let places = Arc::new(Semaphore::new(limits.queue_commands_max));
    let thread = Arc::new(Mutex::new(thread.ok()));
    LedgerHandle { queue, places, health, thread }
}

/// How much may wait, and how much shares a commit.
#[derive(Clone, Copy, Debug)]
pub struct WriterLimits {
    /// Commands that begin something, waiting at most. Those that end a hold are bounded by the
    /// holds that are open, and are always taken.
    pub queue_commands_max: usize,
    /// Commands in one commit at most.
    pub batch_commands_max: usize,
    /// For so long the ledger may answer that it is busy to what cannot be refused, before that is
    /// a failure.
    pub busy_max: Duration,
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self {
            queue_commands_max: QUEUE_COMMANDS_MAX,
            batch_commands_max: BATCH_COMMANDS_MAX,
            busy_max: BUSY_MAX,
        }
    }
}

/// Reaches the writer from any thread or task. The writer finishes its queue and ends when the last
/// handle is dropped.
#[derive(Clone)]
pub struct LedgerHandle {
    queue: mpsc::UnboundedSender<Message>,
    places: Arc<Semaphore>,
    health: watch::Receiver<Health>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl LedgerHandle {
    /// Queues a command at once and answers when it is durable. The command is carried out even if
    /// the future is dropped before it is ever polled.
    ///
    /// # Errors
    /// [`LedgerError::Busy`] when the queue is full, or other writers on the same ledger are in the
    /// way: only for commands that begin something, never for the end of a hold, which is tried
    /// again for a minute. [`LedgerError::Storage`] when the commit failed: what became of the
    /// command is unknown until the ledger is opened again. [`LedgerError::Stopped`] after that.
    pub fn apply(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Decision, LedgerError>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let queued = self
            .place(&command)
            .and_then(|place| self.send(Job { command, answer: Some(answer), _place: place }));
        async move {
            queued?;
            answered.await.unwrap_or(Err(LedgerError::Stopped))
        }
    }

    /// As [`Self::apply`], for a thread that may block; it must not run tasks of a runtime.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_blocking(&self, command: Command) -> Result<Decision, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let place = self.place(&command)?;
        self.send(Job { command, answer: Some(answer), _place: place })?;
        answered.blocking_recv().unwrap_or(Err(LedgerError::Stopped))
    }

    /// Does something with the ledger itself, between two batches, and answers when it is done:
    /// what is neither a command nor a reading, as the extension of the receipt log is. It is done
    /// even if the future is dropped.
    ///
    /// # Errors
    /// What `errand` answers; any error but [`LedgerError::Busy`] stops the writer, as a failed
    /// commit does. [`LedgerError::Stopped`] after that, or where `errand` panicked.
    pub fn with_ledger<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut dyn Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> impl Future<Output = Result<T, LedgerError>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let errand: Errand = Box::new(move |ledger| {
            let done = ledger.and_then(errand);
            let goes_on = matches!(done, Ok(_) | Err(LedgerError::Busy));
            if let (Err(error), false) = (&done, goes_on) {
                tracing::error!(%error, "what was to be done with the ledger failed");
            }
            // Who left does not mind.
            let tell = Box::new(move || drop(answer.send(done)));
            Done { goes_on, tell }
        });
        let queued = self.queue.send(Message::Errand(errand)).map_err(|_| LedgerError::Stopped);
        async move {
            queued?;
            answered.await.unwrap_or(Err(LedgerError::Stopped))
        }
    }

    /// Frees a hold without waiting for it, from a place that cannot wait, such as `Drop`. Never
    /// blocks and is never refused for want of room; a failure is logged.
    pub fn release_soon(&self, key: RequestKey, why: ReleaseReason) {
        let command = Command::Release { key, why };
        if self.send(Job { command, answer: None, _place: None }).is_err() {
            tracing::warn!(key = %key.0, "the ledger has stopped: a hold stays open until restart");
        }
    }

    /// False once the writer has stopped, for whatever reason.
    pub fn is_healthy(&self) -> bool {
        *self.health.borrow() == Health::Running
    }

    /// True once the writer has stopped for any other reason than [`Self::stop`]; see
    /// [`Self::failed`].
    pub fn has_failed(&self) -> bool {
        *self.health.borrow() == Health::Failed
    }

    /// Resolves once the writer has stopped for any other reason than [`Self::stop`]: from then on
    /// nothing is written, and the process had better end and recover. After a stop that was asked
    /// for it never resolves. The future does not keep the writer running.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut health = self.health.clone();
        async move {
            if health.wait_for(|health| *health == Health::Failed).await.is_err() {
                // The writer is gone, and had said before that it was asked to go.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Finishes what is queued, refuses what comes later, and waits for the thread to end. Blocks:
    /// call it from a thread that may.
    pub fn stop(&self) {
        // A writer that is gone already has nothing left to finish.
        let _ = self.queue.send(Message::Stop);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the ledger's writer panicked");
        }
    }

    fn place(&self, command: &Command) -> Result<Option<OwnedSemaphorePermit>, LedgerError> {
        if !begins(command) || !self.is_healthy() {
            return Ok(None);
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(Some).map_err(|_| LedgerError::Busy)
    }

    fn send(&self, job: Job) -> Result<(), LedgerError> {
        self.queue.send(Message::Do(Box::new(job))).map_err(|_| LedgerError::Stopped)
    }
}

/// True for what may be refused while much waits; all else ends what has begun.
const fn begins(command: &Command) -> bool {
    matches!(command, Command::Reserve(_) | Command::Mirror { .. })
}

/// Frees the holds that a process left open when it died. Call it once, before anything is served.
///
/// # Errors
/// The ledger failed, or an open hold could not be freed.
pub fn recover(ledger: &mut dyn Ledger, now: Timestamp) -> Result<u64, LedgerError> {
    let mut open: VecDeque<_> = ledger.open_holds()?.into();
    let mut released: u64 = 0;
    while !open.is_empty() {
        let some = open.drain(..open.len().min(BATCH_COMMANDS_MAX));
        let batch: Vec<_> = some
            .map(|hold| Command::Release { key: hold.key, why: ReleaseReason::Crashed })
            .collect();
        for decision in ledger.apply(&batch, now)? {
            decision.map_err(|e| LedgerError::Corrupt(format!("an open hold stays: {e}")))?;
            released = released.saturating_add(1);
        }
    }
    Ok(released)
}

/// Frees the open holds that expired before `now`, and tells how many. Those that `is_live` names
/// are left alone: their exchanges run in this process, however slowly.
///
/// Blocks while it reads and waits for the writer: call it from a thread that may, such as tokio's
/// `spawn_blocking` gives. A hold that ends in another way meanwhile is not counted. With several
/// writers on one ledger the exchanges of the others are not known here, so holds have to be made
/// to last longer than any exchange does.
///
/// # Errors
/// The ledger could not be read, or its writer has stopped. What was freed until then stays free.
pub fn sweep(
    handle: &LedgerHandle,
    reader: &dyn LedgerReader,
    now: Timestamp,
    is_live: impl Fn(&RequestKey) -> bool,
) -> Result<u64, LedgerError> {
    let mut limit = SWEEP_HOLDS;
    let mut freed: u64 = 0;
    // A hold that could not be freed is not tried again in this sweep.
    let mut tried = HashSet::new();
    loop {
        let expired = reader.expired_holds(now, limit)?;
        let is_last = (expired.len() as u64) < limit;
        let dead: Vec<_> =
            expired.into_iter().filter(|key| !is_live(key) && tried.insert(*key)).collect();
        if dead.is_empty() {
            if is_last {
                return Ok(freed);
            }
            // All of these stay; behind them there may be others.
            limit = limit.saturating_mul(2);
            continue;
        }
        // All are queued before the first is waited for, so that they share commits.
        let why = ReleaseReason::Expired;
        let released = dead.into_iter().map(|key| handle.apply(Command::Release { key, why }));
        for answer in released.collect::<Vec<_>>() {
            match pollster::block_on(answer)? {
                Ok(_) => freed = freed.saturating_add(1),
                Err(refusal) => tracing::debug!(%refusal, "an expired hold was not freed"),
            }
        }
    }
}

/// What the writer last said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Running,
    /// It was asked to stop, or every handle is gone.
    Stopped,
    /// The ledger failed, or the thread died.
    Failed,
}

enum Message {
    Do(Box<Job>),
    Errand(Errand),
    Stop,
}

/// Something that is done with the ledger between two batches.
type Errand = Box<dyn FnOnce(Result<&mut dyn Ledger, LedgerError>) -> Done + Send>;

/// What became of an errand.
struct Done {
    /// False ends the writer: the ledger failed.
    goes_on: bool,
    /// Tells who waits for it.
    tell: Box<dyn FnOnce() + Send>,
}

struct Job {
    command: Command,
    answer: Option<oneshot::Sender<Result<Decision, LedgerError>>>,
    /// Given back when the writer takes the job.
    _place: Option<OwnedSemaphorePermit>,
}

const SWEEP_HOLDS: u64 = 1024;
const QUEUE_COMMANDS_MAX: usize = 4096;
const BATCH_COMMANDS_MAX: usize = 128;
const BUSY_MAX: Duration = Duration::from_secs(60);

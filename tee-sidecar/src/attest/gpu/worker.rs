//! The thread that owns the driver's library.
//!
//! A call into the driver cannot be cut short. It therefore runs on a thread of its own, which
//! nobody ever waits for without a limit: neither those who ask nor the end of the process.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::node::Node;
use super::nvml::GpuLimits;
use crate::attest::GpuError;
use crate::evidence::Nonce32;
use crate::evidence::nvidia::GpuEvidence;

/// The way to the thread. When it is dropped, the thread finishes its call and ends.
pub(super) struct Worker {
    jobs: SyncSender<Job>,
    pulse: Arc<Pulse>,
    limits: GpuLimits,
}

/// One request. Its answer has no way but to the caller who asked.
struct Job {
    nonce: Nonce32,
    reply: oneshot::Sender<Result<Vec<GpuEvidence>, GpuError>>,
}

impl Worker {
    /// Starts the thread and waits until it has opened the node.
    pub(super) fn start(
        limits: GpuLimits,
        open: impl FnOnce(Arc<Pulse>) -> Result<Node, GpuError> + Send + 'static,
    ) -> Result<Self, GpuError> {
        let pulse = Arc::new(Pulse::default());
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let (told, opened) = sync_channel(1);
        let of_thread = pulse.clone();
        thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || work(|| open(of_thread), &told, &queue))
            .map_err(|e| GpuError::NoThread(e.to_string()))?;
        let worker = Self { jobs, pulse, limits };
        match opened.recv_timeout(limits.request) {
            Ok(outcome) => outcome.map(|()| worker),
            Err(RecvTimeoutError::Timeout) => Err(worker.too_late()),
            Err(RecvTimeoutError::Disconnected) => Err(GpuError::Stopped),
        }
    }

    /// Evidence of every GPU over this nonce.
    pub(super) async fn evidence(&self, nonce: Nonce32) -> Result<Vec<GpuEvidence>, GpuError> {
        if let Some(hangs) = self.hangs() {
            return Err(hangs);
        }
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job { nonce, reply }).map_err(|e| match e {
            TrySendError::Full(_) => GpuError::Busy(JOBS_MAX),
            TrySendError::Disconnected(_) => GpuError::Stopped,
        })?;
        match timeout(self.limits.request, answer).await {
            Ok(answered) => answered.map_err(|_| GpuError::Stopped)?,
            Err(_) => Err(self.too_late()),
        }
    }

    fn too_late(&self) -> GpuError {
        self.hangs().unwrap_or(GpuError::Late(self.limits.request.as_secs()))
    }

    fn hangs(&self) -> Option<GpuError> {
        let silence = self.pulse.silence().filter(|silence| *silence >= self.limits.call)?;
        Some(GpuError::Hangs(silence.as_secs()))
    }
}

fn work(
    open: impl FnOnce() -> Result<Node, GpuError>,
    told: &SyncSender<Result<(), GpuError>>,
    queue: &Receiver<Job>,
) {
    let (node, outcome) = match open() {
        Ok(node) => (Some(node), Ok(())),
        Err(e) => (None, Err(e)),
    };
    // Whoever started this may have stopped waiting: then the queue has no other end either.
    let _nobody_waits = told.send(outcome);
    let Some(node) = node else { return };
    while let Ok(Job { nonce, reply }) = queue.recv() {
        if reply.is_closed() {
            continue;
        }
        let _nobody_waits = reply.send(node.evidence(&nonce));
    }
}

/// Since when the driver has been in a call.
#[derive(Default)]
pub(super) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// Runs one call of the driver's.
    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
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

/// Ends the call even where it panics: a thread that is gone does not hang.
struct Ended<'a>(&'a Pulse);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// As the operating system shows it; 15 bytes at most.
const THREAD_NAME: &str = "nvml";

/// Requests that wait; more are refused.
const JOBS_MAX: usize = 64;

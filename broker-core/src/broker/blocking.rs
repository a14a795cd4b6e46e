//! Where work that blocks is done, so that nothing blocks in a task of an async runtime.
//!
//! Ledgers are read synchronously: a file in microseconds, a database over a network in
//! milliseconds, and some database clients do not work inside a task at all.

use std::future::Future;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::JoinError;

use crate::error::Error;

/// Does `work` on a thread of tokio's that may block, or here where there is no runtime. It is done
/// to its end even if the future is dropped once it was polled.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    match Handle::try_current() {
        Ok(runtime) => joined(runtime.spawn_blocking(work).await),
        Err(_) => Ok(work()),
    }
}

/// Does `work` where it may block, and does not wait for it; in place where there is no runtime.
pub(super) fn aside(work: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        // Whoever waits for what it does has a way of hearing of it.
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// Drives `work` in a task of its own, which goes on if its caller leaves; without a runtime the
/// caller drives it.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    match Handle::try_current() {
        Ok(runtime) => joined(runtime.spawn(work).await),
        Err(_) => Ok(work.await),
    }
}

/// Does `work` on a short-lived thread, where this one belongs to a runtime; else here.
pub(super) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    if Handle::try_current().is_err() {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("ledger-start".to_owned());
        let thread = thread.spawn_scoped(scope, work)?;
        thread.join().map_or_else(|panic| resume_unwind(panic), Ok)
    })
}

fn joined<T>(outcome: Result<T, JoinError>) -> Result<T, Error> {
    outcome.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Error::Interrupted,
    })
}

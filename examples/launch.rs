//! Starting a sidecar as a child process, waiting until it serves, and stopping it.

use tokio::signal::unix::{SignalKind, signal};

mod flags;
mod probe;
mod requests;
mod settings;
mod sidecar;

pub use flags::Flags;
pub use probe::{Page, get};
pub use requests::first_requests;
pub use settings::{Settings, Wanted, settings};
pub use sidecar::Sidecar;

/// Why the start failed, for the person at the terminal.
#[derive(Debug)]
pub enum Error {
    /// The system refused something.
    Io(std::io::Error),
    /// Something else, as a sentence.
    Said(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Said(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Returns when Ctrl-C is pressed or the process is asked to end.
pub async fn stop_requested() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Exit code of a wrong command line, as the sidecar has it.
pub const USAGE_ERROR: u8 = 64;

//! Starting a sidecar as a child process, waiting until it serves, and stopping it.

use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Ctrl-C and the request to end, noticed from the moment this exists.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Takes the two signals over from the system's default, which would end the process.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when one of them has come.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Exit code of a wrong command line, as the sidecar has it.
pub const USAGE_ERROR: u8 = 64;

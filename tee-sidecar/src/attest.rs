//! Evidence that the signing key lives in a TEE.

use std::future::Future;
use std::pin::Pin;

/// A future that an evidence source returns.
pub type AttestFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AttestError>> + Send + 'a>>;

/// Which kind of platform makes the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// The software platform: proves nothing, says so everywhere.
    Simulated,
}

/// A TEE quote and what a verifier needs beside it.
#[derive(Clone, Debug)]
pub struct Quote {
    /// The quote's bytes.
    pub bytes: Vec<u8>,
    /// The measured boot and run-time events, as JSON text.
    pub event_log: String,
    /// The machine's configuration as measured, as JSON text.
    pub vm_config: String,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The platform did not give a quote.
    #[error("the TEE gave no quote: {0}")]
    NoQuote(String),
    /// The platform's own evidence does not hold.
    #[error("the TEE's own evidence does not verify: {0}")]
    SelfCheck(String),
}

/// Makes quotes.
pub trait Attester: Send + Sync {
    /// Which platform this is.
    fn platform(&self) -> Platform;
}

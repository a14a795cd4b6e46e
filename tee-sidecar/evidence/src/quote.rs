//! A quote as a guest gets it.

/// A TEE quote and what a verifier needs beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The quote's bytes.
    pub bytes: Vec<u8>,
    /// The measured boot and run-time events, as JSON text; `[]` where the guest keeps none.
    pub event_log: String,
    /// The machine's configuration as measured, as JSON text; empty where the guest knows none.
    pub vm_config: String,
}

//! `ledger`: the operator's view of the money.

use super::Exit;
use crate::config::Settings;

/// Prints what each account holds, owes and has left.
pub fn status(_settings: &Settings) -> Exit {
    eprintln!("tee-sidecar: ledger status is not wired yet");
    Exit::Failed
}

/// Recomputes the ledger from its entries.
pub fn audit(_settings: &Settings) -> Exit {
    eprintln!("tee-sidecar: ledger audit is not wired yet");
    Exit::Failed
}

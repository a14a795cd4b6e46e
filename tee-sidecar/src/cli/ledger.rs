//! `ledger`: the operator's view of the money. Reads only, whether or not a sidecar is running.

use std::io::Write;

use broker_core::{LedgerError, SqliteReader};

use super::Exit;
use crate::config::{LedgerUrl, Settings};

/// Prints the sums over all accounts, one `name: value` a line; amounts in neuron.
pub fn status(settings: &Settings) -> Exit {
    let totals = match open(settings).and_then(|reader| reader.totals()) {
        Ok(totals) => totals,
        Err(error) => return explain(&error),
    };
    print(&[
        ("held_neuron", totals.held.to_string()),
        ("earned_neuron", totals.earned.to_string()),
        ("vouchered_neuron", totals.vouchered.to_string()),
        ("accounts", totals.accounts.to_string()),
        ("receipts", totals.receipts.to_string()),
        ("open_holds", totals.open_holds.to_string()),
    ])
}

/// Re-adds every movement and compares every balance, hold and receipt with it.
pub fn audit(settings: &Settings) -> Exit {
    let report = match open(settings).and_then(|reader| reader.audit()) {
        Ok(report) => report,
        Err(error) => return explain(&error),
    };
    if let Some(fault) = &report.fault {
        eprintln!("tee-sidecar: the ledger is wrong: {fault}");
        return Exit::Refuted;
    }
    print(&[
        ("audit", "clean".to_owned()),
        ("entries", report.entries.to_string()),
        ("transfers", report.transfers.to_string()),
        ("accounts", report.accounts.to_string()),
        ("receipts", report.receipts.to_string()),
        ("open_holds", report.open_holds.to_string()),
        ("head", report.head.to_string()),
    ])
}

fn open(settings: &Settings) -> Result<SqliteReader, LedgerError> {
    let LedgerUrl::Sqlite(path) = &settings.ledger;
    SqliteReader::open_for_operator(path)
}

fn print(lines: &[(&str, String)]) -> Exit {
    let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    // Not `print!`, which panics when nobody reads the other end.
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("tee-sidecar: the answer cannot be printed: {error}");
            Exit::Failed
        }
    }
}

fn explain(error: &LedgerError) -> Exit {
    eprintln!("tee-sidecar: {error}");
    match error {
        LedgerError::Missing { .. } => Exit::Missing,
        LedgerError::Foreign { .. } | LedgerError::Corrupt(_) => Exit::Malformed,
        _ => Exit::Failed,
    }
}

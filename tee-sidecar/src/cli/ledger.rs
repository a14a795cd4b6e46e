//! `ledger`: the operator's view of the money. Reads only, whether or not a sidecar is running.

use std::io::Write;
use std::sync::Arc;

use broker_core::ledger::statement::Statement;
use broker_core::{Account, LedgerError, LedgerReader, Neuron};

use super::Exit;
use crate::config::Settings;
use crate::ledger::open_for_operator;

/// Prints the sums over all accounts, one `name: value` a line, and then a line for each account;
/// amounts in neuron.
pub fn status(settings: &Settings) -> Exit {
    let read = open(settings).and_then(|reader| Ok((reader.totals()?, reader.statements()?)));
    let (totals, statements) = match read {
        Ok(read) => read,
        Err(error) => return explain(&error),
    };
    let settled = statements.iter().try_fold(Neuron::ZERO, |sum, s| sum.checked_add(s.settled));
    let frozen = statements.iter().filter(|known| known.account.frozen).count();
    let mut lines = vec![
        ("held_neuron".to_owned(), totals.held.to_string()),
        ("earned_neuron".to_owned(), totals.earned.to_string()),
        ("vouchered_neuron".to_owned(), totals.vouchered.to_string()),
        ("settled_neuron".to_owned(), settled.unwrap_or_default().to_string()),
        ("accounts".to_owned(), totals.accounts.to_string()),
        ("frozen_accounts".to_owned(), frozen.to_string()),
        ("receipts".to_owned(), totals.receipts.to_string()),
        ("open_holds".to_owned(), totals.open_holds.to_string()),
    ];
    lines.extend(statements.iter().map(|known| (format!("user {}", known.user), line(known))));
    print(&lines)
}

fn line(known: &Statement) -> String {
    let Account { cover, held, vouchered, unlimited, frozen, .. } = known.account;
    let cover = if unlimited { "unlimited".to_owned() } else { cover.to_string() };
    format!(
        "owed={} vouchered={vouchered} settled={} cover={cover} held={held} frozen={frozen}",
        known.account.owed().unwrap_or_default(),
        known.settled,
    )
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
        ("audit".to_owned(), "clean".to_owned()),
        ("entries".to_owned(), report.entries.to_string()),
        ("transfers".to_owned(), report.transfers.to_string()),
        ("accounts".to_owned(), report.accounts.to_string()),
        ("receipts".to_owned(), report.receipts.to_string()),
        ("open_holds".to_owned(), report.open_holds.to_string()),
        ("head".to_owned(), report.head.to_string()),
    ])
}

pub(super) fn open(settings: &Settings) -> Result<Arc<dyn LedgerReader>, LedgerError> {
    open_for_operator(&settings.ledger)
}

pub(super) fn print(lines: &[(String, String)]) -> Exit {
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

pub(super) fn explain(error: &LedgerError) -> Exit {
    eprintln!("tee-sidecar: {error}");
    match error {
        LedgerError::Missing { .. } => Exit::Missing,
        LedgerError::Foreign { .. } | LedgerError::Corrupt(_) => Exit::Malformed,
        _ => Exit::Failed,
    }
}

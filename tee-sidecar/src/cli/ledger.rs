//! `ledger`: the operator's view of the money. Reads only, whether or not a sidecar is running.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use broker_core::ledger::statement::Statement;
use broker_core::{
    Account, AuditReport, Digest32, LedgerError, LedgerReader, Neuron, SqliteReader,
};

use super::Exit;
use crate::auditor::{exit_of, pinned};
use crate::config::{LedgerUrl, Settings};
use crate::evidence::audit::printable;
use crate::evidence::ledger_head::LedgerHead;
use crate::ledger::{advice, open_for_operator};

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

/// Re-adds every movement and compares every balance, hold and receipt with it; with `report`, a
/// saved attestation report, also with the end of the chain that was signed then.
pub fn audit(settings: &Settings, report: Option<&Path>) -> Exit {
    let pinned = match pinned_by(report) {
        Ok(pinned) => pinned,
        Err(exit) => return exit,
    };
    let read = open(settings).and_then(|reader| {
        let report = reader.audit()?;
        let place = pinned.as_ref().map_or(0, |pinned| pinned.entries);
        Ok((report, reader.link(place)?))
    });
    match read {
        Ok((report, link)) => judge("the ledger is", &report, pinned, link),
        Err(error) => explain(&error),
    }
}

/// The end of the chain in a saved report, where one is given.
pub(super) fn pinned_by(report: Option<&Path>) -> Result<Option<LedgerHead>, Exit> {
    report.map(pinned).transpose().map_err(|failure| {
        eprintln!("tee-sidecar: {}", printable(&failure.to_string()));
        exit_of(&Err(failure))
    })
}

/// Tells what an audit found, in a sentence that begins with `what`; `link` is the one at the
/// place of the pinned end.
pub(super) fn judge(
    what: &str,
    report: &AuditReport,
    pinned: Option<LedgerHead>,
    link: Option<Digest32>,
) -> Exit {
    if let Some(fault) = &report.fault {
        eprintln!("tee-sidecar: {what} wrong: {fault}");
        return Exit::Refuted;
    }
    if let Some(why) = pinned.and_then(|pinned| contradiction(&pinned, link)) {
        eprintln!("tee-sidecar: {what} not what the report shows: {why}");
        return Exit::Refuted;
    }
    let mut lines = found(report);
    if let Some(pinned) = pinned {
        let what = format!("goes on from the {} entries of {} ms", pinned.entries, pinned.at);
        lines.push(("report".to_owned(), what));
    }
    print(&lines)
}

/// What the report's head says, and the ledger does not.
fn contradiction(pinned: &LedgerHead, link: Option<Digest32>) -> Option<String> {
    let LedgerHead { entries, head, at, .. } = pinned;
    if *entries == 0 {
        return None;
    }
    match link {
        Some(link) if link == *head => None,
        Some(link) => Some(format!(
            "entry {entries} has the link {link}, and at {at} ms it was {head}: entries were \
             changed since"
        )),
        None => Some(format!(
            "it is shorter than the {entries} entries it had at {at} ms: entries were cut off, or \
             an old copy was restored"
        )),
    }
}

pub(super) fn found(report: &AuditReport) -> Vec<(String, String)> {
    [
        ("audit".to_owned(), "clean".to_owned()),
        ("entries".to_owned(), report.entries.to_string()),
        ("transfers".to_owned(), report.transfers.to_string()),
        ("accounts".to_owned(), report.accounts.to_string()),
        ("receipts".to_owned(), report.receipts.to_string()),
        ("open_holds".to_owned(), report.open_holds.to_string()),
        ("unlinked".to_owned(), report.unlinked.to_string()),
        ("head".to_owned(), report.head.to_string()),
    ]
    .into()
}

/// Copies a ledger in a file, and audits the copy.
pub fn backup(settings: &Settings, to: &Path) -> Exit {
    let LedgerUrl::Sqlite(path) = &settings.ledger else {
        eprintln!(
            "tee-sidecar: back a PostgreSQL ledger up with pg_dump or the server's own tools"
        );
        return Exit::Usage;
    };
    let copied = SqliteReader::open_for_operator(path).and_then(|reader| reader.backup(to));
    let audited = copied.and_then(|()| SqliteReader::open_for_operator(to)?.audit());
    match audited {
        Ok(AuditReport { fault: Some(fault), .. }) => {
            eprintln!("tee-sidecar: the copy is wrong, as is the ledger: {fault}");
            Exit::Refuted
        }
        Ok(report) => print(&found(&report)),
        Err(error) => explain(&error),
    }
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
    eprintln!("tee-sidecar: {error}{}", mending(error));
    exit_of_ledger(error)
}

/// What to do about it, to be put behind the error.
pub(super) fn mending(error: &LedgerError) -> String {
    advice(error).map(|advice| format!(". To mend it: {advice}")).unwrap_or_default()
}

pub(super) const fn exit_of_ledger(error: &LedgerError) -> Exit {
    match error {
        LedgerError::Missing { .. } | LedgerError::Unreachable(_) => Exit::Missing,
        LedgerError::Foreign { .. } | LedgerError::Corrupt(_) => Exit::Malformed,
        _ => Exit::Failed,
    }
}

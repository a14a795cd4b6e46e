//! An audit of a stored ledger: its journal is carried out again, and what is stored beside the
//! journal compared with what that leads to, as of one moment.

use crate::ledger::replay::Replay;
use crate::ledger::{AuditReport, LedgerError};

use super::journal;
use super::session::Session;
use super::statements::SNAPSHOT;

mod derived;

/// What an audit finds; a wrong or unreadable row is part of the report, not an error.
pub(super) fn audit(session: &mut Session) -> Result<AuditReport, LedgerError> {
    let mut replay = Replay::default();
    let compared = session.transact(SNAPSHOT, |session| {
        journal::lines(session, 0, &mut replay)?;
        replay.finish()?;
        derived::compare(session, &replay)
    });
    replay.verdict(compared)
}

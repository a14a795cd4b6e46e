//! Which processes use the ledger, and which of them are dead.

use std::time::Duration;

use uuid::Uuid;

use crate::digest::RequestKey;

use super::fault::Trouble;
use super::rows::Columns;
use super::session::Session;

/// Says that an instance is alive, by the database's clock.
pub(super) fn beat(session: &mut Session, instance: &Uuid) -> Result<(), Trouble> {
    session.execute(BEAT, &[&instance.as_bytes().as_slice()])?;
    Ok(())
}

/// Takes an instance out of the books, if no hold of its own is open. True where it is gone.
pub(super) fn forget(session: &mut Session, instance: &[u8]) -> Result<bool, Trouble> {
    session.transact("BEGIN", |session| {
        // Nobody opens a hold for it from here on.
        session.query("SELECT 1 FROM instance WHERE id = $1 FOR UPDATE", &[&instance])?;
        Ok(session.execute(FORGET, &[&instance])? == 1)
    })
}

/// Instances that have said nothing for so long.
pub(super) fn silent(session: &mut Session, limit: Duration) -> Result<Vec<Vec<u8>>, Trouble> {
    let seconds = limit.as_secs_f64();
    let rows = session.query(SILENT, &[&seconds])?;
    rows.iter().map(|row| Columns::of(row).take()).collect()
}

/// Open holds of an instance, the oldest first.
pub(super) fn holds_of(session: &mut Session, instance: &[u8]) -> Result<Vec<RequestKey>, Trouble> {
    let rows = session.query(HOLDS, &[&instance])?;
    rows.iter().map(|row| Columns::of(row).take()).collect()
}

const BEAT: &str = "INSERT INTO instance (id, seen_at) VALUES ($1, clock_timestamp()) \
     ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()";

const FORGET: &str = "DELETE FROM instance i WHERE i.id = $1 \
     AND NOT EXISTS (SELECT 1 FROM open_hold o WHERE o.instance = i.id)";

const SILENT: &str = "SELECT id FROM instance \
     WHERE seen_at < clock_timestamp() - make_interval(secs => $1)";

const HOLDS: &str = "SELECT o.key FROM open_hold o JOIN hold h ON h.key = o.key \
     WHERE o.instance = $1 ORDER BY h.entry LIMIT 128";

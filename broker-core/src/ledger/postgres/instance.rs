//! Which processes use the ledger, and which of them are dead.

use uuid::Uuid;

use crate::digest::RequestKey;

use super::fault::Trouble;
use super::rows::Columns;
use super::session::Session;
use super::sightings::Sign;
use super::values::Count;

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

/// The last signs of life of all other instances.
pub(super) fn signs(session: &mut Session, own: &Uuid) -> Result<Vec<Sign>, Trouble> {
    let rows = session.query(SIGNS, &[&own.as_bytes().as_slice()])?;
    let sign = |row| {
        let mut columns = Columns::of(row);
        Ok(Sign { instance: columns.take()?, at: columns.count()? })
    };
    rows.iter().map(sign).collect()
}

/// Open holds of an instance, the oldest first; none where it has given a sign of life since.
pub(super) fn holds_of(session: &mut Session, dead: &Sign) -> Result<Vec<RequestKey>, Trouble> {
    let rows = session.query(HOLDS, &[&dead.instance, &Count(dead.at)])?;
    rows.iter().map(|row| Columns::of(row).take()).collect()
}

const BEAT: &str = "INSERT INTO instance (id, seen_at) VALUES ($1, clock_timestamp()) \
     ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()";

const FORGET: &str = "DELETE FROM instance i WHERE i.id = $1 \
     AND NOT EXISTS (SELECT 1 FROM open_hold o WHERE o.instance = i.id)";

const SIGNS: &str = "SELECT id, (extract(epoch FROM seen_at) * 1000000)::bigint \
     FROM instance WHERE id <> $1";

const HOLDS: &str = "SELECT h.key FROM open_hold o JOIN hold h ON h.entry = o.hold \
     WHERE o.instance = $1 AND EXISTS (SELECT 1 FROM instance i WHERE i.id = $1 \
     AND (extract(epoch FROM i.seen_at) * 1000000)::bigint = $2) ORDER BY h.entry LIMIT 128";

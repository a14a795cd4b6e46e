//! The tables, and how a database is known to hold a ledger of ours.

use crate::ledger::LedgerError;

use super::address::Address;
use super::fault::Trouble;
use super::session::Session;

use self::tables::FIRST;

mod tables;

/// Makes the tables where there are none, and brings those of an earlier version to this one.
/// Several may try at once.
pub(super) fn create_or_check(session: &mut Session, address: &Address) -> Result<(), Trouble> {
    // Whoever may only read and write rows can still use a ledger that is up to date.
    if version(session, address)? != Some(VERSION) {
        session.transact("BEGIN", |session| migrate(session, address))?;
    }
    check(session, address)
}

/// Refuses a database that has no ledger of this version.
pub(super) fn check(session: &mut Session, address: &Address) -> Result<(), Trouble> {
    let path = || address.name().to_owned();
    match version(session, address)? {
        None => Err(Trouble::Failed(LedgerError::Missing { path: path() })),
        Some(VERSION) => Ok(()),
        Some(version) => {
            let known = format!("its version is {version}, and this program reads {VERSION}");
            let why = match version < VERSION {
                true if version < FIRST_VERSION => {
                    format!("{known}; no release wrote it. Take an empty database")
                }
                true => {
                    format!("{known}: start the sidecar on it once, which brings it up to date")
                }
                false => known,
            };
            Err(Trouble::Failed(LedgerError::Foreign { path: path(), why }))
        }
    }
}

fn migrate(session: &mut Session, address: &Address) -> Result<(), Trouble> {
    session.query(LOCK, &[&LOCK_OF_MIGRATIONS])?;
    let known = version(session, address)?;
    if known.is_some_and(|known| known < FIRST_VERSION) {
        return check(session, address);
    }
    if known.is_none() {
        session.batch(MIGRATION)?;
    }
    for (version, tables) in STEPS {
        if known.is_none_or(|known| known < version) {
            session.batch(tables)?;
            session.execute("INSERT INTO broker_ledger.migration VALUES ($1)", &[&version])?;
        }
    }
    Ok(())
}

/// The version of the ledger in this database; `None` where there is none.
fn version(session: &mut Session, address: &Address) -> Result<Option<i32>, Trouble> {
    let found = session.query_one(SCHEMA, &[])?;
    let (has_schema, has_migrations): (bool, bool) = (found.try_get(0)?, found.try_get(1)?);
    match (has_schema, has_migrations) {
        (false, _) => return Ok(None),
        (true, true) => {}
        (true, false) => {
            return Err(Trouble::Failed(LedgerError::Foreign {
                path: address.name().to_owned(),
                why: "it has a schema broker_ledger that no ledger made".to_owned(),
            }));
        }
    }
    let last = session.query_one("SELECT max(version) FROM broker_ledger.migration", &[])?;
    let last: Option<i32> = last.try_get(0)?;
    Ok(Some(last.unwrap_or_default()))
}

const SCHEMA: &str = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace \
     WHERE nspname = 'broker_ledger'), EXISTS (SELECT 1 FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = 'broker_ledger' AND c.relname = 'migration')";

const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// "0GFL" in ASCII, and 1.
const LOCK_OF_MIGRATIONS: i64 = 0x3047_464c_0001;

const MIGRATION: &str = "
CREATE SCHEMA broker_ledger;
CREATE TABLE broker_ledger.migration (
  version INTEGER PRIMARY KEY,
  at      TIMESTAMPTZ NOT NULL DEFAULT now()
);
";

/// What leads from each version to the next.
const STEPS: [(i32, &str); 1] = [(3, FIRST)];
const VERSION: i32 = 3;
/// Versions 1 and 2 were written by no release.
const FIRST_VERSION: i32 = 3;

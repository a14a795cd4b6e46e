//! `ledger migrate`: from a file to a database.

use std::path::Path;

use broker_core::ledger::migrate::{Migrated, migrate};
use broker_core::{Clock as _, LedgerError, PostgresLedger, SqliteLedger, SystemClock};
use clap::Args;

use super::Exit;
use super::ledger::{explain, found, print};
use crate::config::{LedgerUrl, Secret, Settings, ledger_url_in};

/// From where to where.
#[derive(Clone, PartialEq, Eq, Args)]
pub struct MigrateArgs {
    /// The ledger as it is, sqlite://PATH; without it ledger.url.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The empty database, postgres://… Others can read a command line: where the address has a
    /// password, --to-file is better.
    #[arg(long, value_name = "URL", required_unless_present = "to_file")]
    to: Option<String>,
    /// A file with the address of the empty database.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    to_file: Option<String>,
}

impl std::fmt::Debug for MigrateArgs {
    /// The addresses may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MigrateArgs")
    }
}

/// Moves the ledger, and prints what both sides agree on.
pub fn run(settings: &Settings, args: &MigrateArgs) -> Exit {
    let (from, to) = match ends(settings, args) {
        Ok(ends) => ends,
        Err(why) => {
            eprintln!("tee-sidecar: {why}");
            return Exit::Usage;
        }
    };
    let opened = existing(&from).and_then(|from| Ok((from, PostgresLedger::open(to.expose())?)));
    let (mut from, mut to) = match opened {
        Ok(opened) => opened,
        Err(error) => return explain(&error),
    };
    match migrate(&mut from, &mut to, SystemClock.now()) {
        Ok(migrated) => print(&lines(&migrated)),
        Err(LedgerError::Corrupt(why)) => {
            eprintln!("tee-sidecar: the ledger is not moved: {why}");
            Exit::Refuted
        }
        Err(error) => explain(&error),
    }
}

fn ends(
    settings: &Settings,
    args: &MigrateArgs,
) -> Result<(std::path::PathBuf, Secret<String>), String> {
    let parse =
        |name: &str, text: &str| LedgerUrl::parse(text).map_err(|rule| format!("{name} {rule}"));
    let from = match &args.from {
        Some(text) => parse("--from", text)?,
        None => settings.ledger.clone(),
    };
    let to = match (&args.to, &args.to_file) {
        (Some(text), _) => parse("--to", text)?,
        (None, Some(path)) => ledger_url_in(path).map_err(|rule| format!("--to-file {rule}"))?,
        (None, None) => return Err("--to or --to-file is needed".to_owned()),
    };
    match (from, to) {
        (LedgerUrl::Sqlite(from), LedgerUrl::Postgres(to)) => Ok((from, to)),
        (LedgerUrl::Postgres(_), _) => {
            Err("a ledger moves from a file: --from or ledger.url is sqlite://PATH".to_owned())
        }
        (_, LedgerUrl::Sqlite(_)) => {
            Err("a ledger moves into a database: --to is postgres://…".to_owned())
        }
    }
}

/// Opened to write, since its last holds are freed; never made.
fn existing(path: &Path) -> Result<SqliteLedger, LedgerError> {
    if !path.is_file() {
        return Err(LedgerError::Missing { path: path.display().to_string() });
    }
    SqliteLedger::open(path)
}

fn lines(migrated: &Migrated) -> Vec<(String, String)> {
    let Migrated { released, audit, totals, .. } = migrated;
    let mut lines = vec![("migrate".to_owned(), "both sides are the same".to_owned())];
    lines.extend(found(audit));
    lines.extend(
        [
            ("released_holds", released.to_string()),
            ("held_neuron", totals.held.to_string()),
            ("earned_neuron", totals.earned.to_string()),
            ("vouchered_neuron", totals.vouchered.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    lines
}

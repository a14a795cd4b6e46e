//! One connection: its settings, its prepared statements, its transaction.

use std::collections::HashMap;

use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::ToSql;
use postgres::{Client, Row, Statement};

use crate::ledger::LedgerError;

use super::address::Address;
use super::fault::{Trouble, describe};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The writer's, and the caretaker's.
    Write,
    /// Short answers.
    Read,
    /// One long answer, such as an audit.
    Audit,
}

/// A connection that was checked.
pub(super) struct Session {
    /// Always there until it is dropped.
    client: Option<Client>,
    statements: HashMap<&'static str, Statement>,
}

pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Connects and makes sure that a commit here is durable.
    pub(super) fn open(address: &Address, purpose: Purpose) -> Result<Self, Trouble> {
        let client = address.connect().map_err(|error| refused(address, &error))?;
        let mut session = Self { client: Some(client), statements: HashMap::new() };
        session.set_all(&settings(purpose))?;
        if purpose == Purpose::Write {
            session.check()?;
        }
        Ok(session)
    }

    fn client(&mut self) -> Result<&mut Client, Trouble> {
        self.client.as_mut().ok_or_else(|| Trouble::Lost("the connection is closed".to_owned()))
    }

    /// In one question, where the database knows all of them.
    fn set_all(&mut self, settings: &[&str]) -> Result<(), Trouble> {
        let sql: String = settings.iter().map(|setting| format!("SET {setting};")).collect();
        match self.client()?.batch_execute(&sql) {
            Err(error) if error.as_db_error().is_some() && !error.is_closed() => {
                settings.iter().try_for_each(|setting| self.set(setting))
            }
            done => Ok(done?),
        }
    }

    /// A database that does not know a setting does without it.
    fn set(&mut self, setting: &str) -> Result<(), Trouble> {
        match self.client()?.batch_execute(&format!("SET {setting}")) {
            Err(error) if error.as_db_error().is_some() && !error.is_closed() => {
                tracing::debug!(setting, error = describe(&error), "a setting is unknown");
                Ok(())
            }
            done => Ok(done?),
        }
    }

    fn check(&mut self) -> Result<(), Trouble> {
        for (setting, allowed, required) in REQUIRED {
            let sql = format!("SELECT current_setting('{setting}', true)");
            let row = self.client()?.query_one(&sql, &[])?;
            let found: Option<String> = row.try_get(0)?;
            if let Some(found) = found.filter(|found| !allowed.contains(&found.as_str())) {
                let unsafe_setting = LedgerError::UnsafeSetting { setting, found, required };
                return Err(Trouble::Failed(unsafe_setting));
            }
        }
        Ok(())
    }

    /// Statements of the program itself, which are prepared once.
    pub(super) fn query(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepared(sql)?;
        Ok(self.client()?.query(&statement, values)?)
    }

    pub(super) fn query_opt(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Option<Row>, Trouble> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    pub(super) fn query_one(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Row, Trouble> {
        let row = self.query_opt(sql, values)?;
        row.ok_or_else(|| super::fault::corrupt("a question that always has an answer had none"))
    }

    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<u64, Trouble> {
        let statement = self.prepared(sql)?;
        Ok(self.client()?.execute(&statement, values)?)
    }

    /// Goes through rows as they come, without holding all of them in memory.
    pub(super) fn each<E: From<Trouble>>(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
        mut take: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let statement = self.prepared(sql)?;
        let rows = self.client()?.query_raw(&statement, values.iter().copied());
        let mut rows = rows.map_err(Trouble::from)?;
        while let Some(row) = rows.next().map_err(Trouble::from)? {
            take(&row)?;
        }
        Ok(())
    }

    /// Several statements at once, none of which answers.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), Trouble> {
        Ok(self.client()?.batch_execute(sql)?)
    }

    fn prepared(&mut self, sql: &'static str) -> Result<Statement, Trouble> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client()?.prepare(sql)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Does `work` in one transaction. On any error all of it is undone.
    pub(super) fn transact<T, E: From<Trouble>>(
        &mut self,
        begin: &str,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.batch(begin)?;
        match work(self) {
            Ok(done) => {
                self.batch("COMMIT")?;
                Ok(done)
            }
            Err(trouble) => {
                self.undo();
                Err(trouble)
            }
        }
    }

    /// Rolls back. A connection that cannot even do that is closed, which does it as well.
    pub(super) fn undo(&mut self) {
        if self.batch("ROLLBACK").is_err() {
            self.close();
        }
    }

    /// True where nothing more can be asked.
    pub(super) fn is_closed(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_closed)
    }

    fn close(&mut self) {
        self.statements.clear();
        let Some(client) = self.client.take() else { return };
        // A connection has a runtime of its own, which must not end within another one: readers
        // are dropped anywhere.
        let gone = std::thread::Builder::new().name("ledger-close".to_owned());
        if let Ok(thread) = gone.spawn(move || drop(client)) {
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection that could not be made: at the first try that is the answer, later it is tried
/// again.
fn refused(address: &Address, error: &postgres::Error) -> Trouble {
    let what = describe(error);
    if what.contains(READ_ONLY) {
        return Trouble::Failed(LedgerError::UnsafeSetting {
            setting: "transaction_read_only",
            found: "on".to_owned(),
            required: "off: the ledger writes",
        });
    }
    Trouble::Lost(format!("no connection to {}: {what}", address.name()))
}

fn settings(purpose: Purpose) -> Vec<&'static str> {
    let mut settings = vec!["search_path = broker_ledger, pg_temp", "bytea_output = hex"];
    settings.extend(KEEPALIVES);
    settings.extend(match purpose {
        Purpose::Write => WRITER.as_slice(),
        Purpose::Read => READER.as_slice(),
        Purpose::Audit => AUDITOR.as_slice(),
    });
    settings
}

/// A client that vanishes without a word is missed by the server within half a minute, as a server
/// is by its client: until then the server keeps its locks, such as the leader's.
const KEEPALIVES: [&str; 4] = [
    "tcp_keepalives_idle = 10",
    "tcp_keepalives_interval = 5",
    "tcp_keepalives_count = 3",
    "tcp_user_timeout = 25000",
];

/// A writer that stops in the middle of a transaction holds its accounts for ten seconds at most.
///
/// Its statements look up a few rows by key, whatever the planner makes of tables that were empty
/// when it last looked.
const WRITER: [&str; 9] = [
    "idle_in_transaction_session_timeout = '10s'",
    "statement_timeout = '30s'",
    "lock_timeout = '15s'",
    "default_transaction_isolation = 'read committed'",
    "plan_cache_mode = force_generic_plan",
    "enable_seqscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
    "jit = off",
];

const READER: [&str; 2] = ["default_transaction_read_only = on", "statement_timeout = '60s'"];

const AUDITOR: [&str; 2] = ["default_transaction_read_only = on", "statement_timeout = 0"];

/// What durability rests on: the values that are allowed, and how they are named where another is
/// found. A setting that the database does not know is none of its own.
const REQUIRED: [(&str, &[&str], &str); 4] = [
    ("fsync", &["on"], "on"),
    ("full_page_writes", &["on"], "on"),
    ("synchronous_commit", &["on", "remote_apply"], "on or remote_apply"),
    ("transaction_read_only", &["off"], "off: the ledger writes"),
];

/// How the client says that a server only reads.
const READ_ONLY: &str = "does not allow writes";

//! `ledger.url` and what lies beside the ledger.

use std::fmt;
use std::path::{Path, PathBuf};

use broker_core::{LedgerError, PostgresLedger};

use super::secret::PRESENT;
use super::{Secret, Settings};

/// `ledger.url`
#[derive(Clone, Debug)]
pub enum LedgerUrl {
    /// `sqlite://PATH`
    Sqlite(PathBuf),
    /// `postgres://…`, which has a password in it as a rule.
    Postgres(Secret<String>),
}

/// How long receipts stay in the ledger, and where they go from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days that an entry stays before it is archived; `None` is for ever.
    pub days: Option<u64>,
    /// The folder of the archives; `None` is `archive` in the state folder.
    pub folder: Option<PathBuf>,
}

impl LedgerUrl {
    /// Reads an address as `ledger.url` takes it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if Self::is_postgres(text) {
            return postgres(text);
        }
        let path = text.strip_prefix("sqlite://").ok_or(RULE)?;
        // SQLite reads `:memory:` and `file:…` as commands; a ledger in memory forgets its money.
        let is_command = path.starts_with(':') || path.starts_with("file:");
        let is_file = !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '\0']);
        if is_file && !is_command { Ok(Self::Sqlite(PathBuf::from(path))) } else { Err(RULE) }
    }

    /// Whether the text means to be the address of a PostgreSQL database, which has a password in
    /// it as a rule.
    pub(super) fn is_postgres(text: &str) -> bool {
        POSTGRES.iter().any(|scheme| text.starts_with(scheme))
    }
}

impl fmt::Display for LedgerUrl {
    /// The address without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url.expose())),
        }
    }
}

impl Settings {
    /// Where the files lie that belong to the ledger and are not in it.
    pub fn state_dir(&self) -> PathBuf {
        let given = self.state_dir.as_deref();
        let default = match &self.ledger {
            LedgerUrl::Sqlite(path) => match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            },
            LedgerUrl::Postgres(_) => Path::new(STATE_DIR),
        };
        given.unwrap_or(default).to_owned()
    }

    /// Where archives of the ledger lie.
    pub fn archive_dir(&self) -> PathBuf {
        let given = self.retention.folder.clone();
        given.unwrap_or_else(|| self.state_dir().join(ARCHIVE_DIR))
    }
}

fn postgres(text: &str) -> Result<LedgerUrl, &'static str> {
    if text.contains(PRESENT) {
        return Err("has the placeholder that check-config prints in place of a password");
    }
    // A space in a password is written %20.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(POSTGRES_RULE);
    }
    match PostgresLedger::check_address(text) {
        Err(LedgerError::Foreign { .. }) => Err(POSTGRES_RULE),
        // Certificates that cannot be read here may be there where it serves.
        _ => Ok(LedgerUrl::Postgres(Secret::new(text.to_owned()))),
    }
}

/// A password stands before the host, or among the parameters. The text is split as the client
/// does, which takes all before the one `@` for the user and password.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return PRESENT.to_owned() };
    let (login, place) = match rest.split_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let mut shown = format!("{scheme}://");
    if let Some(login) = login {
        let (user, password) = match login.split_once(':') {
            Some((user, _)) => (user, true),
            None => (login, false),
        };
        // An @ among the parameters ends what the client takes for a user.
        shown.push_str(if user.contains(['/', '?', '=', '&']) { PRESENT } else { user });
        if password {
            shown.push_str(&format!(":{PRESENT}"));
        }
        shown.push('@');
    }
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    shown.push_str(place);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    for (index, pair) in pairs.enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = if HARMLESS.contains(&name) { value } else { PRESENT };
        shown.push_str(&format!("{name}={value}"));
    }
    shown
}

const POSTGRES: [&str; 2] = ["postgres:", "postgresql:"];
const RULE: &str = "must be sqlite://PATH with the path of a file, or postgres://HOST/DATABASE";
const POSTGRES_RULE: &str = "must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, without spaces, \
                             several hosts as HOST:PORT,HOST:PORT; an @ in the password is written \
                             %40, a socket's folder goes into ?host=, and sslmode is disable, \
                             prefer or require";
/// Parameters whose values tell nothing that is secret.
const HARMLESS: [&str; 8] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "sslmode",
    "application_name",
    "connect_timeout",
];
const ARCHIVE_DIR: &str = "archive";
/// Where no file is the ledger.
const STATE_DIR: &str = "./data";

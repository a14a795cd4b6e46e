//! How the run before this one ended, kept beside the ledger.
//!
//! What is counted ends with the process: a ledger that fails ends it within seconds, before
//! anybody has asked for the numbers. So the next run tells them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::config::{LedgerUrl, Settings};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop, and did.
    Orderly,
    /// Its ledger failed: a charge may not have been made.
    Ledger,
    /// Without a word: killed, out of memory, without power, or a fault of its own.
    Died,
}

impl End {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Orderly, Self::Ledger, Self::Died];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orderly => "orderly",
            Self::Ledger => "ledger",
            Self::Died => "died",
        }
    }
}

/// The file that says how this run ended; while it runs, that it has not.
#[derive(Debug)]
pub struct EndMark(PathBuf);

impl EndMark {
    /// The mark of the sidecar with these settings. Those that share a database share a folder
    /// too, and are told apart by their machine's name and the port for operators.
    pub fn of(settings: &Settings) -> Self {
        let name = match &settings.ledger {
            LedgerUrl::Sqlite(_) => FILE.to_owned(),
            LedgerUrl::Postgres(_) => {
                let host = fs::read_to_string(HOSTNAME).unwrap_or_default();
                let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
                let host: String = host.chars().filter(is_plain).collect();
                format!("{FILE}-{host}-{}", settings.server.admin_listen.port())
            }
        };
        Self(settings.state_dir().join(name))
    }

    /// How the run before ended; `None` where there was none, or nobody can tell.
    pub fn last(&self) -> Option<End> {
        match fs::read_to_string(&self.0) {
            Ok(text) if text == RUNNING => Some(End::Died),
            Ok(text) => End::ALL.into_iter().find(|end| end.as_str() == text.trim_end()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, file = %self.0.display(), "the last end cannot be read");
                None
            }
        }
    }

    /// From now on a run that does not say how it ended has died.
    pub fn running(&self) {
        self.write(RUNNING);
    }

    /// This run ends so.
    pub fn ended(&self, end: End) {
        self.write(&format!("{:WIDTH$}", end.as_str()));
    }

    fn write(&self, word: &str) {
        if let Err(error) = self.try_write(word) {
            let file = self.0.display();
            tracing::warn!(%error, %file, "the next start will not know how this run ended");
        }
    }

    /// In place and always as long: a disk that is full takes it all the same.
    fn try_write(&self, word: &str) -> io::Result<()> {
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::options().write(true).create(true).truncate(false).open(&self.0)?;
        file.write_all(word.as_bytes())?;
        file.set_len(WIDTH as u64)?;
        file.sync_data()
    }
}

const FILE: &str = "last-end";
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
/// Of every word, filled up with spaces.
const WIDTH: usize = 8;
const RUNNING: &str = "running ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_says_nothing_has_died_and_others_ended_as_they_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state").join(FILE);
        let mark = EndMark(file.clone());
        assert_eq!(mark.last(), None);
        mark.running();
        assert_eq!(mark.last(), Some(End::Died));
        for end in End::ALL {
            mark.running();
            mark.ended(end);
            assert_eq!(EndMark(file.clone()).last(), Some(end));
        }
        fs::write(file, "something else").unwrap();
        assert_eq!(mark.last(), None);
        mark.running();
        assert_eq!(mark.last(), Some(End::Died));
    }

    #[test]
    fn sidecars_on_one_database_have_a_mark_each() {
        let mark = |url: &str, port: u16| {
            let port = ("SIDECAR__SERVER__ADMINLISTEN", format!("127.0.0.1:{port}"));
            let set = [("SIDECAR__LEDGER__URL", url.to_owned()), port];
            let set = set.map(|(key, value)| (key.into(), value.into()));
            EndMark::of(&Settings::load(None, set).unwrap()).0
        };
        assert_eq!(mark("sqlite:///a/ledger.db", 1), PathBuf::from("/a/last-end"));
        let [one, two] = [1, 2].map(|port| mark("postgres://a/b", port));
        assert!(one != two && one.starts_with("./data"), "{one:?} {two:?}");
    }

    // A full disk takes no more bytes, but those that it has can be others.
    #[test]
    fn every_word_takes_the_same_place() {
        assert_eq!(RUNNING.len(), WIDTH);
        assert!(End::ALL.iter().all(|end| end.as_str().len() <= WIDTH));
    }
}

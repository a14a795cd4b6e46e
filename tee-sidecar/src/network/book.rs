//! What the operator registered, kept beside the ledger: a chain has no place for the engine's
//! private address.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use broker_core::chain::ServiceParams;
use broker_core::{Neuron, Timestamp};
use serde::{Deserialize, Serialize};

/// A service as the operator registered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// The operator's name for it; the chain does not have it.
    pub name: String,
    /// Where the engine is; the chain has the sidecar's own address instead.
    pub url: String,
    /// The kind of service, `chatbot`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The model's name.
    pub model: String,
    /// How answers can be verified.
    pub verifiability: String,
    /// Neuron for one prompt token.
    pub input_price: Neuron,
    /// Neuron for one generated token.
    pub output_price: Neuron,
    /// When it was first registered, in milliseconds since 1970.
    pub created_at: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_at: u64,
}

impl Registered {
    /// Whether the chain has this service.
    pub fn is_on_chain(&self, params: &ServiceParams) -> bool {
        (&self.kind, &self.model, &self.verifiability, self.input_price, self.output_price)
            == (
                &params.kind,
                &params.model,
                &params.verifiability,
                params.input_price,
                params.output_price,
            )
    }

    /// The same at another time; what it replaces says when it began.
    pub(super) fn at(mut self, now: Timestamp, before: Option<&Self>) -> Self {
        self.created_at = before.map_or(now.0, |before| before.created_at);
        self.updated_at = now.0;
        self
    }
}

/// What is in force, and what will be once the chain has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// What is in force.
    pub current: Option<Registered>,
    /// Sent to the chain, which has not shown it yet.
    pub pending: Option<Registered>,
}

/// The file.
#[derive(Debug)]
pub struct Book(PathBuf);

impl Book {
    /// The file at this path, which need not exist.
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// What it holds; nothing where there is no file.
    ///
    /// # Errors
    /// It cannot be read, or is not what this program wrote.
    pub fn read(&self) -> io::Result<Page> {
        match fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let why = format!("{} is damaged: {error}", self.0.display());
                io::Error::new(io::ErrorKind::InvalidData, why)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Page::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces what it holds: all of it or nothing, also when the machine stops meanwhile.
    ///
    /// # Errors
    /// The disk does not take it; the file is what it was.
    pub fn write(&self, page: &Page) -> io::Result<()> {
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let beside = self.0.with_extension("json.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(page)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.0)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_only_the_owner_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.json");
        let book = Book::at(path.clone());
        assert_eq!(book.read().unwrap(), Page::default());
        let registered = Registered {
            name: "a".into(),
            url: "http://engine".into(),
            kind: "chatbot".into(),
            model: "m".into(),
            verifiability: "TeeML".into(),
            input_price: Neuron::new(u128::MAX),
            output_price: Neuron::new(2),
            created_at: 1,
            updated_at: 2,
        };
        for page in [
            Page { current: None, pending: Some(registered.clone()) },
            Page { current: Some(registered), pending: None },
        ] {
            book.write(&page).unwrap();
            assert_eq!(book.read().unwrap(), page);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{").unwrap();
        assert!(book.read().unwrap_err().to_string().contains("damaged"));
    }
}

//! Two heads of the receipt log: does the later one begin with the earlier one?

use std::path::{Path, PathBuf};

use broker_core::Digest32;
use broker_core::jcs::Json;
use broker_core::log::head::LogHead;
use broker_core::verify::{self, HeadsFault};
use reqwest::Url;

use super::keysets::{self, KeyFiles};
use super::receipt::note_head;
use super::{Auditor, Failure, Options, fetch, files, noted};
use crate::evidence::audit::Audit;

/// Where the heads are.
#[derive(Clone, Debug)]
pub struct LogFiles {
    /// The earlier head.
    pub from: PathBuf,
    /// The later one.
    pub to: PathBuf,
    /// The path from one to the other.
    pub proof: Option<PathBuf>,
    /// The server that is asked for the path otherwise.
    pub url: Option<String>,
    /// Whose signatures count.
    pub keys: KeyFiles,
}

/// Judges two heads.
pub fn audit_log(paths: &LogFiles, options: &Options) -> Result<Audit, Failure> {
    let auditor = Auditor::new(options)?;
    let mut audit = Audit::default();
    let keysets = keysets::load(&auditor, &mut audit, &paths.keys)?;
    let mut read = |path: &Path, check: &str| -> Result<Option<LogHead>, Failure> {
        let document = files::document(path).and_then(|bytes| json(path, &bytes));
        let Some(document) = noted(&mut audit, check, document)? else { return Ok(None) };
        match verify::signed_head(&document, &keysets) {
            Ok(head) => {
                let LogHead { size, root, .. } = head;
                audit.proved(check, format_args!("signed: {size} leaves under sha256:{root}"));
                Ok(Some(head))
            }
            Err(error) => {
                note_head(&mut audit, check, &error);
                Ok(None)
            }
        }
    };
    let from = read(&paths.from, "log.from")?;
    let to = read(&paths.to, "log.to")?;
    let (Some(from), Some(to)) = (from, to) else { return Ok(audit) };
    let path = match (&paths.proof, &paths.url) {
        (Some(file), _) => Some(path_of(file)),
        (None, Some(url)) if needs_path(&from, &to) => Some(fetched(url, &from, &to)),
        _ => None,
    };
    let path = path.map(|path| noted(&mut audit, "log.proof", path)).transpose()?.flatten();
    match verify::follows(&from, &to, path.as_deref()) {
        Ok(()) => {
            let grown = to.size.saturating_sub(from.size);
            let what = format_args!(
                "the log of {} leaves begins with that of {}: {grown} were added, nothing was \
                 taken out or moved",
                to.size, from.size
            );
            audit.proved("log.consistency", what);
            if to.at < from.at {
                let what = "the head with more leaves says that it is the earlier one";
                audit.not_checked("log.time", what);
            }
        }
        Err(error @ HeadsFault::NoProof) => {
            audit.missing("log.consistency", format_args!("{error}: give --proof or --url"));
        }
        Err(error) => audit.refuted("log.consistency", error),
    }
    Ok(audit)
}

/// Whether a path is needed to know: the heads alone may show enough.
fn needs_path(from: &LogHead, to: &LogHead) -> bool {
    matches!(verify::follows(from, to, None), Err(HeadsFault::NoProof))
}

fn json(path: &Path, bytes: &[u8]) -> Result<Json, Failure> {
    Json::parse(bytes).map_err(|error| Failure::Malformed(format!("{}: {error}", path.display())))
}

fn path_of(file: &Path) -> Result<Vec<Digest32>, Failure> {
    let named = |error| Failure::Malformed(format!("{}: {error}", file.display()));
    verify::path(&json(file, &files::document(file)?)?).map_err(named)
}

fn fetched(base: &str, from: &LogHead, to: &LogHead) -> Result<Vec<Digest32>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("{base}: {error}"));
    let mut url = Url::parse(base).map_err(|error| wrong(&error))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong(&"an address begins with https://"));
    }
    let root = url.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
    url.set_path(&format!("{root}/v1/log/proof/consistency"));
    let sizes = [("from", from.size.to_string()), ("to", to.size.to_string())];
    url.query_pairs_mut().clear().extend_pairs(sizes);
    eprintln!("asking {} for the path", url.origin().ascii_serialization());
    let answer =
        fetch::run(async { fetch::get(fetch::client(&url)?.get(url.clone()), &url).await })?;
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::Malformed(format!("{}: {error}", url.origin().ascii_serialization()))
    };
    let document = Json::parse(&answer.body).map_err(|error| unreadable(&error))?;
    verify::path(&document).map_err(|error| unreadable(&error))
}

//! `ledger.*`: where the money is.

use std::path::PathBuf;

use super::super::raw::RawLedger;
use super::super::text::Text;
use super::super::{LedgerUrl, secret};
use super::Check;

/// Reads `ledger.url`, or the file that holds it.
pub(super) fn url(check: &mut Check, raw: &RawLedger) -> LedgerUrl {
    let default = LedgerUrl::Sqlite(PathBuf::from(LEDGER_PATH));
    let (key, given, parsed) = match (&raw.url, &raw.url_file) {
        (None, None) => return default,
        (Some(_), Some(_)) => {
            check.refuse_key(URL, format!("must not be given together with {URL_FILE}"));
            return default;
        }
        (Some(given), None) => (URL, given, parse(given.as_str())),
        (None, Some(given)) => (URL_FILE, given, in_file(given.as_str())),
    };
    parsed.unwrap_or_else(|rule| {
        if LedgerUrl::is_postgres(given.as_str()) {
            check.refuse_secret(key, &rule, given.is_from_environment());
        } else {
            check.refuse(key, given, rule);
        }
        default
    })
}

fn parse(text: &str) -> Result<LedgerUrl, String> {
    LedgerUrl::parse(text).map_err(str::to_owned)
}

fn in_file(path: &str) -> Result<LedgerUrl, String> {
    let text = secret::read(path)?;
    parse(text.expose()).map_err(|rule| format!("names a file whose text {rule}"))
}

/// Reads `ledger.stateDir`.
pub(super) fn state_dir(check: &mut Check, given: Option<&Text>) -> Option<PathBuf> {
    check.parsed("ledger.stateDir", given, None, "must be the path of a folder", |text| {
        (!text.is_empty() && !text.contains('\0')).then(|| Some(PathBuf::from(text)))
    })
}

const URL: &str = "ledger.url";
const URL_FILE: &str = "ledger.urlFile";
const LEDGER_PATH: &str = "./data/ledger.db";

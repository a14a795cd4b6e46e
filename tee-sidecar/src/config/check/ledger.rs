//! `ledger.*`: where the money is.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::super::raw::RawLedger;
use super::super::text::Text;
use super::super::{LedgerUrl, Retention, secret};
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

pub(in super::super) fn in_file(path: &str) -> Result<LedgerUrl, String> {
    let text = secret::read(path)?;
    parse(text.expose()).map_err(|rule| format!("names a file whose text {rule}"))
}

/// Reads `ledger.stateDir`.
pub(super) fn state_dir(check: &mut Check, given: Option<&Text>) -> Option<PathBuf> {
    check.parsed("ledger.stateDir", given, None, "must be the path of a folder", |text| {
        (!text.is_empty() && !text.contains('\0')).then(|| Some(PathBuf::from(text)))
    })
}

/// Reads `ledger.retentionDays` and `ledger.archiveDir`.
pub(super) fn retention(check: &mut Check, raw: &RawLedger) -> Retention {
    let rule = "must be a whole number of days from 1 to 36500; leave it out to keep all for ever";
    let (key, given) = ("ledger.retentionDays", raw.retention_days.as_ref());
    let days = check.parsed(key, given, None, rule, |text| {
        let is_digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|days| is_digits && DAYS.contains(days)).map(Some)
    });
    let (key, given) = ("ledger.archiveDir", raw.archive_dir.as_ref());
    let folder = check.parsed(key, given, None, "must be the path of a folder", |text| {
        (!text.is_empty() && !text.contains('\0')).then(|| Some(PathBuf::from(text)))
    });
    Retention { days, folder }
}

/// A day is the least that an auditor may be late by; a century is for ever.
const DAYS: RangeInclusive<u64> = 1..=36_500;
const URL: &str = "ledger.url";
const URL_FILE: &str = "ledger.urlFile";
const LEDGER_PATH: &str = "./data/ledger.db";

//! The end of a ledger that a saved report shows.

use std::path::Path;

use super::{Failure, files};
use crate::evidence::ledger_head::{BadHead, LedgerHead};
use crate::evidence::saved::{SigningKey, parse_reports};

/// The head in the report, signed by the key that the report is about. Of a document with several
/// reports all heads have to be the same.
///
/// # Errors
/// It cannot be read, has no head, or one that another key signed, or for another report.
pub fn pinned(path: &Path) -> Result<LedgerHead, Failure> {
    let named =
        |why: &dyn std::fmt::Display| Failure::Malformed(format!("{}: {why}", path.display()));
    let refuted =
        |why: &dyn std::fmt::Display| Failure::Refuted(format!("{}: {why}", path.display()));
    let reports = parse_reports(&files::read(path)?).map_err(|error| named(&error))?;
    let mut pinned: Option<LedgerHead> = None;
    for report in reports {
        let Some(signed) = report.ledger_head else { continue };
        let signer = signed.signer().map_err(|error| match error {
            BadHead::Malformed => named(&error),
            BadHead::OtherSigner => refuted(&error),
        })?;
        if report.signer != Some(SigningKey::Ecdsa(signer)) {
            return Err(refuted(&"its ledger_head is not signed by its signing_address"));
        }
        if signed.head.nonce.is_some() && signed.head.nonce != report.nonce {
            return Err(refuted(&"its ledger_head was signed for the nonce of another report"));
        }
        if pinned.is_some_and(|other| other != signed.head) {
            return Err(refuted(&"it shows the ends of different ledgers"));
        }
        pinned = Some(signed.head);
    }
    let missing = format!("{}: the report shows no ledger_head", path.display());
    pinned.ok_or(Failure::Unreachable(missing))
}

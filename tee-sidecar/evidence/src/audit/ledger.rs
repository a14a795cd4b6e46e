//! The end of the ledger's chain, where the report shows one.

use super::Audit;
use crate::Nonce32;
use crate::ledger_head::{BadHead, LedgerHead};
use crate::saved::{SavedReport, SigningKey};

/// After the key: a head is worth what the attestation of its key is worth.
/// One that was made for another report could be an old one, and hide what was cut off since.
pub(super) fn check(audit: &mut Audit, report: &SavedReport, chosen: Option<Nonce32>) {
    let Some(signed) = &report.ledger_head else {
        return audit.not_checked("ledger_head", "the report shows no end of a ledger");
    };
    let signer = match signed.signer() {
        Ok(signer) => signer,
        Err(error @ BadHead::Malformed) => return audit.malformed("ledger_head", error),
        Err(error) => return audit.refuted("ledger_head", error),
    };
    let head = &signed.head;
    let is_of_report = head.nonce.is_none_or(|nonce| report.nonce == Some(nonce));
    let is_of_auditor = chosen.is_none() || head.nonce == chosen;
    match audit.signer {
        Some(SigningKey::Ecdsa(attested)) if attested == signer && !is_of_report => {
            audit.refuted("ledger_head", "it was signed for another nonce: it is another report's");
        }
        Some(SigningKey::Ecdsa(attested)) if attested == signer && !is_of_auditor => {
            let why = "it was not signed for the nonce that you chose: it may be an old one";
            audit.refuted("ledger_head", why);
        }
        Some(SigningKey::Ecdsa(attested)) if attested == signer => {
            let LedgerHead { entries, unlinked, head, nonce, at } = head;
            let old = if nonce.is_some() { "" } else { ", for everybody and so of any age" };
            let why = format_args!(
                "the attested key signed a ledger of {entries} entries, last link {head}, and \
                 {unlinked} that wait to be linked, at {at} ms{old}; hold a ledger to it with \
                 `ledger audit --report FILE`"
            );
            audit.proved("ledger_head", why);
        }
        Some(_) => audit.refuted("ledger_head", "it is not signed by the attested key"),
        None => audit.not_checked("ledger_head", "no quote tells whose key signed it"),
    }
}

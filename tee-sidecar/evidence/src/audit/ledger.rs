//! The end of the ledger's chain, where the report shows one.

use super::Audit;
use crate::ledger_head::BadHead;
use crate::saved::{SavedReport, SigningKey};

/// After the key: a head is worth what the attestation of its key is worth.
pub(super) fn check(audit: &mut Audit, report: &SavedReport) {
    let Some(signed) = &report.ledger_head else {
        return audit.not_checked("ledger_head", "the report shows no end of a ledger");
    };
    let signer = match signed.signer() {
        Ok(signer) => signer,
        Err(error @ BadHead::Malformed) => return audit.malformed("ledger_head", error),
        Err(error) => return audit.refuted("ledger_head", error),
    };
    match audit.signer {
        Some(SigningKey::Ecdsa(attested)) if attested == signer => {
            let head = &signed.head;
            let why = format_args!(
                "the attested key signed a ledger of {} entries, last link {}, at {} ms; hold a \
                 ledger to it with `ledger audit --report FILE`",
                head.entries, head.head, head.at
            );
            audit.proved("ledger_head", why);
        }
        Some(_) => audit.refuted("ledger_head", "it is not signed by the attested key"),
        None => audit.not_checked("ledger_head", "no quote tells whose key signed it"),
    }
}

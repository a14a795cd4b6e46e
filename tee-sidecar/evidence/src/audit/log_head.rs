//! The head of the receipts' log, which `binding=v2` covers, and the keyset that it names.

use broker_core::keyset::NotSigned;
use broker_core::log::{LogHead, head};

use super::{Audit, Materials, keyset};
use crate::policy::Policy;
use crate::saved::SavedReport;

/// After the binding, which covers the head by the hash that is compared here.
pub(super) fn check(
    audit: &mut Audit,
    report: &SavedReport,
    materials: &Materials<'_>,
    policy: &Policy,
) {
    let covered = report.binding.as_ref().and_then(|binding| binding.log_head);
    let (covered, signed) = match (covered, &report.log_head) {
        (Some(covered), Some(signed)) => (covered, signed),
        (Some(_), None) => {
            return audit.missing("log_head", "the quote covers one, and the report lacks it");
        }
        (None, Some(_)) => {
            return audit.refuted("log_head", "the quote covers no head, so this one is anybody's");
        }
        (None, None) => {
            if report.keyset.is_some() {
                let why = "nothing that the quote covers names this workload_keyset";
                audit.refuted("keyset", why);
            }
            if report.binding.is_some() {
                audit.not_checked("log_head", "the report shows no head of a receipt log");
            }
            return;
        }
    };
    if head::hash(signed) != covered {
        return audit.refuted("log_head", "it is not the one that the binding names");
    }
    let Some(keyset) = keyset::read(audit, report) else { return };
    match LogHead::verify(signed.clone(), &keyset) {
        Ok(LogHead { log, size, root, at }) => {
            let what = format_args!(
                "a log of {size} receipts, root sha256:{root}, id sha256:{log}, at {} ms; hold a \
                 later head to it with `verify log`",
                at.0
            );
            audit.proved("log_head", what);
        }
        Err(error @ NotSigned::Member(_)) => return audit.malformed("log_head", error),
        Err(error) => return audit.refuted("log_head", error),
    }
    audit.proved("keyset", format_args!("sha256:{}, as the head names it", keyset.digest()));
    keyset::bound(audit, &keyset, materials, &policy.keyset);
}

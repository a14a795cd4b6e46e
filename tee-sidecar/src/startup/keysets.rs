//! The keys of receipts, as reports show them.

use std::sync::Arc;

use broker_core::log::{self, LogHead};
use broker_core::{Clock, LedgerReader, LogTiles};

use super::{Parts, StartError};
use crate::attest::{AttestError, KeepError, KeysetKeeper, ReportError};
use crate::identity::Identity;

/// Who keeps the keysets. The one of now is kept already, and reports show the log.
pub(super) async fn keeper(
    parts: &Parts,
    reader: &Arc<dyn LedgerReader>,
) -> Result<KeysetKeeper, StartError> {
    parts.reports.show_log(head_of(reader.clone(), parts.clock.clone()));
    let keeper = KeysetKeeper {
        reports: parts.reports.clone(),
        identities: parts.receipts.0.clone(),
        signer: parts.signer.clone(),
        ledger: parts.ledger.clone(),
        reader: reader.clone(),
        clock: parts.clock.clone(),
    };
    keeper.keep().await.map_err(|error| match error {
        KeepError::Ledger(error) => StartError::Ledger(error),
        KeepError::Report(ReportError::NoEvidence(error)) | KeepError::Lineage(error) => {
            StartError::Attest(error)
        }
        error @ (KeepError::Report(_) | KeepError::Turned) => {
            StartError::Attest(AttestError::SelfCheck(error.to_string()))
        }
    })?;
    Ok(keeper)
}

/// Signs the log as it is at the moment. A log that cannot be read is not shown.
fn head_of(
    reader: Arc<dyn LedgerReader>,
    clock: Arc<dyn Clock>,
) -> impl Fn(&Identity) -> Option<String> {
    move |identity| {
        let read = reader.log().and_then(|log| {
            let root = log::root(&LogTiles(&*reader), log.size)?;
            Ok(LogHead { log: log.id, size: log.size, root, at: clock.now() })
        });
        match read {
            Ok(head) => Some(head.sign(identity.author())),
            Err(error) => {
                tracing::warn!(%error, "a report without the head of the receipt log");
                None
            }
        }
    }
}

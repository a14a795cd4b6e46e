//! What reports show of the keys that sign receipts: the head of their log, and how the keyset
//! stands to the one before it.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use broker_core::Digest32;
use broker_core::jcs::Json;
use serde_json::value::RawValue;

use super::{Parts, ReportError};
use crate::identity::Identity;

/// Signs the head of the log as this identity; `None` where the log cannot be read.
type SignHead = Box<dyn Fn(&Identity) -> Option<String> + Send + Sync>;

/// As it becomes known.
#[derive(Default)]
pub(super) struct Keysets {
    head: OnceLock<SignHead>,
    lineage: RwLock<Option<(Digest32, Arc<RawValue>)>>,
}

/// What a document says of the keyset; when another is true, another document is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    digest: Digest32,
    has_lineage: bool,
}

impl Keysets {
    pub(super) fn show_log(&self, head: SignHead) {
        let _ = self.head.set(head);
    }

    pub(super) fn show_lineage(&self, keyset: Digest32, document: Box<RawValue>) {
        let shown = Some((keyset, document.into()));
        *self.lineage.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// The signed head in its canonical form, whose hash the quote covers.
    pub(super) fn head(&self, identity: &Identity) -> Result<Option<String>, ReportError> {
        let Some(signed) = self.head.get().and_then(|sign| sign(identity)) else {
            return Ok(None);
        };
        let read = Json::parse(signed.as_bytes()).map_err(|error| {
            tracing::error!(%error, "the log's head");
            ReportError::CheckFailed
        })?;
        Ok(Some(read.canonical()))
    }

    /// The lineage of an identity's keyset, where it is known.
    pub(super) fn of(&self, identity: &Identity) -> (Stamp, Option<Arc<RawValue>>) {
        let known = self.lineage.read().unwrap_or_else(PoisonError::into_inner).clone();
        let lineage = known.filter(|(keyset, _)| *keyset == identity.digest());
        let stamp = Stamp { digest: identity.digest(), has_lineage: lineage.is_some() };
        (stamp, lineage.map(|(_, document)| document))
    }

    /// What is true now.
    pub(super) fn stamp(&self, parts: &Parts) -> Stamp {
        self.of(&parts.identities.at(parts.clock.now())).0
    }
}

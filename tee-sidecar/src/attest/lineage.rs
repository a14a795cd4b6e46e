//! Keeps what receipts need for as long as the ledger: each keyset, a report that attests it, and
//! the word of the signer of answers that it follows the keyset before it.
//!
//! The signer outlives restarts where a key service keeps it; the keys of receipts do not. Where
//! the signer is another one, the line of keysets is broken, and reports say so.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Clock, Digest32, Kept, KeptKind, LedgerError, LedgerHandle, LedgerReader, Signer, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::{AttestError, ReportError, ReportService};
use crate::evidence::lineage::{Lineage, LineageState, SignedLineage};
use crate::identity::{Identities, Identity};

/// Keeps the keyset of each time.
#[derive(Clone)]
pub struct KeysetKeeper {
    /// Makes the report.
    pub reports: ReportService,
    /// Whose keysets they are.
    pub identities: Arc<Identities>,
    /// Vouches for them.
    pub signer: Arc<dyn Signer>,
    /// Where they are kept.
    pub ledger: LedgerHandle,
    /// Reads what was kept before.
    pub reader: Arc<dyn LedgerReader>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl KeysetKeeper {
    /// Keeps the keyset of now, unless it is kept already, and shows its lineage in reports.
    ///
    /// # Errors
    /// There is no evidence, or the ledger does not take it.
    pub async fn keep(&self) -> Result<(), KeepError> {
        let now = self.clock.now();
        let identity = self.identities.at(now);
        let digest = identity.digest();
        let (reader, signer, of) = (self.reader.clone(), self.signer.clone(), identity.clone());
        let known = spawn_blocking(move || known(&*reader, &*signer, &of, now)).await;
        let Known { is_kept, lineage, state } = known.map_err(|_| LedgerError::Stopped)??;
        if state == LineageState::Broken {
            tracing::warn!(
                keyset = identity.label(),
                "the key lineage is broken: the signer of answers is another one than vouched for \
                 the keyset before; reports say so, and clients have to attest this one anew"
            );
        }
        let body = lineage.get().as_bytes().to_vec();
        self.reports.show_lineage(digest, lineage);
        if is_kept {
            self.identities.sign_as(identity);
            return Ok(());
        }
        let report = self.reports.aci_report_for(None, None).await?.to_vec();
        if named(&report) != Some(digest) {
            // The quarter turned meanwhile: the next look keeps the keyset that is due then.
            return Err(KeepError::Turned);
        }
        let keyset = identity.keyset().as_bytes().to_vec();
        // The keyset last: what is found there has the others beside it.
        let documents =
            [(KeptKind::Lineage, body), (KeptKind::Report, report), (KeptKind::Keyset, keyset)];
        let kept = documents.map(|(kind, body)| Kept { kind, name: digest, body, at: now });
        self.ledger.with_ledger(move |l| kept.iter().try_for_each(|one| l.keep(one))).await?;
        self.identities.sign_as(identity);
        Ok(())
    }

    /// Keeps each further keyset when its time has come. Never ends by itself.
    pub async fn run(self) {
        let mut done = self.identities.signing().digest();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let current = self.identities.at(self.clock.now()).digest();
            if current == done {
                continue;
            }
            match self.keep().await {
                Ok(()) => done = current,
                Err(error) => tracing::error!(%error, "the new keyset is not kept yet"),
            }
        }
    }
}

/// Why a keyset is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The ledger does not read or write.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// No report attests it.
    #[error("its report: {0}")]
    Report(#[from] ReportError),
    /// Another keyset became due while the report was made.
    #[error("its report attests another one, which is due by now")]
    Turned,
    /// The signer does not sign, or nothing can be encoded.
    #[error("its lineage: {0}")]
    Lineage(#[from] AttestError),
}

/// The keyset that a report names.
fn named(report: &[u8]) -> Option<Digest32> {
    #[derive(Deserialize)]
    struct Named {
        workload_keyset_digest: String,
    }
    let named: Named = serde_json::from_slice(report).ok()?;
    let mut bytes = [0; 32];
    let digits = named.workload_keyset_digest.strip_prefix("sha256:")?;
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(Digest32(bytes))
}

/// What the ledger tells of a keyset.
struct Known {
    is_kept: bool,
    /// The document that reports show, kept or new.
    lineage: Box<RawValue>,
    state: LineageState,
}

fn known(
    reader: &dyn LedgerReader,
    signer: &dyn Signer,
    identity: &Identity,
    now: Timestamp,
) -> Result<Known, KeepError> {
    let keyset = identity.digest();
    let is_kept = reader.kept(KeptKind::Keyset, &keyset)?.is_some();
    let kept = reader.kept(KeptKind::Lineage, &keyset)?;
    if let Some(lineage) = kept.and_then(|kept| usable(&kept, signer, &keyset)) {
        let state = lineage.0;
        return Ok(Known { is_kept, lineage: lineage.1, state });
    }
    let last = reader.kept_last(KeptKind::Keyset, 2)?;
    let previous = last.iter().map(|kept| kept.name).find(|name| *name != keyset);
    let before = match &previous {
        Some(previous) => reader.kept(KeptKind::Lineage, previous)?,
        None => None,
    };
    let before = before.and_then(|kept| Document::read(&kept)).map(Document::signed);
    let lineage = Lineage { keyset, previous, at: now.0 };
    let (document, state) = Document::of(&lineage, signer, before)?;
    let text = serde_json::to_string(&document).map_err(wrong)?;
    Ok(Known { is_kept, lineage: RawValue::from_string(text).map_err(wrong)?, state })
}

/// A kept document, where it is what this signer would say again.
fn usable(
    kept: &Kept,
    signer: &dyn Signer,
    keyset: &Digest32,
) -> Option<(LineageState, Box<RawValue>)> {
    let document = Document::read(kept)?;
    let before = document.before();
    let (stated, previous) = (document.state.clone(), document.previous.clone());
    let (says, by) = document.signed().read()?;
    let state = LineageState::of(&says, by, before.as_ref());
    let same = says.keyset == *keyset
        && by == signer.address()
        && previous == says.previous.map(|digest| format!("sha256:{digest}"))
        && stated == state.word();
    let text = String::from_utf8(kept.body.clone()).ok()?;
    same.then(|| Some((state, RawValue::from_string(text).ok()?))).flatten()
}

/// `key_lineage`, as [`crate::evidence::lineage`] has it.
#[derive(Serialize, Deserialize)]
struct Document {
    previous: Option<String>,
    statement: String,
    signature: String,
    signing_address: String,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_statement: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_signature: Option<String>,
}

impl Document {
    fn of(
        lineage: &Lineage,
        signer: &dyn Signer,
        before: Option<SignedLineage>,
    ) -> Result<(Self, LineageState), AttestError> {
        let statement = lineage.text();
        let signature = signer.sign_text(&statement).map_err(wrong)?;
        let state = LineageState::of(lineage, signer.address(), before.as_ref());
        let (previous_statement, previous_signature) =
            before.map(|one| (one.statement, format!("0x{}", hex::encode(one.signature)))).unzip();
        let document = Self {
            previous: lineage.previous.map(|digest| format!("sha256:{digest}")),
            statement,
            signature: signature.to_string(),
            signing_address: signer.address().to_string(),
            state: state.word().to_owned(),
            previous_statement,
            previous_signature,
        };
        Ok((document, state))
    }

    fn read(kept: &Kept) -> Option<Self> {
        serde_json::from_slice(&kept.body).ok()
    }

    fn signed(self) -> SignedLineage {
        SignedLineage { statement: self.statement, signature: unhex(&self.signature) }
    }

    fn before(&self) -> Option<SignedLineage> {
        let statement = self.previous_statement.clone()?;
        Some(SignedLineage { statement, signature: unhex(self.previous_signature.as_ref()?) })
    }
}

/// What is no hex is no signature either.
fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap_or_default()
}

fn wrong(cause: impl std::fmt::Display) -> AttestError {
    AttestError::SelfCheck(cause.to_string())
}

/// How often it is looked whether a further keyset is due. Until it is kept, receipts are signed
/// under the one before, which is good for another quarter.
const LOOK_EVERY: Duration = Duration::from_secs(10);

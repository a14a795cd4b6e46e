//! Receipts that have been kept for as long as the host wants: into an archive, and then out of the
//! ledger, once nothing depends on them any more.

use std::sync::Arc;
use std::time::Duration;

use broker_core::ledger::archive::{ArchiveError, Kept, Retention, retire};
use broker_core::{Clock, LedgerError, LedgerHandle, LedgerReader, Timestamp};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Lead, Sweeper};
use crate::config::Settings;

/// Archives for as long as it is polled. Of several sidecars on one ledger the one with the lead.
pub struct Archivist {
    ledger: LedgerHandle,
    reader: Arc<dyn LedgerReader>,
    clock: Arc<dyn Clock>,
    lead: Lead,
    folder: std::path::PathBuf,
    days: u64,
}

impl Archivist {
    /// `None` where receipts are kept for ever.
    pub fn of(settings: &Settings, sweeper: &Sweeper, lead: &Lead) -> Option<Self> {
        Some(Self {
            ledger: sweeper.ledger.clone(),
            reader: sweeper.reader.clone(),
            clock: sweeper.clock.clone(),
            lead: lead.clone(),
            folder: settings.archive_dir(),
            days: settings.retention.days?,
        })
    }

    /// Looks every hour, for ever.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut pause = FIRST_LOOK;
        loop {
            sleep(pause).await;
            pause = LOOK_EVERY;
            if !this.lead.is_ours() {
                continue;
            }
            let archivist = this.clone();
            match spawn_blocking(move || archivist.archive()).await {
                Ok(Ok(kept)) => told(&kept),
                Ok(Err(_)) if !this.lead.is_ours() => {
                    tracing::info!("this sidecar has lost the lead, and archives no more");
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "receipts are not archived; tried again in an hour");
                }
                Err(_) => tracing::error!("the archivist panicked; tried again in an hour"),
            }
        }
    }

    /// One look. Blocks.
    fn archive(&self) -> Result<Kept, ArchiveError> {
        let now = self.clock.now();
        let before = Timestamp(now.0.saturating_sub(self.days.saturating_mul(DAY_MILLIS)));
        let retention = Retention { folder: self.folder.clone(), before, now };
        // Whoever has the lead now goes on where this ends.
        let mut apply = |command| match self.lead.is_ours() {
            true => self.ledger.apply_blocking(command),
            false => Err(LedgerError::Stopped),
        };
        retire(&*self.reader, &retention, &mut apply)
    }
}

fn told(kept: &Kept) {
    if let Some((path, summary)) = &kept.archive {
        let (from, upto) = (summary.behind.saturating_add(1), summary.upto);
        tracing::info!(path = %path.display(), from, upto, "archived");
    }
    if kept.retired > 0 {
        tracing::info!(commands = kept.retired, "archived receipts have left the ledger");
    }
}

/// Not at once: a sidecar has better things to do when it starts.
const FIRST_LOOK: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(3600);
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use broker_core::{
        Command, Cover, Digest32, Fingerprint, Hold, Ledger, LocalSigner, MemoryLedger, Neuron,
        Outcome, Receipt, ReceiptId, RequestKey, Signer, Tariff, Usage, UserId, spawn_writer,
    };

    use super::*;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0)
        }
    }

    const DAY: u64 = DAY_MILLIS;

    fn finished(ledger: &mut MemoryLedger, n: u8, at: u64) -> ReceiptId {
        let (user, id) = (UserId::named("a"), ReceiptId::mint(Timestamp(1)));
        let hold = Hold {
            key: RequestKey(Digest32([n; 32])),
            fingerprint: Fingerprint(Digest32([n; 32])),
            receipt: id,
            user,
            amount: Neuron::new(10),
            tariff: Tariff::per_token(Neuron::new(1), Neuron::new(1)),
            expires: Timestamp(at + 1),
        };
        let signer = LocalSigner::from_secret(&[7; 32]).unwrap();
        let receipt = Receipt {
            id,
            user,
            outcome: Outcome::Complete,
            status: 200,
            usage: Usage { input: 3, ..Usage::default() },
            fee: Neuron::new(3),
            request_hash: Digest32([n; 32]),
            response_hash: Digest32([n; 32]),
            bytes: 1,
            events: 0,
            signature: signer.sign_text("text").unwrap(),
            signing_address: signer.address(),
            upstream_id: None,
            drained: false,
            served_at: Timestamp(at),
            proof: None,
        };
        let key = hold.key;
        let batch = [Command::Reserve(hold), Command::Capture { key, receipt: Box::new(receipt) }];
        let decided = ledger.apply(&batch, Timestamp(at)).unwrap();
        assert!(decided.iter().all(Result::is_ok), "{decided:?}");
        id
    }

    /// Whose day is the sixth, on a ledger with a receipt of the first day and one of the fifth.
    fn archivist(folder: &Path, lead: Lead) -> (Archivist, [ReceiptId; 2]) {
        let mut ledger = MemoryLedger::new();
        let cover = Command::Mirror { user: UserId::named("a"), cover: Cover::Unlimited };
        ledger.apply(&[cover], Timestamp(0)).unwrap().remove(0).unwrap();
        let ids = [finished(&mut ledger, 1, DAY), finished(&mut ledger, 2, 5 * DAY)];
        let clock = Arc::new(At(6 * DAY));
        let reader = ledger.reader().unwrap();
        let ledger = spawn_writer(Box::new(ledger), clock.clone());
        let folder = folder.join("archive");
        (Archivist { ledger, reader, clock, lead, folder, days: 3 }, ids)
    }

    #[test]
    fn nothing_leaves_once_the_lead_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (archivist, [old, _]) = archivist(folder.path(), Lead::gone());
        archivist.archive().unwrap_err();
        assert!(archivist.reader.receipt(&old).unwrap().is_some());
    }

    #[test]
    fn what_is_old_is_archived_and_leaves_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (archivist, [old, young]) = archivist(folder.path(), Lead::alone());
        let kept = archivist.archive().unwrap();
        assert_eq!((kept.archive.unwrap().1.upto, kept.retired), (3, 1));
        assert_eq!(archivist.reader.receipt(&old).unwrap(), None);
        assert!(archivist.reader.receipt(&young).unwrap().is_some());
        assert_eq!(archivist.reader.audit().unwrap().fault, None);
        // The second look finds nothing to do.
        assert_eq!(archivist.archive().unwrap(), Kept::default());
    }
}

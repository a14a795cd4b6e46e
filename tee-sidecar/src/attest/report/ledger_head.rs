//! Where the ledger's chain ends, read for a report. A ledger that does not answer delays no report
//! for long: the report is made without it.

use std::sync::{Arc, Mutex as Cell, OnceLock, PoisonError};

use broker_core::{Clock, LedgerError, LedgerReader};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, timeout};

use crate::evidence::Nonce32;
use crate::evidence::ledger_head::LedgerHead;

/// The ledger, once it is open.
#[derive(Default)]
pub(super) struct Heads {
    reader: OnceLock<Arc<dyn LedgerReader>>,
    /// Held while the ledger is asked, also when nobody waits for the answer any more: a database
    /// that hangs is asked once.
    asking: Arc<Mutex<()>>,
    /// Since when the chain has this length while entries wait for their place in it.
    waiting: Cell<Option<(u64, Instant)>>,
}

impl Heads {
    pub(super) fn show(&self, reader: Arc<dyn LedgerReader>) {
        let _ = self.reader.set(reader);
    }

    /// The head of this moment; `None` where there is no ledger, it does not say, or nobody gives
    /// entries their place any more: a head that stands still would vouch for nothing new.
    pub(super) async fn read(
        &self,
        clock: &dyn Clock,
        nonce: Option<Nonce32>,
    ) -> Option<LedgerHead> {
        let reader = self.reader.get()?.clone();
        let asking = self.asking.clone();
        let read = async move {
            let turn = asking.lock_owned().await;
            let read = spawn_blocking(move || {
                let _turn = turn;
                Ok::<_, LedgerError>((reader.unlinked()?, reader.head()?))
            });
            read.await
        };
        match timeout(HEAD_TIME_MAX, read).await {
            Ok(Ok(Ok((unlinked, (entries, _))))) if self.stands_still(entries, unlinked) => {
                tracing::warn!(
                    entries,
                    unlinked,
                    "a report without the ledger's head: no sidecar on this ledger gives entries \
                     their place in the chain"
                );
                None
            }
            Ok(Ok(Ok((unlinked, (entries, head))))) => {
                Some(LedgerHead { entries, unlinked, head, nonce, at: clock.now().0 })
            }
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a report without the ledger's head");
                None
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("a report without the ledger's head, which was not read in time");
                None
            }
        }
    }

    /// Whether entries wait, and the chain is as long as it was some seconds ago.
    fn stands_still(&self, entries: u64, unlinked: u64) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = match *waiting {
            Some((before, since)) if before == entries => since,
            _ => now,
        };
        *waiting = (unlinked > 0).then_some((entries, since));
        unlinked > 0 && now.duration_since(since) >= LINKED_WITHIN
    }
}

/// A leader links every quarter of a second, and another one takes over in seconds.
const LINKED_WITHIN: Duration = Duration::from_secs(10);

/// Reports wait for the ledger for so long.
const HEAD_TIME_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use broker_core::{Command, Cover, Ledger, MemoryLedger, Timestamp, UserId};

    use super::*;

    struct At;

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(9)
        }
    }

    #[tokio::test]
    async fn a_report_has_the_head_of_its_moment_and_none_without_a_ledger() {
        let heads = Heads::default();
        assert_eq!(heads.read(&At, None).await, None);
        let mut ledger = MemoryLedger::new();
        heads.show(ledger.reader().unwrap());
        assert_eq!(heads.read(&At, None).await.unwrap().entries, 0);
        let command = Command::Mirror { user: UserId::named("a"), cover: Cover::Unlimited };
        ledger.apply(&[command], Timestamp(1)).unwrap().remove(0).unwrap();
        let nonce = Some(Nonce32::from_bytes([3; 32]));
        let head = heads.read(&At, nonce).await.unwrap();
        assert_eq!((head.entries, head.unlinked, head.nonce, head.at), (1, 0, nonce, 9));
        assert_eq!(head.head, Ledger::audit(&ledger).unwrap().head);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_hangs_is_not_waited_for() {
        let heads = Heads::default();
        heads.show(MemoryLedger::new().reader().unwrap());
        let turn = heads.asking.clone().lock_owned().await;
        assert_eq!(heads.read(&At, None).await, None);
        drop(turn);
        assert!(heads.read(&At, None).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_that_stands_still_while_entries_wait_is_not_shown() {
        let heads = Heads::default();
        let secs = |secs| tokio::time::advance(Duration::from_secs(secs));
        for (waited, entries, unlinked, stands_still) in [
            (0, 5, 1, false),
            (9, 5, 4, false),
            (1, 5, 4, true),
            // The leader is back.
            (1, 6, 3, false),
            (9, 6, 0, false),
            // An hour without work is no hour without a leader.
            (3600, 6, 1, false),
            (10, 6, 1, true),
        ] {
            secs(waited).await;
            assert_eq!(heads.stands_still(entries, unlinked), stands_still, "{entries} {unlinked}");
        }
    }
}

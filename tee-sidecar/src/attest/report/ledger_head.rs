//! Where the ledger's chain ends, read for a report. A ledger that does not answer delays no report
//! for long: the report is made without it.

use std::sync::{Arc, OnceLock};

use broker_core::{Clock, LedgerReader};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, timeout};

use crate::evidence::ledger_head::LedgerHead;

/// The ledger, once it is open.
#[derive(Default)]
pub(super) struct Heads {
    reader: OnceLock<Arc<dyn LedgerReader>>,
    /// Held while the ledger is asked, also when nobody waits for the answer any more: a database
    /// that hangs is asked once.
    asking: Arc<Mutex<()>>,
}

impl Heads {
    pub(super) fn show(&self, reader: Arc<dyn LedgerReader>) {
        let _ = self.reader.set(reader);
    }

    /// The head of this moment; `None` where there is no ledger or it does not say.
    pub(super) async fn read(&self, clock: &dyn Clock) -> Option<LedgerHead> {
        let reader = self.reader.get()?.clone();
        let asking = self.asking.clone();
        let read = async move {
            let turn = asking.lock_owned().await;
            let read = spawn_blocking(move || {
                let _turn = turn;
                reader.head()
            });
            read.await
        };
        match timeout(HEAD_TIME_MAX, read).await {
            Ok(Ok(Ok((entries, head)))) => Some(LedgerHead { entries, head, at: clock.now().0 }),
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
}

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
        assert_eq!(heads.read(&At).await, None);
        let mut ledger = MemoryLedger::new();
        heads.show(ledger.reader().unwrap());
        assert_eq!(heads.read(&At).await.unwrap().entries, 0);
        let command = Command::Mirror { user: UserId::named("a"), cover: Cover::Unlimited };
        ledger.apply(&[command], Timestamp(1)).unwrap().remove(0).unwrap();
        let head = heads.read(&At).await.unwrap();
        assert_eq!((head.entries, head.at), (1, 9));
        assert_eq!(head.head, Ledger::audit(&ledger).unwrap().head);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_hangs_is_not_waited_for() {
        let heads = Heads::default();
        heads.show(MemoryLedger::new().reader().unwrap());
        let turn = heads.asking.clone().lock_owned().await;
        assert_eq!(heads.read(&At).await, None);
        drop(turn);
        assert!(heads.read(&At).await.is_some());
    }
}

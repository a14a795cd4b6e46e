//! Holds that have expired, freed every minute; never one of an exchange that still runs here. Of
//! an exchange in another process nothing is known, so holds last longer than any exchange should.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::writer::sweep;
use broker_core::{Clock, LedgerError, LedgerHandle, LedgerReader, Neuron, RequestKey};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// The holds of exchanges that run in this process.
#[derive(Debug, Default)]
pub struct Live(Mutex<HashMap<RequestKey, Neuron>>);

/// A hold whose exchange runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    live: Arc<Live>,
    key: RequestKey,
}

impl Live {
    /// The exchange of this hold begins. Of one key there is one exchange: the ledger has said so.
    pub fn begin(self: &Arc<Self>, key: RequestKey, amount: Neuron) -> Running {
        self.holds().insert(key, amount);
        Running { live: self.clone(), key }
    }

    /// Whether its exchange runs.
    pub fn has(&self, key: &RequestKey) -> bool {
        self.holds().contains_key(key)
    }

    /// How many run, and what they have set aside, in neuron.
    pub fn sum(&self) -> (usize, Neuron) {
        let holds = self.holds();
        let sum = holds.values().try_fold(Neuron::ZERO, |sum, amount| sum.checked_add(*amount));
        (holds.len(), sum.unwrap_or(Neuron::new(u128::MAX)))
    }

    fn holds(&self) -> MutexGuard<'_, HashMap<RequestKey, Neuron>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.live.holds().remove(&self.key);
    }
}

/// Frees expired holds for as long as it is polled.
pub struct Sweeper {
    /// Frees.
    pub ledger: LedgerHandle,
    /// Finds.
    pub reader: Arc<dyn LedgerReader>,
    /// Not these.
    pub live: Arc<Live>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Sweeper {
    /// Sweeps every minute, for ever.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut failed = false;
        loop {
            sleep(SWEEP_EVERY).await;
            let sweeper = this.clone();
            let swept = spawn_blocking(move || sweeper.sweep()).await;
            let swept = swept.unwrap_or(Err(LedgerError::Stopped));
            match &swept {
                Ok(0) => {}
                Ok(freed) => tracing::warn!(freed, "holds expired and are freed"),
                Err(error) if !failed => {
                    tracing::warn!(%error, "expired holds are not freed; tried again in a minute");
                }
                Err(_) => {}
            }
            failed = swept.is_err();
        }
    }

    /// One sweep, and how many holds it freed. Blocks.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn sweep(&self) -> Result<u64, LedgerError> {
        sweep(&self.ledger, &*self.reader, self.clock.now(), |key| self.live.has(key))
    }
}

const SWEEP_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use broker_core::{
        Command, Cover, Digest32, Fingerprint, Hold, Ledger, MemoryLedger, ReceiptId, Tariff,
        Timestamp, UserId, spawn_writer,
    };

    use super::*;

    #[derive(Default)]
    struct At(AtomicU64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn what_expired_is_freed_and_what_runs_is_not_until_it_ends() {
        let mut ledger = MemoryLedger::new();
        let user = UserId::named("a");
        let key = |n: u8| RequestKey(Digest32([n; 32]));
        let hold = |n: u8, expires| {
            Command::Reserve(Hold {
                key: key(n),
                fingerprint: Fingerprint(Digest32([n; 32])),
                receipt: ReceiptId::mint(Timestamp(1)),
                user,
                amount: Neuron::new(10),
                tariff: Tariff::per_token(Neuron::new(1), Neuron::new(1)),
                expires: Timestamp(expires),
            })
        };
        let cover = Command::Mirror { user, cover: Cover::Unlimited };
        let begun = ledger.apply(&[cover, hold(1, 5), hold(2, 5), hold(3, 50)], Timestamp(1));
        assert!(begun.unwrap().iter().all(Result::is_ok));
        let clock = Arc::new(At::default());
        let reader = ledger.reader().unwrap();
        let sweeper = Sweeper {
            ledger: spawn_writer(Box::new(ledger), clock.clone()),
            reader: reader.clone(),
            live: Arc::default(),
            clock: clock.clone(),
        };
        let running = sweeper.live.begin(key(2), Neuron::new(7));
        assert_eq!(sweeper.live.sum(), (1, Neuron::new(7)));
        assert_eq!(sweeper.sweep().unwrap(), 0);
        clock.0.store(6, Ordering::Relaxed);
        assert_eq!(sweeper.sweep().unwrap(), 1);
        assert_eq!(reader.account(&user).unwrap().held, Neuron::new(20));
        drop(running);
        assert_eq!(sweeper.sweep().unwrap(), 1);
        assert_eq!(sweeper.sweep().unwrap(), 0);
        assert_eq!(reader.account(&user).unwrap().held, Neuron::new(10));
    }
}

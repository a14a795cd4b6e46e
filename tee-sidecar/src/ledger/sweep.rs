//! Holds that have expired, freed every minute; never one of an exchange that still runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_core::RequestKey;

/// The holds of exchanges that run in this process.
#[derive(Debug, Default)]
pub struct Live(Mutex<HashSet<RequestKey>>);

/// A hold whose exchange runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    live: Arc<Live>,
    key: RequestKey,
}

impl Live {
    /// The exchange of this hold begins. Of one key there is one exchange: the ledger has said so.
    pub fn begin(self: &Arc<Self>, key: RequestKey) -> Running {
        self.keys().insert(key);
        Running { live: self.clone(), key }
    }

    /// Whether its exchange runs.
    pub fn has(&self, key: &RequestKey) -> bool {
        self.keys().contains(key)
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<RequestKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.live.keys().remove(&self.key);
    }
}

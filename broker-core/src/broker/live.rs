//! The holds whose exchanges run in this process: no sweep may free them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::RequestKey;

/// Counts the exchanges under each key: a retry that is about to be refused must not take the
/// running one's name off the list.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<Mutex<HashMap<RequestKey, u64>>>);

impl Live {
    /// Puts a key on the list until the answer is dropped.
    pub(super) fn enter(&self, key: RequestKey) -> Alive {
        let mut keys = self.keys();
        let count = keys.entry(key).or_default();
        *count = count.saturating_add(1);
        Alive { live: self.clone(), key }
    }

    pub(super) fn has(&self, key: &RequestKey) -> bool {
        self.keys().contains_key(key)
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<RequestKey, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One exchange on the list.
pub(super) struct Alive {
    live: Live,
    key: RequestKey,
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut keys = self.live.keys();
        let count = keys.get(&self.key).copied().unwrap_or_default().saturating_sub(1);
        match count {
            0 => drop(keys.remove(&self.key)),
            left => drop(keys.insert(self.key, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest32;

    #[test]
    fn a_key_is_on_the_list_until_its_last_exchange_has_gone() {
        let (live, key) = (Live::default(), RequestKey(Digest32([1; 32])));
        let (first, retry) = (live.enter(key), live.enter(key));
        drop(retry);
        assert!(live.has(&key));
        drop(first);
        assert!(!live.has(&key));
        assert!(live.keys().is_empty(), "the list grows for ever");
    }
}

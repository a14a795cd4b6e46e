//! Exchanges that ended of late, as the ledger has them.
//!
//! Most signatures are asked for right behind their answer: those need no look into the ledger.
//! Nothing is here before it is durable, what is durable never changes, and what is not here is
//! looked up there. So whatever is told from here the ledger would tell as well, but for a receipt
//! that went into an archive in the minutes since.
//!
//! Which receipt an engine's id names is the ledger's to say, since the first of an account keeps
//! the id. That stays so once it was told, and only then it is remembered.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use broker_core::{Receipt, ReceiptId, Tariff, UserId};

/// A receipt, and the prices that it was admitted under.
pub type Ended = Arc<(Receipt, Tariff)>;

/// An id that an engine gave one of an account's answers.
type Name = (UserId, String);

/// What is remembered of finished exchanges.
#[derive(Default)]
pub struct Recent {
    ended: Mutex<Ages<ReceiptId, Ended>>,
    names: Mutex<Ages<Name, ReceiptId>>,
}

impl Recent {
    /// Remembers what is durable.
    pub fn keep(&self, receipt: Receipt, tariff: Tariff) -> Ended {
        let (id, is_short) = (receipt.id, receipt.upstream_id.as_deref().is_none_or(is_short));
        let ended = Arc::new((receipt, tariff));
        if is_short {
            locked(&self.ended).put(id, ended.clone());
        }
        ended
    }

    /// Remembers which receipt this id of an engine names for the account.
    pub fn name(&self, owner: UserId, id: String, receipt: ReceiptId) {
        if is_short(&id) {
            locked(&self.names).put((owner, id), receipt);
        }
    }

    /// The exchange with this id.
    pub fn ended(&self, id: &ReceiptId) -> Option<Ended> {
        locked(&self.ended).get(id).cloned()
    }

    /// The receipt of the account's that this id of an engine names.
    pub fn named(&self, owner: UserId, id: &str) -> Option<ReceiptId> {
        locked(&self.names).get(&(owner, id.to_owned())).copied()
    }
}

fn locked<T>(ages: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    ages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Engines' ids are some dozens of bytes; nobody makes us remember megabytes.
fn is_short(id: &str) -> bool {
    id.len() <= NAME_BYTES_MAX
}

/// What came in this age and in the one before: nothing that is older than two of them, and never
/// more than twice [`AGE_MAX`].
struct Ages<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    since: Instant,
}

impl<K, V> Default for Ages<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), since: Instant::now() }
    }
}

impl<K: Eq + Hash, V> Ages<K, V> {
    fn put(&mut self, key: K, value: V) {
        let now = Instant::now();
        self.age(now);
        if self.young.len() >= AGE_MAX {
            self.turn(now);
        }
        self.young.insert(key, value);
    }

    fn get(&mut self, key: &K) -> Option<&V> {
        self.age(Instant::now());
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn age(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < AGE {
            return;
        }
        let next = self.since.checked_add(AGE).unwrap_or(now);
        self.turn(next);
        if passed >= AGE.saturating_mul(2) {
            self.turn(now);
        }
    }

    fn turn(&mut self, since: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.since = since;
    }
}

/// A few minutes: who asks later may wait for the ledger.
const AGE: Duration = Duration::from_secs(120);
/// Some 3 MB of receipts, twice.
const AGE_MAX: usize = 2048;
const NAME_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let mut ages = Ages::default();
        (0..=AGE_MAX).for_each(|n| ages.put(n, n));
        for n in [0, AGE_MAX] {
            assert_eq!(ages.get(&n), Some(&n));
        }
        (AGE_MAX..=2 * AGE_MAX).for_each(|n| ages.put(n, n));
        assert_eq!(ages.get(&0), None);
        assert_eq!(ages.get(&(2 * AGE_MAX)), Some(&(2 * AGE_MAX)));
        assert!(ages.young.len() + ages.old.len() <= 2 * AGE_MAX);
    }

    #[test]
    fn time_alone_forgets_too() {
        let mut ages = Ages::default();
        let began = ages.since;
        ages.put(1, 1);
        for (halves, young, old) in [(1, 1, 0), (3, 0, 1), (4, 0, 0)] {
            ages.age(began + AGE * halves / 2);
            assert_eq!((ages.young.len(), ages.old.len()), (young, old), "{halves}");
        }
        // What came while nobody asked is as old as what came last.
        ages.young.insert(2, 2);
        ages.age(began + AGE * 9);
        assert_eq!((ages.young.len(), ages.old.len()), (0, 0));
    }
}

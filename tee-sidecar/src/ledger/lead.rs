//! Which of the sidecars on one ledger collects its fees.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::Caretaker;

/// Whether this sidecar has the lead: of several on one database only one settles, since only one
/// may send from the wallet.
///
/// The lead may be lost at any moment, in the middle of a pass too, and that is harmless: a voucher
/// is written down before it is sent, the database takes one open voucher of a user and one voucher
/// under a nonce, whoever writes them, and the contract takes a nonce once. Two who believe to lead
/// can at worst send the same bytes twice.
#[derive(Clone, Default)]
pub struct Lead(Option<Arc<Mutex<Option<Caretaker>>>>);

impl Lead {
    /// Of a ledger that nobody else has.
    pub const fn alone() -> Self {
        Self(None)
    }

    /// Of a ledger that others have too.
    pub fn among_others(caretaker: Caretaker) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(caretaker)))))
    }

    /// One that was given up.
    #[cfg(test)]
    pub(super) fn gone() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether it is this sidecar's at this moment.
    pub fn is_ours(&self) -> bool {
        let Some(kept) = &self.0 else { return true };
        locked(kept).as_ref().is_some_and(Caretaker::is_leader)
    }

    /// How long ago the database that this sidecar shares last answered; `None` where it has the
    /// ledger for itself.
    pub fn silence(&self) -> Option<Duration> {
        locked(self.0.as_ref()?).as_ref().map(Caretaker::silence)
    }

    /// Leaves the lead to the others, for good. Blocks: call it from a thread that may.
    pub fn give_up(&self) {
        let caretaker = self.0.as_ref().and_then(|kept| locked(kept).take());
        if let Some(caretaker) = caretaker {
            caretaker.stop();
        }
    }
}

fn locked(kept: &Mutex<Option<Caretaker>>) -> MutexGuard<'_, Option<Caretaker>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lead").field(&self.is_ours()).finish()
    }
}

//! Which of the sidecars on one ledger collects its fees.

use std::fmt;
use std::sync::Arc;

/// Whether this sidecar has the lead: of several on one database only one settles, since only one
/// may send from the wallet.
///
/// The lead may be lost at any moment, in the middle of a pass too, and that is harmless: a voucher
/// is written down before it is sent, the database takes one open voucher of a user and one voucher
/// under a nonce, whoever writes them, and the contract takes a nonce once. Two who believe to lead
/// can at worst send the same bytes twice.
#[derive(Clone, Default)]
pub struct Lead(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Lead {
    /// Of a ledger that nobody else has.
    pub const fn alone() -> Self {
        Self(None)
    }

    /// Of a ledger that others have too; `leads` is asked each time, and must not wait.
    pub fn among_others(leads: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(leads)))
    }

    /// Whether it is this sidecar's at this moment.
    pub fn is_ours(&self) -> bool {
        self.0.as_ref().is_none_or(|leads| leads())
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lead").field(&self.is_ours()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn who_is_alone_leads_and_who_is_not_is_asked_each_time() {
        assert!(Lead::alone().is_ours());
        let leads = Arc::new(AtomicBool::new(false));
        let told = leads.clone();
        let lead = Lead::among_others(move || told.load(Ordering::Relaxed));
        assert!(!lead.is_ours());
        leads.store(true, Ordering::Relaxed);
        assert!(lead.clone().is_ours());
    }
}

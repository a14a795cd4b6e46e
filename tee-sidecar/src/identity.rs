//! Who signs receipts: the key of this sidecar, and the keyset that lists it.
//!
//! A keyset is valid until a date that all sidecars of a quarter of a year share, so that a restart
//! with the same key has the same keyset, and receipts of the same key the same digest. Towards its
//! end the next one takes over, with a report of its own.

use std::sync::{Arc, PoisonError, RwLock};

use broker_core::Digest32;
use broker_core::clock::Timestamp;
use broker_core::keyset::{ReceiptKey, keyset_document};
use broker_core::statement::Author;

/// A key and the keyset of a time.
#[derive(Debug)]
pub struct Identity {
    key: Arc<ReceiptKey>,
    keyset: String,
    digest: Digest32,
    label: String,
    not_after: u64,
}

impl Identity {
    fn at(key: Arc<ReceiptKey>, tls_spki: Option<Digest32>, now: Timestamp) -> Self {
        let not_after = not_after(now);
        let keyset = keyset_document(None, not_after, &[&key], tls_spki.as_slice());
        let digest = Digest32::sha256(keyset.as_bytes());
        Self { key, keyset, digest, label: format!("sha256:{digest}"), not_after }
    }

    /// Signs receipts and statements.
    pub fn author(&self) -> Author<'_> {
        Author { key: &self.key, keyset: self.digest }
    }

    /// The keyset's canonical text.
    pub fn keyset(&self) -> &str {
        &self.keyset
    }

    /// `workload_keyset_digest`.
    pub const fn digest(&self) -> Digest32 {
        self.digest
    }

    /// The same as documents and headers write it: `sha256:` and hex.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The end of its time, in seconds since 1970.
    pub const fn not_after(&self) -> u64 {
        self.not_after
    }
}

/// The identity of each moment.
#[derive(Debug)]
pub struct Identities {
    key: Arc<ReceiptKey>,
    tls_spki: Option<Digest32>,
    due: RwLock<Arc<Identity>>,
    signing: RwLock<Arc<Identity>>,
}

impl Identities {
    /// Of a key, beside the TLS key whose SubjectPublicKeyInfo has this SHA-256.
    pub fn new(key: ReceiptKey, tls_spki: Option<Digest32>, now: Timestamp) -> Self {
        let key = Arc::new(key);
        let first = Arc::new(Identity::at(key.clone(), tls_spki, now));
        let signing = RwLock::new(first.clone());
        Self { key, tls_spki, due: RwLock::new(first), signing }
    }

    /// The identity that signs receipts: the last one whose keyset is kept with its report.
    pub fn signing(&self) -> Arc<Identity> {
        self.signing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what is signed now would be worth nothing: the keyset has ended, and the next one is
    /// not kept with its report yet.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.signing().not_after <= now.as_secs()
    }

    /// Receipts are signed under this one from now on: its keyset and report are kept, so nothing
    /// is ever signed that nobody could attest later.
    pub fn sign_as(&self, identity: Arc<Identity>) {
        *self.signing.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// The identity that is due now, which reports attest.
    pub fn at(&self, now: Timestamp) -> Arc<Identity> {
        let current = self.due.read().unwrap_or_else(PoisonError::into_inner).clone();
        if current.not_after == not_after(now) {
            return current;
        }
        let next = Arc::new(Identity::at(self.key.clone(), self.tls_spki, now));
        *self.due.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
        next
    }
}

/// The end of the quarter of a year after the one of `now`.
fn not_after(now: Timestamp) -> u64 {
    let quarters = now.0 / 1000 / QUARTER_SECS;
    (quarters + 2) * QUARTER_SECS
}

/// Ninety days.
const QUARTER_SECS: u64 = 90 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyset_outlives_restarts_and_makes_way_for_the_next_in_time() {
        let start = Timestamp(20_000 * QUARTER_SECS);
        let made = |now| Identities::new(ReceiptKey::from_secret(&[1; 32]), None, now);
        let identities = made(start);
        let first = identities.at(start);
        let later = start.plus_millis((QUARTER_SECS - 1) * 1000);
        let same = Timestamp(start.0 / 1000 / QUARTER_SECS * QUARTER_SECS * 1000);
        assert_eq!(made(same).at(same).digest(), first.digest());
        for now in [start, later, start.plus_millis(2 * QUARTER_SECS * 1000)] {
            let left = identities.at(now).not_after() - now.0 / 1000;
            assert!((QUARTER_SECS..=2 * QUARTER_SECS).contains(&left), "{left} s are left");
        }
        let next = identities.at(start.plus_millis(QUARTER_SECS * 1000));
        assert_ne!(next.digest(), first.digest());
        assert_eq!(next.author().key.id(), first.author().key.id());
    }
}

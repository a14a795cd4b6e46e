//! Where the engine is, which the operator may change while requests run.

use std::sync::{Arc, PoisonError, RwLock};

/// The engine's address, shared by the clients of all threads. A request goes where the engine was
/// when it was forwarded.
#[derive(Debug)]
pub struct Target(RwLock<Arc<str>>);

impl Target {
    /// An address without `/v1` at its end.
    pub fn new(url: &str) -> Arc<Self> {
        Arc::new(Self(RwLock::new(url.trim_end_matches('/').into())))
    }

    /// The address of this moment, without a slash at its end.
    pub fn now(&self) -> Arc<str> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets where requests to come go.
    pub fn set(&self, url: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = url.trim_end_matches('/').into();
    }
}

//! Whether paid work is taken: not while its fees could not be collected.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::fault::Fault;

/// What stands in the way of settlement, as the last self-check found it.
#[derive(Debug)]
pub struct Gate(RwLock<Vec<String>>);

impl Default for Gate {
    /// Closed: nothing has been checked yet.
    fn default() -> Self {
        Self(RwLock::new(vec!["the 0G network has not been asked yet".to_owned()]))
    }
}

impl Gate {
    /// What stands in the way, in words for the operator; empty while the gate is open.
    pub fn reasons(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what stands in the way.
    pub fn set(&self, reasons: Vec<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reasons;
    }

    /// Passes while fees can be collected.
    ///
    /// # Errors
    /// What a client is told instead; it holds the first reason.
    pub fn pass(&self) -> Result<(), Fault> {
        let reasons = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(reason) = reasons.first() else { return Ok(()) };
        Err(Fault::Unavailable {
            message: format!("this provider cannot collect fees now: {reason}").into(),
            retry_after: Duration::from_secs(30),
        })
    }
}

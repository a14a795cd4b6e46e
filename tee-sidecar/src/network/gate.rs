//! Whether paid work is taken: not while its fees could not be collected.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::fault::Fault;

/// What stands in the way of settlement, as the last self-check found it.
#[derive(Debug)]
pub struct Gate {
    obstacles: RwLock<Vec<String>>,
    /// The prices are not known: nobody can be charged.
    unpriced: AtomicBool,
}

impl Default for Gate {
    /// Closed: nothing has been checked yet.
    fn default() -> Self {
        let obstacles = vec!["the 0G network has not been asked yet".to_owned()];
        Self { obstacles: RwLock::new(obstacles), unpriced: AtomicBool::new(false) }
    }
}

impl Gate {
    /// What stands in the way of settlement, in words for the operator.
    pub fn reasons(&self) -> Vec<String> {
        self.obstacles.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the prices have to be read from the chain before anybody can be charged.
    pub fn await_prices(&self, awaited: bool) {
        self.unpriced.store(awaited, Ordering::Release);
    }

    /// All that paid work waits for, in words for the operator; empty while the gate is open.
    pub fn waits_for(&self) -> Vec<String> {
        let mut reasons = self.reasons();
        if self.unpriced.load(Ordering::Acquire) {
            reasons.push(UNPRICED.to_owned());
        }
        reasons
    }

    /// Replaces what stands in the way.
    pub fn set(&self, reasons: Vec<String>) {
        *self.obstacles.write().unwrap_or_else(PoisonError::into_inner) = reasons;
    }

    /// Passes while fees can be collected.
    ///
    /// # Errors
    /// What a client is told instead; it holds the first reason.
    pub fn pass(&self) -> Result<(), Fault> {
        let reasons = self.obstacles.read().unwrap_or_else(PoisonError::into_inner);
        let unpriced = self.unpriced.load(Ordering::Acquire).then_some(UNPRICED);
        let Some(reason) = reasons.first().map(String::as_str).or(unpriced) else {
            return Ok(());
        };
        Err(Fault::Unavailable {
            message: format!("this provider cannot collect fees now: {reason}").into(),
            retry_after: Duration::from_secs(30),
        })
    }
}

const UNPRICED: &str = "the prices have not been read from the chain yet";

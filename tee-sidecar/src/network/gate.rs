//! Whether paid work is taken: not while its fees could not be collected.

use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::fault::Fault;

/// What stands in the way of settlement, as the last self-check found it, and whether there are
/// prices.
#[derive(Debug)]
pub struct Gate {
    obstacles: RwLock<Vec<String>>,
    prices: RwLock<Prices>,
    /// Why fees are never collected again by this process.
    stopped: OnceLock<&'static str>,
}

/// What is known of the prices on the chain: without them nobody can be charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prices {
    /// They are those that requests are charged.
    #[default]
    Known,
    /// Nobody has read them yet.
    Awaited,
    /// Clients see other tiers or cache prices on the chain than those of the settings.
    Others,
    /// The service is being removed.
    Leaving,
    /// There is no service.
    Absent,
}

impl Prices {
    const fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::Known => None,
            Self::Awaited => Some("the prices have not been read from the chain yet"),
            Self::Others => Some(
                "the prices on the chain are not those of the settings: register the service \
                 again with POST /v1/service",
            ),
            Self::Leaving => Some("the service is being removed"),
            Self::Absent => Some("there is no service, and so there are no prices"),
        }
    }
}

impl Default for Gate {
    /// Closed: nothing has been checked yet.
    fn default() -> Self {
        let obstacles = vec!["the 0G network has not been asked yet".to_owned()];
        let obstacles = RwLock::new(obstacles);
        Self { obstacles, prices: RwLock::default(), stopped: OnceLock::new() }
    }
}

impl Gate {
    /// What stands in the way of settlement, in words for the operator.
    pub fn reasons(&self) -> Vec<String> {
        self.obstacles.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells what is known of the prices, and returns what was known before.
    pub fn price(&self, prices: Prices) -> Prices {
        let mut known = self.prices.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut known, prices)
    }

    /// Closes the gate for good.
    pub fn stop(&self, reason: &'static str) {
        // The first reason is the cause of the others.
        let _ = self.stopped.set(reason);
    }

    /// All that paid work waits for, in words for the operator; empty while the gate is open.
    pub fn waits_for(&self) -> Vec<String> {
        let stopped = self.stopped.get().map(|reason| (*reason).to_owned());
        let prices = *self.prices.read().unwrap_or_else(PoisonError::into_inner);
        let reasons = self.reasons();
        // The self-check says that too, and what to do.
        let is_said = prices == Prices::Absent && !reasons.is_empty();
        let prices = prices.obstacle().filter(|_| !is_said).map(str::to_owned);
        stopped.into_iter().chain(reasons).chain(prices).collect()
    }

    /// How long to wait before the chain is asked again: who waits for the gate, such as the owner
    /// who has just acknowledged the signer, should not wait for us.
    pub fn look_again_after(&self) -> Duration {
        if self.waits_for().is_empty() { LOOK_WHILE_OPEN } else { LOOK_WHILE_CLOSED }
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
        let Some(reason) = self.waits_for().into_iter().next() else { return Ok(()) };
        Err(Fault::Unavailable {
            message: format!("this provider cannot collect fees now: {reason}").into(),
            retry_after: LOOK_WHILE_CLOSED,
        })
    }
}

const LOOK_WHILE_OPEN: Duration = Duration::from_secs(15);
const LOOK_WHILE_CLOSED: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_where_nothing_is_in_the_way_and_never_again_once_stopped() {
        let gate = Gate::default();
        assert!(gate.pass().is_err(), "nothing has been checked yet");
        gate.set(Vec::new());
        gate.pass().unwrap();
        assert_eq!(gate.price(Prices::Others), Prices::Known);
        assert!(gate.waits_for()[0].contains("POST /v1/service"));
        assert!(gate.pass().is_err());
        assert_eq!(gate.price(Prices::Known), Prices::Others);
        gate.pass().unwrap();
        gate.stop("the settler is gone");
        gate.set(Vec::new());
        assert_eq!(gate.waits_for(), ["the settler is gone"]);
        assert!(gate.pass().is_err());
    }
}

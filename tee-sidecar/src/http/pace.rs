//! How often one client may ask for what costs nothing.

use std::time::Duration;

use actix_web::HttpRequest;

use crate::fault::Fault;
use crate::rate::{Rate, Rule};

/// Permissions for the free routes that are not attestation reports, which have limits of their
/// own: ten a second for one peer, twenty at once, as 0G's own broker has it.
pub struct Pace(Rate);

impl Default for Pace {
    fn default() -> Self {
        Self(Rate::new(Rule { burst: 2000, per_sec: 1000 }, Rule { burst: 20, per_sec: 10 }))
    }
}

impl Pace {
    /// Takes one permission.
    ///
    /// # Errors
    /// There is none left.
    pub(super) fn step(&self, request: &HttpRequest) -> Result<(), Fault> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.0.take(peer).map_err(|_| Fault::RateLimited {
            message: "too many requests at once; try again".into(),
            retry_after: Duration::from_secs(1),
        })
    }
}

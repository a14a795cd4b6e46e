//! The prices of this moment, which the operator may change while requests run.

use std::sync::{PoisonError, RwLock};

use broker_core::jcs::{INTEGER_MAX, Json};
use broker_core::statement::Author;
use broker_core::{Kept, KeptKind, Tariff, Timestamp};

/// The prices that new requests are admitted under. A request keeps those it was admitted under.
#[derive(Debug, Default)]
pub struct Prices(RwLock<Tariff>);

impl Prices {
    /// Prices to begin with.
    pub const fn new(tariff: Tariff) -> Self {
        Self(RwLock::new(tariff))
    }

    /// The prices of this moment.
    pub fn now(&self) -> Tariff {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the prices of requests to come.
    pub fn set(&self, tariff: Tariff) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tariff;
    }
}

/// The prices as a signed statement: their terms, the digest that receipts cite, which is also
/// their version, and the moment at which they were in force, in milliseconds.
pub(crate) fn tariff_statement(tariff: &Tariff, at: Timestamp, author: Author<'_>) -> String {
    let at = Json::Integer(i64::try_from(at.0.min(INTEGER_MAX)).unwrap_or_default());
    let terms = Json::parse(tariff.terms().as_bytes()).unwrap_or(Json::Null);
    let members = vec![
        ("terms", terms),
        ("digest", Json::Text(format!("sha256:{}", tariff.digest()))),
        ("at", at),
    ];
    author.sign(TARIFF_STATEMENT, members)
}

/// The prices as they are kept for whoever checks a receipt years later.
pub(crate) fn tariff_kept(tariff: &Tariff, at: Timestamp) -> Kept {
    let body = tariff.terms().into_bytes();
    Kept { kind: KeptKind::Tariff, name: tariff.digest(), body, at }
}

/// The type of the statement.
const TARIFF_STATEMENT: &str = "tee-sidecar.tariff.v1";

#[cfg(test)]
mod tests {
    use broker_core::Neuron;

    use super::*;

    #[test]
    fn who_took_the_prices_before_they_changed_keeps_them() {
        let prices = Prices::new(Tariff::per_token(Neuron::new(1), Neuron::new(2)));
        let taken = prices.now();
        prices.set(Tariff::per_token(Neuron::new(3), Neuron::new(4)));
        assert_eq!(taken.input_price, Neuron::new(1));
        assert_eq!(prices.now().output_price, Neuron::new(4));
    }
}

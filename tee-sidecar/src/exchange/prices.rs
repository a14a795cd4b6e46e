//! The prices of this moment, which the operator may change while requests run.

use std::sync::{PoisonError, RwLock};

use broker_core::Tariff;

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

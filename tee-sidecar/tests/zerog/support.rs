//! A 0G network of a test's own, and who acts on it.

mod anvil;
mod driver;
mod install;
mod network;
mod rpc;

pub(crate) use network::{Network, Options, PROVIDER, PROVIDER_KEY, neuron};

/// One 0G in neuron.
pub(crate) const ZG: u128 = 1_000_000_000_000_000_000;

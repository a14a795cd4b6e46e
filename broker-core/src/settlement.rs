//! Settlement: from captured fees to money on the chain, each fee once.

mod policy;

pub use policy::{Due, Policy, Reason};

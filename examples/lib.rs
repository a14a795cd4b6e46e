//! What the examples share: an upstream that answers as vLLM does, and the start of a sidecar.

pub mod demo;
pub mod launch;

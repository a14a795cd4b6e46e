//! GPU evidence through NVML, over a driver library that is made of software.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like tests; clippy.toml covers only the test functions"
)]

#[path = "nvml/choosing.rs"]
mod choosing;
#[path = "nvml/evidence.rs"]
mod evidence;
#[path = "nvml/gates.rs"]
mod gates;
#[path = "nvml/hanging.rs"]
mod hanging;
#[cfg(feature = "simulator")]
#[path = "nvml/joint.rs"]
mod joint;
#[cfg(feature = "simulator")]
#[path = "nvml/software.rs"]
mod software;
#[path = "nvml/support.rs"]
mod support;

//! Evidence of the sidecar itself: where it comes from, its reports, its keys.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like tests; clippy.toml covers only the test functions"
)]

#[path = "attest/aci.rs"]
mod aci;
#[path = "attest/choosing.rs"]
mod choosing;
#[path = "attest/crowd.rs"]
mod crowd;
#[path = "attest/dstack.rs"]
mod dstack;
#[path = "attest/fake_configfs.rs"]
mod fake_configfs;
#[path = "attest/fake_dstack.rs"]
mod fake_dstack;
#[path = "attest/forms.rs"]
mod forms;
#[path = "attest/gpus.rs"]
mod gpus;
#[path = "attest/joint.rs"]
mod joint;
#[path = "attest/keys.rs"]
mod keys;
#[path = "attest/report.rs"]
mod report;
#[path = "attest/shelf.rs"]
mod shelf;
#[path = "attest/support.rs"]
mod support;
#[path = "attest/tsm.rs"]
mod tsm;

//! The packages, made by `.ci/package` around the program of these tests: what is in them, that
//! they are the same each time, and that what they hold starts. The release build of `make package`
//! and the comparison of two of those are `.ci/reproducible`.
//!
//! A program with the simulator is in no package, so most of this runs without the feature.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod files;
mod guides;
mod support;

#[cfg(not(feature = "simulator"))]
mod debian;
#[cfg(not(feature = "simulator"))]
mod image;
#[cfg(not(feature = "simulator"))]
mod pages;
#[cfg(not(feature = "simulator"))]
mod tarball;
#[cfg(not(feature = "simulator"))]
mod unit;

#[cfg(feature = "simulator")]
#[test]
fn a_program_that_could_simulate_a_tee_gets_into_no_package() {
    if !support::has(&support::TOOLS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let run = support::package(env!("CARGO_BIN_EXE_tee-sidecar").as_ref(), &out, &[]);
    assert!(!run.status.success());
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("is built with the feature simulator"), "{said}");
    assert!(!out.exists(), "something was written");
}

//! What the tests of this binary share.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use broker_core::Address;
use tee_evidence::{Nonce32, ReportData};

/// A moment at which the software platform's collateral holds.
pub(crate) const NOW_SECS: u64 = 1_790_000_000;

pub(crate) const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn nonce() -> Nonce32 {
    Nonce32::parse(NONCE).unwrap()
}

pub(crate) fn report_data() -> ReportData {
    ReportData::ecdsa_and_nonce(Address([0xab; 20]), &nonce())
}

const VARIABLE: &str = "SIDECAR_EVIDENCE_DIR";

/// The folder with captured evidence, which is not part of the project; or nothing after saying
/// that the test was skipped. In CI a skip is a failure.
#[allow(clippy::disallowed_methods, reason = "tests read where their evidence is")]
pub(crate) fn captured() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var(VARIABLE).unwrap_or_else(|_| "../shared/evidence".to_owned());
    let folder = root.join(named);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{VARIABLE}: no {}", folder.display());
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let line = format!("\nSKIPPED: {VARIABLE}: no folder {}\n", folder.display());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

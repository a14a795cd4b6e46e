//! The committed files of the software TEE are what the program makes, byte for byte.

use std::path::Path;
use std::process::Command;

use crate::support::{Desk, Judged, root};
use tee_sidecar::auditor::{AnswerFiles, audit_answer};

const FILES: [&str; 8] = [
    "tee-sidecar/evidence/src/roots/software_tdx_root.der",
    "tee-sidecar/evidence/src/roots/software_gpu_root.der",
    "tee-sidecar/evidence/src/roots/software_collateral.json",
    "fixtures/simulated/report.json",
    "fixtures/simulated/report_v2.json",
    "fixtures/simulated/request.json",
    "fixtures/simulated/response.json",
    "fixtures/simulated/signature.json",
];

/// Examples are built together with the tests, beside the folder of the test's own program.
fn generator() -> std::path::PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(Path::parent).unwrap();
    program.join("examples").join("software_fixtures")
}

#[test]
fn the_committed_files_are_made_again_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(generator()).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(String::from_utf8(made.stdout).unwrap().lines().count(), FILES.len());
    for file in FILES {
        let (made, kept) =
            (std::fs::read(folder.path().join(file)), std::fs::read(root().join(file)));
        assert!(made.unwrap() == kept.unwrap(), "{file} is not what the program makes");
    }
}

#[test]
fn the_committed_reports_and_the_answer_prove() {
    let desk = Desk::new();
    for name in ["report.json", "report_v2.json"] {
        let report = std::fs::read(root().join("fixtures/simulated").join(name)).unwrap();
        desk.judge_bytes(&report).proved();
    }
    let file = |name: &str| root().join("fixtures/simulated").join(name);
    let answer = AnswerFiles {
        request: file("request.json"),
        response: file("response.json"),
        signature: file("signature.json"),
        report: Some(file("report.json")),
        address: None,
    };
    Judged(audit_answer(&answer, &desk.options)).proved();
}

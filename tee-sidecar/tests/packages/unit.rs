//! The systemd unit: systemd reads it without a complaint, and finds little that it leaves open.

use std::fs;
use std::process::Command;

use super::support::{has, program, shown, stop_secs, top};

/// How exposed systemd may find the service, in tenths: 0 is a locked box, 100 an open one.
const EXPOSURE_MAX: u32 = 20;

#[test]
fn systemd_reads_the_unit_and_its_drop_in_without_a_complaint() {
    if !has(&["systemd-analyze"]) {
        return;
    }
    for with_drop_in in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let unit = folder.path().join("tee-sidecar.service");
        fs::write(&unit, unit_on_this_machine()).unwrap();
        if with_drop_in {
            let drop_ins = folder.path().join("tee-sidecar.service.d");
            fs::create_dir(&drop_ins).unwrap();
            fs::copy(top().join("examples/deploy/tdx.conf"), drop_ins.join("tdx.conf")).unwrap();
        }
        let verify = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(&unit)
            .output()
            .unwrap();
        assert!(verify.status.success(), "{}", shown(&verify));
        let said = String::from_utf8_lossy(&verify.stderr);
        assert!(!said.contains("tee-sidecar.service"), "{said}");
    }
}

#[test]
fn systemd_finds_little_that_the_unit_leaves_open() {
    if !has(&["systemd-analyze"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("tee-sidecar.service");
    fs::write(&unit, unit_on_this_machine()).unwrap();
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &threshold])
        .arg(&unit)
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}", shown(&judged));
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(said.contains("Overall exposure level for tee-sidecar.service"), "{said}");
}

#[test]
fn the_unit_gives_the_drain_its_time_and_looks_at_exit_codes() {
    let unit = fs::read_to_string(top().join("examples/deploy/tee-sidecar.service")).unwrap();
    for line in [
        "User=tee-sidecar",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "RestartPreventExitStatus=10 30 64",
        "LimitCORE=0",
        "LimitNOFILE=65536",
        // tests/lifecycle/systemd.rs: what it tells of its start, a reload and its end.
        "Type=notify",
        "ExecReload=/bin/sh -c \"kill -HUP $MAINPID\"",
        "ExecStart=/usr/bin/tee-sidecar serve --config /etc/tee-sidecar/config.yaml",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert_eq!(stop.parse::<u64>().unwrap(), stop_secs());
}

/// The unit as it is, but for the program's path and its user, which this machine does not have.
fn unit_on_this_machine() -> String {
    let unit = fs::read_to_string(top().join("examples/deploy/tee-sidecar.service")).unwrap();
    let program = program().display().to_string();
    unit.replace("/usr/bin/tee-sidecar", &program)
        .replace("User=tee-sidecar\nGroup=tee-sidecar\n", "User=daemon\nGroup=daemon\n")
}

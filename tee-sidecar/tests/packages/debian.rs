//! The Debian package, unpacked: its fields, its files, its scripts.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{ending, has, packages, printed};

#[test]
fn its_fields_name_the_version_and_the_c_library_that_the_program_needs() {
    let Some(packages) = packages() else { return };
    let deb = ending(packages, ".deb");
    let fields = printed(Command::new("dpkg-deb").arg("--field").arg(&deb));
    let field = |name: &str| {
        let line = fields.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name}\n{fields}")).to_owned()
    };
    assert_eq!(field("Package"), "tee-sidecar");
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert!(field("Depends").starts_with("libc6 (>= 2."), "{fields}");
    assert!(field("Depends").contains("ca-certificates"), "{fields}");
    assert!(field("Installed-Size").parse::<u64>().unwrap() > 1_000, "{fields}");
    assert!(!fields.contains('@') || field("Maintainer").contains('@'), "{fields}");
}

#[test]
fn unpacked_its_program_takes_its_configuration() {
    let Some(root) = unpacked() else { return };
    let root = root.path();
    let config = root.join("etc/tee-sidecar/config.yaml");
    let mut check = Command::new(root.join("usr/bin/tee-sidecar"));
    let effective = printed(check.env_clear().args(["check-config", "--config"]).arg(&config));
    assert!(effective.contains("sqlite:///var/lib/tee-sidecar/data/ledger.db"), "{effective}");
    for path in [
        "usr/lib/systemd/system/tee-sidecar.service",
        "usr/lib/sysusers.d/tee-sidecar.conf",
        "usr/share/bash-completion/completions/tee-sidecar",
        "usr/share/zsh/vendor-completions/_tee-sidecar",
        "usr/share/fish/vendor_completions.d/tee-sidecar.fish",
        "usr/share/man/man1/tee-sidecar.1.gz",
        "usr/share/doc/tee-sidecar/RUNBOOK.md",
        "usr/share/doc/tee-sidecar/copyright",
        "usr/share/doc/tee-sidecar/monitoring/alerts.yml",
        "usr/share/doc/tee-sidecar/changelog.gz",
        "usr/share/doc/tee-sidecar/sbom.cdx.json",
    ] {
        assert!(root.join(path).is_file(), "{path}");
    }
}

#[test]
fn all_of_it_is_root_s_and_its_sums_are_right() {
    let Some(packages) = packages() else { return };
    let deb = ending(packages, ".deb");
    let list = printed(Command::new("dpkg-deb").arg("--contents").arg(&deb));
    for line in list.lines() {
        assert!(line.contains(" root/root "), "{line}");
    }
    let Some(root) = unpacked() else { return };
    let control = root.path().join("control");
    printed(Command::new("dpkg-deb").arg("--control").arg(&deb).arg(&control));
    let mut sums = Command::new("md5sum");
    printed(sums.args(["--check", "--strict"]).arg(control.join("md5sums")).current_dir(&root));
    let conffiles = fs::read_to_string(control.join("conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/tee-sidecar/config.yaml\n");
}

#[test]
fn its_scripts_are_shell_and_make_the_user_that_the_unit_names() {
    let Some(packages) = packages() else { return };
    let Some(root) = unpacked() else { return };
    let control = root.path().join("control");
    let deb = ending(packages, ".deb");
    printed(Command::new("dpkg-deb").arg("--control").arg(deb).arg(&control));
    for script in ["postinst", "prerm", "postrm"] {
        let path = control.join(script);
        printed(Command::new("sh").arg("-n").arg(&path));
        let mode = printed(Command::new("stat").args(["-c", "%a"]).arg(&path));
        assert_eq!(mode.trim(), "755", "{script}");
        // With nothing to do it does nothing: no argument of dpkg's that is not meant.
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#!/bin/sh\n") && text.contains("set -e"), "{script}");
    }
    if !has(&["systemd-sysusers"]) {
        return;
    }
    made_user(root.path());
}

fn made_user(root: &Path) {
    let mut sysusers = Command::new("systemd-sysusers");
    printed(sysusers.arg(format!("--root={}", root.display())).arg("tee-sidecar.conf"));
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    let line = users.lines().find(|line| line.starts_with("tee-sidecar:")).unwrap();
    assert!(line.ends_with("/nologin"), "{line}");
    let unit = root.join("usr/lib/systemd/system/tee-sidecar.service");
    assert!(fs::read_to_string(unit).unwrap().contains("\nUser=tee-sidecar\n"));
}

fn unpacked() -> Option<tempfile::TempDir> {
    let packages = packages()?;
    let folder = tempfile::tempdir().unwrap();
    let deb = ending(packages, ".deb");
    printed(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(folder.path()));
    Some(folder)
}

//! The program's subcommands and exit codes.

use std::process::{Command, Stdio};

use super::support::{file, program, program_with, stderr, stdout};

#[test]
fn help_and_version_end_with_0_on_standard_output() {
    for args in [["--help"], ["--version"], ["-h"], ["-V"]] {
        let output = program(&args, &[]);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(stdout(&output).contains("tee-sidecar") || args == ["--help"], "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}");
    }
    let version = stdout(&program(&["--version"], &[]));
    assert_eq!(version, format!("tee-sidecar {}\n", env!("CARGO_PKG_VERSION")));
    let help = stdout(&program(&["--help"], &[]));
    for command in ["serve", "check-config", "ledger", "verify"] {
        assert!(help.contains(command), "{help}");
    }
    for later in ["settle", "migrate", "receipt"] {
        assert!(!help.contains(&format!("  {later}")), "{help}");
    }
}

#[test]
fn wrong_usage_ends_with_64() {
    for args in [
        &["no-such-command"][..],
        &["--no-such-option"],
        &["serve", "extra"],
        &["ledger"],
        &["ledger", "settle", "now"],
        &["ledger", "settle", "--dry"],
        &["verify"],
        &["verify", "receipt"],
        &["--config"],
        &["check-config", "--config", "no/such/file"],
        &["check-config", "--config", "/"],
    ] {
        let output = program(args, &[]);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("tee-sidecar: "), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    let missing = program(&["check-config", "--config", "no/such/file"], &[]);
    assert!(stderr(&missing).contains("\"no/such/file\": cannot be read"), "{}", stderr(&missing));
}

#[test]
fn every_command_and_the_default_one_load_the_configuration() {
    for command in
        [&[][..], &["serve"], &["check-config"], &["ledger", "status"], &["ledger", "audit"]]
    {
        let output = program_with(command, "limits: {concurrentMax: none}");
        assert_eq!(output.status.code(), Some(64), "{command:?}");
        let said = "tee-sidecar: limits.concurrentMax: \"none\": \
                    must be a whole number from 1 to 100000\n";
        assert_eq!(stderr(&output), said, "{command:?}");
    }
}

#[test]
fn check_config_prints_what_loads_again() {
    let first = program_with(&["check-config"], "log: {format: json}");
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let again = program_with(&["check-config"], &stdout(&first));
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(stdout(&again), stdout(&first));
    let defaults = program(&["check-config"], &[]);
    assert_eq!(defaults.status.code(), Some(0));
    assert_eq!(stdout(&defaults).replace("format: text", "format: json"), stdout(&first));
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_ends_with_1() {
    let config = file("");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    command.env_clear().arg("check-config").arg("--config").arg(config.path());
    let output = command.stdout(Stdio::from(full)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot be printed"), "{}", stderr(&output));
}

#[test]
fn simulation_is_a_matter_of_the_build() {
    for section in ["tee", "gpu"] {
        let output =
            program_with(&["check-config"], &format!("{section}: {{provider: simulated}}"));
        if cfg!(feature = "simulator") {
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        } else {
            assert_eq!(output.status.code(), Some(64));
            let said = stderr(&output);
            assert!(said.contains(&format!("{section}.provider: \"simulated\"")), "{said}");
            assert!(said.contains("cargo feature `simulator`"), "{said}");
        }
    }
}

//! What an audit prints, and with which code it ends.

use std::io::Write as _;

use serde_json::json;

use crate::cli::Exit;
use crate::evidence::audit::{Audit, CheckResult, Verdict, printable};

/// Why there is no audit at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Something that an audit needs cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// Something that an audit needs cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// Something that an audit was given contradicts itself.
    #[error("{0}")]
    Refuted(String),
    /// The command was not used as it is meant.
    #[error("{0}")]
    Usage(String),
    /// The machine failed.
    #[error("{0}")]
    Failed(String),
}

/// What belongs to a side input: one that cannot be had or read is a finding, and everything else
/// is judged all the same, so that what is wrong comes before what is missing.
pub(super) fn noted<T>(
    audit: &mut Audit,
    check: &str,
    got: Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    match got {
        Ok(got) => return Ok(Some(got)),
        Err(Failure::Unreachable(why)) => audit.missing(check, why),
        Err(Failure::Malformed(why)) => audit.malformed(check, why),
        Err(Failure::Refuted(why)) => audit.refuted(check, why),
        Err(other) => return Err(other),
    }
    Ok(None)
}

/// The code that the contract has for this end.
pub fn exit_of(audited: &Result<Audit, Failure>) -> Exit {
    match audited {
        Ok(audit) => match audit.verdict() {
            Verdict::Proved => Exit::Done,
            Verdict::Refuted => Exit::Refuted,
            Verdict::Malformed => Exit::Malformed,
            Verdict::Missing => Exit::Missing,
        },
        Err(Failure::Unreachable(_)) => Exit::Missing,
        Err(Failure::Malformed(_)) => Exit::Malformed,
        Err(Failure::Refuted(_)) => Exit::Refuted,
        Err(Failure::Usage(_)) => Exit::Usage,
        Err(Failure::Failed(_)) => Exit::Failed,
    }
}

/// Prints the findings, one a line, or as one JSON object for machines.
pub fn print(audited: &Result<Audit, Failure>, json: bool) -> Exit {
    let exit = exit_of(audited);
    let text = if json { as_json(audited, exit) } else { as_lines(audited) };
    if let Err(error) = audited {
        eprintln!("tee-sidecar: {}", printable(&error.to_string()));
    }
    // Not `print!`, which panics when nobody reads the other end.
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => exit,
        Err(error) => {
            eprintln!("tee-sidecar: the findings cannot be printed: {error}");
            Exit::Failed
        }
    }
}

fn as_lines(audited: &Result<Audit, Failure>) -> String {
    let Ok(audit) = audited else { return String::new() };
    let width = audit.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for finding in &audit.findings {
        let word = match finding.result {
            CheckResult::Proved => "proved",
            CheckResult::NotChecked => "not checked",
            CheckResult::Missing => "MISSING",
            CheckResult::Malformed => "MALFORMED",
            CheckResult::Refuted => "REFUTED",
        };
        text.push_str(&format!("{word:<11}  {:<width$}  {}\n", finding.check, finding.detail));
    }
    let verdict = match audit.verdict() {
        Verdict::Proved if audit.is_simulated() => {
            "proved, of a SIMULATED TEE: not of any hardware"
        }
        Verdict::Proved => "proved",
        Verdict::Refuted => "REFUTED: something presented is wrong, expired or forbidden",
        Verdict::Malformed => "MALFORMED: something presented cannot be read",
        Verdict::Missing => "NOT PROVED: something required is missing",
    };
    let open = audit.findings.iter().filter(|one| one.result == CheckResult::NotChecked).count();
    text.push_str(&format!("verdict: {verdict}; {open} things not checked\n"));
    text
}

fn as_json(audited: &Result<Audit, Failure>, exit: Exit) -> String {
    let object = match audited {
        Ok(audit) => json!({
            "verdict": audit.verdict(),
            "exit": exit as u8,
            "simulated": audit.is_simulated(),
            "findings": audit.findings,
        }),
        Err(error) => json!({
            "verdict": null,
            "exit": exit as u8,
            "error": printable(&error.to_string()),
            "findings": [],
        }),
    };
    format!("{object}\n")
}

//! What was found, and what it amounts to.

use std::fmt;

use broker_core::jcs::Json;
use serde::Serialize;

use crate::saved::SigningKey;

/// Everything that was looked at in one report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    #[serde(skip)]
    prefix: String,
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
    /// Some of the evidence says of itself that it is simulated.
    #[serde(skip)]
    simulated: bool,
    /// The key that the report is about; attested only if the verdict is `Proved`.
    #[serde(skip)]
    pub signer: Option<SigningKey>,
    /// The keyset that the quote binds; attested only if the verdict is `Proved`.
    #[serde(skip)]
    pub keyset: Option<Json>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: a fixed name as `quote.tcb`, behind the report's place and a colon where a document
    /// holds several.
    pub check: String,
    /// How it ended.
    pub result: CheckResult,
    /// What exactly was proved, or what is wrong.
    pub detail: String,
}

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It holds.
    Proved,
    /// Nothing was given to check, and nobody asked for it.
    NotChecked,
    /// Something that is required is not there.
    Missing,
    /// It cannot be read.
    Malformed,
    /// It is wrong, expired or forbidden.
    Refuted,
}

/// What all findings amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything required holds, and nothing that is there is wrong.
    Proved,
    /// Something is wrong. It counts before all else: what is missing cannot mend it.
    Refuted,
    /// Something cannot be read.
    Malformed,
    /// Something required is not there.
    Missing,
}

impl Audit {
    /// Findings about the report at this place of its document.
    pub fn of(place: &str) -> Self {
        let prefix = if place.is_empty() { String::new() } else { format!("{place}: ") };
        Self { prefix, ..Self::default() }
    }

    /// Notes what holds.
    pub fn proved(&mut self, check: &str, detail: impl fmt::Display) {
        self.note(check, CheckResult::Proved, detail);
    }

    /// Notes what nobody gave and nobody asked for.
    pub fn not_checked(&mut self, check: &str, detail: impl fmt::Display) {
        self.note(check, CheckResult::NotChecked, detail);
    }

    /// Notes what should be there.
    pub fn missing(&mut self, check: &str, detail: impl fmt::Display) {
        self.note(check, CheckResult::Missing, detail);
    }

    /// Notes what cannot be read.
    pub fn malformed(&mut self, check: &str, detail: impl fmt::Display) {
        self.note(check, CheckResult::Malformed, detail);
    }

    /// Notes what is wrong.
    pub fn refuted(&mut self, check: &str, detail: impl fmt::Display) {
        self.note(check, CheckResult::Refuted, detail);
    }

    fn note(&mut self, check: &str, result: CheckResult, detail: impl fmt::Display) {
        let check = format!("{}{check}", self.prefix);
        self.findings.push(Finding { check, result, detail: printable(&detail.to_string()) });
    }

    /// Notes evidence that says of itself that it is simulated, which the policy allows or not.
    pub fn simulated(&mut self, check: &str, allowed: bool) {
        self.simulated = true;
        if allowed {
            self.not_checked(
                check,
                "a simulated TEE, allowed by the policy: no hardware proves it",
            );
        } else {
            self.refuted(check, "a simulated TEE, which the policy does not allow");
        }
    }

    /// Whether any of the evidence says of itself that it is simulated.
    pub const fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// Takes over the findings of another report of the same document.
    pub fn append(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.simulated |= other.simulated;
    }

    /// The verdict over all findings. Nothing looked at proves nothing.
    pub fn verdict(&self) -> Verdict {
        let any = |result| self.findings.iter().any(|finding| finding.result == result);
        if any(CheckResult::Refuted) {
            Verdict::Refuted
        } else if any(CheckResult::Malformed) {
            Verdict::Malformed
        } else if any(CheckResult::Missing) || !any(CheckResult::Proved) {
            Verdict::Missing
        } else {
            Verdict::Proved
        }
    }
}

/// One line without control characters, or any that turns the direction of text around: parts of it
/// may come from the one under audit, who must not write to the auditor's terminal.
pub fn printable(text: &str) -> String {
    let unsafe_ones = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let safe = |c: char| if unsafe_ones(c) { '\u{fffd}' } else { c };
    text.chars().map(safe).take(DETAIL_CHARS_MAX).collect()
}

/// A detail is a sentence, not a document.
const DETAIL_CHARS_MAX: usize = 600;

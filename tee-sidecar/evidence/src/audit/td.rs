//! The quote: genuine, of a TD that keeps its secrets, on a platform that is good enough.

use super::{Audit, Materials};
use crate::policy::{Policy, TdRules};
use crate::roots::Roots;
use crate::saved::SavedReport;
use crate::tdx::{QuoteFields, VerifyError, inspect_quote, read_quote, verify_quote};

/// The quote's fields, which are proved only if the verdict is.
pub(super) fn check(
    audit: &mut Audit,
    report: &SavedReport,
    materials: &Materials<'_>,
    policy: &Policy,
    roots: Roots,
) -> Option<QuoteFields> {
    let Some(quote) = &report.quote else {
        audit.missing("quote", "the report has no quote");
        return None;
    };
    let fields = match read_quote(quote) {
        Ok(fields) => fields,
        Err(error) => {
            note(audit, "quote", &error);
            return None;
        }
    };
    audit.proved("quote", format_args!("a TDX quote of version {}", fields.version));
    let root = roots.tdx();
    match inspect_quote(quote, &root, materials.now_secs) {
        Ok(inspected) => {
            audit.proved("quote.signature", "its signatures and certificates lead to the root");
            if inspected.cross_checked {
                audit.proved("quote.second_reading", "a second parser reads the same");
            } else {
                let why = "the second parser reads version 4 only";
                audit.not_checked("quote.second_reading", why);
            }
        }
        Err(error) => note(audit, "quote.signature", &error),
    }
    if fields.debug {
        audit.refuted("td.debug", "a debug TD: its host can read all of it");
    } else {
        audit.proved("td.debug", "off");
    }
    let collateral = roots.collateral();
    match materials.collateral.or(collateral.as_ref()) {
        None => audit.missing("quote.tcb", "no collateral: the platform's state is unknown"),
        Some(collateral) => {
            let rules = policy.tcb.tcb_policy();
            match verify_quote(quote, collateral, &root, materials.now_secs, &rules) {
                Ok(verified) => {
                    let advisories = match verified.advisory_ids.as_slice() {
                        [] => "no advisories".to_owned(),
                        ids => ids.join(", "),
                    };
                    let data = data_of(&collateral.tcb_info);
                    let state = format_args!("{}, {advisories}{data}", verified.status);
                    audit.proved("quote.tcb", state);
                }
                Err(error) => note(audit, "quote.tcb", &error),
            }
        }
    }
    measurements(audit, &fields, &policy.td);
    stated(audit, report, &fields);
    Some(fields)
}

/// How old Intel's word is: a source may serve any that has not expired.
fn data_of(tcb_info: &str) -> String {
    let info: serde_json::Value = serde_json::from_str(tcb_info).unwrap_or_default();
    match (info.get("tcbEvaluationDataNumber"), info.get("issueDate").and_then(|v| v.as_str())) {
        (Some(number), Some(date)) => format!("; by Intel's TCB data {number} of {date}"),
        _ => String::new(),
    }
}

fn measurements(audit: &mut Audit, fields: &QuoteFields, rules: &TdRules) {
    let [rtmr0, rtmr1, rtmr2, rtmr3] = &fields.rtmrs;
    let registers = [
        ("td.mrtd", &fields.mrtd, &rules.mrtd),
        ("td.rtmr0", rtmr0, &rules.rtmr0),
        ("td.rtmr1", rtmr1, &rules.rtmr1),
        ("td.rtmr2", rtmr2, &rules.rtmr2),
        ("td.rtmr3", rtmr3, &rules.rtmr3),
    ];
    for (check, value, allowed) in registers {
        let value = hex::encode(value);
        if allowed.is_empty() {
            audit.not_checked(check, format_args!("{value}; the policy names none"));
        } else if allowed.iter().any(|one| one.eq_ignore_ascii_case(&value)) {
            audit.proved(check, format_args!("{value}, as the policy has it"));
        } else {
            audit.refuted(check, format_args!("{value} is not among the policy's"));
        }
    }
}

/// What the document says of the quote beside the quote. It proves nothing, but a reader may have
/// taken it from there.
fn stated(audit: &mut Audit, report: &SavedReport, fields: &QuoteFields) {
    let [rtmr0, rtmr1, rtmr2, rtmr3] = &fields.rtmrs;
    for (name, stated) in &report.stated_registers {
        let value = match *name {
            "mrtd" => &fields.mrtd,
            "rtmr0" => rtmr0,
            "rtmr1" => rtmr1,
            "rtmr2" => rtmr2,
            _ => rtmr3,
        };
        if hex::encode(value) != *stated {
            audit.refuted("report.tcb_info", format_args!("its {name} is not the quote's"));
        }
    }
    match &report.stated_report_data {
        Some(stated) if stated.as_slice() != fields.report_data => {
            audit.refuted("report.report_data", "it is not what the quote carries");
        }
        _ => {}
    }
}

fn note(audit: &mut Audit, check: &str, error: &VerifyError) {
    match error {
        VerifyError::Malformed(_) => audit.malformed(check, error),
        _ => audit.refuted(check, error),
    }
}

//! What a policy says of the platform's state, against real quotes at their times.

use serde_json::{Value, json};
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;

use crate::support::{Desk, Judged, root};

#[test]
fn what_a_platform_certificate_says_of_it_is_refused_only_where_the_policy_forbids_it() {
    let judge = |rules| judge("tdx_quote", OWN_SECS, "tdx_quote", rules);
    for rules in ["{}", "tcb: {smt: true}", "tcb: {dynamicPlatform: true, cachedKeys: true}"] {
        accepted(&judge(rules), "UpToDate");
    }
    for (rules, word) in [
        ("tcb: {dynamicPlatform: false}", "dynamic platform"),
        ("tcb: {dynamicPlatform: false, accept: [UpToDate, OutOfDate]}", "dynamic platform"),
        ("tcb: {cachedKeys: false}", "cached keys"),
        ("tcb: {smt: false}", "smt"),
        ("tcb: {dynamicPlatform: false, cachedKeys: false, smt: false}", ""),
    ] {
        refused(&judge(rules), word);
    }
}

#[test]
fn a_platform_that_fell_behind_is_refused_unless_its_state_is_accepted_by_name() {
    let judge = |rules| judge("tdx_quote", LATER_SECS, "tdx_quote_td15ex", rules);
    for rules in [
        "{}",
        "tcb: {accept: [UpToDate]}",
        "tcb: {accept: [SWHardeningNeeded, ConfigurationNeeded]}",
        "tcb: {accept: []}",
        "tcb: {outOfDateSecsMax: 1000000000}",
    ] {
        refused(&judge(rules), "outofdate");
    }
    let judged = judge("tcb: {accept: [OutOfDate]}");
    accepted(&judged, "OutOfDate");
    for advisory in ["01192", "01245", "01312", "01313"] {
        accepted(&judged, &format!("INTEL-SA-{advisory}"));
    }
}

#[test]
fn a_platform_may_be_out_of_date_for_only_as_long_as_the_policy_says() {
    let judge = |secs: u64| {
        let rules = format!("tcb: {{accept: [OutOfDate], outOfDateSecsMax: {secs}}}");
        judge("tdx_quote", LATER_SECS, "tdx_quote_td15ex", &rules)
    };
    for secs in [0, 1, 86_400] {
        refused(&judge(secs), "");
    }
    for secs in [20 * 366 * 86_400, u64::MAX] {
        accepted(&judge(secs), "OutOfDate");
    }
}

#[test]
fn a_platform_that_is_up_to_date_needs_no_grace() {
    let rules = "tcb: {accept: [OutOfDate], outOfDateSecsMax: 0}";
    accepted(&judge("tdx_quote_td15ex", LATER_SECS, "tdx_quote_td15ex", rules), "UpToDate");
}

#[test]
fn no_policy_makes_stale_collateral_or_a_platform_without_a_level_good() {
    let all = "tcb: {accept: [UpToDate, OutOfDate, SWHardeningNeeded, ConfigurationNeeded, \
               ConfigurationAndSWHardeningNeeded, OutOfDateConfigurationNeeded, Revoked]}";
    let stale = OWN_SECS + 30 * 86_400;
    refused(&judge("tdx_quote", stale, "tdx_quote", all), "");
    refused(&judge("tdx_quote_outdated", 1_772_300_000, "tdx_quote_outdated", all), "");
}

#[test]
fn a_state_that_intel_does_not_name_is_no_policy() {
    for rules in ["tcb: {accept: [uptodate]}", "tcb: {accept: UpToDate}", "tcb: {smt: maybe}"] {
        let judged = judge("tdx_quote", OWN_SECS, "tdx_quote", rules);
        assert_eq!(judged.exit(), Exit::Usage, "{rules}: {:?}", judged.0);
    }
}

/// What the auditor says of a quote at a moment, with collateral, under a policy.
fn judge(quote: &str, at_secs: u64, collateral: &str, rules: &str) -> Judged {
    let folder = root().join("fixtures/tdx");
    let mut desk = Desk::strict().policy(rules);
    desk.options.at = Some(at_secs);
    desk.options.collateral = Some(folder.join(format!("{collateral}_collateral.json")));
    let quote = std::fs::read(folder.join(format!("{quote}.bin"))).unwrap();
    desk.judge(&json!({
        "intel_quote": hex::encode(quote),
        "signing_address": Value::from(format!("0x{}", "00".repeat(20))),
        "request_nonce": "00".repeat(32),
    }))
}

/// Only the platform's state counts: the quote binds nobody's key here.
fn accepted(judged: &Judged, word: &str) {
    let detail = judged.details("quote.tcb", CheckResult::Proved);
    assert!(detail.contains(word) && !detail.is_empty(), "{:#?}", judged.0);
    assert_eq!(judged.details("quote.tcb", CheckResult::Refuted), "");
}

fn refused(judged: &Judged, word: &str) {
    let detail = judged.details("quote.tcb", CheckResult::Refuted);
    assert!(detail.to_lowercase().contains(word) && !detail.is_empty(), "{:#?}", judged.0);
    assert_eq!(judged.details("quote.tcb", CheckResult::Proved), "");
    let signed = judged.details("quote.signature", CheckResult::Proved);
    assert!(!signed.is_empty(), "the quote itself is genuine: {:#?}", judged.0);
    assert_eq!(judged.exit(), Exit::Refuted);
}

/// The moment for which the result of `tdx_quote` with its own collateral is known.
const OWN_SECS: u64 = 1_751_630_400;
/// The same for the later collateral of the same family of platforms.
const LATER_SECS: u64 = 1_792_756_800;

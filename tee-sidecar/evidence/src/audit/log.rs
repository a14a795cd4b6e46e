//! What was measured into the TD: the event log, and the composition that it names.

use broker_core::Digest32;

use super::Audit;
use crate::event_log::{EventLog, EventLogError, VerifiedLog};
use crate::policy::Policy;
use crate::saved::SavedReport;
use crate::tdx::QuoteFields;

pub(super) fn check(audit: &mut Audit, report: &SavedReport, policy: &Policy, quote: &QuoteFields) {
    let log = replay(audit, report, quote);
    let measured = log.as_ref().and_then(|log| log.payload("compose-hash"));
    composition(audit, report, quote, measured);
    allowed(audit, policy, measured);
}

fn replay(audit: &mut Audit, report: &SavedReport, quote: &QuoteFields) -> Option<VerifiedLog> {
    let Some(text) = &report.event_log else {
        audit.not_checked("event_log", "the report has none");
        return None;
    };
    let log = EventLog::parse(text).and_then(|log| log.verify(&quote.rtmrs));
    match log {
        Ok(log) => {
            audit.proved("event_log", "it replays to RTMR0 to RTMR3");
            return Some(log);
        }
        Err(error @ EventLogError::Unreadable(_)) => audit.malformed("event_log", error),
        // Its registers may well replay; what the events say is unproved, which is no pass.
        Err(error @ EventLogError::UnknownForm(_)) => audit.missing("event_log", error),
        Err(error) => audit.refuted("event_log", error),
    }
    None
}

fn composition(
    audit: &mut Audit,
    report: &SavedReport,
    quote: &QuoteFields,
    measured: Option<&[u8]>,
) {
    let Some(composition) = &report.app_compose else {
        return audit.not_checked("compose", "the report shows no app_compose");
    };
    let Digest32(hash) = Digest32::sha256(composition.as_bytes());
    match measured {
        Some(measured) if measured == hash => {
            audit.proved("compose", format_args!("the measured one: {}", hex::encode(hash)));
        }
        Some(_) => audit.refuted("compose", "app_compose is not what was measured"),
        None => audit.missing("compose", "app_compose is shown, and no event proves it"),
    }
    // dstack: 01 and the hash of the composition, where the host set it at all.
    match quote.mr_config_id.split_at(33) {
        ([1, rest @ ..], _) if *rest == hash => {
            audit.proved("td.mr_config_id", "it names the composition");
        }
        ([1, ..], _) => audit.refuted("td.mr_config_id", "it names another composition"),
        _ => audit.not_checked("td.mr_config_id", "the host set none that names a composition"),
    }
}

fn allowed(audit: &mut Audit, policy: &Policy, measured: Option<&[u8]>) {
    let rules = &policy.td.compose_hash;
    match measured.map(hex::encode) {
        _ if rules.is_empty() => {}
        Some(hash) if rules.iter().any(|one| one.eq_ignore_ascii_case(&hash)) => {
            audit.proved("compose.policy", "the composition is the policy's");
        }
        Some(hash) => {
            let why = format_args!("the composition {hash} is not among the policy's");
            audit.refuted("compose.policy", why);
        }
        None => audit.missing("compose.policy", "no event proves which composition runs"),
    }
}

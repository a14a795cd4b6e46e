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
    composition(audit, report, policy, measured);
    config_id(audit, report, quote, measured);
    allowed(audit, policy, measured);
    stated(audit, report, log.as_ref());
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

fn composition(audit: &mut Audit, report: &SavedReport, policy: &Policy, measured: Option<&[u8]>) {
    let Some(composition) = &report.app_compose else {
        return audit.not_checked("compose", "the report shows no app_compose");
    };
    let Digest32(hash) = Digest32::sha256(composition.as_bytes());
    match measured {
        Some(measured) if measured == hash => {
            let hash = hex::encode(hash);
            // Any guest image can measure any text: the image is what the registers say.
            let td = &policy.td;
            let image = [&td.mrtd, &td.rtmr0, &td.rtmr1, &td.rtmr2];
            if image.iter().any(|allowed| allowed.is_empty()) {
                let what = "as measured by a guest image that the policy does not name";
                audit.proved("compose", format_args!("{hash}, {what}"));
            } else {
                audit.proved("compose", format_args!("{hash}, as measured"));
            }
        }
        Some(_) => audit.refuted("compose", "app_compose is not what was measured"),
        None => audit.missing("compose", "app_compose is shown, and no event proves it"),
    }
}

/// dstack: 01 and the hash of the composition, where the host set it at all.
fn config_id(
    audit: &mut Audit,
    report: &SavedReport,
    quote: &QuoteFields,
    measured: Option<&[u8]>,
) {
    let ([1, named @ ..], _) = quote.mr_config_id.split_at(33) else {
        let why = "the host set none that names a composition";
        return audit.not_checked("td.mr_config_id", why);
    };
    let shown = report.app_compose.as_ref().map(|text| Digest32::sha256(text.as_bytes()).0);
    let hashes = [measured, shown.as_ref().map(<[u8; 32]>::as_slice)];
    match hashes.into_iter().flatten().collect::<Vec<_>>().as_slice() {
        [] => {
            let named = hex::encode(named);
            audit.not_checked("td.mr_config_id", format_args!("names {named}, nothing else does"));
        }
        hashes if hashes.iter().all(|hash| *hash == named) => {
            audit.proved("td.mr_config_id", "it names the composition");
        }
        _ => audit.refuted("td.mr_config_id", "it names another composition"),
    }
}

/// What the document repeats of the events. A reader may have taken it from there.
fn stated(audit: &mut Audit, report: &SavedReport, log: Option<&VerifiedLog>) {
    for (event, stated) in &report.stated_events {
        match log.and_then(|log| log.payload(event)) {
            Some(payload) if hex::encode(payload) == *stated => {}
            Some(_) => {
                let why = format_args!("it states another {event} than was measured");
                audit.refuted("report.info", why);
            }
            None => {
                audit.not_checked("report.info", format_args!("no event proves its {event}"));
            }
        }
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

//! Event logs against the registers of quotes.

use broker_core::Digest32;
use sha2::{Digest as _, Sha384};
use tee_evidence::event_log::{Event, EventLog, EventLogError};
use tee_evidence::simulator::SoftwarePlatform;
use tee_evidence::tdx::inspect_quote;

use crate::support::{NOW_SECS, report_data};

fn simulated() -> (String, [[u8; 48]; 4], SoftwarePlatform) {
    let platform = SoftwarePlatform::new().unwrap();
    let quote = platform.quote_now(&report_data()).unwrap();
    let inspected = inspect_quote(&quote.bytes, &platform.trust_root(), NOW_SECS).unwrap();
    (quote.event_log, inspected.fields.rtmrs, platform)
}

#[test]
fn the_simulated_log_replays_to_its_quote_and_proves_the_composition() {
    let (log, rtmrs, platform) = simulated();
    let verified = EventLog::parse(&log).unwrap().verify(&rtmrs).unwrap();
    let info = platform.info();
    let composition = info["tcb_info"]["app_compose"].as_str().unwrap();
    let hash = Digest32::sha256(composition.as_bytes());
    assert_eq!(verified.payload("compose-hash"), Some(&hash.0[..]));
    assert_eq!(verified.payload("no such event"), None);
}

#[test]
fn a_log_with_a_missing_swapped_or_added_event_does_not_replay() {
    let (log, rtmrs, _) = simulated();
    let events: Vec<Event> = serde_json::from_str(&log).unwrap();
    let mut changed = vec![events; 3];
    changed[0].pop();
    changed[1].swap(6, 7);
    changed[2].push(Event::runtime("added", b""));
    for events in changed {
        let refused = EventLog::new(events).verify(&rtmrs);
        assert_eq!(refused, Err(EventLogError::Mismatch(3)));
    }
}

#[test]
fn a_run_time_event_whose_content_was_changed_under_its_digest_is_refused() {
    let (log, rtmrs, _) = simulated();
    let mut events: Vec<Event> = serde_json::from_str(&log).unwrap();
    let position = events.iter().position(|e| e.event == "compose-hash").unwrap();
    events[position].event_payload = "00".repeat(32);
    let log = EventLog::new(events);
    assert_eq!(log.replay().unwrap(), rtmrs, "the digests still add up");
    assert_eq!(log.verify(&rtmrs), Err(EventLogError::UnknownForm(position)));
}

#[test]
fn an_event_of_unknown_form_is_never_a_pass() {
    let mut event = Event::runtime("compose-hash", b"content");
    event.digest = hex::encode(Sha384::digest("something else"));
    let log = EventLog::new(vec![event]);
    assert_eq!(log.verify(&log.replay().unwrap()), Err(EventLogError::UnknownForm(0)));
}

/// The preimage's digest is the event's, and what it says is not taken apart: a payload that stands
/// beside it proves nothing, and neither does the log.
#[test]
fn a_preimage_makes_an_event_of_unknown_form_and_hides_nothing() {
    let mut hidden = Event::runtime("compose-hash", b"content");
    let preimage = [&0x0800_0001_u32.to_le_bytes()[..], b":compose-hash:", b"content"].concat();
    assert_eq!(hidden.digest, hex::encode(Sha384::digest(&preimage)));
    hidden.preimage = Some(hex::encode(&preimage));
    hidden.event_payload = hex::encode(b"something else");
    // The one that an attacker measured later, under the content that an auditor hopes for.
    let later = Event::runtime("compose-hash", b"allowed");
    let log = EventLog::new(vec![hidden, later]);
    assert_eq!(log.verify(&log.replay().unwrap()), Err(EventLogError::UnknownForm(0)));
}

#[test]
fn a_name_that_was_measured_twice_says_nothing() {
    let events = [b"first".as_slice(), b"second"].map(|what| Event::runtime("compose-hash", what));
    let once = Event::runtime("app-id", b"app");
    let log = EventLog::new(events.into_iter().chain([once]).collect());
    let verified = log.verify(&log.replay().unwrap()).unwrap();
    assert_eq!(verified.payload("compose-hash"), None);
    assert_eq!(verified.payload("app-id"), Some(&b"app"[..]));
}

#[test]
fn malformed_events_are_named() {
    assert!(matches!(EventLog::parse("{}"), Err(EventLogError::Unreadable(_))));
    assert!(matches!(EventLog::parse(""), Err(EventLogError::Unreadable(_))));
    let good = Event::runtime("name", b"");
    for bad in [
        Event { imr: 4, ..good.clone() },
        Event { digest: "zz".to_owned(), ..good.clone() },
        Event { digest: "00".repeat(49), ..good.clone() },
    ] {
        let log = EventLog::new(vec![good.clone(), bad]);
        assert_eq!(log.replay(), Err(EventLogError::BadEvent(1)));
    }
    let log = EventLog::new(vec![Event { event_payload: "zz".to_owned(), ..good }]);
    assert_eq!(log.verify(&log.replay().unwrap()), Err(EventLogError::BadEvent(0)));
}

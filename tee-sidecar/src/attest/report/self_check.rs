//! The proof that a start owes itself: evidence that does not verify here verifies nowhere.

use broker_core::Digest32;

use super::evidence::{Collected, check, collect};
use super::slots::Line;
use super::{Form, ReportError, ReportService};
use crate::attest::{AttestError, random_nonce};
use crate::evidence::event_log::{EventLog, EventLogError, Measurement, REGISTERS};
use crate::evidence::tdx::{TcbPolicy, TrustRoot, verify_quote};

impl ReportService {
    /// Collects evidence and holds it to what a client's verifier would, as far as this machine
    /// can: signatures and certificates, what the quote binds, the event log and the composition;
    /// the platform's state only where the platform has its own collateral. An error means that
    /// this process must not serve.
    pub async fn self_check(&self) -> Result<(), AttestError> {
        let nonce = random_nonce()?;
        let cause = |error| match error {
            ReportError::NoEvidence(cause) => cause,
            other => wrong(other),
        };
        let slot = self.0.slots.enter(Line::Shelf).await.map_err(cause)?;
        let collected =
            collect(self, Form::Common, nonce, Line::Shelf, &slot).await.map_err(cause)?;
        let inspected = check(&self.0, &collected)?;
        if inspected.fields.debug {
            return Err(wrong("a debug TD: the host can read all of it"));
        }
        self.platform_state(&collected)?;
        let composition = self.0.info.pointer("/tcb_info/app_compose").and_then(|v| v.as_str());
        let fields = &inspected.fields;
        let log = &collected.quote.event_log;
        let proof = composition_proof(composition, log, &fields.rtmrs, &fields.mr_config_id)?;
        match proof {
            Proof::Log => {}
            Proof::NoLog => {
                tracing::info!("this guest keeps no event log: what runs in it is not measured");
            }
            Proof::ConfigId(why) => tracing::warn!(
                "the composition is proved by the quote's mr_config_id only; auditors who read \
                 the event log will ask about it: {why}"
            ),
        }
        if !inspected.cross_checked {
            tracing::warn!("quotes here have a version that the second parser cannot read");
        }
        self.0.tally.made(self.0.clock.now());
        Ok(())
    }

    fn platform_state(&self, collected: &Collected) -> Result<(), AttestError> {
        let root = self.0.attester.trust_root();
        if !self.is_simulated() && !matches!(root, TrustRoot::Intel) {
            return Err(wrong("only a simulated platform may have another root than Intel's"));
        }
        let Some(collateral) = self.0.attester.collateral() else {
            tracing::info!("signatures and certificates hold; the TCB is left to auditors");
            return Ok(());
        };
        let now_secs = self.0.clock.now().as_secs();
        let policy = TcbPolicy::default();
        let quote = &collected.quote.bytes;
        let under = |root| verify_quote(quote, &collateral, root, now_secs, &policy);
        if self.is_simulated() && under(&TrustRoot::Intel).is_ok() {
            return Err(wrong("a simulated quote passes under Intel's root"));
        }
        under(&root).map(drop).map_err(wrong)
    }
}

/// What tells that the composition shown is the one that runs.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// An event that was measured.
    Log,
    /// The configuration that the TD was started with; the log, for this reason, tells nothing.
    ConfigId(String),
    /// Nothing: a bare guest measures nothing and shows no composition.
    NoLog,
}

/// A guest that keeps an event log keeps it right; a bare guest keeps none.
fn composition_proof(
    composition: Option<&str>,
    event_log: &str,
    rtmrs: &[Measurement; REGISTERS],
    mr_config_id: &Measurement,
) -> Result<Proof, AttestError> {
    let log = EventLog::parse(event_log).map_err(wrong)?;
    if log.is_empty() && composition.is_none() {
        return Ok(Proof::NoLog);
    }
    // Whether it replays is looked at before the forms of its events.
    let log = match log.verify(rtmrs) {
        Err(error) if !matches!(error, EventLogError::UnknownForm(_)) => return Err(wrong(error)),
        other => other,
    };
    let composition = composition.ok_or_else(|| wrong("no tcb_info.app_compose"))?;
    let Digest32(hash) = Digest32::sha256(composition.as_bytes());
    let why = match log.as_ref().map(|log| log.payload("compose-hash")) {
        Ok(Some(measured)) if measured == hash => return Ok(Proof::Log),
        Ok(Some(_)) => return Err(wrong("the composition is not the measured one")),
        Ok(None) => "the event log proves no composition (compose-hash)".to_owned(),
        Err(unknown) => unknown.to_string(),
    };
    // dstack: 01, the hash of the composition, zeros.
    let mut named = [0; 48];
    let digits = [1].into_iter().chain(hash);
    named.iter_mut().zip(digits).for_each(|(to, from)| *to = from);
    if *mr_config_id == named { Ok(Proof::ConfigId(why)) } else { Err(wrong(why)) }
}

fn wrong(cause: impl std::fmt::Display) -> AttestError {
    AttestError::SelfCheck(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::event_log::Event;

    const COMPOSITION: &str = "{}";

    fn proof(events: Vec<Event>, config_id: [u8; 48]) -> Result<Proof, AttestError> {
        let log = EventLog::new(events);
        let json = serde_json::to_string(&log).unwrap();
        composition_proof(Some(COMPOSITION), &json, &log.replay().unwrap(), &config_id)
    }

    fn hash() -> [u8; 32] {
        Digest32::sha256(COMPOSITION.as_bytes()).0
    }

    fn naming(hash: [u8; 32]) -> [u8; 48] {
        [&[1][..], &hash, &[0; 15]].concat().try_into().unwrap()
    }

    fn unknown() -> Event {
        Event { digest: "ab".repeat(48), ..Event::runtime("compose-hash", &hash()) }
    }

    #[test]
    fn a_log_without_the_composition_is_told_from_one_with_another() {
        let good = Event::runtime("compose-hash", &hash());
        assert_eq!(proof(vec![good], [0; 48]), Ok(Proof::Log));
        let other = Event::runtime("compose-hash", &[7; 32]);
        let refused = proof(vec![other], naming(hash())).unwrap_err().to_string();
        assert!(refused.contains("not the measured one"), "{refused}");
        let none = vec![Event::runtime("app-id", b"1")];
        let refused = proof(none, [0; 48]).unwrap_err().to_string();
        assert!(refused.contains("proves no composition"), "{refused}");
    }

    #[test]
    fn the_config_id_stands_in_for_unknown_events_only_if_it_names_this_composition() {
        let taken = proof(vec![unknown()], naming(hash()));
        assert!(matches!(taken, Ok(Proof::ConfigId(_))), "{taken:?}");
        let mut long = naming(hash());
        long[47] = 1;
        let mut other_kind = naming(hash());
        other_kind[0] = 2;
        for wrong in [[0; 48], naming([7; 32]), long, other_kind] {
            assert!(proof(vec![unknown()], wrong).is_err());
        }
    }

    #[test]
    fn registers_that_do_not_replay_are_refused_whatever_the_config_id_says() {
        for events in [vec![unknown()], vec![Event::runtime("compose-hash", &hash())]] {
            let json = serde_json::to_string(&EventLog::new(events)).unwrap();
            let named = naming(hash());
            let refused = composition_proof(Some(COMPOSITION), &json, &[[9; 48]; 4], &named);
            assert!(refused.is_err());
        }
    }
}

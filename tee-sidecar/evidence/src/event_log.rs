//! The measured events of a TD, and whether they add up to the quote's run-time registers.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha384};

/// A measurement register's value: SHA-384.
pub type Measurement = [u8; 48];

/// The number of run-time measurement registers.
pub const REGISTERS: usize = 4;

/// Events in the order in which they were measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventLog(Vec<Event>);

/// One measured event, as dstack writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The register that the event extends, 0 to 3.
    pub imr: u32,
    /// The TCG event type, or dstack's own.
    pub event_type: u32,
    /// What the register is extended with, in hex.
    pub digest: String,
    /// The event's name; boot firmware gives none.
    #[serde(default)]
    pub event: String,
    /// The event's content in hex.
    #[serde(default)]
    pub event_payload: String,
    /// What newer guests hash for the digest, in hex. It is not taken apart: an event whose digest
    /// does not follow from its name and payload is of unknown form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preimage: Option<String>,
}

/// Why a log proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// Not a list of events.
    #[error("the event log is not a list of events: {0}")]
    Unreadable(String),
    /// A register, digest or payload that no event can have.
    #[error("event {0} has no register 0 to 3, or its digest or payload is no hex of its length")]
    BadEvent(usize),
    /// A run-time event whose digest follows no rule that we know: its content is unproved.
    #[error("event {0} has a digest that does not follow from its content by a known rule")]
    UnknownForm(usize),
    /// The log is not the one that the quote measured.
    #[error("the event log does not replay to RTMR{0}")]
    Mismatch(usize),
}

/// A log that replays to a quote's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLog(Vec<(String, Vec<u8>)>);

impl EventLog {
    /// A log of these events.
    pub const fn new(events: Vec<Event>) -> Self {
        Self(events)
    }

    /// Reads the JSON list that dstack serves.
    pub fn parse(json: &str) -> Result<Self, EventLogError> {
        serde_json::from_str(json).map_err(|e| EventLogError::Unreadable(e.to_string()))
    }

    /// Whether there is no event in it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The registers after all events, whatever their content: SHA-384 of the register before and
    /// the digest.
    pub fn replay(&self) -> Result<[Measurement; REGISTERS], EventLogError> {
        let mut registers = [[0; 48]; REGISTERS];
        for (position, event) in self.0.iter().enumerate() {
            let digest = event.padded_digest().ok_or(EventLogError::BadEvent(position))?;
            let register = usize::try_from(event.imr).ok().and_then(|imr| registers.get_mut(imr));
            let register = register.ok_or(EventLogError::BadEvent(position))?;
            *register =
                Sha384::new().chain_update(*register).chain_update(digest).finalize().into();
        }
        Ok(registers)
    }

    /// Compares the replay with the registers of a verified quote. Run-time events must also follow
    /// from their content, since that is what they are read for.
    pub fn verify(&self, rtmrs: &[Measurement; REGISTERS]) -> Result<VerifiedLog, EventLogError> {
        let replayed = self.replay()?;
        let differs = replayed.iter().zip(rtmrs).position(|(ours, theirs)| ours != theirs);
        if let Some(register) = differs {
            return Err(EventLogError::Mismatch(register));
        }
        let mut proved = Vec::new();
        for (position, event) in self.0.iter().enumerate().filter(|(_, e)| e.imr == RUNTIME) {
            proved.push((event.event.clone(), event.proved_payload(position)?));
        }
        Ok(VerifiedLog(proved))
    }
}

impl Event {
    /// A run-time event as the guest agent measures it.
    pub fn runtime(name: &str, payload: &[u8]) -> Self {
        Self {
            imr: RUNTIME,
            event_type: DSTACK_RUNTIME_EVENT,
            digest: hex::encode(runtime_digest(DSTACK_RUNTIME_EVENT, name, payload)),
            event: name.to_owned(),
            event_payload: hex::encode(payload),
            preimage: None,
        }
    }

    fn padded_digest(&self) -> Option<Measurement> {
        let digest = hex::decode(&self.digest).ok()?;
        let mut padded = [0; 48];
        padded.get_mut(..digest.len())?.copy_from_slice(&digest);
        Some(padded)
    }

    /// The payload, which the digest has to cover together with the name.
    fn proved_payload(&self, position: usize) -> Result<Vec<u8>, EventLogError> {
        let bad = |_| EventLogError::BadEvent(position);
        let digest = hex::decode(&self.digest).map_err(bad)?;
        let payload = hex::decode(&self.event_payload).map_err(bad)?;
        if digest == runtime_digest(self.event_type, &self.event, &payload) {
            Ok(payload)
        } else {
            Err(EventLogError::UnknownForm(position))
        }
    }
}

impl VerifiedLog {
    /// The content of the one run-time event of this name. What runs in the guest may be able to
    /// measure further events: a name that was measured twice says nothing.
    pub fn payload(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.0.iter().filter(|(event, _)| event == name);
        match (named.next(), named.next()) {
            (Some((_, payload)), None) => Some(payload),
            _ => None,
        }
    }
}

fn runtime_digest(event_type: u32, name: &str, payload: &[u8]) -> Measurement {
    let mut hash = Sha384::new();
    for part in [&event_type.to_le_bytes()[..], b":", name.as_bytes(), b":", payload] {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The register that the guest agent extends.
const RUNTIME: u32 = 3;

/// dstack's event type for run-time events.
const DSTACK_RUNTIME_EVENT: u32 = 0x0800_0001;

//! Reads an engine's stream: what goes on to the client, what was counted, how it ended. Pure:
//! bytes in, bytes out.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::event::{Event, Kind, Purpose};
use super::finish::HeldBack;
use super::meter::{Meter, Prompts};
use super::sse::{EventTooLong, Framer};
use super::usage::EngineUsage;

/// What of a read goes on to the client now.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whole events, as the client asked for them. May be empty.
    pub piece: Bytes,
    /// How many.
    pub events: u64,
    /// Tokens up to the last of them.
    pub meter: Meter,
    /// More events have arrived than were wanted at once.
    pub has_more: bool,
}

/// Reads one stream.
#[derive(Debug)]
pub struct Reader {
    framer: Framer,
    purpose: Purpose,
    /// Tokens of each answer, where the client asked for several.
    answers: BTreeMap<u64, u64>,
    /// Tokens of each prompt, likewise.
    prompts: BTreeMap<u64, u64>,
    held_back: HeldBack,
    /// Tokens up to here.
    pub meter: Meter,
    /// The engine's count of the prompts, from the last event that told it.
    prompt: Option<u64>,
    /// That is of all of them.
    totalled: bool,
    /// The engine's id of the answer.
    pub upstream_id: Option<String>,
    /// The engine said that it failed, or sent what is no event of a chat.
    pub failed: bool,
    /// A piece of an answer came.
    pub answered: bool,
    /// Something came that may be one, whatever its form.
    pub said: bool,
    /// The engine's fingerprint, from a total.
    pub fingerprint: Option<String>,
    /// Why the answer that ended last did.
    pub finish_reason: Option<String>,
    /// The event that ends a whole answer, and what the engine sent behind it; held back until fee
    /// and signature are durable.
    pub done: Option<Bytes>,
    /// How many events that is.
    pub done_events: u64,
}

impl Reader {
    /// A reader for this purpose. `fingerprint` is what the engine was last known by.
    pub fn new(purpose: Purpose, fingerprint: Option<String>) -> Self {
        Self {
            framer: Framer::default(),
            purpose,
            answers: BTreeMap::new(),
            prompts: BTreeMap::new(),
            held_back: HeldBack::new(purpose.several, fingerprint),
            meter: Meter::default(),
            prompt: None,
            totalled: false,
            upstream_id: None,
            failed: false,
            answered: false,
            said: false,
            fingerprint: None,
            finish_reason: None,
            done: None,
            done_events: 0,
        }
    }

    /// Takes what was read. What comes after `[DONE]` is not looked at; what comes after the end of
    /// a typed stream belongs to it, since some servers send a `[DONE]` there too.
    ///
    /// # Errors
    /// The engine sends an event without end.
    pub fn read(&mut self, read: &[u8]) -> Result<Batch, EventTooLong> {
        self.read_up_to(u64::MAX, read)
    }

    /// As [`Self::read`], and gives out about so many events; the next call begins with the others,
    /// whether it brings anything or not.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_up_to(&mut self, events: u64, read: &[u8]) -> Result<Batch, EventTooLong> {
        let mut batch = Gather::default();
        if self.done.is_some() && !self.may_go_on() {
            return Ok(batch.into());
        }
        self.framer.push(read);
        while let Some(event) = self.framer.next_event()? {
            self.take(event, &mut batch);
            if self.done.is_some() && !self.may_go_on() {
                break;
            }
            if batch.events >= events {
                return Ok(Batch { has_more: true, ..batch.into() });
            }
        }
        Ok(batch.into())
    }

    /// What the engine told of the prompts.
    pub fn prompts(&self) -> Prompts {
        let all = self.totalled || self.prompts.len() as u64 >= self.purpose.prompts;
        Prompts { counted: self.prompt, lacking: self.prompt.is_some() && !all }
    }

    /// Whether what follows the end belongs to the answer too, up to some length.
    pub fn may_go_on(&self) -> bool {
        let length = self.done.as_ref().map_or(0, Bytes::len);
        self.purpose.is_typed() && length < TAIL_BYTES_MAX
    }

    /// Takes the end of the stream: an event may be left without its blank line.
    ///
    /// A piece of an event goes on only where nothing has to be cut from it: half a usage member
    /// cannot be told from what the client asked for.
    pub fn finish(&mut self) -> Batch {
        let mut batch = Gather::default();
        if self.done.is_none()
            && let Some(tail) = self.framer.finish()
        {
            let whole = match Event::read(tail.clone(), self.purpose, true).kind {
                Kind::Garbage => false,
                // What begins otherwise may be the beginning of a data line.
                Kind::Quiet => tail.starts_with(b":"),
                Kind::Done | Kind::Chunk | Kind::Total | Kind::Error => true,
            };
            if whole {
                self.take(tail, &mut batch);
            } else if self.purpose.wanted.running || self.purpose.is_typed() {
                batch.add(Counted { bytes: tail, meter: self.meter });
            }
        }
        self.held_back.release(None, &mut batch);
        batch.into()
    }

    fn take(&mut self, bytes: Bytes, batch: &mut Gather) {
        if let Some(done) = &self.done {
            self.done = Some(Bytes::from([&done[..], &bytes[..]].concat()));
            self.done_events = self.done_events.saturating_add(1);
            return;
        }
        let event = Event::read(bytes, self.purpose, self.upstream_id.is_some());
        match event.kind {
            Kind::Error => self.failed = true,
            Kind::Garbage => (self.failed, self.said) = (true, true),
            Kind::Chunk => (self.answered, self.said) = (true, true),
            Kind::Total | Kind::Quiet | Kind::Done => {}
        }
        if event.id.is_some() {
            self.upstream_id = event.id;
        }
        if event.finish_reason.is_some() {
            self.finish_reason = event.finish_reason;
        }
        let usage = event.usage.map(|usage| self.count(usage, event.choice));
        self.meter.take(usage, event.text_bytes);
        if event.ends {
            self.held_back.release(None, batch);
            self.done = event.bytes;
            self.done_events = 1;
            return;
        }
        if event.kind == Kind::Total {
            self.held_back.release(event.fingerprint.as_deref(), batch);
            self.fingerprint = event.fingerprint;
        }
        if let Some(bytes) = event.bytes {
            let lacks = event.lacks_fingerprint;
            self.held_back.pass(Counted { bytes, meter: self.meter }, lacks, batch);
        }
    }

    /// The count of all answers so far. A running count is of the event's own answer, and of the
    /// prompt that this one belongs to.
    fn count(&mut self, usage: EngineUsage, choice: Option<u64>) -> EngineUsage {
        let Some(choice) = choice.filter(|_| usage.counts_output()) else {
            self.totalled |= usage.input().is_some();
            self.prompt = usage.input().or(self.prompt);
            return usage;
        };
        self.answers.insert(choice, usage.output());
        if let Some(input) = usage.input() {
            let prompt = choice.checked_div(self.purpose.per_prompt).unwrap_or_default();
            self.prompts.insert(prompt, input);
        }
        let sum = |counts: &BTreeMap<u64, u64>| {
            counts.values().fold(0, |sum: u64, count| sum.saturating_add(*count))
        };
        if !self.prompts.is_empty() {
            self.prompt = Some(sum(&self.prompts));
        }
        let usage = usage.with_output(sum(&self.answers));
        self.prompt.map_or(usage, |prompt| usage.with_input(prompt))
    }
}

/// What may follow the end of a typed stream.
const TAIL_BYTES_MAX: usize = 64 * 1024;

/// Joins events into one piece; the usual single one without a copy.
#[derive(Default)]
pub(super) struct Gather {
    first: Bytes,
    more: Vec<u8>,
    events: u64,
    meter: Meter,
}

/// An event for the client, and the tokens up to it.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) bytes: Bytes,
    pub(super) meter: Meter,
}

impl Gather {
    pub(super) fn add(&mut self, event: Counted) {
        self.meter = event.meter;
        let event = event.bytes;
        if self.events == 0 {
            self.first = event;
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&self.first);
            }
            self.more.extend_from_slice(&event);
        }
        self.events = self.events.saturating_add(1);
    }
}

impl From<Gather> for Batch {
    fn from(gather: Gather) -> Self {
        let piece = if gather.more.is_empty() { gather.first } else { gather.more.into() };
        Self { piece, events: gather.events, meter: gather.meter, has_more: false }
    }
}

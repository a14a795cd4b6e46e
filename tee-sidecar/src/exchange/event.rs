//! One event of an engine's stream: what it says, and what of it the client asked to see.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::meter::text_bytes;
use super::request::{Given, UsageWanted, span};
use super::sse::Data;
use super::usage::EngineUsage;
use crate::route::Dialect;

mod typed;

pub(super) use typed::Answer;

/// What an event is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A comment, a keep-alive, a blank line.
    Quiet,
    /// `data: [DONE]`: the engine says that the answer is whole.
    Done,
    /// A piece of the answer.
    Chunk,
    /// The count of the whole answer, behind its last piece.
    Total,
    /// The engine says, inside the stream, that it failed.
    Error,
    /// Data that is no JSON object.
    Garbage,
}

/// An event, read.
#[derive(Debug)]
pub struct Event {
    /// What it is.
    pub kind: Kind,
    /// The engine's id of the answer.
    pub id: Option<String>,
    /// The engine's count so far.
    pub usage: Option<EngineUsage>,
    /// Bytes of generated text, counted only where the engine gave no usage.
    pub text_bytes: u64,
    /// Which of several answers the piece belongs to; looked for only where there are several.
    pub choice: Option<u64>,
    /// The event ends an answer and lacks the fingerprint that the engine moved to the total.
    pub lacks_fingerprint: bool,
    /// Why an answer ended, if this event ends one.
    pub finish_reason: Option<String>,
    /// `system_fingerprint` of a total, as JSON text.
    pub fingerprint: Option<String>,
    /// The engine says that nothing of the answer comes behind this event.
    pub ends: bool,
    /// What the client gets; `None` where it asked for nothing of this event.
    pub bytes: Option<Bytes>,
}

/// What a stream is read for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// The usage that the client asked to see.
    pub wanted: UsageWanted,
    /// The client asked for more than one answer.
    pub several: bool,
    /// How many prompts were sent.
    pub prompts: u64,
    /// Of several answers, how many belong to one prompt.
    pub per_prompt: u64,
    /// The shape of the events.
    pub dialect: Dialect,
}

impl Purpose {
    /// Events have types of their own, and none of our options is in them.
    pub(super) const fn is_typed(self) -> bool {
        matches!(self.dialect, Dialect::Responses | Dialect::Messages)
    }
}

/// The members of a chunk, and of a buffered answer, that we look at.
#[derive(Deserialize)]
pub(super) struct Peek<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) object: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) choices: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) system_fingerprint: Given<'a>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
}

/// The longest engine's id that is kept: the ledger is no place for what an engine likes to write.
const ID_BYTES_MAX: usize = 256;

/// An engine's id, if it is one to keep.
pub(super) fn usable_id(id: Option<&str>) -> Option<String> {
    id.filter(|id| (1..=ID_BYTES_MAX).contains(&id.len())).map(str::to_owned)
}

impl Peek<'_> {
    pub(super) fn usable_id(&self) -> Option<String> {
        usable_id(self.id.as_deref())
    }

    pub(super) fn is_error(&self) -> bool {
        self.error.is_some_and(|e| e.get() != "null") || self.object.as_deref() == Some("error")
    }
}

impl Event {
    /// Reads a whole event. `id_known` spares looking for what is known.
    pub fn read(bytes: Bytes, purpose: Purpose, id_known: bool) -> Self {
        let joined;
        let (data, in_place): (&[u8], bool) = match Data::of(&bytes) {
            Data::None => return Self::opaque(Kind::Quiet, bytes),
            Data::Line(line) => (line, true),
            Data::Joined(all) => {
                joined = all;
                (&joined, false)
            }
        };
        if purpose.is_typed() {
            return typed::read(&bytes, data, purpose.dialect);
        }
        if data.trim_ascii() == b"[DONE]" {
            return Self { ends: true, ..Self::opaque(Kind::Done, bytes) };
        }
        let Ok(peek) = serde_json::from_slice::<Peek<'_>>(data) else {
            return Self::opaque(Kind::Garbage, bytes);
        };
        let usage = peek.usage.and_then(|raw| EngineUsage::read(purpose.dialect, raw.get()));
        let choices = peek.choices.map_or("", RawValue::get);
        let kind = match () {
            () if peek.is_error() => Kind::Error,
            () if usage.is_some() && is_empty_array(choices) => Kind::Total,
            () => Kind::Chunk,
        };
        let shown = match peek.usage {
            Some(raw) if raw.get().starts_with('{') => {
                let last = is_empty_array(choices);
                shown(&bytes, data, in_place, raw, last, purpose.wanted)
            }
            _ => Some(bytes.clone()),
        };
        let fingerprint = peek.system_fingerprint.text().filter(|_| kind == Kind::Total);
        let finish_reason = finish_reason(choices);
        Self {
            kind,
            id: if id_known { None } else { peek.usable_id() },
            usage,
            text_bytes: match usage {
                Some(usage) if usage.counts_output() => 0,
                _ => peek.choices.map_or(0, text_bytes),
            },
            choice: if purpose.several { choice(choices) } else { None },
            lacks_fingerprint: !purpose.wanted.at_end
                && peek.system_fingerprint.text().is_none()
                && finish_reason.is_some(),
            finish_reason: finish_reason.map(str::to_owned),
            fingerprint: fingerprint.map(str::to_owned),
            ends: false,
            bytes: shown,
        }
    }

    fn opaque(kind: Kind, bytes: Bytes) -> Self {
        Self {
            kind,
            id: None,
            usage: None,
            text_bytes: 0,
            choice: None,
            lacks_fingerprint: false,
            finish_reason: None,
            fingerprint: None,
            ends: false,
            bytes: Some(bytes),
        }
    }
}

fn choice(choices: &str) -> Option<u64> {
    serde_json::from_str::<Vec<Choice>>(choices).ok()?.first()?.index
}

/// The last `finish_reason` of the choices that is a string. Inside generated text the quotation
/// marks would be escaped, so the name is not found there.
pub(super) fn finish_reason(choices: &str) -> Option<&str> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finish_reason\""));
    let reasons = NAME.find_iter(choices.as_bytes()).filter_map(|at| {
        let value = choices.get(at + NAME.needle().len()..)?.trim_start();
        let value = value.strip_prefix(':')?.trim_start();
        let (reason, _) = value.strip_prefix('"')?.split_once('"')?;
        Some(plain_reason(reason))
    });
    reasons.last()
}

/// The reason, if a receipt may quote it.
pub(super) fn plain_reason(reason: &str) -> &str {
    let plain = reason.len() <= REASON_BYTES_MAX && !reason.contains(['\\', '"']);
    if plain { reason } else { "" }
}

/// The longest reason for an answer's end that a receipt quotes; a longer one, or one with
/// escapes, is told as an empty one.
const REASON_BYTES_MAX: usize = 64;

fn is_empty_array(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

/// The event as the engine would have sent it without the options that we added.
fn shown(
    event: &Bytes,
    data: &[u8],
    in_place: bool,
    usage: &RawValue,
    last: bool,
    wanted: UsageWanted,
) -> Option<Bytes> {
    if last {
        return wanted.at_end.then(|| event.clone());
    }
    if wanted.running {
        return Some(event.clone());
    }
    let (start, end) = member(data, usage)?;
    let (before, after) = (data.get(..start)?, data.get(end..)?);
    if in_place {
        // `data` is a slice of the event, so the cut is made in the event itself.
        let offset = (data.as_ptr() as usize).checked_sub(event.as_ptr() as usize)?;
        let head = event.get(..offset)?;
        let tail = event.get(offset + data.len()..)?;
        return Some(Bytes::from([head, before, after, tail].concat()));
    }
    // Several data lines: written as several again, at the same places.
    let mut out = Vec::with_capacity(event.len());
    for line in [before, after].concat().split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    Some(Bytes::from(out))
}

/// The span of the member whose value is `value`, with its name and the comma that joins it.
fn member(object: &[u8], value: &RawValue) -> Option<(usize, usize)> {
    let (value_start, value_end) = span(object, value.get())?;
    let before = object.get(..value_start)?.trim_ascii_end().strip_suffix(b":")?;
    // The name reads `usage`, however it is spelled, so it holds no quotation mark.
    let name = before.trim_ascii_end().strip_suffix(b"\"")?;
    let name_start = memchr::memrchr(b'"', name)?;
    let head = object.get(..name_start)?.trim_ascii_end();
    if let Some(head) = head.strip_suffix(b",") {
        return Some((head.len(), value_end));
    }
    let tail = object.get(value_end..)?;
    let blanks = tail.len() - tail.trim_ascii_start().len();
    match tail.get(blanks) {
        Some(b',') => Some((name_start, value_end + blanks + 1)),
        _ => Some((name_start, value_end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: UsageWanted = UsageWanted { at_end: false, running: false };
    const AT_END: UsageWanted = UsageWanted { at_end: true, running: false };
    const ALL: UsageWanted = UsageWanted { at_end: true, running: true };

    fn read(event: &str, wanted: UsageWanted) -> Event {
        let dialect = Dialect::Completions;
        let purpose = Purpose { wanted, several: true, prompts: 1, per_prompt: 2, dialect };
        Event::read(Bytes::copy_from_slice(event.as_bytes()), purpose, false)
    }

    fn shown_as(event: &str, wanted: UsageWanted) -> Option<String> {
        let read = read(event, wanted);
        read.bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn running_usage_is_cut_and_nothing_else_changes() {
        for (with, without) in [
            (
                r#"{"id":"a","choices":[{}],"usage":{"prompt_tokens":1}}"#,
                r#"{"id":"a","choices":[{}]}"#,
            ),
            (
                r#"{"choices":[{}] , "usage" : {"prompt_tokens":1} ,"x":1.50}"#,
                r#"{"choices":[{}]  ,"x":1.50}"#,
            ),
            (
                r#"{"usage":{"a":{"b":"}"}}, "choices":[{"t":"\u00e9"}]}"#,
                r#"{ "choices":[{"t":"\u00e9"}]}"#,
            ),
            (r#"{"usage":{}}"#, "{}"),
            (
                r#"{"choices":[{"usage":{"q":1}}],"\u0075sage":{"prompt_tokens":1}}"#,
                r#"{"choices":[{"usage":{"q":1}}]}"#,
            ),
        ] {
            let (event, bare) = (format!("data: {with}\n\n"), format!("data: {without}\n\n"));
            assert_eq!(shown_as(&event, NONE), Some(bare.clone()), "{with}");
            assert_eq!(shown_as(&event, AT_END), Some(bare), "{with}");
            assert_eq!(shown_as(&event, ALL), Some(event.clone()), "{with}");
        }
    }

    #[test]
    fn the_last_usage_event_is_shown_to_who_asked() {
        let event = "data: {\"id\":\"a\",\"choices\":[],\"usage\":{\"prompt_tokens\":3}}\n\n";
        assert_eq!(shown_as(event, NONE), None);
        assert_eq!(shown_as(event, AT_END), Some(event.to_owned()));
        assert_eq!(shown_as(event, ALL), Some(event.to_owned()));
    }

    #[test]
    fn what_is_not_a_count_passes_untouched() {
        for event in [
            ": ping\n\n",
            "\n",
            "data: [DONE]\n\n",
            "data: not json\n\n",
            "data: {\"choices\":[{}],\"usage\":null}\n\n",
            "event: x\nid: 7\ndata: {\"choices\":[{}]}\n\n",
        ] {
            assert_eq!(shown_as(event, NONE), Some(event.to_owned()), "{event:?}");
        }
    }

    #[test]
    fn usage_over_several_data_lines_is_cut_too() {
        let event = "data: {\"choices\":[{}],\ndata: \"usage\":{\"prompt_tokens\":1}}\n\n";
        assert_eq!(shown_as(event, NONE).unwrap(), "data: {\"choices\":[{}]}\n\n");
    }

    #[test]
    fn kinds_are_told_apart() {
        for (event, kind) in [
            ("data: [DONE]\n\n", Kind::Done),
            ("data:[DONE]\n", Kind::Done),
            ("data: {\"choices\":[]}\n\n", Kind::Chunk),
            ("data: {\"choices\":[ ],\"usage\":{\"prompt_tokens\":1}}\n\n", Kind::Total),
            ("data: {\"error\":{\"message\":\"x\"}}\n\n", Kind::Error),
            ("data: {\"object\":\"error\",\"message\":\"x\"}\n\n", Kind::Error),
            ("data: {\"choices\":[],\"error\":null}\n\n", Kind::Chunk),
            ("data: <html>\n\n", Kind::Garbage),
            (": x\n\n", Kind::Quiet),
        ] {
            assert_eq!(read(event, NONE).kind, kind, "{event:?}");
        }
    }

    #[test]
    fn the_end_of_an_answer_is_known_by_its_finish_reason() {
        for (choices, ends) in [
            (r#"[{"finish_reason":"stop"}]"#, Some("stop")),
            (r#"[{"finish_reason" : "length"}]"#, Some("length")),
            (r#"[{"finish_reason":"stop"},{"finish_reason":null}]"#, Some("stop")),
            (r#"[{"finish_reason":"st\"op"}]"#, Some("")),
            (r#"[{"finish_reason":null}]"#, None),
            (r#"[{"delta":{"content":"\"finish_reason\":\"stop\""},"finish_reason":null}]"#, None),
            ("[]", None),
        ] {
            assert_eq!(finish_reason(choices), ends, "{choices}");
        }
        let own = "data: {\"choices\":[{\"index\":3,\"finish_reason\":\"stop\"}],\
                   \"system_fingerprint\":\"f\"}\n\n";
        let event = read(own, NONE);
        assert_eq!((event.lacks_fingerprint, event.choice), (false, Some(3)));
        let bare = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";
        assert!(read(bare, NONE).lacks_fingerprint);
        assert!(!read(bare, AT_END).lacks_fingerprint);
    }
}

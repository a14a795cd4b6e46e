//! Events with types of their own: OpenAI's Responses and Anthropic's Messages. Nothing was added
//! to their requests, so nothing is cut from them: they are only read.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::meter::block_bytes;
use super::super::usage::EngineUsage;
use super::{Event, Kind, plain_reason, usable_id};
use crate::route::Dialect;

/// The members of an event that we look at.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response: Option<Answer<'a>>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A Responses object, or a message of Anthropic's: whole, or as far as it is known.
#[derive(Deserialize)]
pub(in super::super) struct Answer<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(rename = "type", borrow)]
    pub(in super::super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    incomplete_details: Option<Incomplete<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(in super::super) output: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(in super::super) content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

/// What of Anthropic's last delta we look at.
#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
}

impl Answer<'_> {
    pub(in super::super) fn usable_id(&self) -> Option<String> {
        usable_id(self.id.as_deref())
    }

    pub(in super::super) fn usage(&self, dialect: Dialect) -> Option<EngineUsage> {
        self.usage.and_then(|raw| EngineUsage::read(dialect, raw.get()))
    }

    /// The engine says that it failed.
    pub(in super::super) fn is_error(&self) -> bool {
        self.error.is_some_and(|error| error.get() != "null")
            || matches!(self.status.as_deref(), Some("failed" | "cancelled"))
            || self.kind.as_deref() == Some("error")
    }

    /// Why it ended.
    pub(in super::super) fn finish_reason(&self) -> Option<String> {
        let cut = self.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
        let reason = self.stop_reason.as_deref().or(cut).or(self.status.as_deref());
        reason.map(|reason| plain_reason(reason).to_owned())
    }
}

/// Reads an event whose data is this.
pub(super) fn read(bytes: &Bytes, data: &[u8], dialect: Dialect) -> Event {
    let event = |kind| Event::opaque(kind, bytes.clone());
    if data.trim_ascii() == b"[DONE]" {
        // Some servers send one behind the end that counts here.
        return event(Kind::Quiet);
    }
    let Ok(peek) = serde_json::from_slice::<Peek<'_>>(data) else {
        return event(Kind::Garbage);
    };
    let is_error = peek.error.is_some_and(|error| error.get() != "null");
    match (dialect, peek.kind.as_deref()) {
        (_, Some("error")) => Event { ends: true, ..event(Kind::Error) },
        (Dialect::Messages, Some(kind)) => messages(kind, &peek, event(Kind::Quiet)),
        (_, Some(kind)) => responses(kind, &peek, event(Kind::Quiet)),
        (_, None) if is_error => event(Kind::Error),
        (_, None) => event(Kind::Quiet),
    }
}

fn responses(name: &str, peek: &Peek<'_>, event: Event) -> Event {
    let Some(answer) = &peek.response else {
        let text = peek.delta.filter(|_| name.ends_with(".delta"));
        let text = text.and_then(|delta| serde_json::from_str::<Cow<'_, str>>(delta.get()).ok());
        let text_bytes = text.map_or(0, |text| text.len() as u64);
        return Event { kind: Kind::Chunk, text_bytes, ..event };
    };
    let kind = match name {
        "response.failed" => Kind::Error,
        _ if answer.is_error() => Kind::Error,
        "response.completed" | "response.incomplete" => Kind::Chunk,
        _ => Kind::Quiet,
    };
    let ends = matches!(name, "response.completed" | "response.incomplete" | "response.failed");
    Event {
        kind,
        ends,
        id: answer.usable_id(),
        usage: answer.usage(Dialect::Responses),
        finish_reason: if ends { answer.finish_reason() } else { None },
        ..event
    }
}

fn messages(name: &str, peek: &Peek<'_>, event: Event) -> Event {
    let usage = peek.usage.and_then(|raw| EngineUsage::read(Dialect::Messages, raw.get()));
    match name {
        "message_start" => {
            let message = peek.message.map(RawValue::get);
            let message = message.and_then(|text| serde_json::from_str::<Answer<'_>>(text).ok());
            let usage = message.as_ref().and_then(|message| message.usage(Dialect::Messages));
            let id = message.and_then(|message| message.usable_id());
            Event { kind: Kind::Chunk, id, usage, ..event }
        }
        "content_block_start" | "content_block_stop" => Event { kind: Kind::Chunk, ..event },
        "content_block_delta" => {
            let text_bytes = peek.delta.map_or(0, block_bytes);
            Event { kind: Kind::Chunk, text_bytes, ..event }
        }
        "message_delta" => {
            let delta = peek.delta.map(RawValue::get);
            let delta = delta.and_then(|text| serde_json::from_str::<Delta<'_>>(text).ok());
            let reason = delta.and_then(|delta| delta.stop_reason);
            let finish_reason = reason.map(|reason| plain_reason(&reason).to_owned());
            Event { kind: Kind::Chunk, usage, finish_reason, ..event }
        }
        "message_stop" => Event { kind: Kind::Done, ends: true, ..event },
        _ => event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(dialect: Dialect, data: &str) -> Event {
        let bytes = Bytes::from(format!("event: x\ndata: {data}\n\n"));
        let event = read(&bytes, data.as_bytes(), dialect);
        assert_eq!(event.bytes, Some(bytes), "nothing is cut");
        event
    }

    #[test]
    fn the_events_of_responses_are_told_apart() {
        for (data, kind, ends) in [
            (r#"{"type":"response.created","response":{"id":"r"}}"#, Kind::Quiet, false),
            (r#"{"type":"response.output_item.added","item":{}}"#, Kind::Chunk, false),
            (r#"{"type":"response.completed","response":{"id":"r"}}"#, Kind::Chunk, true),
            (r#"{"type":"response.incomplete","response":{"id":"r"}}"#, Kind::Chunk, true),
            (r#"{"type":"response.failed","response":{"id":"r"}}"#, Kind::Error, true),
            (
                r#"{"type":"response.completed","response":{"error":{"code":"x"}}}"#,
                Kind::Error,
                true,
            ),
            (r#"{"type":"error","message":"x"}"#, Kind::Error, true),
            (r#"{"error":{"message":"x"}}"#, Kind::Error, false),
            ("[DONE]", Kind::Quiet, false),
            ("<html>", Kind::Garbage, false),
        ] {
            let read = event(Dialect::Responses, data);
            assert_eq!((read.kind, read.ends), (kind, ends), "{data}");
        }
    }

    #[test]
    fn the_last_event_of_a_response_has_its_usage_and_its_reason() {
        let data = r#"{"type":"response.incomplete","response":{"id":"resp_1","status":"incomplete",
            "incomplete_details":{"reason":"max_output_tokens"},
            "usage":{"input_tokens":13,"output_tokens":4}}}"#;
        let last = event(Dialect::Responses, data);
        let usage = last.usage.unwrap();
        assert_eq!((usage.input(), usage.output()), (Some(13), 4));
        assert_eq!(last.id.as_deref(), Some("resp_1"));
        assert_eq!(last.finish_reason.as_deref(), Some("max_output_tokens"));
        let text = r#"{"type":"response.output_text.delta","delta":"日本"}"#;
        assert_eq!(event(Dialect::Responses, text).text_bytes, 6);
        let whole = r#"{"type":"response.output_text.done","text":"日本"}"#;
        assert_eq!(event(Dialect::Responses, whole).text_bytes, 0);
    }

    #[test]
    fn the_events_of_messages_are_told_apart() {
        for (data, kind, ends) in [
            (r#"{"type":"message_start","message":{"id":"m"}}"#, Kind::Chunk, false),
            (r#"{"type":"ping"}"#, Kind::Quiet, false),
            (r#"{"type":"content_block_start"}"#, Kind::Chunk, false),
            (r#"{"type":"message_delta","delta":{}}"#, Kind::Chunk, false),
            (r#"{"type":"message_stop"}"#, Kind::Done, true),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Kind::Error, true),
            (r#"{"type":"response.completed","response":{}}"#, Kind::Quiet, false),
        ] {
            let read = event(Dialect::Messages, data);
            assert_eq!((read.kind, read.ends), (kind, ends), "{data}");
        }
    }

    #[test]
    fn a_message_tells_its_usage_in_two_parts() {
        let start = r#"{"type":"message_start","message":{"id":"msg_1","usage":
            {"input_tokens":3,"output_tokens":1,"cache_read_input_tokens":10}}}"#;
        let start = event(Dialect::Messages, start);
        assert_eq!(start.usage.unwrap().input(), Some(13));
        assert_eq!(start.id.as_deref(), Some("msg_1"));
        for (delta, bytes) in [
            (r#"{"type":"text_delta","text":"日本"}"#, 6),
            (r#"{"type":"thinking_delta","thinking":"abc"}"#, 3),
            (r#"{"type":"input_json_delta","partial_json":"{\"a\""}"#, 4),
            (r#"{"type":"signature_delta","signature":"long"}"#, 0),
        ] {
            let data = format!("{{\"type\":\"content_block_delta\",\"delta\":{delta}}}");
            assert_eq!(event(Dialect::Messages, &data).text_bytes, bytes, "{delta}");
        }
        let last = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},
            "usage":{"output_tokens":9}}"#;
        let last = event(Dialect::Messages, last);
        assert_eq!(last.usage.unwrap().output(), 9);
        assert_eq!(last.finish_reason.as_deref(), Some("end_turn"));
    }
}

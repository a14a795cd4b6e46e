//! The reader of streams under arbitrary reads: what goes out is what was promised, its hash is of
//! exactly that, the id and the usage are found, and no count is seen by who did not ask for it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::time::Duration;

use broker_core::{ReceiptId, Timestamp};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tee_sidecar::exchange::event::Purpose;
use tee_sidecar::exchange::handover::hand_over;
use tee_sidecar::exchange::reader::Reader;
use tee_sidecar::exchange::request::UsageWanted;
use tee_sidecar::route::Dialect;

/// A part of an engine's stream, with our options and without them.
#[derive(Clone, Debug)]
struct Part {
    with: String,
    without: String,
    tokens: u64,
}

fn chunk(n: u64, text: &str) -> Part {
    let head = format!(
        "data: {{\"id\":\"chatcmpl-É\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{}}},\
         \"finish_reason\":null}}]",
        serde_json::Value::from(text)
    );
    let usage = format!(
        ",\"usage\":{{\"prompt_tokens\":7,\"total_tokens\":{},\"completion_tokens\":{n}}}",
        7 + n
    );
    Part { with: format!("{head}{usage}}}\n\n"), without: format!("{head}}}\n\n"), tokens: n }
}

/// An answer of some events: pieces of text, comments, other fields.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let piece = prop_oneof![
        6 => "(\\PC|é|日|☕|\"|\\\\|\\r\\n|usage){0,8}".prop_map(Some),
        1 => Just(None),
    ];
    prop::collection::vec(piece, 1..24).prop_map(|pieces| {
        let mut tokens = 0;
        let mut parts = Vec::new();
        for piece in pieces {
            match piece {
                Some(text) => {
                    tokens += 1;
                    parts.push(chunk(tokens, &text));
                }
                None => {
                    let ping = ": ping \"usage\":{}\n\n".to_owned();
                    parts.push(Part { with: ping.clone(), without: ping, tokens });
                }
            }
        }
        parts
    })
}

fn cut(stream: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.sort_unstable();
    places.push(stream.len());
    let mut from = 0;
    places
        .into_iter()
        .map(|to| {
            let read = stream[from..to].to_vec();
            from = to;
            read
        })
        .collect()
}

/// Reads everything as the pump does; what went out, and what was held back.
fn read(reader: &mut Reader, reads: &[Vec<u8>]) -> (Vec<u8>, u64, Option<Bytes>) {
    let (mut out, mut events) = (Vec::new(), 0);
    for read in reads {
        let mut batch = reader.read_up_to(2, read).unwrap();
        loop {
            assert_eq!(batch.events == 0, batch.piece.is_empty());
            out.extend_from_slice(&batch.piece);
            events += batch.events;
            if !batch.has_more {
                break;
            }
            batch = reader.read_up_to(2, &[]).unwrap();
        }
    }
    let last = reader.finish();
    out.extend_from_slice(&last.piece);
    (out, events + last.events, reader.done.take())
}

fn purpose(wanted: UsageWanted, several: bool) -> Purpose {
    Purpose { wanted, several, prompts: 1, per_prompt: 2, dialect: Dialect::Completions }
}

fn reader(wanted: UsageWanted) -> Reader {
    Reader::new(purpose(wanted, false), None)
}

/// What a client may ask to see: the total, and with it the running count.
const WANTED: [(bool, bool); 3] = [(false, false), (true, false), (true, true)];

/// A stream of Anthropic's that says these texts.
fn messages(texts: &[String]) -> Vec<String> {
    let event = |name: &str, data: serde_json::Value| format!("event: {name}\ndata: {data}\n\n");
    let usage = json!({"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 1});
    let start = json!({"type": "message_start", "message": {"id": "m", "usage": usage}});
    let mut events = vec![event("message_start", start)];
    events.extend(texts.iter().map(|text| {
        let delta = json!({"type": "text_delta", "text": text});
        event("content_block_delta", json!({"type": "content_block_delta", "delta": delta}))
    }));
    let (delta, usage) = (json!({"stop_reason": "end_turn"}), json!({"output_tokens": 9}));
    let last = json!({"type": "message_delta", "delta": delta, "usage": usage});
    events.push(event("message_delta", last));
    events.push(event("message_stop", json!({"type": "message_stop"})));
    events
}

/// The same of OpenAI's Responses.
fn responses(texts: &[String]) -> Vec<String> {
    let event = |data: serde_json::Value| format!("data:{data}\n\n");
    let mut events = vec![event(json!({"type": "response.created", "response": {"id": "r"}}))];
    events.extend(
        texts
            .iter()
            .map(|text| event(json!({"type": "response.output_text.delta", "delta": text}))),
    );
    let usage = json!({"input_tokens": 13, "input_tokens_details": {"cached_tokens": 10},
                       "output_tokens": 9});
    let response = json!({"id": "r", "status": "completed", "error": null, "usage": usage});
    events.push(event(json!({"type": "response.completed", "response": response})));
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    // B1, B7, B9, B14
    #[test]
    fn reads_may_fall_anywhere(
        parts in parts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        (at_end, running) in prop::sample::select(&WANTED[..]),
        done in any::<bool>(),
    ) {
        let wanted = UsageWanted { at_end, running };
        let tokens = parts.last().map_or(0, |part| part.tokens);
        let total = format!(
            "data: {{\"id\":\"chatcmpl-É\",\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\
             \"completion_tokens\":{tokens}}}}}\n\n"
        );
        let mut stream: String = parts.iter().map(|part| part.with.as_str()).collect();
        stream.push_str(&total);
        let mut want: String =
            parts.iter().map(|p| if running { p.with.as_str() } else { &p.without }).collect();
        if at_end {
            want.push_str(&total);
        }
        if done {
            stream.push_str("data: [DONE]\n\n");
        }
        let stream = stream.replace('\n', line_end);
        let mut reader = reader(wanted);
        let (out, events, held) = read(&mut reader, &cut(stream.as_bytes(), &cuts));
        prop_assert_eq!(String::from_utf8(out).unwrap(), want);
        prop_assert_eq!(events, parts.len() as u64 + u64::from(at_end));
        prop_assert_eq!(held, done.then(|| Bytes::from_static(b"data: [DONE]\n\n")));
        prop_assert_eq!(reader.upstream_id.as_deref(), Some("chatcmpl-É"));
        prop_assert_eq!(reader.prompts().counted, Some(7));
        let bound = broker_core::TokenBound { input: 9, output: 99 };
        let usage = reader.meter.usage(reader.prompts(), 0, bound);
        prop_assert_eq!((usage.input, usage.output), (7, tokens));
        prop_assert!(!reader.failed);
        prop_assert_eq!(reader.answered, tokens > 0);
    }

    // B1, B7, B9: of typed streams nothing is cut, whatever stands behind their end.
    #[test]
    fn reads_of_a_typed_stream_may_fall_anywhere(
        texts in prop::collection::vec("(\\PC|é|日|☕|\"|\\\\){0,8}", 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        of_messages in any::<bool>(),
        tail in prop::sample::select(vec!["", "data: [DONE]\n\n", ": bye\n\n"]),
    ) {
        let (dialect, events) = if of_messages {
            (Dialect::Messages, messages(&texts))
        } else {
            (Dialect::Responses, responses(&texts))
        };
        let stream = events.concat() + tail;
        let wanted = UsageWanted::default();
        let purpose = Purpose { wanted, several: false, prompts: 1, per_prompt: 1, dialect };
        let mut reader = Reader::new(purpose, None);
        let sent = stream.replace('\n', line_end);
        let (out, count, held) = read(&mut reader, &cut(sent.as_bytes(), &cuts));
        let held = String::from_utf8(held.unwrap().to_vec()).unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap() + &held, stream);
        prop_assert_eq!(&held, &(events.last().unwrap().clone() + tail));
        let all = events.len() as u64 + u64::from(!tail.is_empty());
        prop_assert_eq!(count + reader.done_events, all);
        let bound = broker_core::TokenBound { input: 99, output: 99 };
        let usage = reader.meter.usage(reader.prompts(), 0, bound);
        prop_assert_eq!((usage.input, usage.cached_input, usage.output), (13, 10, 9));
        prop_assert_eq!(usage.source, broker_core::UsageSource::Engine);
        prop_assert!(reader.answered && !reader.failed);
    }

    // B11: wherever the stream breaks off, whole events and nothing of a half one.
    #[test]
    fn a_stream_may_break_off_anywhere(
        parts in parts(),
        end in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream: String = parts.iter().map(|part| part.with.as_str()).collect();
        let end = end.index(stream.len() + 1);
        let (mut whole, mut want) = (0, String::new());
        for part in &parts {
            // The event is whole with its data line; a blank line is not needed.
            if whole + part.with.len() - 2 > end {
                break;
            }
            whole += part.with.len();
            want.push_str(&part.without);
        }
        let mut reader = reader(UsageWanted::default());
        let (out, _, held) = read(&mut reader, &cut(&stream.as_bytes()[..end], &cuts));
        let out = String::from_utf8(out).unwrap();
        prop_assert_eq!(held, None);
        let rest = out.strip_prefix(want.trim_end());
        prop_assert!(rest.is_some(), "{out:?} {want:?}");
        // What is left of a comment may follow, nothing of half an event; a final line end is
        // always there.
        let rest = rest.unwrap_or_default().trim_start_matches('\n');
        prop_assert!(rest.is_empty() || rest.starts_with(':'), "{rest:?} behind {want:?}");
        prop_assert!(!out.contains("prompt_tokens"));
        prop_assert!(out.is_empty() || out.ends_with('\n'));
    }

    // What is hashed is what was handed on.
    #[test]
    fn the_hash_is_of_what_was_handed_on(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12),
        taken in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            use futures_util::StreamExt;
            let taken = taken.index(pieces.len() + 1);
            let (mut sender, mut receiver) = hand_over(&ReceiptId::mint(Timestamp(1)));
            let mut out = Vec::new();
            for (n, piece) in pieces.iter().enumerate() {
                let meter = Default::default();
                sender.send(piece.clone().into(), 1, meter, Duration::ZERO).await.unwrap();
                if n < taken {
                    out.extend(receiver.next().await.unwrap().unwrap());
                }
            }
            drop(receiver);
            let mark = sender.halt();
            assert_eq!((mark.events, mark.bytes), (taken as u64, out.len() as u64));
            assert_eq!(mark.digest(), broker_core::Digest32::sha256(&out));
        });
    }
}

// vLLM moves its fingerprint to the total when it is asked for usage.
#[test]
fn the_fingerprint_is_put_back_where_the_client_would_have_found_it() {
    let end = |index: u64, usage: &str, fingerprint: &str| {
        format!(
            "data: {{\"id\":\"a\",\"choices\":[{{\"index\":{index},\"delta\":{{}},\
             \"finish_reason\":\"stop\"}}]{usage}{fingerprint}}}\n\n"
        )
    };
    let usage = ",\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}";
    let mark = ",\"system_fingerprint\":\"vllm-1\"";
    let total = |n: u64| {
        format!(
            "data: {{\"id\":\"a\",\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\
             \"completion_tokens\":{n}}}{mark}}}\n\ndata: [DONE]\n\n"
        )
    };
    let stream = end(0, usage, "") + &total(3);
    let mut one = reader(UsageWanted::default());
    let (out, events, _) = read(&mut one, &[stream.clone().into_bytes()]);
    assert_eq!(String::from_utf8(out).unwrap(), end(0, "", mark));
    assert_eq!(events, 1);
    // Who asked for the total finds the fingerprint there, as the engine wrote it.
    let mut asked = reader(UsageWanted { at_end: true, running: true });
    let (out, ..) = read(&mut asked, &[stream.clone().into_bytes()]);
    assert_eq!(String::from_utf8(out).unwrap() + "data: [DONE]\n\n", stream);
    // Several answers: nothing waits, and each end takes what earlier answers told.
    let other = chunk(2, "x").with.replace(":0,", ":1,");
    let bare = chunk(2, "x").without.replace(":0,", ":1,");
    for known in [None, Some("\"vllm-1\"".to_owned())] {
        let shown = if known.is_some() { mark } else { "" };
        let mut several = Reader::new(purpose(UsageWanted::default(), true), known);
        let mut out = String::new();
        for event in [end(0, usage, ""), other.clone(), end(1, usage, "")] {
            let batch = several.read(event.as_bytes()).unwrap();
            assert_eq!(batch.events, 1, "an event waits");
            out.push_str(std::str::from_utf8(&batch.piece).unwrap());
        }
        assert_eq!(out, end(0, "", shown) + &bare + &end(1, "", shown));
        let bound = broker_core::TokenBound { input: 9, output: 99 };
        assert_eq!(several.meter.usage(several.prompts(), 0, bound).output, 6);
        assert_eq!(several.read(total(6).as_bytes()).unwrap().events, 0);
        assert_eq!(several.fingerprint.as_deref(), Some("\"vllm-1\""));
    }
    // Without a total nothing is lost.
    let mut cut_short = reader(UsageWanted::default());
    let (out, ..) = read(&mut cut_short, &[end(0, usage, "").into_bytes()]);
    assert_eq!(String::from_utf8(out).unwrap(), end(0, "", ""));
}

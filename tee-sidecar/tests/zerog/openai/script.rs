//! What a scripted engine answers to the requests of `openai.mjs`.

use serde_json::{Value, json};

use crate::support::{Engine, Seen, Step, sse, whole};

pub(super) const TEXT: &str = "é日☕";
pub(super) const ARGUMENTS: &str = r#"{"city":"Paris"}"#;

/// An engine with an answer for each route.
pub(super) fn engine() -> Engine {
    Engine::start(|seen: &Seen| {
        let (text, path) = (seen.text(), seen.head.split(' ').nth(1).unwrap());
        let has = |member: &str| text.contains(member);
        match path {
            "/v1/chat/completions" if has("\"stream\":true") => streamed(&chat(has("\"tools\""))),
            "/v1/chat/completions" => answered(&called()),
            // The client asks for floats in base64: 1 and 2.
            "/v1/embeddings" if has("\"encoding_format\":\"base64\"") => answered(&json!({
                "object": "list", "model": "tiny",
                "data": [
                    {"object": "embedding", "index": 0, "embedding": "AACAPwAAAEA="},
                    {"object": "embedding", "index": 1, "embedding": "AAAAQAAAgD8="},
                ],
                "usage": {"prompt_tokens": 2, "total_tokens": 2},
            })),
            "/v1/responses" if has("\"stream\":true") => typed(),
            "/v1/responses" => answered(&response("completed")),
            // The models.
            _ => answered(&json!({"error": {"message": "not in the script"}})),
        }
    })
}

fn answered(body: &Value) -> Vec<Step> {
    vec![Step::Raw(whole(200, body.to_string().as_bytes()))]
}

fn streamed(events: &[Value]) -> Vec<Step> {
    let mut steps = vec![sse()];
    steps.extend(events.iter().map(|event| Step::Chunk(format!("data: {event}\n\n").into_bytes())));
    steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
    steps.push(Step::EndChunks);
    steps
}

fn usage() -> Value {
    json!({"prompt_tokens": 13, "completion_tokens": 5, "total_tokens": 18})
}

/// A stream of chat, or of a call in two pieces, with running usage as vLLM sends it.
fn chat(calls: bool) -> Vec<Value> {
    let event = |delta: Value, reason: Option<&str>| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
            "usage": {"prompt_tokens": 13, "completion_tokens": 1, "total_tokens": 14},
        })
    };
    let call = |head: Value, arguments: &str| {
        let mut call = head;
        call["index"] = 0.into();
        call["function"]["arguments"] = arguments.into();
        event(json!({"tool_calls": [call]}), None)
    };
    let (first, second) = ARGUMENTS.split_at(6);
    let mut events = vec![event(json!({"role": "assistant", "content": ""}), None)];
    if calls {
        let head = json!({"id": "call-1", "type": "function", "function": {"name": "weather"}});
        events.extend([call(head, first), call(json!({"function": {}}), second)]);
        events.push(event(json!({}), Some("tool_calls")));
    } else {
        events.extend(TEXT.chars().map(|c| event(json!({"content": c}), None)));
        events.push(event(json!({}), Some("stop")));
    }
    events.push(json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny",
        "choices": [], "usage": usage(),
    }));
    events
}

/// A call in one piece.
fn called() -> Value {
    let function = json!({"name": "weather", "arguments": ARGUMENTS});
    let call = json!({"id": "call-1", "type": "function", "function": function});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": usage(),
    })
}

fn response(status: &str) -> Value {
    let is_done = status == "completed";
    let part = json!({"type": "output_text", "text": TEXT, "annotations": []});
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [part],
    });
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "model": "tiny", "status": status,
        "error": null, "output": if is_done { vec![message] } else { Vec::new() },
        "usage": if is_done {
            json!({"input_tokens": 13, "output_tokens": 5, "total_tokens": 18})
        } else {
            Value::Null
        },
    })
}

/// The same as typed events.
fn typed() -> Vec<Step> {
    let at = |kind: &str, more: Value| {
        let mut event = json!({"type": kind, "item_id": "msg_1", "output_index": 0});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let item = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress",
        "content": [],
    });
    let part = json!({"type": "output_text", "text": "", "annotations": []});
    let mut events = vec![
        json!({"type": "response.created", "response": response("in_progress")}),
        at("response.output_item.added", json!({"item": item})),
        at("response.content_part.added", json!({"content_index": 0, "part": part})),
    ];
    events.extend(
        TEXT.chars()
            .map(|c| at("response.output_text.delta", json!({"content_index": 0, "delta": c}))),
    );
    events.push(json!({"type": "response.completed", "response": response("completed")}));
    let mut steps = vec![sse()];
    for (number, mut event) in events.into_iter().enumerate() {
        event["sequence_number"] = number.into();
        let kind = event["type"].as_str().unwrap();
        steps.push(Step::Chunk(format!("event: {kind}\ndata: {event}\n\n").into_bytes()));
    }
    steps.push(Step::EndChunks);
    steps
}

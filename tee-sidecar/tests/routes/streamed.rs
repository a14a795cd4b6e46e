//! Streams of the routes beside chat: events as they are, each with its own end.

use tee_sidecar::route::Route;

use crate::support::{Response, Sidecar, all_routes, charged, post, proved, streaming};

const COMPLETION: [&str; 5] = [
    "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":0,\"text\":\"é\",\"finish_reason\":null}],\
     \"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1}}\n\n",
    "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":1,\"text\":\"日\",\"finish_reason\":null}],\
     \"usage\":{\"prompt_tokens\":6,\"completion_tokens\":1}}\n\n",
    "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}],\
     \"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n",
    "data: {\"id\":\"cmpl-1\",\"choices\":[],\
     \"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3}}\n\n",
    "data: [DONE]\n\n",
];

pub(crate) const RESPONSE: [&str; 5] = [
    "event: response.created\ndata: {\"type\":\"response.created\",\
     \"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"usage\":null}}\n\n",
    "event: response.output_text.delta\n\
     data: {\"type\":\"response.output_text.delta\",\"delta\":\"é日\"}\n\n",
    "event: response.output_text.delta\n\
     data: {\"type\":\"response.output_text.delta\",\"delta\":\"☕\"}\n\n",
    "event: response.output_text.done\n\
     data: {\"type\":\"response.output_text.done\",\"text\":\"é日☕\"}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":\
     {\"id\":\"resp_1\",\"status\":\"completed\",\"error\":null,\"temperature\":0.5,\
     \"usage\":{\"input_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":4},\
     \"output_tokens\":3}}}\n\n",
];

pub(crate) const MESSAGE: [&str; 6] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
     \"content\":[],\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":10,\
     \"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\
     \"delta\":{\"type\":\"text_delta\",\"text\":\"é日☕\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\
     \"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

const ASK_RESPONSE: &str = r#"{"input":"a","stream":true,"max_output_tokens":50}"#;
const ASK_MESSAGE: &str = r#"{"messages":[],"stream":true,"max_tokens":50}"#;

/// A request for a stream and the typed events of its answer.
fn typed() -> [(Route, &'static str, &'static [&'static str]); 2] {
    [(Route::Responses, ASK_RESPONSE, &RESPONSE), (Route::Messages, ASK_MESSAGE, &MESSAGE)]
}

fn ask(sidecar: &Sidecar, route: Route, request: &str) -> Response {
    let answer = post(sidecar.addr, route.path(), &[], request);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    answer
}

#[test]
fn a_completion_of_two_prompts_is_counted_by_prompt_and_its_counts_are_cut_out() {
    let request = r#"{"prompt":["a","b"],"stream":true,"max_tokens":5}"#;
    let engine = streaming(&COMPLETION);
    let sidecar = all_routes(&engine);
    let answer = ask(&sidecar, Route::Completions, request);
    assert!(answer.complete && !answer.text().contains("usage"), "{}", answer.text());
    assert!(engine.seen()[0].text().contains("\"continuous_usage_stats\":true"));
    let read = proved(&sidecar, Route::Completions, request.as_bytes(), &answer);
    assert_eq!(charged(&read), (10, 3, "complete"));
    // Cut off before the total: what both prompts told is added up.
    let engine = streaming(&COMPLETION[..3]);
    let sidecar = all_routes(&engine);
    let answer = ask(&sidecar, Route::Completions, request);
    assert!(!answer.complete);
    let read = proved(&sidecar, Route::Completions, request.as_bytes(), &answer);
    assert_eq!(charged(&read), (10, 3, "truncated_upstream"));
}

// `best_of` numbers no answers, and the engine was given every prompt.
#[test]
fn prompts_are_paid_for_though_the_stream_is_left_before_their_total() {
    let request = r#"{"prompt":["a","b"],"best_of":5,"stream":true,"max_tokens":5}"#;
    let estimate = (request.len() as u64).div_ceil(3) + 4;
    for (events, input) in [(3, 10), (2, 10), (1, estimate)] {
        let engine = streaming(&COMPLETION[..events]);
        let sidecar = all_routes(&engine);
        let answer = ask(&sidecar, Route::Completions, request);
        let read = proved(&sidecar, Route::Completions, request.as_bytes(), &answer);
        assert_eq!(charged(&read).0, input, "{events}");
    }
}

#[test]
fn a_typed_stream_of_a_scripted_engine_passes_byte_for_byte_and_is_charged_by_its_last_count() {
    for (route, request, events) in typed() {
        let engine = streaming(events);
        let sidecar = all_routes(&engine);
        let answer = ask(&sidecar, route, request);
        assert!(answer.complete);
        assert_eq!(answer.text(), events.concat(), "{route:?}");
        assert_eq!(engine.seen()[0].text(), request, "nothing is added");
        let read = proved(&sidecar, route, request.as_bytes(), &answer);
        let want = if route == Route::Responses { (11, 3) } else { (13, 4) };
        assert_eq!(charged(&read), (want.0, want.1, "complete"), "{route:?}");
        let closed = read.closed.as_ref().unwrap();
        assert_eq!(closed.events, events.len() as u64);
        let json = read.document().canonical();
        let (id, reason) = match route {
            Route::Responses => ("resp_1", "completed"),
            _ => ("msg_1", "end_turn"),
        };
        assert!(json.contains(&format!("\"chat_id\":\"{id}\"")), "{json}");
        assert!(json.contains(&format!("\"finish_reason\":\"{reason}\"")), "{json}");
        sidecar.signature(id, request.as_bytes(), &answer.body);
    }
}

// B11: a stream is whole with its own end only, whatever else it holds.
#[test]
fn a_typed_stream_without_its_own_end_is_cut_off() {
    for (route, request, events) in typed() {
        for shown in 0..events.len() {
            for done in [false, true] {
                let mut sent = events[..shown].to_vec();
                if done {
                    sent.push("data: [DONE]\n\n");
                }
                let engine = streaming(&sent);
                let sidecar = all_routes(&engine);
                let answer = ask(&sidecar, route, request);
                assert!(!answer.complete, "{route:?} {shown} {done}");
                assert_eq!(answer.text(), sent.concat());
                let read = proved(&sidecar, route, request.as_bytes(), &answer);
                assert_eq!(charged(&read).2, "truncated_upstream", "{route:?} {shown}");
            }
        }
    }
}

// Some servers send a `[DONE]` behind the end that counts: it belongs to the answer.
#[test]
fn what_follows_the_end_of_a_typed_stream_is_passed_on_and_signed() {
    for (route, request, events) in typed() {
        // In one piece with the end, behind which nobody waits for long.
        let (end, before) = events.split_last().unwrap();
        let last = [end, "data: [DONE]\n\n", ": bye\n\n"].concat();
        let sent = [before, &[last.as_str()]].concat();
        let engine = streaming(&sent);
        let sidecar = all_routes(&engine);
        let answer = ask(&sidecar, route, request);
        assert!(answer.complete);
        assert_eq!(answer.text(), sent.concat());
        let read = proved(&sidecar, route, request.as_bytes(), &answer);
        assert_eq!(charged(&read).2, "complete");
        assert_eq!(read.closed.as_ref().unwrap().events, events.len() as u64 + 2);
    }
}

// B6: an engine that says that it failed is never a signed success; what was handed over counts.
#[test]
fn an_error_within_a_typed_stream_ends_it_as_the_engine_s_error() {
    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":\
                  {\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{\"code\":\"x\"}}}\n\n";
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n";
    for (route, request, events, last) in [
        (Route::Responses, ASK_RESPONSE, &RESPONSE[..3], failed),
        (Route::Responses, ASK_RESPONSE, &RESPONSE[..3], error),
        (Route::Messages, ASK_MESSAGE, &MESSAGE[..4], error),
    ] {
        let sent = [events, &[last]].concat();
        let engine = streaming(&sent);
        let sidecar = all_routes(&engine);
        let answer = ask(&sidecar, route, request);
        assert!(answer.complete);
        assert_eq!(answer.text(), sent.concat());
        let read = proved(&sidecar, route, request.as_bytes(), &answer);
        let (input, output, outcome) = charged(&read);
        assert_eq!(outcome, "upstream_error");
        assert!(input > 0 && output > 0, "{route:?}: {input} {output}");
    }
}

// The signature is there when the end is.
#[test]
fn checkpoints_stand_between_typed_events_and_a_client_that_knows_none_skips_them() {
    let mut events = vec![MESSAGE[0], MESSAGE[1]];
    events.extend([MESSAGE[3]; 20]);
    events.extend([MESSAGE[4], MESSAGE[5]]);
    let engine = streaming(&events);
    let sidecar = all_routes(&engine);
    let headers = [("x-receipt-checkpoints", "8")];
    let answer = post(sidecar.addr, Route::Messages.path(), &headers, ASK_MESSAGE);
    assert!(answer.complete);
    let text = answer.text();
    let own: Vec<&str> = text.split_inclusive("\n\n").filter(|e| !e.starts_with(':')).collect();
    assert_eq!(own, events);
    assert!(text.contains(": checkpoint {"), "{text}");
    let read = proved(&sidecar, Route::Messages, ASK_MESSAGE.as_bytes(), &answer);
    assert_eq!(charged(&read), (13, 4, "complete"));
}

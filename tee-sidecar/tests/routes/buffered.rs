//! Answers in one piece: bytes as they are, charged by the usage they tell.

use broker_core::UsageSource;
use tee_sidecar::route::Route;

use crate::support::{
    Conn, Engine, SOON, Sidecar, Step, all_routes, answering, charged, post, proved, wait_until,
    whole,
};

/// A request, the answer of an engine to it, and what that costs.
type Case = (Route, &'static str, &'static str, (u64, u64));

const CASES: [Case; 9] = [
    (
        Route::Completions,
        r#"{"model":"tiny","prompt":["a","b"],"max_tokens":5}"#,
        r#"{"id":"cmpl-1","choices":[{"index":0,"text":"é","finish_reason":"length"}],
            "usage":{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5}}"#,
        (7, 5),
    ),
    (
        Route::Embeddings,
        r#"{"model":"tiny","input":["a","b"]}"#,
        r#"{"id":"embd-1","object":"list","data":[{"embedding":[0.1,-2.5e-3]}],
            "usage":{"prompt_tokens":9,"total_tokens":9,"completion_tokens":0}}"#,
        (9, 0),
    ),
    (
        Route::Responses,
        r#"{"model":"tiny","input":"a","max_output_tokens":9}"#,
        r#"{"id":"resp_1","object":"response","status":"completed","error":null,
            "output":[{"type":"message","content":[{"type":"output_text","text":"é"}]}],
            "usage":{"input_tokens":11,"input_tokens_details":{"cached_tokens":4},
            "output_tokens":3,"total_tokens":14},"temperature":1.0}"#,
        (11, 3),
    ),
    (
        Route::Messages,
        r#"{"model":"tiny","messages":[],"max_tokens":9}"#,
        r#"{"id":"msg_1","type":"message","role":"assistant","stop_reason":"end_turn",
            "content":[{"type":"text","text":"é"}],
            "usage":{"input_tokens":3,"cache_read_input_tokens":10,"output_tokens":4}}"#,
        (13, 4),
    ),
    (
        Route::Rerank,
        r#"{"model":"tiny","query":"q","documents":["a","b"]}"#,
        r#"{"id":"rerank-1","results":[{"index":1,"relevance_score":0.5}],
            "usage":{"prompt_tokens":8,"total_tokens":8}}"#,
        (8, 0),
    ),
    (
        Route::Score,
        r#"{"model":"tiny","text_1":"q","text_2":["a","b"]}"#,
        r#"{"object":"list","data":[{"score":0.5}],"usage":{"total_tokens":6}}"#,
        (6, 0),
    ),
    (
        Route::Tokenize,
        r#"{"model":"tiny","prompt":"hello"}"#,
        r#"{"count":2,"max_model_len":4096,"tokens":[1,2]}"#,
        (0, 0),
    ),
    (Route::Detokenize, r#"{"model":"tiny","tokens":[1,2]}"#, r#"{"prompt":"hello"}"#, (0, 0)),
    (
        Route::ImageGenerations,
        r#"{"model":"tiny","prompt":"a cat","n":1}"#,
        r#"{"created":1,"data":[{"b64_json":"AAAA"}],
            "usage":{"input_tokens":5,"output_tokens":400,"total_tokens":405}}"#,
        (5, 400),
    ),
];

#[test]
fn each_route_reaches_its_own_path_of_a_scripted_engine_and_is_charged_by_its_own_usage() {
    for (route, request, body, (input, output)) in CASES {
        let engine = answering(body);
        let sidecar = all_routes(&engine);
        let answer = post(sidecar.addr, route.path(), &[], request);
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{route:?}");
        let seen = engine.seen();
        let line = format!("POST {} HTTP/1.1", route.engine_path());
        assert!(seen[0].head.starts_with(&line), "{}", seen[0].head);
        assert_eq!(seen[0].text(), request, "{route:?}");
        let read = proved(&sidecar, route, request.as_bytes(), &answer);
        assert_eq!(charged(&read), (input, output, "complete"), "{route:?}");
        assert_eq!(read.forwarded_hash, Some(read.request_hash));
        let free = matches!(route, Route::Tokenize | Route::Detokenize);
        let source = if free { UsageSource::None } else { UsageSource::Engine };
        assert_eq!(read.usage.unwrap().source, source, "{route:?}");
        assert_eq!(read.charge.unwrap().hold.is_zero(), free, "{route:?}");
        sidecar.audit_is_clean();
    }
}

// What was told of the cache is in the receipt, within the prompt, whatever the route calls it.
#[test]
fn cached_tokens_are_within_the_prompt_on_every_route() {
    for (route, request, body, _) in CASES {
        let cached = match route {
            Route::Responses => 4,
            Route::Messages => 10,
            _ => continue,
        };
        let engine = answering(body);
        let sidecar = all_routes(&engine);
        let answer = post(sidecar.addr, route.path(), &[], request);
        let read = proved(&sidecar, route, request.as_bytes(), &answer);
        assert_eq!(read.usage.unwrap().cached_input, cached);
    }
}

// B6, B8: an answer without what its route answers with is passed on and costs nothing.
#[test]
fn what_is_no_answer_of_the_route_is_passed_on_as_it_is_and_costs_nothing() {
    for (route, request, _, _) in CASES {
        if route == Route::ImageGenerations {
            continue;
        }
        for body in [r#"{"error":{"message":"x"}}"#, r#"{"object":"error"}"#, "<html>", ""] {
            let engine = answering(body);
            let sidecar = all_routes(&engine);
            let answer = post(sidecar.addr, route.path(), &[], request);
            assert_eq!((answer.status, answer.text().as_str()), (200, body), "{route:?}");
            let read = proved(&sidecar, route, request.as_bytes(), &answer);
            assert_eq!(charged(&read), (0, 0, "upstream_error"), "{route:?} {body}");
        }
    }
}

// M5: an engine that does not count is not free, where text says how much it was.
#[test]
fn without_usage_the_charge_is_an_estimate_that_says_so() {
    for (route, request, body, output) in [
        (Route::Completions, r#"{"prompt":"a"}"#, r#"{"choices":[{"text":"123456"}]}"#, 6),
        (
            Route::Messages,
            r#"{"messages":[]}"#,
            r#"{"type":"message","content":[{"type":"text","text":"123456"}]}"#,
            6,
        ),
        (
            Route::Responses,
            r#"{"input":"a"}"#,
            r#"{"status":"completed","output":[{"content":[{"text":"123456"}]}]}"#,
            6,
        ),
        (Route::Embeddings, r#"{"input":"a"}"#, r#"{"data":[]}"#, 0),
    ] {
        let engine = answering(body);
        let sidecar = all_routes(&engine);
        let answer = post(sidecar.addr, route.path(), &[], request);
        let read = proved(&sidecar, route, request.as_bytes(), &answer);
        let prompt = (request.len() as u64).div_ceil(3) + 4;
        assert_eq!(charged(&read), (prompt, output, "complete"), "{route:?}");
        assert_eq!(read.usage.unwrap().source, UsageSource::Estimate);
    }
}

// An image or a second of speech without a count of tokens has no price here.
#[test]
fn an_image_that_nobody_counted_is_withheld_and_costs_nothing() {
    let request = r#"{"prompt":"a cat"}"#;
    for usage in ["", r#","usage":{"type":"duration","seconds":3}"#] {
        let engine = answering(&format!("{{\"data\":[{{\"b64_json\":\"SECRET\"}}]{usage}}}"));
        let sidecar = all_routes(&engine);
        let answer = post(sidecar.addr, "/v1/images/generations", &[], request);
        assert_eq!((answer.status, answer.error_type().as_str()), (502, "server_error"));
        assert!(answer.text().contains("no price") && !answer.text().contains("SECRET"));
        let read = proved(&sidecar, Route::ImageGenerations, request.as_bytes(), &answer);
        assert_eq!(charged(&read), (0, 0, "upstream_error"));
        sidecar.audit_is_clean();
    }
}

// Memory is bounded by the places, and a stop waits for what is under way.
#[test]
fn a_place_is_held_until_the_answer_is_taken() {
    let long =
        format!("{{\"data\":[{}],\"usage\":{{\"total_tokens\":6}}}}", "1,".repeat(8 << 20) + "1");
    let sent = long.clone();
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, sent.as_bytes()))]);
    let sidecar = Sidecar::with(&engine, |settings| {
        settings.service.routes = Route::ALL.to_vec();
        settings.limits.concurrent_max = 1;
    });
    let request = r#"{"input":"a"}"#;
    let ask = || post(sidecar.addr, Route::Embeddings.path(), &[], request);
    let mut slow = Conn::open(sidecar.addr);
    slow.send("POST", Route::Embeddings.path(), &[], request.as_bytes());
    assert_eq!(slow.head().status, 200);
    assert_eq!(ask().status, 503, "the answer is still on its way");
    drop(slow);
    wait_until("a place is free", SOON, || ask().status == 200);
    let answer = ask();
    assert!(answer.complete && answer.text() == long);
}

// The engine did what it was asked for: it is not free because nobody can take it.
#[test]
fn an_answer_that_is_too_long_is_not_handed_over_and_its_prompt_is_paid_for() {
    let long = format!("{{\"data\":[{}]}}", " ".repeat(64 << 20));
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, long.as_bytes()))]);
    let sidecar = all_routes(&engine);
    let request = r#"{"input":"a"}"#;
    let answer = post(sidecar.addr, Route::Embeddings.path(), &[], request);
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("64 MiB"), "{}", answer.text());
    let read = proved(&sidecar, Route::Embeddings, request.as_bytes(), &answer);
    let prompt = (request.len() as u64).div_ceil(3) + 4;
    assert_eq!(charged(&read), (prompt, 0, "truncated_upstream"));
}

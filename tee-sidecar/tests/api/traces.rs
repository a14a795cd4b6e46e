//! Which trace a request belongs to: towards the engine, and in the log.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    Engine, MODEL, Process, Response, Sidecar, Step, chunk_event, post, sse, whole,
};

const CHAT: &str = "/v1/chat/completions";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn ask(addr: SocketAddr, headers: &[(&str, &str)]) -> Response {
    post(addr, CHAT, headers, format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}"))
}

fn answering() -> Engine {
    Engine::start(|seen| {
        if seen.text().contains("\"stream\":true") {
            let event = Step::Chunk(chunk_event(1, true).into_bytes());
            return vec![sse(), event, Step::Chunk(b"data: [DONE]\n\n".to_vec()), Step::EndChunks];
        }
        let usage = "{\"prompt_tokens\":13,\"completion_tokens\":30}";
        let answer = format!("{{\"choices\":[],\"usage\":{usage}}}");
        vec![Step::Raw(whole(200, answer.as_bytes()))]
    })
}

#[test]
fn the_engine_is_told_the_clients_trace_under_an_id_of_ours() {
    let engine = answering();
    let sidecar = Sidecar::start(&engine);
    let state = [("tracestate", "a=1, b=2"), ("tracestate", "c=3")];
    let named = [("traceparent", PARENT), state[0], state[1]];
    assert_eq!(ask(sidecar.addr, &named).status, 200);
    // Malformed, twice, or absent: a trace begins here, and no state goes on.
    let upper = PARENT.to_uppercase();
    assert_eq!(ask(sidecar.addr, &[("traceparent", upper.as_str()), state[0]]).status, 200);
    let twice = [("traceparent", PARENT), ("traceparent", PARENT), state[0]];
    assert_eq!(ask(sidecar.addr, &twice).status, 200);
    assert_eq!(ask(sidecar.addr, &state).status, 200);
    // A state that is none is dropped alone.
    assert_eq!(ask(sidecar.addr, &[("traceparent", PARENT), ("tracestate", "?")]).status, 200);

    let told: Vec<(String, Option<String>)> = engine
        .seen()
        .iter()
        .map(|seen| {
            let parent = seen.header("traceparent").unwrap().to_owned();
            (parent, seen.header("tracestate").map(str::to_owned))
        })
        .collect();
    let goes_on = format!("00-{TRACE}-");
    let (parent, state) = &told[0];
    assert!(parent.starts_with(&goes_on) && parent.ends_with("-01"), "{parent}");
    assert!(!parent.contains("b7ad6b7169203331"), "{parent}");
    assert_eq!(state.as_deref(), Some("a=1,b=2,c=3"));
    for (parent, state) in &told[1..4] {
        assert!(parent.len() == 55 && parent.ends_with("-00"), "{parent}");
        assert!(!parent.contains(TRACE) && state.is_none(), "{parent} {state:?}");
    }
    assert!(told[4].0.starts_with(&goes_on) && told[4].1.is_none(), "{:?}", told[4]);
}

#[test]
fn each_exchange_has_one_record_that_tells_its_story() {
    let engine = answering();
    let folder = tempfile::tempdir().unwrap();
    let config = "auth: {mode: apiKeys, apiKeys: [{account: a, key: sk-0123456789abcdef}]}\n\
                  log: {format: json}\n";
    let mut process = Process::start(folder.path(), &engine, config);
    let key = ("authorization", "Bearer sk-0123456789abcdef");
    let named = [key, ("traceparent", PARENT), ("x-request-id", "first")];
    let receipt = ask(process.addr, &named).receipt();
    let stream = format!("{{\"model\":\"{MODEL}\",\"stream\":true,\"messages\":[]}}");
    post(process.addr, CHAT, &[key, ("x-request-id", "second")], stream);
    let other = "{\"model\":\"another\",\"messages\":[]}";
    assert_eq!(post(process.addr, CHAT, &[key, ("x-request-id", "third")], other).status, 404);
    assert_eq!(ask(process.addr, &[("x-request-id", "stranger")]).status, 401);
    assert!(process.terminate().success());

    let log = process.log();
    let records: Vec<Value> = log.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let of = |id: &str| -> Vec<&Value> {
        let fields = records.iter().map(|record| &record["fields"]);
        fields.filter(|f| f["message"] == "exchange" && f["request_id"] == id).collect()
    };
    let [first] = of("first")[..] else { panic!("{log}") };
    for (field, expected) in [
        ("trace_id", TRACE.into()),
        ("receipt", receipt.into()),
        ("route", CHAT.into()),
        ("outcome", "complete".into()),
        ("status", Value::from(200)),
        ("input", 13.into()),
        ("output", 30.into()),
        ("cached", 0.into()),
        ("fee", "7300".into()),
    ] {
        assert_eq!(first[field], expected, "{field}: {first}");
    }
    let at = |record: &Value, step: &str| record[step].as_f64();
    let [held, answered, total] = ["held_ms", "answered_ms", "total_ms"].map(|s| at(first, s));
    assert!(0.0 < held.unwrap() && held < answered && answered < total, "{first}");
    assert_eq!(at(first, "first_ms"), None, "{first}");

    let [second] = of("second")[..] else { panic!("{log}") };
    assert!(at(second, "answered_ms") <= at(second, "first_ms"), "{second}");
    assert_eq!((&second["events"], second["trace_id"].as_str().unwrap().len()), (&2.into(), 32));
    let [third] = of("third")[..] else { panic!("{log}") };
    assert_eq!((&third["outcome"], &third["status"]), (&"refused".into(), &404.into()));
    assert_eq!(third["reason"], "model_not_found");
    // Strangers cannot fill the log.
    assert!(of("stranger").is_empty(), "{log}");
}

#[test]
fn the_record_for_people_says_the_same() {
    let engine = answering();
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &engine, "log: {filter: 'tee_sidecar=debug'}");
    ask(process.addr, &[("traceparent", PARENT), ("x-request-id", "first")]);
    assert!(process.terminate().success());
    let log = process.log();
    let lines: Vec<_> = log.lines().filter(|l| l.contains("request_id=\"first\"")).collect();
    let [line] = lines[..] else { panic!("{log}") };
    for part in [TRACE, "exchange", "outcome=\"complete\"", "input=13", "output=30", "total_ms="] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

//! Spans for a collector: what they say of an exchange, which are exported, and what they never
//! hold. The collector decodes what it gets by the protocol's own definition.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use tee_sidecar::config::Auth;

use crate::support::{
    Collector, Engine, MODEL, Response, SOON, Sidecar, Step, api_key, attribute, chunk_event, get,
    post, sse, wait_until, whole,
};

const CHAT: &str = "/v1/chat/completions";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";
const KEY: (&str, &str) = ("authorization", "Bearer sk-0123456789abcdef");

/// A client's trace, recorded or not.
fn traced(flags: &str) -> (String, String) {
    ("traceparent".to_owned(), format!("00-{TRACE}-{CLIENT}-{flags}"))
}

fn ask(sidecar: &Sidecar, headers: &[(String, String)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<_> = headers.chain([KEY]).collect();
    post(sidecar.addr, CHAT, &headers, format!("{{\"model\":\"{MODEL}\",\"messages\":[]{body}}}"))
}

const STREAM: &str = ",\"stream\":true";

/// Answers whole or in events; breaks off where the prompt says so.
fn answering() -> Engine {
    Engine::start(|seen| {
        let event = || Step::Chunk(chunk_event(1, true).into_bytes());
        if seen.text().contains("break") {
            return vec![sse(), event(), Step::Close];
        }
        if seen.text().contains("leave") {
            return vec![Step::Close];
        }
        if seen.text().contains("refuse") {
            return vec![Step::Raw(whole(400, b"{\"error\":{\"message\":\"no\"}}"))];
        }
        if seen.text().contains(STREAM) {
            let done = Step::Chunk(b"data: [DONE]\n\n".to_vec());
            return vec![sse(), event(), done, Step::EndChunks];
        }
        let usage = "{\"prompt_tokens\":13,\"completion_tokens\":30}";
        vec![Step::Raw(whole(200, format!("{{\"choices\":[],\"usage\":{usage}}}").as_bytes()))]
    })
}

fn exporting(engine: &Engine, collector: &Collector) -> Sidecar {
    let tracing = collector.settings();
    Sidecar::with(engine, |settings| {
        settings.auth = Auth::ApiKeys(vec![api_key("a", "sk-0123456789abcdef", None)]);
        settings.tracing = tracing;
    })
}

/// A number of the sidecar's metrics.
fn count(sidecar: &Sidecar, name: &str) -> u64 {
    let told = get(sidecar.admin, "/metrics", &[]).text();
    let mut values = told.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.next().unwrap_or_else(|| panic!("{name}: {told}")).parse().unwrap()
}

const EXPORTED: &str = "tee_sidecar_trace_spans_exported_total";
const DROPPED: &str = "tee_sidecar_trace_spans_dropped_total";

fn text(span: &Span, key: &str) -> String {
    attribute(span, key).unwrap_or_else(|| panic!("{key}: {span:#?}"))
}

/// The parent that the engine was told of its last request.
fn told_parent(engine: &Engine) -> String {
    engine.seen().last().unwrap().header("traceparent").unwrap().to_owned()
}

#[test]
fn an_exchange_is_two_spans_in_the_clients_trace_and_the_engine_stands_below_the_second() {
    let (engine, collector) = (answering(), Collector::start());
    let sidecar = exporting(&engine, &collector);
    let named = [traced("01"), ("x-request-id".to_owned(), "mine".to_owned())];
    let receipt = ask(&sidecar, &named, "").receipt();
    let spans = collector.wait_for(2);
    let [server, client] = &spans[..] else { panic!("{spans:#?}") };

    let hex = |bytes: &[u8]| hex::encode(bytes);
    assert_eq!([&server.trace_id, &client.trace_id].map(|id| hex(id)), [TRACE, TRACE]);
    assert_eq!(hex(&server.parent_span_id), CLIENT);
    assert_eq!(client.parent_span_id, server.span_id);
    let parent = format!("00-{TRACE}-{}-01", hex(&client.span_id));
    assert_eq!(told_parent(&engine), parent);
    assert_ne!(server.span_id, client.span_id);
    // Server and client; sampled, and whose the parent is.
    assert_eq!((server.kind, client.kind), (2, 3));
    assert_eq!((server.flags, client.flags), (0x301, 0x101));
    assert_eq!((&*server.name, &*client.name), ("POST /v1/chat/completions", &*server.name));

    for (key, expected) in [
        ("http.request.method", "POST"),
        ("http.route", CHAT),
        ("http.response.status_code", "200"),
        ("tee_sidecar.outcome", "complete"),
        ("tee_sidecar.request_id", "mine"),
        ("tee_sidecar.receipt_id", &receipt),
        ("tee_sidecar.fee_neuron", "7300"),
    ] {
        assert_eq!(text(server, key), expected, "{key}");
    }
    let port = engine.addr.port().to_string();
    for (key, expected) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", MODEL),
        ("gen_ai.usage.input_tokens", "13"),
        ("gen_ai.usage.output_tokens", "30"),
    ] {
        assert_eq!(text(client, key), expected, "{key}");
    }
    assert!(server.status.is_none() && client.status.is_none(), "{spans:#?}");
    assert!(server.trace_state.is_empty() && client.trace_state.is_empty());
    let times = |span: &Span| (span.start_time_unix_nano, span.end_time_unix_nano);
    let ((from, to), (asked, ended)) = (times(server), times(client));
    assert!(from < asked && asked < ended && ended <= to, "{from} {asked} {ended} {to}");
    let steps: Vec<_> = server.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(steps, ["tee_sidecar.held", "tee_sidecar.answered"]);

    let resource = collector.resource();
    assert_eq!(resource["service.name"], "tee-sidecar");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    wait_until("the count", SOON, || count(&sidecar, EXPORTED) == 2);
    assert_eq!(count(&sidecar, DROPPED), 0);
}

#[test]
fn a_stream_tells_when_its_first_event_came() {
    let (engine, collector) = (answering(), Collector::start());
    let sidecar = exporting(&engine, &collector);
    ask(&sidecar, &[traced("01")], STREAM).receipt();
    let spans = collector.wait_for(2);
    let [server, client] = &spans[..] else { panic!("{spans:#?}") };
    let steps: Vec<_> = server.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(steps, ["held", "answered", "first_event"].map(|s| format!("tee_sidecar.{s}")));
    let times: Vec<_> = server.events.iter().map(|event| event.time_unix_nano).collect();
    assert!(times.is_sorted() && server.start_time_unix_nano < times[0], "{times:?}");
    let first: f64 = text(client, "gen_ai.response.time_to_first_chunk").parse().unwrap();
    assert!(0.0 < first && first < 20.0, "{first}");
    assert_eq!(text(server, "tee_sidecar.events"), "2");
}

#[test]
fn what_failed_says_so_and_whose_fault_it_was() {
    let (engine, collector) = (answering(), Collector::start());
    let sidecar = exporting(&engine, &collector);
    let error = |span: &Span| (span.status.as_ref().map(|s| s.code), attribute(span, "error.type"));
    let failed = |word: &str| (Some(2), Some(word.to_owned()));
    ask(&sidecar, &[traced("01")], ",\"stream\":true,\"user\":\"break\"");
    let spans = collector.wait_for(2);
    assert_eq!(text(&spans[0], "tee_sidecar.outcome"), "truncated_upstream");
    assert_eq!(error(&spans[0]), failed("truncated_upstream"));
    assert_eq!(error(&spans[1]), failed("truncated_upstream"));
    // The engine did not like the request: the client's fault, and not the server's.
    assert_eq!(ask(&sidecar, &[traced("01")], ",\"user\":\"refuse\"").status, 400);
    let spans = collector.wait_for(4).split_off(2);
    assert_eq!((error(&spans[0]), error(&spans[1])), ((None, None), failed("400")));
    // Refused before any engine was asked: one span, without the client's word for a model.
    let other = "{\"model\":\"canary-model\",\"messages\":[]}";
    let (name, value) = traced("01");
    assert_eq!(post(sidecar.addr, CHAT, &[KEY, (&name, &value)], other).status, 404);
    let spans = collector.wait_for(5).split_off(4);
    assert_eq!(text(&spans[0], "tee_sidecar.reason"), "model_not_found");
    assert!(!format!("{spans:?}").contains("canary"), "{spans:#?}");
    // Those of strangers are not told: they could fill any queue.
    assert_eq!(post(sidecar.addr, CHAT, &[(&name, &value)], other).status, 401);
    assert_eq!(ask(&sidecar, &[traced("01")], ",\"user\":\"leave\"").status, 502);
    let spans = collector.wait_for(7).split_off(5);
    assert_eq!((error(&spans[0]), error(&spans[1])), (failed("502"), failed("broken")));
    assert_eq!(attribute(&spans[1], "http.response.status_code"), None);
    assert_eq!(text(&spans[1], "server.port"), engine.addr.port().to_string());
    assert_eq!(count(&sidecar, DROPPED), 0);
}

#[test]
fn only_what_is_sampled_is_exported_and_the_engine_is_told_the_same() {
    let (engine, collector) = (answering(), Collector::start());
    let mut tracing = collector.settings();
    tracing.ratio = broker_core::Fraction { numerator: 1, denominator: 2 };
    let mut sidecar = Sidecar::with(&engine, |settings| settings.tracing = tracing);
    ask(&sidecar, &[traced("00")], "").receipt();
    assert!(told_parent(&engine).ends_with("-00"));
    let mut sampled = Vec::new();
    for _ in 0..40 {
        ask(&sidecar, &[], "").receipt();
        let parent = told_parent(&engine);
        sampled.extend(parent.strip_suffix("-01").map(|parent| parent[3..35].to_owned()));
    }
    assert!((5..36).contains(&sampled.len()), "{} of 40 at a ratio of a half", sampled.len());
    ask(&sidecar, &[traced("01")], "").receipt();
    sampled.push(TRACE.to_owned());
    sidecar.stop();
    let mut told: Vec<_> = collector.spans().iter().map(|s| hex::encode(&s.trace_id)).collect();
    told.dedup();
    assert_eq!(told, sampled);
}

#[test]
fn a_collector_that_asks_to_wait_gets_the_spans_later_and_once() {
    let engine = answering();
    let collector = Collector::with(|n| {
        let busy = b"HTTP/1.1 503 X\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
        Step::Raw(if n == 0 { busy.to_vec() } else { whole(200, b"") })
    });
    let sidecar = exporting(&engine, &collector);
    ask(&sidecar, &[traced("01")], "").receipt();
    wait_until("the first try", SOON, || collector.requests() == 1);
    let began = Instant::now();
    wait_until("the second one", SOON, || collector.requests() == 2);
    assert!(began.elapsed() > Duration::from_millis(1900), "{:?}", began.elapsed());
    wait_until("the count", SOON, || count(&sidecar, EXPORTED) == 2);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((collector.requests(), count(&sidecar, DROPPED)), (2, 0));
}

#[test]
fn what_a_collector_rejects_is_counted_and_not_sent_again() {
    let engine = answering();
    // `partial_success {rejected_spans: 1}` to the first, and no such path to the second.
    let collector = Collector::with(|n| {
        Step::Raw(if n == 0 { whole(200, &[0x0a, 2, 8, 1]) } else { whole(404, b"") })
    });
    let sidecar = exporting(&engine, &collector);
    for dropped in [1, 3] {
        ask(&sidecar, &[traced("01")], "").receipt();
        wait_until("the count", SOON, || count(&sidecar, DROPPED) == dropped);
    }
    assert_eq!((collector.requests(), count(&sidecar, EXPORTED)), (2, 1));
}

#[test]
fn the_end_sends_what_is_left() {
    let (engine, collector) = (answering(), Collector::start());
    let mut sidecar = exporting(&engine, &collector);
    ask(&sidecar, &[traced("01")], STREAM).receipt();
    sidecar.stop();
    assert_eq!(collector.spans().len(), 2);
}

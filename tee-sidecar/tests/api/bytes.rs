//! The bytes of an answer: unchanged, hashed as they crossed the wire, proved before they end.

use broker_core::{LedgerReader as _, ReceiptId};

use crate::support::{
    Conn, Engine, MODEL, Sidecar, Step, chunk_event, end_event, get, post, sha256_hex, sse, whole,
};

const CHAT: &str = "/v1/chat/completions";

fn ask(extra: &str) -> String {
    format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hé\"}}]{extra}}}"
    )
}

/// Events 1 to n, the last usage and `[DONE]`, as vLLM answers our options.
fn answer(n: u64) -> Vec<Step> {
    let mut steps = vec![sse()];
    steps.extend((1..=n).map(|k| Step::Chunk(chunk_event(k, true).into_bytes())));
    let usage = format!(
        "data: {{\"id\":\"chatcmpl-engine\",\"choices\":[],\"usage\":{{\"prompt_tokens\":13,\
         \"total_tokens\":{},\"completion_tokens\":{n}}}}}\n\n",
        13 + n
    );
    steps.push(Step::Chunk(usage.into_bytes()));
    steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
    steps.push(Step::EndChunks);
    steps
}

fn plain(n: u64) -> String {
    (1..=n).map(|k| chunk_event(k, false)).collect::<String>() + "data: [DONE]\n\n"
}

// B3, B5, S1: spacing, escapes, floats and fields we do not know pass untouched.
#[test]
fn a_buffered_answer_passes_byte_for_byte_and_its_hash_is_signed() {
    let reply = "{ \"id\" : \"chatcmpl-Ab:9\", \"choices\":[{\"message\":{\"content\":null,\
                 \"refusal\":\"\\u00e9 日\",\"reasoning\":\"r\"},\"logprobs\":{\"x\":-1.50e-3}}],\
                 \"system_fingerprint\":\"f\",\"service_tier\":\"t\",\
                 \"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}\n";
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, reply.as_bytes()))]);
    let sidecar = Sidecar::start(&engine);
    for path in [CHAT, "/v1/proxy/chat/completions", "/v1/proxy/v1/chat/completions"] {
        let request = ask(",\"temperature\":1.0");
        let response = post(sidecar.addr, path, &[], &request);
        assert_eq!((response.status, response.text().as_str()), (200, reply));
        assert_eq!(response.header("content-type"), Some("application/json"));
        let id = response.receipt();
        let signed = sidecar.signature(&id, request.as_bytes(), reply.as_bytes());
        assert_eq!(signed["outcome"], "complete");
        assert_eq!(signed["fee"], (13 * 100 + 30 * 200).to_string());
        assert_eq!(engine.seen().last().unwrap().text(), request);
    }
    sidecar.audit_is_clean();
}

// B14: what we asked the engine for is never seen by who did not.
#[test]
fn a_stream_shows_the_usage_that_was_asked_for_and_no_other() {
    let engine = Engine::start(|_| answer(5));
    let sidecar = Sidecar::start(&engine);
    let with_end = |running: bool| {
        let events: String = (1..=5).map(|k| chunk_event(k, running)).collect();
        events
            + "data: {\"id\":\"chatcmpl-engine\",\"choices\":[],\"usage\":{\"prompt_tokens\":13,\
               \"total_tokens\":18,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n"
    };
    for (options, want) in [
        ("", plain(5)),
        (",\"stream_options\":null", plain(5)),
        (",\"stream_options\":{\"continuous_usage_stats\":true}", plain(5)),
        (",\"stream_options\":{\"include_usage\":true}", with_end(false)),
        (
            ",\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}",
            with_end(true),
        ),
    ] {
        let request = ask(&format!(",\"stream\":true{options}"));
        let response = post(sidecar.addr, CHAT, &[], &request);
        assert!(response.complete);
        assert_eq!(response.text(), want, "{options}");
        let signed = sidecar.signature(&response.receipt(), request.as_bytes(), want.as_bytes());
        assert_eq!((&signed["outcome"], &signed["fee"]), (&"complete".into(), &"2300".into()));
        let forwarded: serde_json::Value =
            serde_json::from_slice(&engine.seen().last().unwrap().body).unwrap();
        let asked = &forwarded["stream_options"];
        assert_eq!(asked["include_usage"], true);
        assert_eq!(asked["continuous_usage_stats"], true);
    }
    sidecar.audit_is_clean();
}

// B9: the same stream in other line ends has the same events, hash and fee.
#[test]
fn crlf_becomes_lf_and_a_final_line_end_is_added() {
    for (from, to) in [("\n", "\r\n"), ("\n\n", "\r\n\r\n"), ("\n\n", "\n\n")] {
        let engine = Engine::start(move |_| {
            let stream = plain(4).replace(from, to);
            let stream = stream.trim_end().to_owned();
            let mut steps = vec![sse()];
            steps.extend(stream.as_bytes().chunks(7).map(|part| Step::Chunk(part.to_vec())));
            steps.push(Step::EndChunks);
            steps
        });
        let sidecar = Sidecar::start(&engine);
        let request = ask(",\"stream\":true");
        let response = post(sidecar.addr, CHAT, &[], &request);
        let want = plain(4).trim_end().to_owned() + "\n";
        assert_eq!(response.text(), want);
        sidecar.signature(&response.receipt(), request.as_bytes(), want.as_bytes());
    }
}

// B16: each event leaves at once.
#[test]
fn an_event_arrives_before_the_engine_has_sent_the_next() {
    let engine = Engine::start(|_| {
        let mut steps = vec![sse()];
        for k in 1..=3 {
            steps.push(Step::Chunk(chunk_event(k, true).into_bytes()));
            steps.push(Step::Gate);
        }
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    });
    let sidecar = Sidecar::start(&engine);
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", CHAT, &[], ask(",\"stream\":true").as_bytes());
    let head = conn.head();
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    for k in 1..=3 {
        let piece = conn.chunk().unwrap().unwrap();
        assert_eq!(String::from_utf8(piece).unwrap(), chunk_event(k, false));
        engine.open_gate();
    }
    assert_eq!(conn.chunk().unwrap().unwrap(), b"data: [DONE]\n\n");
    assert_eq!(conn.chunk().unwrap(), None);
}

// B16: with several answers, the end of one holds back nothing of the others. The fingerprint, told
// only behind all of them, is then not put back.
#[test]
fn the_end_of_one_of_several_answers_holds_back_no_other() {
    let of =
        |choice: u64, event: String| event.replace("\"index\":0", &format!("\"index\":{choice}"));
    let answers = move |usage: bool| {
        [
            of(0, chunk_event(1, usage)) + &of(0, end_event(2, usage)),
            of(1, chunk_event(1, usage)),
            of(1, end_event(2, usage)),
        ]
    };
    let engine = Engine::start(move |_| {
        let [first, second, end] = answers(true).map(|part| Step::Chunk(part.into_bytes()));
        let total = "data: {\"id\":\"chatcmpl-engine\",\"choices\":[],\"usage\":\
                     {\"prompt_tokens\":13,\"completion_tokens\":4},\
                     \"system_fingerprint\":\"vllm-1\"}\n\ndata: [DONE]\n\n";
        let total = Step::Chunk(total.into());
        vec![sse(), first, Step::Gate, second, Step::Gate, end, Step::Gate, total, Step::EndChunks]
    });
    let sidecar = Sidecar::start(&engine);
    let mut conn = Conn::open(sidecar.addr);
    let request = ask(",\"stream\":true,\"n\":2");
    conn.send("POST", CHAT, &[], request.as_bytes());
    let head = conn.head();
    let mut body = Vec::new();
    for part in answers(false) {
        let before = body.len();
        while body.len() < before + part.len() {
            body.extend(conn.chunk().unwrap().unwrap());
        }
        assert_eq!(String::from_utf8(body.split_off(before)).unwrap(), part);
        body.extend(part.as_bytes());
        engine.open_gate();
    }
    while let Some(piece) = conn.chunk().unwrap() {
        body.extend(piece);
    }
    let want = answers(false).concat() + "data: [DONE]\n\n";
    assert_eq!(String::from_utf8(body).unwrap(), want);
    let signed = sidecar.signature(&head.receipt(), request.as_bytes(), want.as_bytes());
    assert_eq!((&signed["outcome"], &signed["fee"]), (&"complete".into(), &"2100".into()));
}

// S3: one thousand times, the signature is there the moment `[DONE]` is read.
#[test]
fn the_signature_is_there_the_instant_done_is_read() {
    let engine = Engine::start(|seen| {
        if seen.text().contains("\"stream\":true") {
            return answer(3);
        }
        vec![Step::Raw(whole(200, b"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"))]
    });
    let sidecar = Sidecar::start(&engine);
    let mut chat = Conn::open(sidecar.addr);
    let mut signatures = Conn::open(sidecar.addr);
    let ledger = sidecar.reader();
    for run in 0..1_000 {
        let stream = run % 4 != 0;
        let request = ask(&format!(",\"stream\":{stream},\"seed\":{run}"));
        chat.send("POST", CHAT, &[], request.as_bytes());
        let head = chat.head();
        let id = head.receipt();
        let receipt = ReceiptId::parse(&id).unwrap();
        let mut body = Vec::new();
        if stream {
            while !body.ends_with(b"data: [DONE]\n\n") {
                body.extend(chat.chunk().unwrap().unwrap());
            }
        } else {
            body = chat.read_exact(head.header("content-length").unwrap().parse().unwrap());
        }
        // By another reader of the same file: it is durable, and not only remembered.
        assert!(ledger.receipt(&receipt).unwrap().is_some(), "run {run}");
        signatures.send("GET", &format!("/signature/{id}"), &[], b"");
        let signature = signatures.response();
        assert_eq!(signature.status, 200, "run {run}");
        let text = format!("{}:{}", sha256_hex(request.as_bytes()), sha256_hex(&body));
        assert_eq!(signature.json()["text"], text.as_str());
        if stream {
            assert_eq!(chat.chunk().unwrap(), None);
        }
    }
    sidecar.audit_is_clean();
}

// R3, R14, S2: the engine sees headers of ours only, and no header of the client's is signed.
#[test]
fn no_header_of_the_client_reaches_the_engine_and_none_of_the_engine_the_client() {
    let reply = b"{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";
    let engine = Engine::start(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: a=b\r\n\
                    server: vllm\r\nx-secret: s\r\ncontent-length: ";
        vec![Step::Raw([format!("{head}{}\r\n\r\n", reply.len()).as_bytes(), reply].concat())]
    });
    let sidecar = Sidecar::start(&engine);
    let headers = [
        ("authorization", "Bearer canary"),
        ("cookie", "canary"),
        ("x-request-hash", "canary"),
        ("x-forwarded-for", "canary"),
        ("x-request-id", "trace-1"),
    ];
    let request = ask("");
    let response = post(sidecar.addr, CHAT, &headers, &request);
    assert_eq!(response.header("x-request-id"), Some("trace-1"));
    for name in ["set-cookie", "server", "x-secret"] {
        assert_eq!(response.header(name), None);
    }
    let id = response.receipt();
    sidecar.signature(&id, request.as_bytes(), reply);
    let seen = engine.seen().pop().unwrap();
    assert!(!seen.head.contains("canary"), "{}", seen.head);
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(seen.header("x-request-id"), Some(id.as_str()));
}

// B17: a long stream is passed on, not kept. It has several times what the system can buffer.
#[test]
fn a_slow_client_holds_back_the_engine_and_loses_nothing() {
    const EVENTS: u64 = 6_144;
    let padded = |k: u64, usage: bool| chunk_event(k, usage).replace('日', &"日".repeat(4_096));
    let engine = Engine::start(move |_| {
        let mut steps = vec![sse()];
        steps.extend((1..=EVENTS).map(|k| Step::Chunk(padded(k, true).into_bytes())));
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    });
    let sidecar = Sidecar::start(&engine);
    let mut conn = Conn::open(sidecar.addr);
    let request = ask(",\"stream\":true");
    conn.send("POST", CHAT, &[], request.as_bytes());
    let written = engine.chunks_until_held_back();
    assert!(written < EVENTS / 2, "{written} of {EVENTS} chunks were taken for a client asleep");
    let response = conn.response();
    let want: String = (1..=EVENTS).map(|k| padded(k, false)).collect();
    // No `assert_eq`: nobody reads a diff of this size.
    assert!(response.complete && response.body == (want + "data: [DONE]\n\n").as_bytes());
    sidecar.signature(&response.receipt(), request.as_bytes(), &response.body);
}

#[test]
fn the_served_model_and_the_state_of_the_sidecar_can_be_asked() {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::start(&engine);
    assert_eq!(get(sidecar.addr, "/healthz", &[]).status, 200);
    assert_eq!(get(sidecar.addr, "/readyz", &[]).json()["status"], "ready");
    assert_eq!(get(sidecar.addr, "/v1/models", &[]).json()["data"][0]["id"], MODEL);
    assert_eq!(get(sidecar.admin, "/readyz", &[]).status, 200);
}

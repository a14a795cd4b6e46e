//! What only a process shows: what its log says, how it ends, what its operator can ask.

use std::time::Duration;

use broker_core::{LedgerReader, ReceiptId, SqliteReader};

use crate::support::{
    Collector, Conn, Engine, MODEL, Process, SOON, Step, chunk_event, get, post, sha256_hex, sse,
    wait_until, whole,
};

const CHAT: &str = "/v1/chat/completions";

// R15: canaries in prompts, answers, keys, errors and headers, at the finest level of the log and
// in the spans of every exchange.
#[test]
fn no_prompt_answer_or_key_reaches_the_log_or_a_collector() {
    let engine = Engine::start(|seen| {
        let text = seen.text();
        if text.contains("refuse") {
            let error = "{\"error\":{\"message\":\"bad: canary-engine-error\"}}";
            return vec![Step::Raw(whole(400, error.as_bytes()))];
        }
        if text.contains("break") {
            return vec![sse(), Step::Chunk(b"data: canary-half {".to_vec()), Step::Close];
        }
        if text.contains("garbage") {
            return vec![Step::Raw(b"canary-garbage\r\n\r\n".to_vec()), Step::Close];
        }
        let event = chunk_event(1, true).replace("é日1", "canary-answer");
        let done = Step::Chunk(b"data: [DONE]\n\n".to_vec());
        vec![sse(), Step::Chunk(event.into_bytes()), done, Step::EndChunks]
    });
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let config = format!(
        "auth: {{mode: apiKeys, apiKeys: [{{account: a, key: canary-key-0123456789}}]}}\n\
         log: {{filter: trace}}\n\
         tracing: {{otlpEndpoint: '{}', otlpHeaders: 'x-scope=of%20tests,x-key=canary-header'}}\n",
        collector.url()
    );
    let mut process = Process::start(folder.path(), &engine, &config);
    let key = ("authorization", "Bearer canary-key-0123456789");
    let named = ("idempotency-key", "canary-idempotency");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = [("traceparent", parent), ("tracestate", "canary=canary-state")];
    let untraced = [("traceparent", "canary-parent"), ("tracestate", "canary-state")];
    let retried = format!(
        "{{\"model\":\"{MODEL}\",\"stream\":true,\"messages\":[],\"user\":\"canary-retry\"}}"
    );
    for status in [200, 409] {
        assert_eq!(post(process.addr, CHAT, &[key, named], &retried).status, status);
    }
    for (what, stream) in [("plain", true), ("refuse", false), ("break", true), ("garbage", false)]
    {
        let request = format!(
            "{{\"model\":\"{MODEL}\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\
             \"content\":\"canary-prompt {what}\"}}]}}"
        );
        post(process.addr, CHAT, &[key, traced[0], traced[1]], &request).receipt();
        post(process.addr, CHAT, &[key, untraced[0], untraced[1]], &request).receipt();
        post(process.addr, CHAT, &[("authorization", "Bearer canary-wrong")], &request);
        let refused = [key, named, traced[0], traced[1]];
        post(process.addr, CHAT, &refused, format!("{request} canary-syntax"));
    }
    let other = "{\"model\":\"canary-model\",\"messages\":[]}";
    assert_eq!(post(process.addr, CHAT, &[key, traced[0], traced[1]], other).status, 404);
    get(process.addr, "/v1/signature/canary-id", &[key]);
    assert!(process.terminate().success());
    let log = process.log();
    assert!(log.contains("exchange") && log.contains("SIMULATED TEE"), "{log}");
    let told: Vec<&str> = log.lines().filter(|line| line.contains("canary")).collect();
    assert!(told.is_empty(), "{told:#?}");
    // Of nine exchanges that got to the engine, and of what was refused of this account.
    let exported = collector.spans();
    assert!(exported.len() > 20, "{exported:#?}");
    for request in collector.seen() {
        assert_eq!(request.header("x-key"), Some("canary-header"));
        assert!(!String::from_utf8_lossy(&request.body).contains("canary"), "{exported:#?}");
    }
}

// A span is worth less than an answer: nothing waits for it, and nobody is told of each.
#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there, and nobody else gets the port meanwhile.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!("tracing: {{otlpEndpoint: 'http://{closed}'}}\n");
    let mut process = Process::start(folder.path(), &engine, &config);
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}");
    let dropped = || {
        let told = get(process.admin().unwrap(), "/metrics", &[]).text();
        let name = "tee_sidecar_trace_spans_dropped_total ";
        told.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).unwrap()
    };
    let mut asked = 0;
    for _ in 0..2 {
        let before = dropped();
        wait_until("a batch that is given up", SOON, || {
            assert_eq!(post(process.addr, CHAT, &[], &request).status, 200);
            asked += 1;
            dropped() > before
        });
    }
    assert!(dropped() <= 2 * asked);
    assert!(process.terminate().success());
    let log = process.log();
    assert_eq!(log.matches("the collector cannot be reached").count(), 1, "{log}");
    assert_eq!(log.matches(": exchange request_id").count() as u64, asked, "{log}");
}

#[test]
fn the_operator_sees_the_money_while_it_runs_and_after() {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &engine, "");
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}");
    for _ in 0..3 {
        assert_eq!(post(process.addr, CHAT, &[], &request).status, 200);
    }
    let looks_right = |process: &Process| {
        let audit = process.run(&["ledger", "audit"]);
        assert_eq!(audit.status.code(), Some(0));
        assert!(String::from_utf8(audit.stdout).unwrap().starts_with("audit: clean\n"));
        let status = String::from_utf8(process.run(&["ledger", "status"]).stdout).unwrap();
        for line in ["earned_neuron: 21900", "held_neuron: 0", "receipts: 3", "open_holds: 0"] {
            assert!(status.contains(&format!("{line}\n")), "{status}");
        }
    };
    looks_right(&process);
    // Two sidecars on one ledger would each forget the other's money.
    let second = process.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("in use"));
    assert_eq!(process.terminate().code(), Some(0));
    looks_right(&process);
    std::fs::remove_file(folder.path().join("ledger.db")).unwrap();
    assert_eq!(process.run(&["ledger", "audit"]).status.code(), Some(20));
    std::fs::write(folder.path().join("ledger.db"), "no ledger at all").unwrap();
    assert_eq!(process.run(&["ledger", "audit"]).status.code(), Some(30));
    assert_eq!(process.run(&["serve"]).status.code(), Some(30));
}

#[test]
fn a_build_with_the_simulator_still_needs_to_be_asked_for_it() {
    let engine = Engine::start(|_| Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &engine, "");
    for provider in ["auto", "tdx", "dstack"] {
        let config = folder.path().join("hardware.yaml");
        let text = format!(
            "tee: {{provider: {provider}}}\nledger: {{url: 'sqlite://{}'}}\n",
            folder.path().join("other.db").display()
        );
        std::fs::write(&config, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tee-sidecar"))
            .args(["serve", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(20), "{provider}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("tee.provider"));
    }
    drop(process);
}

// The end of the process waits for what runs, and then closes it with a receipt that says so.
#[test]
fn a_stream_that_outlives_the_grace_period_ends_as_shutdown() {
    let engine =
        Engine::start(|_| vec![sse(), Step::Chunk(chunk_event(1, true).into_bytes()), Step::Gate]);
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &engine, "");
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":true}}");
    let mut conn = Conn::open(process.addr);
    conn.send("POST", CHAT, &[], request.as_bytes());
    let id = conn.head().receipt();
    let body = conn.chunk().unwrap().unwrap();
    let began = std::time::Instant::now();
    assert!(process.terminate().success());
    assert!(began.elapsed() > Duration::from_secs(20), "the stream got no time to end");
    assert!(conn.chunk().is_err(), "the client cannot tell");
    let process = Process::start(folder.path(), &engine, "");
    let signed = get(process.addr, &format!("/v1/signature/{id}"), &[]).json();
    assert_eq!((&signed["outcome"], &signed["fee"]), (&"shutdown".into(), &"1500".into()));
    let response_hash = sha256_hex(&body);
    assert!(signed["text"].as_str().unwrap().ends_with(&response_hash));
}

// A client that is not reading must not keep its exchange from ending: a hold that is left open
// would be released as a crash at the next start, with nothing charged.
#[test]
fn a_client_that_does_not_read_does_not_keep_the_end_from_being_orderly() {
    let piece = |k: u64, usage: bool| chunk_event(k, usage).replace('日', &"日".repeat(4_096));
    let engine = Engine::start(move |_| {
        let mut steps = vec![sse()];
        steps.extend((1..=6_144).map(|k| Step::Chunk(piece(k, true).into_bytes())));
        steps
    });
    let folder = tempfile::tempdir().unwrap();
    let patient = "limits: {clientIdleSecs: 300, upstreamIdleSecs: 300}\n";
    let mut process = Process::start(folder.path(), &engine, patient);
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":true}}");
    let mut conn = Conn::open(process.addr);
    conn.send("POST", CHAT, &[], request.as_bytes());
    let id = conn.head().receipt();
    engine.chunks_until_held_back();
    let began = std::time::Instant::now();
    assert!(process.terminate().success());
    // 25 s of grace, and then nothing to wait for: the end must not depend on what the client's
    // connection does when the server behind it is torn down.
    assert!(began.elapsed() < Duration::from_secs(33), "ended after {:?}", began.elapsed());
    let reader = SqliteReader::open(&folder.path().join("ledger.db")).unwrap();
    let receipt = reader.receipt(&ReceiptId::parse(&id).unwrap()).unwrap();
    let receipt = receipt.expect("no receipt: the exchange was cut off");
    assert_eq!(receipt.outcome.as_str(), "shutdown");
    assert_eq!(receipt.usage.output, receipt.events);
    let handed: String = (1..=receipt.events).map(|k| piece(k, false)).collect();
    assert_eq!(receipt.response_hash.to_string(), sha256_hex(handed.as_bytes()));
    let process = Process::start(folder.path(), &engine, "");
    let signed = get(process.addr, &format!("/v1/signature/{id}"), &[]).json();
    assert_eq!(signed["outcome"], "shutdown");
}

// Without its ledger the sidecar can answer nobody: it ends, so that its host restarts or mends it.
#[test]
fn a_ledger_that_cannot_be_written_ends_the_process() {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start_on_small_disk(folder.path(), &engine, 4_096);
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}");
    let served = (0..2_000)
        .map_while(|_| Conn::try_ask(process.addr, request.as_bytes()))
        .take_while(|response| response.status == 200)
        .count() as u64;
    assert!((1..2_000).contains(&served), "{served} answers on a full disk");
    let ended = process.wait_for_end(SOON);
    assert!(!ended.success(), "{ended}");
    let mut process = Process::start(folder.path(), &engine, "");
    // Nobody had the time to ask the one that ended.
    assert_eq!(last_end(&process), "ledger");
    let audit = process.run(&["ledger", "audit"]);
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stderr));
    // The charge of an answer that was then not given may be the last that was written.
    let reader = SqliteReader::open(&folder.path().join("ledger.db")).unwrap();
    let receipts = reader.totals().unwrap().receipts;
    assert!((served..=served + 1).contains(&receipts), "{receipts} receipts of {served} answers");
    process.kill();
    let mut process = Process::start(folder.path(), &engine, "");
    assert_eq!(last_end(&process), "died");
    assert!(process.terminate().success());
    assert_eq!(last_end(&Process::start(folder.path(), &engine, "")), "orderly");
}

/// How the run before this one ended, as its metrics tell.
fn last_end(process: &Process) -> String {
    let told = get(process.admin().unwrap(), "/metrics", &[]).text();
    let ends = told.lines().filter_map(|line| line.strip_prefix("tee_sidecar_last_end{kind=\""));
    let mut last = ends.filter_map(|line| line.strip_suffix("\"} 1"));
    let word = last.next().unwrap_or("none").to_owned();
    assert_eq!(last.next(), None, "{told}");
    word
}

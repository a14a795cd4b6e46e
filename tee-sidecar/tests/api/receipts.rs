//! Receipts that prove themselves: of answers, of half answers and of refusals.

use std::time::{Duration, Instant};

use broker_core::jcs::Json;
use broker_core::keyset::Keyset;
use broker_core::log::head::LogHead;
use broker_core::log::{verify_consistency, verify_inclusion};
use broker_core::receipt::ReadReceipt;
use broker_core::stream::{Chain, verify_prefix};
use broker_core::{Clock, Digest32, ReceiptId, SystemClock, Tariff};
use serde_json::Value;
use tee_sidecar::config::{Auth, Settings};
use tee_sidecar::identity::Identities;
use tee_sidecar::keys::SigningKeys;

use crate::support::{
    Conn, Engine, MODEL, Response, Sidecar, Step, api_key, chunk_event, end_event, get, post, sse,
    whole,
};

const EVENTS: u64 = 40;

fn ask(stream: bool) -> String {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":{stream},\"max_tokens\":{EVENTS}}}")
}

fn streaming() -> Engine {
    Engine::start(|_| {
        let mut steps = vec![sse()];
        steps.extend((1..EVENTS).map(|k| Step::Chunk(chunk_event(k, true).into_bytes())));
        steps.push(Step::Chunk(end_event(EVENTS, true).into_bytes()));
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    })
}

/// The keyset as the simulation's secret makes it.
fn keyset(sidecar: &Sidecar) -> Keyset {
    let secret = sidecar.ledger.with_file_name("simulated-tee.secret");
    let key = SigningKeys::simulated(&secret).unwrap().receipts();
    let now = SystemClock.now();
    Keyset::parse(Identities::new(key, None, now).at(now).keyset().as_bytes()).unwrap()
}

fn fetch(sidecar: &Sidecar, path: &str) -> Value {
    let answer = get(sidecar.addr, path, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The receipt of an answer, its signature and both bodies checked.
fn receipt(sidecar: &Sidecar, answer: &Response, request: &[u8]) -> ReadReceipt {
    let id = answer.receipt();
    let document = get(sidecar.addr, &format!("/v1/aci/receipts/{id}"), &[]);
    assert_eq!(document.status, 200, "{}", document.text());
    let read = ReadReceipt::parse(&document.body).unwrap();
    read.verify(&keyset(sidecar)).unwrap();
    assert_eq!(read.id, id);
    assert_eq!(read.request_hash, Digest32::sha256(request));
    assert_eq!(read.response_hash, Digest32::sha256(&answer.body));
    let signature = fetch(sidecar, &format!("/v1/signature/{id}"));
    assert_eq!(signature["receipt"].to_string(), document.json().to_string());
    read
}

#[test]
fn a_stream_s_receipt_says_what_was_sent_counted_and_charged() {
    let engine = streaming();
    let sidecar = Sidecar::start(&engine);
    let request = ask(true);
    let answer = post(sidecar.addr, "/v1/chat/completions", &[], &request);
    let read = receipt(&sidecar, &answer, request.as_bytes());
    let forwarded = engine.seen()[0].body.clone();
    assert_eq!(read.forwarded_hash, Some(Digest32::sha256(&forwarded)));
    assert_ne!(read.forwarded_hash, Some(read.request_hash), "options were added");
    let usage = read.usage.unwrap();
    assert_eq!((usage.input, usage.output), (13, EVENTS));
    let tariff = fetch(&sidecar, "/v1/tariff");
    let terms = Json::parse(tariff["terms"].to_string().as_bytes()).unwrap();
    read.check_fee(&Tariff::from_terms(&terms).unwrap()).unwrap();
    let charge = read.charge.as_ref().unwrap();
    assert_eq!(charge.fee.get(), u128::from(13 * 100 + EVENTS * 200));
    assert_eq!(tariff["digest"], format!("sha256:{}", charge.tariff));
    assert_eq!(fetch(&sidecar, &format!("/v1/tariff/sha256:{}", charge.tariff)), tariff["terms"]);
    let closed = read.closed.as_ref().unwrap();
    assert_eq!((closed.outcome.as_str(), closed.status), ("complete", 200));
    assert_eq!((closed.events, closed.bytes), (EVENTS + 1, answer.body.len() as u64));
    let mut chain = Chain::new(&ReceiptId::parse(&read.id).unwrap());
    chain.feed(&answer.body);
    assert_eq!(closed.chain_head, Some(chain.head()));
    let json = read.document().canonical();
    for said in ["\"model\":\"tiny\"", "\"finish_reason\":\"stop\"", "\"account_seq\":1"] {
        assert!(json.contains(said), "{said}: {json}");
    }
}

#[test]
fn a_whole_answer_s_receipt_has_no_rolling_hash_and_counts_on() {
    let body = b"{\"id\":\"e\",\"choices\":[{\"finish_reason\":\"length\"}],\
                 \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}";
    let engine = Engine::start(|_| vec![Step::Raw(whole(200, body))]);
    let sidecar = Sidecar::start(&engine);
    for seq in 1..=3 {
        let request = ask(false);
        let answer = post(sidecar.addr, "/v1/chat/completions", &[], &request);
        let read = receipt(&sidecar, &answer, request.as_bytes());
        assert_eq!(read.place.unwrap().account_seq, seq);
        assert_eq!(read.closed.unwrap().chain_head, None);
        assert!(read.forwarded_hash == Some(read.request_hash), "nothing was changed");
    }
}

// A client with half a stream and a checkpoint can prove what it was sent and what it owes.
#[test]
fn half_a_stream_proves_itself_up_to_its_last_checkpoint() {
    let engine = Engine::start(|_| {
        let mut steps = vec![sse()];
        steps.extend((1..=28).map(|k| Step::Chunk(chunk_event(k, true).into_bytes())));
        steps.push(Step::Gate);
        steps
    });
    let sidecar = Sidecar::start(&engine);
    let mut conn = Conn::open(sidecar.addr);
    let headers = [("x-receipt-checkpoints", "10")];
    conn.send("POST", "/v1/chat/completions", &headers, ask(true).as_bytes());
    let id = ReceiptId::parse(&conn.head().receipt()).unwrap();
    let mut body = Vec::new();
    let last = chunk_event(28, false);
    while !body.windows(last.len()).any(|window| window == last.as_bytes()) {
        body.extend(conn.chunk().unwrap().unwrap());
    }
    drop(conn);
    let proved = verify_prefix(&body, &id, &[keyset(&sidecar)]).unwrap();
    let checkpoint = proved.checkpoint;
    assert_eq!(checkpoint.request_hash, Digest32::sha256(ask(true).as_bytes()));
    assert!(checkpoint.output_tokens >= 20, "{checkpoint:?}");
    assert_eq!(checkpoint.fee.get(), u128::from(13 * 100 + checkpoint.output_tokens * 200));
    // What the receipt charges is at least that, and it covers the same bytes.
    let receipt = sidecar.receipt(&id.to_string());
    assert!(receipt.usage.output >= checkpoint.output_tokens);
    let mut chain = Chain::new(&id);
    chain.feed(&body);
    assert_eq!(receipt.bytes, body.len() as u64, "the engine sent no more");
    assert_eq!(receipt.proof.unwrap().claims.chain_head, Some(chain.head()));
    let wrong = [("x-receipt-checkpoints", "7")];
    let refused = post(sidecar.addr, "/v1/chat/completions", &wrong, ask(true));
    assert_eq!((refused.status, refused.error_type().as_str()), (400, "bad_request"));
}

// Nobody who did not ask for checkpoints gets them.
#[test]
fn without_asking_there_are_no_checkpoints() {
    let engine = streaming();
    let sidecar = Sidecar::start(&engine);
    let answer = post(sidecar.addr, "/v1/chat/completions", &[], ask(true));
    assert!(!answer.text().contains("checkpoint"));
}

#[test]
fn what_is_refused_has_a_receipt_too() {
    let engine = streaming();
    let sidecar = Sidecar::with(&engine, |settings: &mut Settings| {
        settings.auth = Auth::ApiKeys(vec![api_key("alice", "alice-0123456789abcdef", Some(5))]);
    });
    let alice = [("authorization", "Bearer alice-0123456789abcdef")];
    let chat = "/v1/chat/completions";
    let unknown = "{\"model\":\"other\",\"messages\":[]}";
    for (headers, body, status, logged, hashed) in [
        (&alice[..], "no json", 400, true, true),
        (&alice[..], unknown, 404, true, true),
        (&alice[..], &ask(true), 402, true, true),
        (&[], "secret", 401, false, false),
    ] {
        let refused = post(sidecar.addr, chat, headers, body);
        assert_eq!(refused.status, status, "{}", refused.text());
        let read = receipt(&sidecar, &refused, if hashed { body.as_bytes() } else { b"" });
        let closed = read.closed.as_ref().unwrap();
        assert_eq!((closed.outcome.as_str(), closed.status), ("refused", u64::from(status)));
        assert_eq!(read.charge.as_ref().unwrap().fee.get(), 0);
        assert_eq!(read.forwarded_hash, None);
        assert_eq!(read.place.is_some(), logged, "{status}");
        // The same document, however often it is asked for.
        let again = fetch(&sidecar, &format!("/v1/aci/receipts/{}", read.id));
        assert_eq!(Json::parse(again.to_string().as_bytes()).unwrap(), *read.document());
    }
    let method = get(sidecar.addr, chat, &[]);
    assert_eq!(method.status, 405);
    receipt(&sidecar, &method, b"");
    // An answer to HEAD has no bytes, and its receipt claims none.
    let mut head = Conn::open(sidecar.addr);
    head.send("HEAD", chat, &[("connection", "close")], b"");
    let head = head.head();
    assert_eq!(head.status, 405);
    let read = receipt(&sidecar, &head, b"");
    assert_eq!(read.response_hash, Digest32::sha256(b""));
    assert_eq!((read.unread, read.closed.unwrap().bytes), (true, 0));
    assert_eq!(engine.requests(), 0);
    sidecar.audit_is_clean();
}

#[test]
fn a_receipt_gets_its_place_in_the_log_and_heads_never_take_back() {
    let engine = streaming();
    let sidecar = Sidecar::start(&engine);
    let keyset = keyset(&sidecar);
    let first = post(sidecar.addr, "/v1/chat/completions", &[], ask(true)).receipt();
    let included = included(&sidecar, &first);
    let (old, old_size) = check_inclusion(&included, &keyset);
    for _ in 0..3 {
        post(sidecar.addr, "/v1/chat/completions", &[], ask(true));
    }
    let last = post(sidecar.addr, "/v1/chat/completions", &[], ask(true)).receipt();
    let (new, new_size) = check_inclusion(&self::included(&sidecar, &last), &keyset);
    assert!(new_size > old_size && old.log == new.log);
    let path = format!("/v1/log/proof/consistency?from={old_size}&to={new_size}");
    let path = hashes(&fetch(&sidecar, &path)["path"]);
    verify_consistency(old_size, &old.root, new_size, &new.root, &path).unwrap();
    let tile = get(sidecar.addr, &format!("/v1/log/tile/0/000.p/{new_size}"), &[]);
    assert_eq!((tile.status, tile.body.len() as u64), (200, 32 * new_size));
    for missing in ["0/001", "0/000", "7/000.p/1", "x", "0/000.p/255"] {
        let tile = get(sidecar.addr, &format!("/v1/log/tile/{missing}"), &[]);
        assert_eq!(tile.status, 404, "{missing}");
    }
    let backwards = get(sidecar.addr, "/v1/log/proof/consistency?from=5&to=1", &[]);
    assert_eq!(backwards.status, 400);
    sidecar.audit_is_clean();
}

/// A receipt with its place in the log, as soon as it has one.
fn included(sidecar: &Sidecar, id: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let found = fetch(sidecar, &format!("/v1/receipts/{id}"));
        if !found["inclusion"].is_null() {
            return found;
        }
        assert!(Instant::now() < until, "the log never had it");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn check_inclusion(found: &Value, keyset: &Keyset) -> (LogHead, u64) {
    let read = ReadReceipt::parse(found["receipt"].to_string().as_bytes()).unwrap();
    let inclusion = &found["inclusion"];
    let head = Json::parse(inclusion["head"].to_string().as_bytes()).unwrap();
    let head = LogHead::verify(head, keyset).unwrap();
    let (index, size) = (&inclusion["leaf_index"], &inclusion["tree_size"]);
    let (index, size) = (index.as_u64().unwrap(), size.as_u64().unwrap());
    assert_eq!(head.size, size);
    assert_eq!(read.place.unwrap().log, head.log);
    verify_inclusion(&read.log_leaf(), index, size, &hashes(&inclusion["path"]), &head.root)
        .unwrap();
    (head, size)
}

fn hashes(path: &Value) -> Vec<Digest32> {
    let read = |hash: &Value| {
        let mut bytes = [0; 32];
        let hex = hash.as_str().unwrap().strip_prefix("sha256:").unwrap();
        hex::decode_to_slice(hex, &mut bytes).unwrap();
        Digest32(bytes)
    };
    path.as_array().unwrap().iter().map(read).collect()
}

#[test]
fn one_gets_one_s_own_receipts_page_by_page_and_nobody_else_s() {
    let engine = streaming();
    let (alice, bob) = ("alice-0123456789abcdef", "bob-0123456789abcdefgh");
    let sidecar = Sidecar::with(&engine, |settings| {
        settings.auth =
            Auth::ApiKeys(vec![api_key("alice", alice, None), api_key("bob", bob, None)]);
    });
    let bearer = |key: &str| format!("Bearer {key}");
    for _ in 0..5 {
        for key in [alice, bob, alice] {
            let headers = [("authorization", bearer(key))];
            let headers = [(headers[0].0, headers[0].1.as_str())];
            let answer = post(sidecar.addr, "/v1/chat/completions", &headers, ask(true));
            assert_eq!(answer.status, 200);
        }
    }
    for (key, own) in [(alice, 10), (bob, 5)] {
        let bearer = bearer(key);
        let mut sequence = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("/v1/receipts?limit=3&from={from}");
            let page = get(sidecar.addr, &path, &[("authorization", &bearer)]).json();
            for document in page["data"].as_array().unwrap() {
                let read = ReadReceipt::parse(document.to_string().as_bytes()).unwrap();
                read.verify(&keyset(&sidecar)).unwrap();
                sequence.push(read.place.unwrap().account_seq);
            }
            if page["has_more"] == false {
                break;
            }
            from = page["next"].as_str().unwrap().to_owned();
        }
        assert_eq!(sequence, (1..=own).collect::<Vec<_>>());
    }
    assert_eq!(get(sidecar.addr, "/v1/receipts", &[]).status, 401);
    let bad = get(sidecar.addr, "/v1/receipts?from=x", &[("authorization", &bearer(alice))]);
    assert_eq!(bad.status, 400);
}

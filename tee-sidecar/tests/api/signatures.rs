//! Signatures: found by every id, by the right people, for as long as the ledger lives.

use serde_json::Value;
use tee_sidecar::config::{Auth, Settings};

use crate::support::{Engine, MODEL, Response, Sidecar, Step, api_key, get, post, whole};

const ALICE: &str = "alice-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdefgh";

fn same_id() -> Engine {
    Engine::start(|seen| {
        let n = seen.body.len();
        let body = format!(
            "{{\"id\":\"Chat-Same\",\"choices\":[],\"usage\":{{\"prompt_tokens\":{n},\
             \"completion_tokens\":1}}}}"
        );
        vec![Step::Raw(whole(200, body.as_bytes()))]
    })
}

fn two_accounts(settings: &mut Settings) {
    settings.auth = Auth::ApiKeys(vec![api_key("alice", ALICE, None), api_key("bob", BOB, None)]);
}

fn chat(sidecar: &Sidecar, key: &str, pad: &str) -> (String, Response) {
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"user\":\"{pad}\"}}");
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let response = post(sidecar.addr, "/v1/chat/completions", &headers, &request);
    assert_eq!(response.status, 200, "{}", response.text());
    (request, response)
}

fn find(sidecar: &Sidecar, id: &str, key: Option<&str>) -> Result<Value, u16> {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<(&str, &str)> =
        bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let answer = get(sidecar.addr, &format!("/v1/proxy/signature/{id}"), &headers);
    if answer.status == 200 { Ok(answer.json()) } else { Err(answer.status) }
}

// S9: three spellings, three places, exact in their case.
#[test]
fn a_signature_is_found_by_every_id_at_every_place() {
    let engine = same_id();
    let sidecar = Sidecar::start(&engine);
    let (request, response) = chat(&sidecar, "any", "");
    let id = response.receipt();
    let want = sidecar.signature(&id, request.as_bytes(), &response.body);
    for id in [id.clone(), format!("chatcmpl-{id}"), "Chat-Same".to_owned()] {
        for base in ["", "/v1", "/v1/proxy"] {
            for query in ["", "?model=x", "?signing_algo=ecdsa"] {
                let found = get(sidecar.addr, &format!("{base}/signature/{id}{query}"), &[]);
                assert_eq!(found.json(), want, "{base} {id}");
            }
        }
    }
    for unknown in ["chat-same", "x", "chatcmpl-", &id.to_uppercase(), &id.replace('-', "")] {
        let missing = get(sidecar.addr, &format!("/v1/signature/{unknown}"), &[]);
        assert_eq!((missing.status, missing.error_type().as_str()), (404, "not_found"));
    }
    let other = get(sidecar.addr, &format!("/signature/{id}?signing_algo=ed25519"), &[]);
    assert_eq!((other.status, other.error_type().as_str()), (400, "invalid_signing_algo"));
}

// S8, S10: the first of a user's exchanges keeps the engine's id; nobody takes or sees another's.
#[test]
fn an_engine_id_belongs_to_the_first_of_each_user_and_to_nobody_else() {
    let engine = same_id();
    let sidecar = Sidecar::with(&engine, two_accounts);
    let (_, alices) = chat(&sidecar, ALICE, "1");
    let first = alices.receipt();
    chat(&sidecar, ALICE, "22");
    assert_eq!(find(&sidecar, "Chat-Same", Some(ALICE)).unwrap()["receipt_id"], first.as_str());
    // One account holds it: public. Bob holds none, so he finds none.
    assert_eq!(find(&sidecar, "Chat-Same", None).unwrap()["receipt_id"], first.as_str());
    assert_eq!(find(&sidecar, "Chat-Same", Some(BOB)), Err(404));
    let (_, bobs) = chat(&sidecar, BOB, "333");
    let bobs = bobs.receipt();
    assert_eq!(find(&sidecar, "Chat-Same", Some(BOB)).unwrap()["receipt_id"], bobs.as_str());
    assert_eq!(find(&sidecar, "Chat-Same", Some(ALICE)).unwrap()["receipt_id"], first.as_str());
    assert_eq!(find(&sidecar, "Chat-Same", None), Err(404));
    assert_eq!(find(&sidecar, "Chat-Same", Some("wrong-0123456789abcdef")), Err(401));
    // By receipt id no key is needed.
    assert_eq!(find(&sidecar, &bobs, None).unwrap()["receipt_id"], bobs.as_str());
}

// S10: a signature under our own id is public, so no credentials can be wrong for it.
#[test]
fn a_signature_by_receipt_id_is_there_whatever_key_is_shown() {
    let engine = same_id();
    let sidecar = Sidecar::with(&engine, two_accounts);
    let (_, response) = chat(&sidecar, ALICE, "");
    let id = response.receipt();
    let wrong = "Bearer wrong-0123456789abcdef".to_owned();
    for authorization in [wrong, format!("Bearer {BOB}"), "Basic eDp5".to_owned(), String::new()] {
        for id in [id.clone(), format!("chatcmpl-{id}")] {
            let headers = [("authorization", authorization.as_str())];
            let found = get(sidecar.addr, &format!("/signature/{id}"), &headers);
            assert_eq!(found.status, 200, "{authorization:?}");
        }
    }
}

// S9: an id that nobody could ask for is not kept.
#[test]
fn an_engine_id_beyond_any_measure_is_not_stored() {
    // The longer one is longer than any path that a server reads.
    for length in [10_000, 100_000] {
        let long = "i".repeat(length);
        let body = format!(
            "{{\"id\":\"{long}\",\"choices\":[],\"usage\":{{\"prompt_tokens\":1,\
             \"completion_tokens\":1}}}}"
        );
        let engine = Engine::start(move |_| vec![Step::Raw(whole(200, body.as_bytes()))]);
        let sidecar = Sidecar::start(&engine);
        let (request, response) = chat(&sidecar, "any", "");
        let id = response.receipt();
        sidecar.signature(&id, request.as_bytes(), &response.body);
        assert!(sidecar.receipt(&id).upstream_id.is_none(), "{length} bytes are stored");
        if length == 10_000 {
            let missing = get(sidecar.addr, &format!("/v1/signature/{long}"), &[]);
            assert_eq!(missing.status, 404);
        }
    }
}

// O2, S12, S22: a restart keeps the signer and every signature.
#[test]
fn a_restart_keeps_signatures_and_the_signer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = same_id();
    let address = |sidecar: &Sidecar| {
        let report = get(sidecar.addr, "/attestation/report", &[]).json();
        assert_eq!(report["simulated"], true);
        report["signing_address"].as_str().unwrap().to_owned()
    };
    let place = folder.path().join("ledger.db");
    let settings =
        |s: &mut Settings| s.ledger = tee_sidecar::config::LedgerUrl::Sqlite(place.clone());
    let mut sidecar = Sidecar::with(&engine, settings);
    let (request, response) = chat(&sidecar, "any", "");
    let (id, signer) = (response.receipt(), address(&sidecar));
    let before = sidecar.signature(&id, request.as_bytes(), &response.body);
    assert_eq!(before["signing_address"], signer.as_str());
    sidecar.stop();
    let sidecar = Sidecar::with(&engine, settings);
    assert_eq!(address(&sidecar), signer);
    // From the ledger, and then what is remembered of that: the same, under every id.
    for id in [id.as_str(), &format!("chatcmpl-{id}"), "Chat-Same", "Chat-Same", &id] {
        assert_eq!(sidecar.signature(id, request.as_bytes(), &response.body), before);
    }
    // The first keeps the engine's id, whatever is remembered of the last.
    chat(&sidecar, "any", "later");
    assert_eq!(sidecar.signature("Chat-Same", request.as_bytes(), &response.body), before);
}

// What ended of late is told without the ledger: here it has lost the receipt meanwhile.
#[test]
fn a_signature_right_behind_its_answer_needs_no_look_into_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ledger.db");
    let engine = same_id();
    let settings =
        |s: &mut Settings| s.ledger = tee_sidecar::config::LedgerUrl::Sqlite(place.clone());
    let sidecar = Sidecar::with(&engine, settings);
    let (_, first) = chat(&sidecar, "any", "");
    let (request, response) = chat(&sidecar, "any", "2");
    // Which of them the engine's id names is the ledger's to say, once.
    assert_eq!(find(&sidecar, "Chat-Same", None).unwrap()["receipt_id"], first.receipt().as_str());
    lose_receipts(&place);
    sidecar.signature(&response.receipt(), request.as_bytes(), &response.body);
    assert_eq!(find(&sidecar, "Chat-Same", None).unwrap()["receipt_id"], first.receipt().as_str());
}

/// Deletes what a ledger never deletes.
fn lose_receipts(ledger: &std::path::Path) {
    let db = rusqlite::Connection::open(ledger).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'receipt'";
    let mut statement = db.prepare(triggers).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let names: Vec<_> = names.map(Result::unwrap).collect();
    assert!(!names.is_empty());
    for name in names {
        db.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    assert_eq!(db.execute("DELETE FROM receipt", []).unwrap(), 2);
}

// S7: none is evicted.
#[test]
fn the_newest_and_the_oldest_of_many_signatures_are_there() {
    let engine = same_id();
    let sidecar = Sidecar::start(&engine);
    let ids: Vec<String> =
        (0..300).map(|n| chat(&sidecar, "any", &n.to_string()).1.receipt()).collect();
    for id in ids {
        assert!(find(&sidecar, &id, None).is_ok());
    }
}

//! `cache_salt`: whose prefix cache a request has at the engine.

use broker_core::receipt::ReadReceipt;
use broker_core::{Digest32, LedgerReader};
use tee_sidecar::config::{Auth, CacheSalt, Settings};
use tee_sidecar::route::Route;

use crate::support::*;

const ALICE: (&str, &str) = ("authorization", "Bearer key-of-alice-0001");
const BOB: (&str, &str) = ("authorization", "Bearer key-of-bob-000001");

/// An engine that says that it is vLLM.
fn vllm() -> Engine {
    let engine = quick();
    let list = r#"{"data":[{"id":"tiny","max_model_len":4096,"owned_by":"vllm"}]}"#;
    engine.lists(whole(200, list.as_bytes()));
    engine
}

fn with_accounts(settings: &mut Settings) {
    settings.auth = Auth::ApiKeys(vec![
        api_key("alice", "key-of-alice-0001", None),
        api_key("bob", "key-of-bob-000001", None),
    ]);
}

/// What the engine was sent last.
fn forwarded(engine: &Engine) -> Seen {
    engine.seen().pop().unwrap()
}

/// The salt in front of a body that is otherwise `ask`.
fn salt_of(engine: &Engine, ask: &str) -> String {
    let text = forwarded(engine).text().to_owned();
    let rest = text.strip_prefix("{\"cache_salt\":\"").unwrap_or_else(|| panic!("{text}"));
    let (salt, rest) = rest.split_once("\",").unwrap();
    assert_eq!(format!("{{{rest}"), ask);
    assert!(salt.len() == 64 && salt.bytes().all(|byte| byte.is_ascii_hexdigit()), "{salt}");
    salt.to_owned()
}

// R16.
#[test]
fn each_account_has_a_salt_of_its_own_which_no_client_can_name() {
    let engine = vllm();
    let sidecar = Sidecar::with(&engine, with_accounts);
    let salt = |who, ask: &str| {
        assert_eq!(post(sidecar.addr, CHAT, &[who], ask).status, 200);
        salt_of(&engine, ask)
    };
    let alice = salt(ALICE, ASK);
    assert_eq!(salt(ALICE, ASK), alice);
    assert_eq!(salt(ALICE, r#"{"messages":[],"n":1}"#), alice);
    let bob = salt(BOB, ASK);
    assert_ne!(bob, alice);
    // Who gives a salt parts its own requests, and reaches nobody else's.
    let own = |who, given: &str| {
        let ask = format!(r#"{{"messages":[],"cache_salt":"{given}"}}"#);
        assert_eq!(post(sidecar.addr, CHAT, &[who], &ask).status, 200);
        let text = forwarded(&engine).text().to_owned();
        assert_eq!(text.len(), ask.len() - given.len() + 64);
        text.strip_prefix(r#"{"messages":[],"cache_salt":""#).unwrap()[..64].to_owned()
    };
    let given = [own(ALICE, "x"), own(BOB, "x"), own(BOB, &alice), own(ALICE, &alice)];
    for (at, salt) in given.iter().enumerate() {
        assert!(*salt != alice && *salt != bob && !given[at + 1..].contains(salt), "{given:?}");
    }
    assert_eq!(own(ALICE, "x"), given[0]);
    let wrong = post(sidecar.addr, CHAT, &[ALICE], r#"{"messages":[],"cache_salt":[1]}"#);
    assert_eq!((wrong.status, wrong.json()["error"]["param"].as_str()), (400, Some("cache_salt")));
    sidecar.audit_is_clean();
}

#[test]
fn the_receipt_has_what_came_and_what_was_forwarded_and_the_signature_covers_what_came() {
    let engine = vllm();
    let sidecar = Sidecar::with(&engine, with_accounts);
    let answer = post(sidecar.addr, CHAT, &[ALICE], ASK);
    let id = answer.receipt();
    let (sent, seen) = (Digest32::sha256(ASK.as_bytes()), forwarded(&engine));
    sidecar.signature(&id, ASK.as_bytes(), &answer.body);
    let document = get(sidecar.addr, &format!("/v1/aci/receipts/{id}"), &[]);
    let read = ReadReceipt::parse(&document.body).unwrap();
    assert_eq!(
        (read.request_hash, read.forwarded_hash),
        (sent, Some(Digest32::sha256(&seen.body)))
    );
    assert_ne!(read.forwarded_hash, Some(sent));
    assert_eq!(read.charge.unwrap().fee.get(), FEE, "the salt costs nothing");
}

#[test]
fn routes_that_remember_nothing_are_forwarded_as_they_came() {
    let engine = vllm();
    let sidecar = Sidecar::with(&engine, |settings| {
        with_accounts(settings);
        settings.service.routes = Route::ALL.to_vec();
    });
    let mut salted = Vec::new();
    for (route, ask) in [
        (Route::Completions, r#"{"prompt":"x"}"#),
        (Route::Embeddings, r#"{"input":"x"}"#),
        (Route::Responses, r#"{"input":"x"}"#),
        (Route::Messages, r#"{"messages":[]}"#),
        (Route::Rerank, r#"{"query":"x","documents":[]}"#),
        (Route::Score, r#"{"queries":"x","documents":[]}"#),
        (Route::Tokenize, r#"{"prompt":"x"}"#),
        (Route::Detokenize, r#"{"tokens":[]}"#),
        (Route::ImageGenerations, r#"{"prompt":"x"}"#),
    ] {
        post(sidecar.addr, route.path(), &[ALICE], ask);
        if forwarded(&engine).text() == ask {
            assert!(!route.takes_salt(), "{route:?}");
        } else {
            salted.push(salt_of(&engine, ask));
        }
    }
    assert_eq!(salted, vec![salted[0].clone(); 6]);
}

#[test]
fn without_accounts_or_before_other_engines_requests_stay_as_they_came_unless_asked_for() {
    let forwards = |engines: &[&Engine], change: fn(&mut Settings)| {
        let (first, others) = engines.split_first().unwrap();
        let sidecar = Sidecar::with(first, |settings| {
            settings.upstream.urls = others.iter().map(|engine| url(engine)).collect();
            change(settings);
        });
        assert_eq!(post(sidecar.addr, CHAT, &[ALICE], ASK).status, 200);
        forwarded(first).text() != ASK
    };
    let none = |settings: &mut Settings| {
        with_accounts(settings);
        settings.upstream.cache_salt = CacheSalt::None;
    };
    let always = |settings: &mut Settings| settings.upstream.cache_salt = CacheSalt::Account;
    assert!(forwards(&[&vllm()], with_accounts));
    assert!(forwards(&[&vllm(), &vllm()], with_accounts));
    assert!(!forwards(&[&vllm()], |_| {}), "all are one account");
    assert!(!forwards(&[&quick()], with_accounts), "it may refuse what it does not know");
    assert!(!forwards(&[&vllm(), &quick()], with_accounts), "the other one may");
    assert!(!forwards(&[&vllm()], none));
    assert!(forwards(&[&quick()], always));
}

#[test]
fn a_salt_ends_with_the_process() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), vllm());
    let salt = || {
        let mut settings = sidecar_settings(engine.addr, folder.path().join("ledger.db"));
        with_accounts(&mut settings);
        let mut sidecar = Sidecar::run(settings);
        assert_eq!(post(sidecar.addr, CHAT, &[ALICE], ASK).status, 200);
        let account = sidecar.reader().account(&broker_core::UserId::named("alice")).unwrap();
        assert!(account.held.is_zero());
        sidecar.stop();
        salt_of(&engine, ASK)
    };
    assert_ne!(salt(), salt());
}

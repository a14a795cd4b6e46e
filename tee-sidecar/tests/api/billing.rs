//! Money: prepaid credit is never overspent, whatever runs at once.

use std::sync::Arc;

use broker_core::{LedgerReader, Neuron, SqliteReader, UserId};
use tee_sidecar::config::Auth;

use crate::support::{Engine, MODEL, Sidecar, Step, api_key, post, whole};

const KEY: &str = "prepaid-0123456789abcdef";
const BEARER: (&str, &str) = ("authorization", "Bearer prepaid-0123456789abcdef");

/// What one such request can cost: the body's bytes and the template's at 100, ten tokens at 200.
fn ask() -> (String, u128) {
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"max_tokens\":10}}");
    let ceiling = (request.len() as u128 + 1024) * 100 + 10 * 200;
    (request, ceiling)
}

// M4: 64 at once with credit for 10.
#[test]
fn sixty_four_parallel_requests_never_overspend_credit_for_ten() {
    for round in 0..5 {
        let engine = Engine::start(|_| {
            let body = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1054,\
                        \"completion_tokens\":10}}";
            vec![
                Step::Pause(std::time::Duration::from_millis(300)),
                Step::Raw(whole(200, body.as_bytes())),
            ]
        });
        let (request, ceiling) = ask();
        let credit = ceiling * 10;
        let sidecar = Sidecar::with(&engine, |s| {
            s.auth = Auth::ApiKeys(vec![api_key("prepaid", KEY, Some(credit))]);
        });
        let addr = sidecar.addr;
        let barrier = Arc::new(std::sync::Barrier::new(64));
        let threads: Vec<_> = (0..64)
            .map(|_| {
                let (barrier, request) = (barrier.clone(), request.clone());
                std::thread::spawn(move || {
                    barrier.wait();
                    let response = post(addr, "/v1/chat/completions", &[BEARER], request);
                    response.receipt();
                    if response.status == 402 {
                        assert_eq!(response.error_type(), "insufficient_credits");
                    }
                    response.status
                })
            })
            .collect();
        let statuses: Vec<u16> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        let served = statuses.iter().filter(|status| **status == 200).count();
        let refused = statuses.iter().filter(|status| **status == 402).count();
        assert_eq!((served, refused), (10, 54), "round {round}");
        assert_eq!(engine.seen().len(), 10);
        let account = sidecar.reader().account(&UserId::named("prepaid")).unwrap();
        assert_eq!(account.held, Neuron::ZERO);
        assert_eq!(account.earned.get(), 10 * (1054 * 100 + 10 * 200));
        assert!(account.earned.get() <= credit);
        sidecar.audit_is_clean();
    }
}

// M18: the hold is the most that is ever charged.
#[test]
fn usage_above_the_hold_is_charged_at_the_hold() {
    let engine = Engine::start(|_| {
        let body = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":99999}}";
        vec![Step::Raw(whole(200, body.as_bytes()))]
    });
    let (request, ceiling) = ask();
    let sidecar = Sidecar::start(&engine);
    let response = post(sidecar.addr, "/v1/chat/completions", &[], &request);
    let receipt = sidecar.receipt(&response.receipt());
    assert_eq!((receipt.fee.get(), receipt.usage.output), (ceiling, 99_999));
    sidecar.audit_is_clean();
}

// M15: a price of zero still leaves an entry.
#[test]
fn a_free_exchange_is_in_the_ledger_too() {
    let engine = Engine::start(|_| {
        let body = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";
        vec![Step::Raw(whole(200, body.as_bytes()))]
    });
    let sidecar = Sidecar::with(&engine, |s| s.service.tariff = broker_core::Tariff::default());
    let response = post(sidecar.addr, "/v1/chat/completions", &[], ask().0);
    assert_eq!(sidecar.receipt(&response.receipt()).fee, Neuron::ZERO);
    let report = sidecar.reader().audit().unwrap();
    assert_eq!((report.fault, report.receipts, report.transfers), (None, 1, 0));
}

// M18: what `n` answers may cost is held for all of them; what is no plain text, or what a chat
// template may spell out at length, holds the whole context, however its name is written.
#[test]
fn the_hold_bounds_what_a_request_can_cost() {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
    let sidecar = Sidecar::with(&engine, |s| {
        s.auth = Auth::ApiKeys(vec![api_key("prepaid", KEY, Some(1))]);
    });
    for (extra, prompt, tokens) in [
        (",\"max_tokens\":10", None, 10),
        (",\"max_tokens\":10,\"n\":3", None, 30),
        (",\"max_tokens\":10,\"n\":3,\"best_of\":4", None, 40),
        (",\"max_tokens\":10,\"max_completion_tokens\":20", None, 20),
        ("", None, 4096),
        (",\"max_tokens\":99999", None, 4096),
        (",\"max_tokens\":1,\"x\":\"image_url\"", Some(4096), 1),
        (",\"max_tokens\":1,\"x\":{\"type\":\"image\\u005furl\"}", Some(4096), 1),
        (",\"max_tokens\":1,\"tools\":[{\"type\":\"function\"}]", Some(4096), 1),
    ] {
        let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]{extra}}}");
        let response = post(sidecar.addr, "/v1/chat/completions", &[BEARER], &request);
        assert_eq!(response.status, 402);
        let prompt = prompt.unwrap_or(request.len() + 1024);
        let needed = format!("up to {} neuron", prompt * 100 + tokens * 200);
        assert!(response.text().contains(&needed), "{} {needed}", response.text());
    }
}

// M3: what the engine may cost is on disk when the engine hears of the request.
#[test]
fn the_hold_is_durable_before_the_engine_sees_the_request() {
    let ledger = Arc::new(std::sync::Mutex::new(None::<std::path::PathBuf>));
    let (place, held) = (ledger.clone(), Arc::new(std::sync::Mutex::new(None)));
    let found = held.clone();
    let engine = Engine::start(move |_| {
        let path = place.lock().unwrap().clone().unwrap();
        // Another connection sees only what is committed.
        let totals = SqliteReader::open(&path).unwrap().totals().unwrap();
        *found.lock().unwrap() = Some((totals.open_holds, totals.held.get()));
        let body = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";
        vec![Step::Raw(whole(200, body.as_bytes()))]
    });
    let sidecar = Sidecar::start(&engine);
    *ledger.lock().unwrap() = Some(sidecar.ledger.clone());
    let (request, ceiling) = ask();
    assert_eq!(post(sidecar.addr, "/v1/chat/completions", &[], &request).status, 200);
    assert_eq!(*held.lock().unwrap(), Some((1, ceiling)));
}

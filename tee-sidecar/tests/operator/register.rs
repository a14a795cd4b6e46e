//! Registering, changing and removing the service. (R5, X20)

use broker_core::testing::Fault;
use broker_core::{LedgerReader, Neuron};

use super::support::{SERVING_URL, Sidecar, chain, engine, seed_body, wait_until};

const MODEL: &str = "llama-3.1-8B-Instruct";

/// The engine's text in a chat's answer, and the fee of that chat.
fn chat(sidecar: &Sidecar, model: &str) -> (String, u128) {
    let before = sidecar.reader().totals().unwrap().earned;
    let answer = sidecar.chat(model);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let after = sidecar.reader().totals().unwrap().earned;
    let text = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    (text, after.checked_sub(before).unwrap().get())
}

#[test]
fn the_seeds_two_requests_register_on_the_chain_and_settle() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (engine("old", "tiny"), engine("new", MODEL));
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    let wallet = sidecar.chain.wallet();
    let answer = sidecar.admin("POST", "/v1/service", &seed_body(new));
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));

    let service = sidecar.chain.service_now().unwrap();
    let params = &service.params;
    assert_eq!((params.kind.as_str(), params.url.as_str()), ("chatbot", SERVING_URL));
    assert_eq!((params.model.as_str(), params.verifiability.as_str()), (MODEL, "TeeML"));
    assert_eq!(params.input_price, Neuron::new(100_000));
    assert_eq!(params.output_price, Neuron::new(200_000));
    assert_eq!(params.additional_info, r#"{"TEEVerifier":"dstack"}"#);
    let paid = wallet.checked_sub(sidecar.chain.wallet()).unwrap();
    assert!(paid >= sidecar.chain.options().stake, "the stake was sent: {paid}");

    sidecar.chain.owner_acknowledges(true).unwrap();
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    assert_eq!(chat(&sidecar, MODEL), ("new".to_owned(), 10 * 100_000 + 5 * 200_000));
    let answer = sidecar.admin("POST", "/v1/settle", "");
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));

    let listed = sidecar.admin("GET", "/v1/service", "").json();
    assert_eq!(listed["metadata"]["total"], 1);
    let item = &listed["items"][0];
    assert_eq!((&item["name"], &item["inputPrice"]), (&"llama8Bb".into(), &"100000".into()));
    assert_eq!(item["url"], format!("http://{new}"));
    let by_name = sidecar.admin("GET", "/v1/service/llama8Bb", "");
    assert_eq!((by_name.status, &by_name.json()), (200, item));
    let on_chain = sidecar.admin("GET", "/v1/contract-service", "").json();
    assert_eq!(on_chain["items"][0]["url"], SERVING_URL);
    assert_eq!(on_chain["items"][0]["teeSignerAcknowledged"], true);
}

#[test]
fn what_is_refused_leaves_chain_and_route_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (engine("old", MODEL), engine("new", MODEL));
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    let good = seed_body(old);
    let bad_type = "Provider: register service: invalid service type";
    for (body, says) in [
        (good.replace("chatbot", "image"), bad_type),
        (good.replace("chatbot", "zgStorage"), "are not served by this sidecar"),
        (good.replace("100000", "1.5"), "Provider: register service: inputPrice must be"),
        (good.replace("\"Name\"", "\"Nome\""), "Provider: register service: Name is required"),
        (good.replace("http://", ""), "URL must be the engine's address"),
        ("[]".to_owned(), "must be a JSON object"),
    ] {
        let answer = sidecar.admin("POST", "/v1/service", &body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.error().contains(says), "{}", answer.error());
        assert!(sidecar.chain.service_now().is_none());
    }
    assert_eq!(sidecar.admin("POST", "/v1/service", &good).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    let before = sidecar.chain.service_now();

    let other = seed_body(new).replace("llama8Bb", "another");
    let answer = sidecar.admin("POST", "/v1/service", &other);
    assert_eq!(answer.status, 400);
    let exists = "Provider: register service: service already exists in contract";
    assert_eq!(answer.error(), exists);
    sidecar.chain.inject(Fault::Down(1_000));
    let dearer = seed_body(new).replace("100000", "999");
    assert_eq!(sidecar.admin("POST", "/v1/service", &dearer).status, 400);
    sidecar.chain.calm();
    assert_eq!(sidecar.chain.service_now(), before);
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    assert_eq!(chat(&sidecar, MODEL), ("old".to_owned(), 10 * 100_000 + 5 * 200_000));
    let kept = sidecar.admin("GET", "/v1/service", "").json();
    assert_eq!(kept["items"][0]["url"], format!("http://{old}"));
}

#[test]
fn a_wallet_that_is_too_poor_is_told_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let old = engine("old", MODEL);
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    let stake = sidecar.chain.options().stake.get();
    sidecar.chain.set_wallet(Neuron::new(stake - 7));
    let answer = sidecar.admin("POST", "/v1/service", &seed_body(old));
    assert_eq!(answer.status, 400);
    assert!(answer.error().contains("7 neuron are missing"), "{}", answer.error());
    assert_eq!(sidecar.admin("GET", "/v1/service", "").json()["metadata"]["total"], 0);
}

#[test]
fn without_a_serving_url_nothing_is_registered() {
    let folder = tempfile::tempdir().unwrap();
    let old = engine("old", MODEL);
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |settings| {
        settings.service.serving_url = None
    });
    let answer = sidecar.admin("POST", "/v1/service", &seed_body(old));
    assert_eq!(answer.status, 400);
    assert!(answer.error().contains("servingUrl is not configured"), "{}", answer.error());
}

#[test]
fn a_change_of_prices_keeps_the_acknowledgement_and_one_of_the_model_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let old = engine("old", MODEL);
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    let body = seed_body(old);
    assert_eq!(sidecar.admin("POST", "/v1/service", &body).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    let wallet = sidecar.chain.wallet();

    let dearer = body.replace("100000", "\"18446744073709551616\"");
    assert_eq!(sidecar.admin("POST", "/v1/service", &dearer).status, 204);
    let service = sidecar.chain.service_now().unwrap();
    assert_eq!(service.params.input_price, Neuron::new(1 << 64));
    assert!(service.tee_signer_acknowledged);
    let spent = wallet.checked_sub(sidecar.chain.wallet()).unwrap();
    assert!(spent < sidecar.chain.options().stake, "no second stake: {spent}");
    assert_eq!(chat(&sidecar, MODEL).1, (10 << 64) + 5 * 200_000);

    let put = sidecar.admin("PUT", "/v1/service/llama8Bb", &body.replace(MODEL, "other"));
    assert_eq!(put.status, 202, "{}", put.body);
    assert!(!sidecar.chain.service_now().unwrap().tee_signer_acknowledged);
    let answer = sidecar.admin("GET", "/readyz", "");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("acknowledged this service's signer"), "{}", answer.body);
    let unknown = sidecar.admin("PUT", "/v1/service/nobody", &body);
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let renamed = sidecar.admin("PUT", "/v1/service/llama8Bb", &body.replace("8Bb", "9Bb"));
    assert_eq!(renamed.status, 400, "{}", renamed.body);
}

#[test]
fn a_change_of_the_engine_alone_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (engine("old", MODEL), engine("new", MODEL));
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(old)).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    let (wallet, block) = (sidecar.chain.wallet(), sidecar.chain.latest());
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(new)).status, 204);
    assert_eq!((sidecar.chain.wallet(), sidecar.chain.latest()), (wallet, block));
    assert_eq!(chat(&sidecar, MODEL).0, "new");
}

#[test]
fn a_removed_service_is_gone_from_the_chain_and_another_may_follow() {
    let folder = tempfile::tempdir().unwrap();
    let old = engine("old", MODEL);
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(old)).status, 204);
    assert_eq!(sidecar.admin("DELETE", "/v1/service/nobody", "").status, 404);
    let answer = sidecar.admin("DELETE", "/v1/service/llama8Bb", "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(sidecar.chain.service_now().is_none());
    wait_until("the gate is closed", || {
        sidecar.admin("GET", "/readyz", "").body.contains("no service on the chain")
    });
    let other = seed_body(old).replace("llama8Bb", "another");
    assert_eq!(sidecar.admin("POST", "/v1/service", &other).status, 204);
}

#[test]
fn a_transaction_whose_answer_was_lost_changes_the_route_when_the_chain_has_it() {
    for (fault, lands) in [
        (Fault::ErrorAfter, true),
        (Fault::ErrorBefore, false),
        (Fault::Reverted, false),
        (Fault::Delayed(3), true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (engine("old", MODEL), engine("new", MODEL));
        let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
        assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(old)).status, 204);
        sidecar.chain.owner_acknowledges(true).unwrap();
        sidecar.chain.inject(fault);
        let dearer = seed_body(new).replace("100000", "300000");
        let answer = sidecar.admin("POST", "/v1/service", &dearer);
        assert_eq!(answer.status, 400, "{fault:?}: {}", answer.body);
        let before = sidecar.admin("GET", "/v1/service", "").json();
        assert_eq!(before["items"][0]["url"], format!("http://{old}"), "{fault:?}");
        sidecar.chain.calm();
        sidecar.chain.mine(5);
        assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
        let fee = if lands { 300_000 } else { 100_000 };
        let name = if lands { "new" } else { "old" };
        assert_eq!(chat(&sidecar, MODEL), (name.to_owned(), 10 * fee + 1_000_000), "{fault:?}");
    }
}

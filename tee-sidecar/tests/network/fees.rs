//! What a client is told of prices and fees.

use broker_core::testing::ONE;
use broker_core::{LedgerReader, Neuron, Signature};

use crate::support::{CHAT, MODEL, PREFIX, World, ask, bounds, flat, get, post, sha256_hex};

#[test]
fn the_unsettled_fee_is_told_to_its_user_alone() {
    let world = World::start();
    let (user, other) = (world.user(1, ONE), world.user(2, ONE));
    let path = |address: String| format!("/v1/user/{address}/unsettledfee");
    assert_eq!(world.get(&path(user.address.to_string()), &user).json()["unsettledFee"], "0");
    assert_eq!(world.chat(CHAT, &user.bearer()).status, 200);
    for address in [user.address.to_string(), user.id.to_string()] {
        let answer = world.get(&path(address), &user);
        assert_eq!((answer.status, answer.text().as_str()), (200, "{\"unsettledFee\":\"40\"}"));
    }
    let wrong_case = user.address.to_string().to_uppercase().replacen("0X", "0x", 1);
    for (address, asker) in
        [(user.address.to_string(), &other), (wrong_case, &user), ("x".to_owned(), &user)]
    {
        let answer = world.get(&path(address), asker);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(!answer.text().contains("\"40\""), "{}", answer.text());
    }
    let nobody = get(world.sidecar.addr, &path(user.address.to_string()), &[]);
    assert!(flat(&nobody).starts_with(&format!("{PREFIX}missing or invalid Authorization")));
}

#[test]
fn the_model_is_listed_with_its_prices() {
    let world = World::start();
    let listed = get(world.sidecar.addr, "/v1/models", &[]).json();
    let model = &listed["data"][0];
    assert_eq!((&model["id"], &model["object"]), (&MODEL.into(), &"model".into()));
    assert_eq!((&model["max_model_len"], &model["context_length"]), (&4096.into(), &4096.into()));
    assert_eq!(model["pricing"]["prompt"], "1");
    assert_eq!(model["pricing"]["completion"], "2");
    assert_eq!(model["verifiability"], "TeeML");
}

// S21: what is signed is ours, apart from hashes and numbers.
#[test]
fn an_estimate_is_signed_and_holds_no_money() {
    let world = World::start();
    let user = world.user(1, ONE);
    let bearer = user.bearer();
    let auth = [("authorization", bearer.as_str())];
    let answer = post(world.sidecar.addr, "/v1/estimate", &auth, ask());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let estimate = answer.json();
    let (input, output) = bounds();
    assert_eq!(estimate["request_hash"], sha256_hex(ask().as_bytes()));
    assert_eq!(estimate["input_tokens_max"], input as u64);
    assert_eq!(estimate["output_tokens_max"], output as u64);
    assert_eq!(estimate["max_fee"], (input + 2 * output).to_string());
    let [issued, expires] = ["issued_at", "expires_at"].map(|key| estimate[key].as_u64().unwrap());
    assert_eq!(expires, issued + 300_000);
    let text = estimate["text"].as_str().unwrap();
    let model = sha256_hex(MODEL.as_bytes());
    let want = format!(
        "tee-sidecar.estimate.v1:{}:{model}:{input}:{output}:1:2:{}:{issued}:{expires}",
        sha256_hex(ask().as_bytes()),
        input + 2 * output
    );
    assert_eq!(text, want);
    let mut bytes = [0; 65];
    let digits = estimate["signature"].as_str().unwrap().strip_prefix("0x").unwrap();
    hex::decode_to_slice(digits, &mut bytes).unwrap();
    let signer = broker_core::recover_text_signer(text, &Signature(bytes)).unwrap();
    assert_eq!(signer, world.service.tee_signer);
    assert_eq!(estimate["signing_address"], signer.to_string());
    assert_eq!(estimate["simulated"], true);
    for header in ["zg-res-key", "x-receipt-id"] {
        assert_eq!(answer.header(header), None, "it is no exchange");
    }
    assert!(world.engine.seen().is_empty());
    let account = world.sidecar.reader().account(&user.id).unwrap();
    assert_eq!((account.held, account.earned), (Neuron::ZERO, Neuron::ZERO));
    // And it asks for the same things as a chat.
    assert_eq!(post(world.sidecar.addr, "/v1/estimate", &[], ask()).status, 401);
    assert_eq!(post(world.sidecar.addr, "/v1/estimate", &auth, "{}").status, 400);
    let other = "{\"messages\":[],\"model\":\"other\"}";
    assert_eq!(post(world.sidecar.addr, "/v1/estimate", &auth, other).status, 404);
}

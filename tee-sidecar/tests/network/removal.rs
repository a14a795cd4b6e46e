//! What the operator does to the service while users are served.

use broker_core::chain::ServiceParams;
use broker_core::testing::{ONE, SimChain, SimOptions};
use broker_core::{Chain, Neuron};
use serde_json::json;

use crate::support::{CHAT, Conn, MODEL, Response, SOON, World, block_on, get, post, wait_until};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn world() -> World {
    World::with(SimChain::new(SimOptions::default()), |settings| {
        settings.service.serving_url = Some("http://127.0.0.1".into());
        settings.settlement.every_secs = 3600;
        settings.settlement.policy.owed_percent = 100;
    })
}

fn register(world: &World) {
    let registration = json!({
        "URL": format!("http://{}", world.engine.addr), "Type": "chatbot", "Name": "served",
        "Model": MODEL, "inputPrice": 1, "outputPrice": 2,
    });
    let registered = post(world.sidecar.admin, "/v1/service", &JSON, registration.to_string());
    assert_eq!(registered.status, 204, "{}", registered.text());
    world.chain.owner_acknowledges(true).unwrap();
    wait_until("the gate is open", SOON, || {
        post(world.sidecar.admin, "/v1/sync-service", &[], "");
        is_ready(world).is_ok()
    });
}

fn remove(world: &World) -> Response {
    let mut connection = Conn::open(world.sidecar.admin);
    connection.send("DELETE", "/v1/service/served", &[], b"");
    connection.response()
}

fn is_ready(world: &World) -> Result<(), String> {
    let ready = get(world.sidecar.admin, "/readyz", &[]);
    if ready.status == 200 { Ok(()) } else { Err(ready.text()) }
}

#[test]
fn a_service_is_removed_once_nothing_is_owed_that_could_be_collected() {
    let world = world();
    register(&world);
    let [leaver, owing] = [world.user(1, ONE), world.user(2, ONE)];
    for user in [&leaver, &owing] {
        assert_eq!(world.chat(CHAT, &user.bearer()).status, 200);
    }
    world.chain.request_refund(leaver.id).unwrap();
    world.chain.advance(world.chain.options().lock_time_secs + 1);
    world.chain.process_refund(leaver.id).unwrap();

    let refused = remove(&world);
    assert_eq!(refused.status, 400);
    let text = format!("1 users owe fees, which could not be collected any more: {};", owing.id);
    assert!(refused.text().contains(&text), "{}", refused.text());
    assert_eq!(world.chat(CHAT, &owing.bearer()).status, 200, "it goes on");

    assert_eq!(post(world.sidecar.admin, "/v1/settle", &[], "").status, 202);
    wait_until("all is paid", SOON, || world.chain.paid().get(&owing.id) == Some(&Neuron::new(80)));
    wait_until("the service is removed", SOON, || remove(&world).status == 202);
    assert!(is_ready(&world).unwrap_err().contains("no service on the chain"));
    assert_ne!(world.chat(CHAT, &owing.bearer()).status, 200);
}

/// The chain promises tiers that the settings do not have.
fn show_tiers(world: &World) {
    let tiers = json!({"tieredPricing": {"tiers": [{"maxInputTokens": 0, "inputMultiplier": 1}]}});
    let params = world.chain.service_now().unwrap().params;
    let params = ServiceParams { additional_info: tiers.to_string(), ..params };
    block_on(world.chain.register(params)).unwrap();
    world.chain.owner_acknowledges(true).unwrap();
    assert_eq!(post(world.sidecar.admin, "/v1/sync-service", &[], "").status, 202);
}

#[test]
fn other_prices_on_the_chain_than_those_of_the_settings_are_not_charged() {
    let world = world();
    register(&world);
    let user = world.user(1, ONE);
    assert_eq!(world.chat(CHAT, &user.bearer()).status, 200);
    show_tiers(&world);
    let answer = world.chat("/v1/chat/completions", &user.bearer());
    assert_eq!(answer.status, 503);
    let text = "the prices on the chain are not those of the settings";
    assert!(answer.text().contains(text), "{}", answer.text());
    // A removal that fails opens nothing.
    assert_eq!(remove(&world).status, 400);
    assert_eq!(world.chat(CHAT, &user.bearer()).status, 503);
    register(&world);
    assert_eq!(world.chat(CHAT, &user.bearer()).status, 200);
}

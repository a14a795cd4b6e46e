//! What was registered is in force after a restart, wherever the process died.

use broker_core::chain::{Chain, ServiceParams};
use broker_core::testing::SimChain;
use broker_core::{Address, LedgerReader, Neuron};

use super::support::{SERVING_URL, Sidecar, chain, engine, seed_body};

fn params(signer: Address, input_price: u128) -> ServiceParams {
    ServiceParams {
        kind: "chatbot".into(),
        url: SERVING_URL.into(),
        model: "llama-3.1-8B-Instruct".into(),
        verifiability: "TeeML".into(),
        input_price: Neuron::new(input_price),
        output_price: Neuron::new(200_000),
        additional_info: r#"{"TEEVerifier":"dstack"}"#.into(),
        tee_signer: signer,
    }
}

fn register(chain: &SimChain, params: ServiceParams) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(chain.register(params)).unwrap();
    chain.owner_acknowledges(true).unwrap();
}

#[test]
fn a_restart_keeps_name_engine_and_prices() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (engine("old", "tiny"), engine("new", "tiny"));
    let mut sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(new)).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    let before = sidecar.admin("GET", "/v1/service", "").json();
    sidecar.stop();
    let again = Sidecar::start(folder.path(), &sidecar.chain, old, |_| {});
    assert_eq!(again.admin("GET", "/v1/service", "").json(), before);
    assert_eq!(again.admin("POST", "/v1/sync-service", "").status, 202);
    let answer = again.chat("llama-3.1-8B-Instruct");
    assert!(answer.body.contains("new"), "{answer:?}");
    assert_eq!(again.reader().totals().unwrap().earned, Neuron::new(2_000_000));
}

#[test]
fn what_landed_while_nobody_ran_is_in_force_and_what_did_not_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (engine("old", "tiny"), engine("new", "tiny"));
    let mut sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(old)).status, 204);
    sidecar.stop();
    let chain = sidecar.chain.clone();
    let signer = chain.service_now().unwrap().params.tee_signer;
    // As the process leaves it that dies right after it has written down what it is about to send.
    let file = folder.path().join("service.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut page: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut pending = page["current"].clone();
    pending["url"] = format!("http://{new}").into();
    pending["inputPrice"] = "777".into();
    page["pending"] = pending;
    std::fs::write(&file, page.to_string()).unwrap();

    let mut sidecar = Sidecar::start(folder.path(), &chain, old, |_| {});
    let listed = sidecar.admin("GET", "/v1/service", "").json();
    assert_eq!(listed["items"][0]["url"], format!("http://{old}"), "it has not landed");
    sidecar.stop();
    register(&chain, params(signer, 777));
    let sidecar = Sidecar::start(folder.path(), &chain, old, |_| {});
    let listed = sidecar.admin("GET", "/v1/service", "").json();
    assert_eq!(listed["items"][0]["url"], format!("http://{new}"), "it has landed");
    assert_eq!(listed["items"][0]["inputPrice"], "777");
    let page = std::fs::read_to_string(&file).unwrap();
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert!(page["pending"].is_null());
}

#[test]
fn the_chains_prices_count_where_other_software_registered() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (engine("old", "tiny"), engine("new", "tiny"));
    // The signer is known once a sidecar has started here.
    let mut first = Sidecar::start(folder.path(), &chain(), old, |_| {});
    assert_eq!(first.admin("POST", "/v1/service", &seed_body(old)).status, 204);
    first.stop();
    let chain = first.chain.clone();
    let signer = chain.service_now().unwrap().params.tee_signer;
    register(&chain, params(signer, 31));
    std::fs::remove_file(folder.path().join("service.json")).unwrap();

    let sidecar = Sidecar::start(folder.path(), &chain, new, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    let answer = sidecar.chat("llama-3.1-8B-Instruct");
    assert!(answer.body.contains("new"), "the engine of the settings: {answer:?}");
    assert_eq!(sidecar.reader().totals().unwrap().earned, Neuron::new(10 * 31 + 5 * 200_000));
    // The operator adopts it under a name.
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(old)).status, 204);
}

#[test]
fn a_damaged_file_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let old = engine("old", "tiny");
    let mut sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(old)).status, 204);
    sidecar.stop();
    std::fs::write(folder.path().join("service.json"), "{").unwrap();
    let chain = sidecar.chain.clone();
    let started = std::panic::catch_unwind(|| Sidecar::start(folder.path(), &chain, old, |_| {}));
    assert!(started.is_err());
}

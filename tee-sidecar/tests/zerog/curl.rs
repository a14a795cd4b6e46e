//! The operator's two commands, as 0G's own guide for providers prints them.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::json;

use crate::provider::{SETTLED, paid};
use crate::sdk::engine;
use crate::support::{Customer, Network, Sidecar, ZG, neuron, skip_without, wait_until};

/// What the guide says, with nothing but the address of the engine filled in.
const SERVICE: &str = r#"curl -X POST http://127.0.0.1:3080/v1/service \
-H "Content-Type: application/json" \
-d '{
      "URL": "<endpoint_of_the_prepared_service>",
      "inputPrice": 100000,
      "outputPrice": 200000,
      "Type": "chatbot",
      "Name": "llama8Bb",
      "Model": "llama-3.1-8B-Instruct"
}'"#;
const SETTLE: &str = "curl -X POST http://127.0.0.1:3080/v1/settle";
/// Where the guide expects the operator's listener.
const USUAL: &str = "127.0.0.1:3080";

/// The status of a command of the guide's, given to a shell as it stands, at this port.
fn status(command: &str, admin: SocketAddr) -> String {
    let command = command.replace(USUAL, &admin.to_string());
    // What follows is no part of what is asked: it only has the status told.
    let script = format!("{command} --silent --show-error --noproxy '*' -w '\\n%{{http_code}}'");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

#[test]
fn the_commands_of_the_guide_register_a_service_and_collect_its_fees() {
    if skip_without("curl", &["--version"]) {
        return;
    }
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let sidecar = Sidecar::on_at_default(&network.url(), &engine);
    let endpoint = format!("http://{}", engine.addr);
    let service = SERVICE.replace("<endpoint_of_the_prepared_service>", &endpoint);
    assert_eq!(status(&service, sidecar.admin), "204", "{}", sidecar.log());
    let service = network.ask("service", json!({}));
    let told = ["serviceType", "model", "url", "inputPrice", "outputPrice", "teeSignerAddress"];
    assert_eq!(
        told.map(|name| service[name].as_str().unwrap().to_owned()),
        [
            "chatbot".to_owned(),
            "llama-3.1-8B-Instruct".to_owned(),
            sidecar.url(),
            "100000".to_owned(),
            "200000".to_owned(),
            sidecar.signer(),
        ]
    );
    network.owner_acknowledges();
    assert_eq!(status(SETTLE, sidecar.admin), "202");
    sidecar.wait_until_ready();

    let customer = Customer::with(&network, 2, 3 * ZG);
    customer.chat(&sidecar);
    let fee = 13 * 100_000 + 5 * 200_000;
    assert_eq!(customer.owed(&sidecar), fee);
    // As PROVIDER.md has it, beside the running sidecar.
    let told = |args: &[&str]| {
        let text = sidecar.run(args);
        let user = format!("user {}: ", customer.user);
        text.lines().find_map(|line| line.strip_prefix(&user)).map(str::to_owned).unwrap_or(text)
    };
    let status_line = told(&["ledger", "status"]);
    assert!(
        status_line.starts_with(&format!("owed={fee} vouchered=0 settled=0 ")),
        "{status_line}"
    );
    let due = told(&["ledger", "settle", "--dry-run"]);
    assert!(due.contains(&format!("owed={fee}")), "{due}");
    assert_eq!(status(SETTLE, sidecar.admin), "202");
    wait_until("the ledger", SETTLED, || customer.owed(&sidecar) == 0);
    assert_eq!((paid(&network), neuron(&network.settlements()[0]["fee"])), (fee, fee));
    let settled = told(&["ledger", "status"]);
    assert!(settled.starts_with(&format!("owed=0 vouchered=0 settled={fee} ")), "{settled}");
    sidecar.run(&["ledger", "audit"]);
}

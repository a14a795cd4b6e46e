//! 0G's own client, unmodified, against the sidecar.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    Engine, Network, PROVIDER, Seen, Sidecar, Step, ZG, chunk_event, get, sha256_hex, sse, whole,
};

/// Thirteen tokens in, five out, buffered or streamed as asked.
pub(crate) fn engine() -> Engine {
    Engine::start(|seen: &Seen| {
        let usage = "\"usage\":{\"prompt_tokens\":13,\"total_tokens\":18,\"completion_tokens\":5}";
        if !seen.text().contains("\"stream\":true") {
            let body = format!(
                "{{\"id\":\"chatcmpl-engine\",\"object\":\"chat.completion\",\"created\":1,\
                 \"model\":\"tiny\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\
                 \"assistant\",\"content\":\"{TEXT}\"}},\"finish_reason\":\"stop\"}}],{usage}}}"
            );
            return vec![Step::Raw(whole(200, body.as_bytes()))];
        }
        let mut steps = vec![sse()];
        steps.extend((1..=5).map(|n| Step::Chunk(chunk_event(n, true).into_bytes())));
        let total = format!("data: {{\"id\":\"chatcmpl-engine\",\"choices\":[],{usage}}}\n\n");
        steps.push(Step::Chunk(total.into_bytes()));
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    })
}

pub(crate) const TEXT: &str = "é日1é日2é日3é日4é日5";

/// A chat of the SDK's user, and everything that has to hold of its answer.
#[track_caller]
pub(crate) fn chat(network: &Network, sidecar: &Sidecar, stream: bool) -> Value {
    let answer = network.ask("sdk_chat", json!({"user": 2, "stream": stream, "maxTokens": 5}));
    assert_eq!(answer["text"], TEXT);
    assert_eq!(answer["usage"]["completion_tokens"], 5, "{answer}");
    let key = answer["resKey"].as_str().expect("ZG-Res-Key");
    let signed = get(sidecar.public, &format!("/v1/proxy/signature/{key}?model=tiny"), &[]);
    let text = signed.json()["text"].as_str().unwrap().to_owned();
    let (_, response) = text.split_once(':').unwrap();
    assert_eq!(response, answer["sha256"].as_str().unwrap(), "not what crossed the wire");
    // By the header, and by the id in the body, as applications do.
    for id in [&answer["resKey"], &answer["id"]] {
        let asked = json!({"user": 2, "chatId": id, "usage": answer["usage"]});
        assert_eq!(network.ask("sdk_process_response", asked), true, "{id}");
    }
    answer
}

/// The SDK's word on the quote: the signer is the registered one, the composition is measured.
#[track_caller]
pub(crate) fn verify(network: &Network, folder: &Path, signer_matches: bool) {
    let asked = json!({"user": 2, "fresh": true, "folder": folder});
    let verdict = network.ask("sdk_verify_service", asked);
    assert_eq!(verdict["success"], true, "{verdict}");
    assert_eq!(verdict["signerVerification"]["allMatch"], signer_matches, "{verdict}");
    assert_eq!(verdict["composeVerification"]["passed"], true, "{verdict}");
    let report = std::fs::read(folder.join("attestation_report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["simulated"], true);
    let compose = report["tcb_info"].as_str().unwrap();
    let compose: Value = serde_json::from_str(compose).unwrap();
    let hash = sha256_hex(compose["app_compose"].as_str().unwrap().as_bytes());
    let details = &verdict["composeVerification"]["details"]["combined"];
    assert_eq!(
        (&details["calculatedHash"], &details["eventLogHash"]),
        (&json!(hash), &json!(hash))
    );
}

#[test]
fn the_sdk_proves_a_sidecar_and_its_answers_also_without_a_chain() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let sidecar = Sidecar::alone(&engine);
    sidecar.wait_until_ready();
    network.register(&sidecar.url(), (100, 200), &sidecar.signer());
    network.owner_acknowledges();
    let folder = tempfile::tempdir().unwrap();
    verify(&network, folder.path(), true);
    network.fund(&[2], 10 * ZG, 3 * ZG);
    let answer = chat(&network, &sidecar, false);
    chat(&network, &sidecar, true);

    // Neither passes where the contract names another signer.
    network.register(&sidecar.url(), (100, 200), PROVIDER);
    network.owner_acknowledges();
    verify(&network, folder.path(), false);
    let asked = json!({"user": 2, "fresh": true, "chatId": answer["resKey"]});
    assert_eq!(network.ask("sdk_process_response", asked), false);
}

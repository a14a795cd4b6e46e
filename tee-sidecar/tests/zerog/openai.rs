//! OpenAI's own client for Node, unmodified: streams, calls, embeddings and responses, before a
//! scripted engine and, where it serves them, before a real vLLM.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Driver, Sidecar, get, packages, skipped};

mod script;

use script::{ARGUMENTS, TEXT};

/// Has the client carry out a command. What it read has to be what is signed, and what it was told
/// of tokens is what was paid, in prompt tokens and generated ones.
fn carried_out(driver: &Driver, sidecar: &Sidecar, command: &str, more: Value) -> Value {
    let asked = json!({"url": sidecar.url(), "model": "tiny", "more": more});
    let answer = driver.ask(command, asked);
    let answer = answer.unwrap_or_else(|error| panic!("{command}: {error}"));
    let id = answer["resKey"].as_str().unwrap();
    let signed = get(sidecar.public, &format!("/v1/signature/{id}"), &[]).json();
    let (_, response) = signed["text"].as_str().unwrap().split_once(':').unwrap();
    assert_eq!(response, answer["sha256"].as_str().unwrap(), "{command}");
    assert_eq!(signed["outcome"], "complete", "{command}");
    let told = |names: [&str; 2]| {
        let count = names.iter().find_map(|name| answer["usage"][name].as_u64());
        count.unwrap_or_default()
    };
    let input = told(["prompt_tokens", "input_tokens"]);
    let output = told(["completion_tokens", "output_tokens"]);
    assert_eq!(signed["usage"]["input_tokens"], input, "{command}");
    assert_eq!(signed["fee"], (input * 100 + output * 200).to_string(), "{command}");
    assert!(input > 0, "{command}: {answer}");
    answer
}

/// The functions that were called; the client adds what it made of their arguments.
fn calls(answer: &Value) -> Vec<(&str, &str)> {
    let calls = answer["calls"].as_array().unwrap().iter();
    calls.map(|c| (c["name"].as_str().unwrap(), c["arguments"].as_str().unwrap())).collect()
}

#[test]
fn openai_s_node_client_streams_calls_embeds_and_responds_before_a_scripted_engine() {
    let Some(packages) = packages() else { return };
    let driver = Driver::shared(packages);
    let engine = script::engine();
    let sidecar = Sidecar::alone(&engine);
    sidecar.wait_until_ready();
    let answer = |command: &str| carried_out(driver, &sidecar, command, json!({}));
    for command in ["openai_stream", "openai_responses", "openai_responses_streamed"] {
        assert_eq!(answer(command)["text"], TEXT, "{command}");
    }
    for command in ["openai_tools", "openai_tools_streamed"] {
        assert_eq!(calls(&answer(command)), [("weather", ARGUMENTS)], "{command}");
    }
    assert_eq!(answer("openai_embeddings")["vectors"], json!([[1, 2], [2, 1]]));
}

#[test]
fn openai_s_node_client_streams_calls_and_responds_before_a_real_vllm() {
    let Some(packages) = packages() else { return };
    let named = std::env::var_os("REAL_VLLM_URL").and_then(|url| url.into_string().ok());
    let Some(vllm) = named.filter(|url| !url.is_empty()) else {
        return skipped("REAL_VLLM_URL names no running vLLM");
    };
    let address = vllm.trim_end_matches('/').trim_start_matches("http://");
    let address: SocketAddr = address.parse().expect("REAL_VLLM_URL is http:// and an address");
    let driver = Driver::shared(packages);
    let sidecar = Sidecar::before(address);
    sidecar.wait_until_ready();
    let answer = |command: &str, more: Value| carried_out(driver, &sidecar, command, more);
    let texts = ["openai_stream", "openai_responses", "openai_responses_streamed"]
        .map(|command| answer(command, json!({}))["text"].as_str().unwrap().to_owned());
    assert!(texts[0].contains("日本語"), "{}", texts[0]);
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    // The model never ends the arguments of a call; that it is one is what matters.
    let function = json!({"type": "function", "function": {"name": "weather"}});
    let forced = json!({"tool_choice": function, "temperature": 0, "max_tokens": 60});
    let called = answer("openai_tools_streamed", forced);
    assert!(matches!(calls(&called)[..], [("weather", said)] if !said.is_empty()), "{called}");
}

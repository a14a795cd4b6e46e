//! The routes, as a client of vLLM would find them.

use actix_web::body::to_bytes;
use actix_web::test::{TestRequest, call_service, init_service};

use super::*;

async fn answer(request: TestRequest) -> (u16, String) {
    let demo =
        Demo { pause: Duration::ZERO, script: Script::new("Café ☕ is"), ..Demo::default() };
    let app = init_service(App::new().configure(|app| demo.routes(app))).await;
    let response = call_service(&app, request.to_request()).await;
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body()).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn chat(body: &'static str) -> TestRequest {
    TestRequest::post()
        .uri("/v1/chat/completions")
        .insert_header(("X-Request-Id", "q-1"))
        .set_payload(body)
}

#[actix_web::test]
async fn an_answer_in_one_piece_is_vllms_byte_for_byte() {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":2}"#;
    let (status, answer) = answer(chat(body)).await;
    assert_eq!(status, 200);
    let (before, created) = answer.split_once(r#""created":"#).unwrap();
    let after = created.trim_start_matches(|digit: char| digit.is_ascii_digit());
    assert_eq!(before, r#"{"id":"chatcmpl-q-1","object":"chat.completion","#);
    let expected = concat!(
        r#","model":"demo","choices":[{"index":0,"message":{"role":"assistant","#,
        r#""content":"Café ☕","refusal":null,"annotations":null,"audio":null,"#,
        r#""function_call":null,"reasoning":null},"logprobs":null,"finish_reason":"length","#,
        r#""stop_reason":null,"token_ids":null,"routed_experts":null}],"service_tier":null,"#,
        r#""system_fingerprint":"FINGERPRINT","usage":{"prompt_tokens":8,"total_tokens":10,"#,
        r#""completion_tokens":2,"prompt_tokens_details":null,"#,
        r#""completion_tokens_details":null},"prompt_logprobs":null,"prompt_token_ids":null,"#,
        r#""prompt_text":null,"kv_transfer_params":null,"ec_transfer_params":null,"#,
        r#""metrics":null}"#,
    );
    assert_eq!(after, expected.replace("FINGERPRINT", answer::FINGERPRINT));
}

#[actix_web::test]
async fn a_stream_ends_with_done() {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let (status, answer) = answer(chat(body)).await;
    assert_eq!(status, 200);
    // The role, three words, the end of the turn, and the end of the stream.
    assert_eq!(answer.matches("\n\n").count(), 6);
    assert!(answer.starts_with(r#"data: {"id":"chatcmpl-q-1","object":"chat.completion.chunk","#));
    assert!(answer.contains(r#""finish_reason":"stop","stop_reason":null"#));
    assert!(answer.ends_with("data: [DONE]\n\n"));
}

#[actix_web::test]
async fn the_model_says_that_it_is_none() {
    let (status, models) = answer(TestRequest::get().uri("/v1/models")).await;
    assert_eq!(status, 200);
    let models: serde_json::Value = serde_json::from_str(&models).unwrap();
    assert_eq!(models["data"][0]["id"], "demo");
    assert_eq!(models["data"][0]["max_model_len"], 4096);
    assert!(models["data"][0]["owned_by"].as_str().unwrap().contains("not a model"));
}

#[actix_web::test]
async fn what_cannot_be_answered_is_refused_in_vllms_shape() {
    let unknown = r#"{"model":"other","messages":[{"role":"user","content":"Hi"}]}"#;
    let (status, refusal) = answer(chat(unknown)).await;
    let expected = concat!(
        r#"{"error":{"message":"The model `other` does not exist. Valid aliases: demo.","#,
        r#""type":"NotFoundError","param":"model","code":404}}"#,
    );
    assert_eq!((status, refusal.as_str()), (404, expected));
    let (status, _) = answer(TestRequest::get().uri("/health")).await;
    assert_eq!(status, 200);
    let (status, body) = answer(TestRequest::get().uri("/v1/chat/completions")).await;
    assert_eq!((status, body.as_str()), (405, r#"{"detail":"Method Not Allowed"}"#));
    let (status, body) = answer(TestRequest::get().uri("/nope")).await;
    assert_eq!((status, body.as_str()), (404, r#"{"detail":"Not Found"}"#));
}

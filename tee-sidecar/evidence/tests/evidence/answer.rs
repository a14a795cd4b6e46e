//! Signed answers: one that was published in 2024, and what an attacker would make of it.

use broker_core::{Digest32, LocalSigner, SignError, Signer};
use serde_json::{Value, json};
use tee_evidence::answer::{AnswerError, SignatureAnswer, SignedBy, verify_answer};

/// The exchange that was published in 2024 is rebuilt as broker-core's golden tests rebuild it.
const REQUEST: &[u8] = include_bytes!("../../../../fixtures/exchange-2024-request.json");
const TOKENS: &str = include_str!("../../../../fixtures/exchange-2024-tokens.json");
const SIGNATURE: &str = "9277f6a8a65e155c57c6738abdfd13d324d38e834b80c4dc6df5a45c6e7ec105\
                         05299edffb36ed0639529b8d96488238019e8fe240369a9344993809845cf2151c";
const SIGNER: &str = "0x50F9b35e94DFa4805A8c69C50Ba13841a06c1216";

fn response() -> Vec<u8> {
    let prefix = concat!(
        r#"data: {"id":"chat-7ee2a39468ce48d7b2284783f21782b0","#,
        r#""object":"chat.completion.chunk","created":1728887353,"#,
        r#""model":"meta-llama/meta-llama-3.1-8b-instruct","choices":[{"index":0,"delta":"#,
    );
    let running = r#","logprobs":null,"finish_reason":null}]}"#;
    let stopped = r#","logprobs":null,"finish_reason":"stop","stop_reason":null}]}"#;
    let tokens: Vec<Value> = serde_json::from_str(TOKENS).unwrap();
    let deltas = tokens.iter().map(|token| json!({"content": token}).to_string());
    let mut body = format!("{prefix}{{\"role\":\"assistant\"}}{running}\n\n");
    deltas.for_each(|delta| body.push_str(&format!("{prefix}{delta}{running}\n\n")));
    body.push_str(&format!("{prefix}{{\"content\":\"\"}}{stopped}\n\ndata: [DONE]\n\n"));
    body.into_bytes()
}

fn text_of(request: &[u8], response: &[u8]) -> String {
    format!("{}:{}", Digest32::sha256(request), Digest32::sha256(response))
}

/// As it was published: no address, no algorithm, no 0x.
fn published() -> Value {
    json!({"text": text_of(REQUEST, &response()), "signature": SIGNATURE})
}

fn parse(answer: &Value) -> Result<SignatureAnswer, AnswerError> {
    SignatureAnswer::parse(answer.to_string().as_bytes())
}

fn verify(request: &[u8], response: &[u8], answer: &Value) -> Result<SignedBy, AnswerError> {
    verify_answer(request, response, &parse(answer)?)
}

/// An answer of ours.
fn signed(text: &str) -> (Value, SignedBy) {
    let signer = LocalSigner::from_secret(&[7; 32]).unwrap();
    let signature = signer.sign_text(text).unwrap().to_string();
    let address = signer.address();
    let answer = json!({
        "text": text, "signature": signature, "signing_address": address, "signing_algo": "ecdsa",
    });
    (answer, SignedBy(address))
}

#[test]
fn the_published_exchange_of_2024_is_its_signer_s() {
    assert_eq!((REQUEST.len(), response().len()), (256, 5643));
    let signed_by = verify(REQUEST, &response(), &published()).unwrap();
    assert_eq!(signed_by.0.to_string(), SIGNER);
}

#[test]
fn the_published_exchange_may_come_with_everything_that_today_s_providers_add() {
    let mut answer = published();
    answer["signature"] = json!(format!("0x{SIGNATURE}"));
    answer["signing_address"] = json!(SIGNER.to_lowercase());
    answer["signing_algo"] = json!("ecdsa");
    answer["receipt"] = json!({"outcome": "done"});
    verify(REQUEST, &response(), &answer).unwrap();
    answer["signing_address"] = Value::Null;
    verify(REQUEST, &response(), &answer).unwrap();
}

#[test]
fn the_error_says_which_half_is_not_what_was_signed() {
    let response = response();
    let (mut other_request, mut other_response) = (REQUEST.to_vec(), response.clone());
    other_request[7] ^= 1;
    *other_response.last_mut().unwrap() ^= 1;
    let answer = published();
    assert_eq!(verify(&other_request, &response, &answer), Err(AnswerError::Request));
    assert_eq!(verify(REQUEST, &other_response, &answer), Err(AnswerError::Response));
    assert_eq!(verify(&other_request, &other_response, &answer), Err(AnswerError::Both));
    assert_eq!(verify(&response, REQUEST, &answer), Err(AnswerError::Both), "swapped");
    assert_eq!(verify(REQUEST, &[], &answer), Err(AnswerError::Response));
}

#[test]
fn an_old_pair_of_text_and_signature_does_not_fit_a_new_exchange() {
    let (old, _) = signed(&text_of(b"old request", b"old response"));
    assert_eq!(verify(b"request", b"response", &old), Err(AnswerError::Both));
    assert_eq!(verify(b"old request", b"response", &old), Err(AnswerError::Response));
}

#[test]
fn a_text_rewritten_for_other_bytes_is_no_longer_the_signer_s() {
    let (mut answer, SignedBy(named)) = signed(&text_of(b"request", b"response"));
    answer["text"] = json!(text_of(b"request", b"forged"));
    match verify(b"request", b"forged", &answer) {
        Err(AnswerError::OtherSigner { named: said, recovered }) => {
            assert_eq!(said, named);
            assert_ne!(recovered, named);
        }
        other => assert_eq!(other, Err(AnswerError::Signature(SignError::NoKey))),
    }
    // Without a name somebody signed it, but not the key that is attested.
    answer["signing_address"] = Value::Null;
    assert_ne!(verify(b"request", b"forged", &answer), Ok(SignedBy(named)));
}

#[test]
fn an_answer_that_names_another_signer_is_refused() {
    let (mut answer, SignedBy(recovered)) = signed(&text_of(b"request", b"response"));
    answer["signing_address"] = json!(SIGNER);
    let refused = verify(b"request", b"response", &answer).unwrap_err();
    assert!(refused.to_string().contains(SIGNER), "{refused}");
    assert!(matches!(refused, AnswerError::OtherSigner { recovered: by, .. } if by == recovered));
}

#[test]
fn a_model_s_name_may_stand_before_the_hashes_and_may_hold_colons() {
    let hashes = text_of(b"request", b"response");
    for model in ["qwen2.5", "qwen2.5:7b", "a:b:c:"] {
        let (answer, signer) = signed(&format!("{model}:{hashes}"));
        assert_eq!(verify(b"request", b"response", &answer), Ok(signer), "{model}");
    }
    // Hashes in the model's place count for nothing.
    let (answer, _) = signed(&format!("{hashes}:{}", text_of(b"other", b"exchange")));
    assert_eq!(verify(b"request", b"response", &answer), Err(AnswerError::Both));
}

#[test]
fn a_text_of_another_form_is_refused_even_when_it_is_signed() {
    let (request, response) = (Digest32::sha256(b"request"), Digest32::sha256(b"response"));
    for text in [
        String::new(),
        request.to_string(),
        format!("{request}{response}"),
        format!(":{request}:{response}"),
        format!("{request}:{response}:"),
        format!("{request}:{response}\n"),
        format!("0x{request}:0x{response}"),
        format!("{request}::{response}"),
        format!("model:{request}"),
        format!("{}:{request}:{response}", "m".repeat(5000)),
    ] {
        let (answer, _) = signed(&text);
        assert_eq!(verify(b"request", b"response", &answer), Err(AnswerError::Text), "{text:?}");
    }
}

#[test]
fn simulation_is_read_and_never_guessed() {
    let (mut answer, _) = signed("text");
    assert!(!parse(&answer).unwrap().simulated);
    for simulated in [true, false] {
        answer["simulated"] = json!(simulated);
        assert_eq!(parse(&answer).unwrap().simulated, simulated);
    }
    for odd in [Value::Null, json!("true"), json!(1)] {
        answer["simulated"] = odd;
        assert_eq!(parse(&answer), Err(AnswerError::Missing("simulated")));
    }
}

#[test]
fn broken_signature_answers_are_named() {
    let with = |member: &str, value: Value| {
        let (mut answer, _) = signed("text");
        answer[member] = value;
        parse(&answer).unwrap_err()
    };
    for algorithm in ["ed25519", "ECDSA", ""] {
        assert_eq!(with("signing_algo", json!(algorithm)), AnswerError::Algorithm);
    }
    for member in ["text", "signature"] {
        assert_eq!(with(member, Value::Null), AnswerError::Missing(member));
    }
    for member in ["text", "signature", "signing_algo", "signing_address"] {
        assert_eq!(with(member, json!(7)), AnswerError::Missing(member));
    }
    let long = format!("{SIGNATURE}00");
    for odd in ["", "0x", &SIGNATURE[2..], &long, &SIGNATURE.replace('9', "g")] {
        assert_eq!(with("signature", json!(odd)), AnswerError::SignatureForm, "{odd}");
    }
    for odd in ["", "0x", &SIGNER[..40], "0x0x50F9b35e94DFa4805A8c69C50Ba13841a06c1216"] {
        assert_eq!(with("signing_address", json!(odd)), AnswerError::Address, "{odd}");
    }
    for odd in ["", "[]", "null", r#"{"text":"a","text":"b","signature":""}"#] {
        let refused = SignatureAnswer::parse(odd.as_bytes());
        assert!(matches!(refused, Err(AnswerError::Malformed(_))), "{odd}");
    }
    assert!(SignatureAnswer::parse(&vec![b' '; 1_000_000]).is_err());
}

#[test]
fn signatures_that_nobody_makes_are_refused() {
    let text = text_of(b"request", b"response");
    for (signature, fault) in [
        ("00".repeat(65), SignError::NoKey),
        (format!("{}1b", "ff".repeat(64)), SignError::Malformed),
        (format!("{}1d", &SIGNATURE[..128]), SignError::Malformed),
    ] {
        let answer = json!({"text": text, "signature": signature});
        let refused = verify(b"request", b"response", &answer);
        assert_eq!(refused, Err(AnswerError::Signature(fault)), "{signature}");
    }
}

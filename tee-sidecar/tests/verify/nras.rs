//! Answers of an attestation service of our own beside a whole report: NVIDIA's part in the audit.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;
use tee_sidecar::evidence::nvidia::{Architecture, GpuEvidence, VerifiedGpu, verify_gpu};
use tee_sidecar::evidence::roots::Roots;
use tee_sidecar::evidence::{Binding, Nonce32};

#[allow(dead_code, reason = "the evidence's own tests use the rest")]
#[path = "../../evidence/tests/evidence/nras/service.rs"]
mod service;

use crate::support::{Desk, Judged, NOW_SECS, nonce, payload, report};

#[test]
fn a_verdict_on_the_reports_own_gpu_is_proved() {
    for version in ["2.0", "3.0"] {
        let minted = Minted { version, ..Minted::good() };
        let judged = judge(&minted.answer());
        judged.proved();
        assert!(judged.checks(CheckResult::Proved).contains(&"nras"), "{:#?}", judged.0);
        assert!(!judged.checks(CheckResult::NotChecked).contains(&"nras.warning"));
    }
    let required = Desk::new().policy("{simulated: accept, nras: required}");
    let required = with_service(required, &Minted::good().answer(), &service::jwks());
    required.judge(&report(None)).proved();
}

#[test]
fn a_verdict_on_another_device_or_on_other_software_is_refuted() {
    for (claim, value) in [
        ("ueid", json!("478176379286082186")),
        ("x-nvidia-gpu-driver-version", json!("999.99")),
        ("x-nvidia-gpu-vbios-version", json!("96.00.00.00.00")),
    ] {
        let answer = Minted::good().with_gpu(claim, value).answer();
        let detail = refuted(&judge(&answer));
        assert!(detail.contains("none of the report's GPUs"), "{claim}: {detail}");
    }
}

#[test]
fn a_verdict_for_another_nonce_is_refuted_in_either_token() {
    let other = json!("5c".repeat(32));
    for minted in [
        Minted::good().with_gpu("eat_nonce", other.clone()),
        Minted::good().with_overall("eat_nonce", other),
        Minted::good().with_gpu("eat_nonce", Value::Null),
    ] {
        let detail = refuted(&judge(&minted.answer()));
        assert!(detail.contains("nonce"), "{detail}");
    }
}

/// Under that binding the GPUs sign a nonce of the key's own, which the service sees.
#[test]
fn under_binding_v2_the_verdict_is_for_the_nonce_that_the_gpus_signed() {
    let report = report(Some("v2"));
    let key = hex::decode(report["signing_public_key"].as_str().unwrap()).unwrap();
    let signed = Binding::gpu_nonce(&key[key.len() - 64..], &nonce());
    let judge = |minted: Minted| desk(&minted.answer()).judge(&report);
    judge(Minted::of(&report, signed)).proved();
    let detail = refuted(&judge(Minted { nonce: nonce(), ..Minted::of(&report, signed) }));
    assert!(detail.contains("nonce"), "{detail}");
}

#[test]
fn a_verdict_on_more_or_fewer_gpus_than_the_report_has_is_refuted() {
    let minted = Minted::good();
    for count in [0, 2] {
        refuted(&judge(&minted.answer_of(count)));
    }
    // The one GPU twice, each time under a name of its own.
    let token = service::token(&minted.gpu_claims());
    let tokens = ["GPU-0", "GPU-1"].map(|name| (name.to_owned(), token.clone()));
    refuted(&judge(&minted.over(&tokens)));
    // A token beside the one that the service named.
    let named = minted.over(&tokens[..1]);
    let overall = named[0][1].as_str().unwrap();
    refuted(&judge(&service::answer(overall, &tokens)));
}

#[test]
fn a_verdict_of_no_is_refuted() {
    for minted in [
        Minted::good().with_overall("x-nvidia-overall-att-result", json!(false)),
        Minted::good().with_overall("x-nvidia-overall-att-result", Value::Null),
        Minted::good().with_gpu("measres", json!("fail")),
        Minted::good().with_gpu("dbgstat", json!("enabled")),
        Minted::good().with_gpu("secboot", json!(false)),
        Minted::good().with_gpu("x-nvidia-gpu-attestation-report-nonce-match", json!(false)),
    ] {
        refuted(&judge(&minted.answer()));
    }
}

#[test]
fn a_verdict_holds_at_its_own_time_only() {
    for exp in [NOW_SECS - 86_400, 0] {
        for minted in [
            Minted::good().with_gpu("exp", json!(exp)),
            Minted::good().with_overall("exp", json!(exp)),
        ] {
            let detail = refuted(&judge(&minted.answer()));
            assert!(detail.contains("expired"), "{detail}");
        }
    }
    // The same answer a day later, and a day before it was given.
    for at in [NOW_SECS + 86_400, NOW_SECS - 86_400] {
        let mut desk = desk(&Minted::good().answer());
        desk.options.at = Some(at);
        refuted(&desk.judge(&report(None)));
    }
}

#[test]
fn a_warning_is_passed_on() {
    let minted = Minted::good().with_gpu("x-nvidia-attestation-warning", json!("an old driver"));
    let judged = judge(&minted.answer());
    judged.proved();
    let warned = judged.details("nras.warning", CheckResult::NotChecked);
    assert!(warned.contains("GPU-0") && warned.contains("an old driver"), "{warned}");
}

#[test]
fn a_token_that_nobody_signed_is_refuted_for_its_algorithm() {
    for algorithm in ["none", "None"] {
        let header = json!({"kid": service::KID, "alg": algorithm});
        for signature in ["", "AAAA"] {
            let forge = |claims: &Value| {
                let parts = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
                format!("{}.{signature}", parts.join("."))
            };
            refuted_for(&forge, &["alg", algorithm]);
        }
    }
}

#[test]
fn a_token_under_a_secret_that_everybody_knows_is_refuted_for_its_algorithm() {
    let key = service::service_key();
    let point = key.verifying_key().to_encoded_point(false);
    let jwk = service::jwk(service::KID, &key).to_string();
    for secret in [point.as_bytes(), &point.as_bytes()[1..], jwk.as_bytes()] {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let header = json!({"kid": service::KID, "alg": "HS256"});
        let forge = |claims: &Value| {
            let parts = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
            let signed = parts.join(".");
            let tag = hmac::sign(&secret, signed.as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
        };
        refuted_for(&forge, &["alg", "HS256"]);
    }
}

#[test]
fn a_token_under_a_key_that_is_not_the_services_is_refuted_and_the_key_named() {
    let mine = service::key("somebody else");
    for (header, key) in [
        (json!({"kid": "mine", "alg": "ES384"}), mine.clone()),
        (json!({"kid": "mine", "alg": "ES384"}), service::service_key()),
        (json!({"kid": "mine", "alg": "ES384", "jwk": service::jwk("mine", &mine)}), mine.clone()),
    ] {
        let forge = |claims: &Value| {
            service::sign(&key, header.to_string().as_bytes(), claims.to_string().as_bytes())
        };
        refuted_for(&forge, &["key", "`mine`"]);
    }
    let impostor = |claims: &Value| {
        let header = service::header().to_string();
        service::sign(&mine, header.as_bytes(), claims.to_string().as_bytes())
    };
    refuted_for(&impostor, &["signature"]);
}

#[test]
fn a_verdict_helps_no_report_without_gpus_and_none_whose_gpu_fails() {
    let mut bare = report(None);
    bare["nvidia_payload"] = Value::Null;
    let policy = "{simulated: accept, gpu: {required: false}}";
    let answer = Minted::good().answer();
    refuted(&with_service(Desk::new().policy(policy), &answer, &service::jwks()).judge(&bare));

    let mut spoiled = report(None);
    let mut gpus = payload(&spoiled);
    let text = gpus["evidence_list"][0]["evidence"].as_str().unwrap();
    let mut evidence = STANDARD.decode(text).unwrap();
    *evidence.last_mut().unwrap() ^= 1;
    gpus["evidence_list"][0]["evidence"] = Value::from(STANDARD.encode(evidence));
    crate::support::set_payload(&mut spoiled, &gpus);
    let judged = desk(&answer).judge(&spoiled);
    assert_eq!(judged.exit(), Exit::Refuted);
    assert!(!judged.checks(CheckResult::Proved).contains(&"nras"), "{:#?}", judged.0);
}

#[test]
fn files_that_are_no_answer_or_no_keys_are_malformed() {
    let good = Minted::good().answer();
    for (answer, keys) in [
        (json!({}), service::jwks()),
        (json!([["JWT", "a.b.c"]]), service::jwks()),
        (good.clone(), json!([])),
    ] {
        let judged = with_service(Desk::new(), &answer, &keys).judge(&report(None));
        assert_eq!(judged.exit(), Exit::Malformed, "{:#?}", judged.0);
    }
    let nobodys = with_service(Desk::new(), &good, &json!({"keys": []})).judge(&report(None));
    assert!(refuted(&nobodys).contains(service::KID), "{:#?}", nobodys.0);
}

/// What the service is made to say of a report's one GPU.
struct Minted {
    version: &'static str,
    nonce: Nonce32,
    gpu: VerifiedGpu,
    gpu_edits: Vec<(&'static str, Value)>,
    overall_edits: Vec<(&'static str, Value)>,
}

impl Minted {
    fn good() -> Self {
        Self::of(&report(None), nonce())
    }

    fn of(report: &Value, nonce: Nonce32) -> Self {
        let gpus = payload(report);
        let item = &gpus["evidence_list"][0];
        let bytes = |field: &str| STANDARD.decode(item[field].as_str().unwrap()).unwrap();
        let evidence = GpuEvidence {
            arch: Architecture::parse(item["arch"].as_str().unwrap()).unwrap(),
            report: bytes("evidence"),
            chain_pem: bytes("certificate"),
        };
        let root = Roots::Software.gpu();
        let gpu = verify_gpu(&evidence, nonce.as_bytes(), &root, NOW_SECS).unwrap();
        assert_eq!(gpus["evidence_list"].as_array().unwrap().len(), 1);
        Self { version: "3.0", nonce, gpu, gpu_edits: Vec::new(), overall_edits: Vec::new() }
    }

    fn with_gpu(mut self, claim: &'static str, value: Value) -> Self {
        self.gpu_edits.push((claim, value));
        self
    }

    fn with_overall(mut self, claim: &'static str, value: Value) -> Self {
        self.overall_edits.push((claim, value));
        self
    }

    fn gpu_claims(&self) -> Value {
        let mut claims = service::gpu_claims(self.version, 0);
        claims["eat_nonce"] = json!(self.nonce.to_string());
        claims["hwmodel"] = json!(self.gpu.hwmodel);
        claims["ueid"] = json!(self.gpu.ueid);
        claims["x-nvidia-gpu-driver-version"] = json!(self.gpu.driver_version);
        claims["x-nvidia-gpu-vbios-version"] = json!(self.gpu.vbios_version);
        edited(claims, &self.gpu_edits)
    }

    fn overall_claims(&self, tokens: &[(String, String)]) -> Value {
        let mut claims = service::overall_claims(self.version, tokens);
        claims["eat_nonce"] = json!(self.nonce.to_string());
        edited(claims, &self.overall_edits)
    }

    fn over(&self, tokens: &[(String, String)]) -> Value {
        service::answer(&service::token(&self.overall_claims(tokens)), tokens)
    }

    fn answer(&self) -> Value {
        self.answer_of(1)
    }

    /// About this GPU and others like it.
    fn answer_of(&self, count: usize) -> Value {
        let token = |number: usize| {
            let mut claims = self.gpu_claims();
            if number > 0 {
                claims["ueid"] = json!(number.to_string());
            }
            (format!("GPU-{number}"), service::token(&claims))
        };
        self.over(&(0..count).map(token).collect::<Vec<_>>())
    }
}

fn edited(mut claims: Value, edits: &[(&str, Value)]) -> Value {
    for (claim, value) in edits {
        claims[*claim] = value.clone();
    }
    claims
}

fn with_service(mut desk: Desk, answer: &Value, keys: &Value) -> Desk {
    let answer = desk.file("nras.json", answer.to_string().as_bytes());
    let keys = desk.file("jwks.json", keys.to_string().as_bytes());
    desk.options.nras = Some((answer, keys));
    desk
}

fn desk(answer: &Value) -> Desk {
    with_service(Desk::new(), answer, &service::jwks())
}

fn judge(answer: &Value) -> Judged {
    desk(answer).judge(&report(None))
}

/// Fails unless the service's answer was refuted; what was said of it.
fn refuted(judged: &Judged) -> String {
    let detail = judged.details("nras", CheckResult::Refuted);
    assert!(!detail.is_empty(), "{:#?}", judged.0);
    assert!(!judged.checks(CheckResult::Proved).contains(&"nras"), "{:#?}", judged.0);
    assert_eq!(judged.exit(), Exit::Refuted);
    detail
}

/// Forges the overall token, then the GPU's under a good overall token; all else is perfect.
fn refuted_for(forge: &dyn Fn(&Value) -> String, words: &[&str]) {
    let minted = Minted::good();
    let genuine = [("GPU-0".to_owned(), service::token(&minted.gpu_claims()))];
    let forged = [("GPU-0".to_owned(), forge(&minted.gpu_claims()))];
    let overall = forge(&minted.overall_claims(&genuine));
    for answer in [service::answer(&overall, &genuine), minted.over(&forged)] {
        let judged = judge(&answer);
        let detail = refuted(&judged);
        assert!(words.iter().all(|word| detail.contains(word)), "{words:?}: {detail}");
        judged.refuted_by(&["nras"]);
    }
}

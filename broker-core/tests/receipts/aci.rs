//! The vectors of the ACI specification (`spec/test-vectors.md`, sections 1, 2 and 4; section 3 is
//! about aggregators' sessions, which a direct service has none of).

use broker_core::Digest32;
use broker_core::jcs::Json;
use broker_core::keyset::{Keyset, NotSigned, ReceiptKey, aci_report_data};
use broker_core::receipt::ReadReceipt;

/// Section 1, in another order and spelling than the canonical one.
const KEYSET: &str = r#"{ "subject": "dstack-app://example-app", "not_after": 1800000000,
  "receipt_signing_keys": [ { "key_id": "receipt-1", "algo": "ed25519", "public_key":
    "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394" } ],
  "e2ee_public_keys": [ { "key_id": "e2ee-1", "algo": "x25519-aes-256-gcm-hkdf-sha256",
    "public_key": "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22" } ],
  "tls_public_keys": [ { "domain": "api.example.com", "spki_sha256":
    "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0" } ] }"#;

const KEYSET_DIGEST: &str = "53a5cd44b30dcc51999754c719f2628a041f174ecbf9662a6f8e898a10cd9371";

fn receipt() -> Json {
    let body =
        |hash: &str, kind: &str| format!(r#"{{"type":"{kind}","body_hash":"sha256:{hash}"}}"#);
    let events = [
        body(REQUEST, "request.received"),
        body(REQUEST, "request.forwarded"),
        format!(
            r#"{{"type":"upstream.verified","result":"verified","required":true,
                 "model_id":"demo-model","session_id":"{SESSION}"}}"#
        ),
        body(RESPONSE, "response.returned"),
    ];
    let text = format!(
        r#"{{"api_version":"aci/1","receipt_id":"rcpt-0001","chat_id":"chatcmpl-123",
             "model":"demo-model","workload_keyset_digest":"sha256:{KEYSET_DIGEST}",
             "endpoint":"/v1/chat/completions","method":"POST","served_at":1750000000,
             "event_log":[{}],"key_id":"receipt-1","signature":"{SIGNATURE}"}}"#,
        events.join(",")
    );
    Json::parse(text.as_bytes()).unwrap()
}

const REQUEST: &str = "94d809bf47380d8a2eab0eb6e126d4dda9364b0b4725cdf7ead52dd70b2aa87b";
const RESPONSE: &str = "dedfffe5b14d031b8e2c01996d021a15293cb7c63b56be7e4be9e89b6f0a5f61";
const SESSION: &str = "95ad1cb4dd25445808c2e9d116caf420b05703730b506395e8fc1ca6faeae28f";
const SIGNATURE: &str = "d5b005e093bde3b577faf270b7184b09e169cacb0ecb206b103bd2581f997db0\
                         3da616175454b063323a23ac1dc68f1ce506c2a6eba8aa0561d5e724f0b80c03";

#[test]
fn the_keyset_s_digest_and_its_statements_are_the_specification_s() {
    let keyset = Keyset::parse(KEYSET.as_bytes()).unwrap();
    assert_eq!(keyset.digest().to_string(), KEYSET_DIGEST);
    let nonce: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).unwrap());
    assert_eq!(
        aci_report_data(&keyset.digest(), Some(&nonce)).to_string(),
        "df2174d28130852b413646a3786927b93e94c11d770268b65def8bdba45cb49e"
    );
    assert_eq!(
        aci_report_data(&keyset.digest(), None).to_string(),
        "0633919ca3f00e97bafaa3304278eb22420cc3ff0d19f87dfca2d3f7508150bc"
    );
}

#[test]
fn the_receipt_s_signature_is_the_specification_s() {
    let (unsigned, signature) = receipt().without("signature");
    let digest = Digest32::sha256(unsigned.canonical().as_bytes());
    assert_eq!(
        digest.to_string(),
        "1bd328e6880a5a12b3915af95ea32111310e04ab9e21ac3d71ce268e33b965c9"
    );
    let ours = ReceiptKey::from_secret(&[2; 32]).sign(unsigned.canonical().as_bytes());
    assert_eq!(Some(ours.to_string().as_str()), signature.as_ref().and_then(Json::text));
}

/// Section 9.3: signature, document, request and response. What it does not know it passes over.
#[test]
fn the_specification_s_receipt_verifies_and_says_nothing_of_money() {
    let keyset = Keyset::parse(KEYSET.as_bytes()).unwrap();
    let read = ReadReceipt::from_json(receipt()).unwrap();
    read.verify(&keyset).unwrap();
    let request = br#"{"messages":[{"content":"hi","role":"user"}],"model":"demo-model"}"#;
    assert_eq!(read.request_hash, Digest32::sha256(request));
    let response = br#"{"choices":[],"id":"chatcmpl-123"}"#;
    assert_eq!(read.response_hash, Digest32::sha256(response));
    assert_eq!((read.usage, read.charge, read.closed, read.place), (None, None, None, None));
}

/// Appendix B: a key of an unknown algorithm is passed over, and what it signed refused.
#[test]
fn a_key_of_an_unknown_algorithm_signs_nothing() {
    let later = KEYSET.replacen("\"ed25519\"", "\"ed448\"", 1);
    let keyset = Keyset::parse(later.as_bytes()).unwrap();
    let cited = format!("sha256:{}", keyset.digest());
    let text = receipt().canonical().replace(&format!("sha256:{KEYSET_DIGEST}"), &cited);
    let read = ReadReceipt::parse(text.as_bytes()).unwrap();
    assert_eq!(read.verify(&keyset), Err(NotSigned::UnknownKey("receipt-1".to_owned())));
}

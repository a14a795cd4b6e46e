//! Which keys of a key set are taken.

use serde_json::{Value, json};
use tee_evidence::nras::{Jwks, JwksError};

use super::service::{jwk, key, service_key};

fn parse(keys: Value) -> Result<Jwks, JwksError> {
    Jwks::parse(json!({"keys": keys}).to_string().as_bytes())
}

fn edited(member: &str, value: Value) -> Value {
    let mut jwk = jwk("kid", &service_key());
    jwk[member] = value;
    jwk
}

#[test]
fn keys_of_other_kinds_are_passed_over() {
    let others = json!([
        edited("kty", json!("RSA")),
        edited("kty", json!("oct")),
        edited("crv", json!("P-256")),
        edited("crv", Value::Null),
        edited("alg", json!("HS256")),
        edited("use", json!("enc")),
        {},
    ]);
    assert!(parse(others).unwrap().is_empty());
    let good = json!([edited("alg", json!("ES384")), jwk("b", &key("b")), {"kty": "RSA"}]);
    assert_eq!(parse(good).unwrap().len(), 2);
}

#[test]
fn a_key_for_p_384_that_cannot_be_used_is_named() {
    let short = "A".repeat(62);
    let padded = format!("{}==", edited("y", Value::Null)["x"].as_str().unwrap());
    for bad in [
        edited("kid", Value::Null),
        edited("x", json!(short)),
        edited("y", json!("A".repeat(66))),
        edited("y", json!(padded)),
        edited("x", json!(7)),
    ] {
        let refused = parse(json!([jwk("a", &key("a")), bad]));
        assert_eq!(refused, Err(JwksError::BadKey(1)), "{bad}");
    }
}

#[test]
fn two_keys_of_one_name_are_refused() {
    let refused = parse(json!([jwk("a", &key("a")), jwk("a", &key("b"))]));
    assert_eq!(refused, Err(JwksError::Twice("a".to_owned())));
}

#[test]
fn a_key_set_is_an_object_with_a_bounded_list() {
    for odd in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":["key"]}"#, r#"{"keys":[],"keys":[]}"#]
    {
        assert!(matches!(Jwks::parse(odd.as_bytes()), Err(JwksError::Malformed(_))), "{odd}");
    }
    let keys = |count| Value::Array(vec![json!({}); count]);
    parse(keys(256)).unwrap();
    assert_eq!(parse(keys(257)), Err(JwksError::TooMany(257)));
    assert!(Jwks::parse(&vec![b' '; 2_000_000]).is_err());
}

//! What an attacker would send in place of the service's answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p384::ecdsa::SigningKey;
use ring::hmac;
use serde_json::{Value, json};
use tee_evidence::nras::{NrasAnswer, NrasError, TokenFault};

use super::service::{
    KID, answer, good_answer, gpu_claims, gpu_tokens, header, key, overall_claims, service_key,
    sign, token,
};
use super::{check, expected, overall_fault};

/// The refusal of an answer whose overall token has this header and is signed by this key.
fn with_header(header: &str, key: &SigningKey) -> NrasError {
    let tokens = gpu_tokens("3.0", 1);
    let claims = overall_claims("3.0", &tokens).to_string();
    let overall = sign(key, header.as_bytes(), claims.as_bytes());
    check(&answer(&overall, &tokens), &expected(1)).unwrap_err()
}

#[test]
fn only_es384_is_an_algorithm() {
    for algorithm in ["none", "None", "", "ES256", "HS256", "HS384", "RS256", "PS384", "es384"] {
        let refused =
            with_header(&format!(r#"{{"kid":"{KID}","alg":"{algorithm}"}}"#), &service_key());
        let fault = TokenFault::Algorithm(algorithm.to_owned());
        assert_eq!(refused, overall_fault(fault));
    }
    for header in [format!(r#"{{"kid":"{KID}"}}"#), format!(r#"{{"kid":"{KID}","alg":["ES384"]}}"#)]
    {
        let refused = with_header(&header, &service_key());
        assert_eq!(refused, overall_fault(TokenFault::Algorithm(String::new())));
    }
}

#[test]
fn a_token_without_a_signature_is_refused_whatever_its_header_says() {
    let tokens = gpu_tokens("3.0", 1);
    let claims = URL_SAFE_NO_PAD.encode(overall_claims("3.0", &tokens).to_string());
    for algorithm in ["none", "ES384"] {
        let header = json!({"kid": KID, "alg": algorithm}).to_string();
        let overall = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header));
        let refused = check(&answer(&overall, &tokens), &expected(1)).unwrap_err();
        let fault = match algorithm {
            "none" => TokenFault::Algorithm("none".to_owned()),
            _ => TokenFault::Signature,
        };
        assert_eq!(refused, overall_fault(fault));
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let tokens = gpu_tokens("3.0", 1);
    let claims = URL_SAFE_NO_PAD.encode(overall_claims("3.0", &tokens).to_string());
    let header = URL_SAFE_NO_PAD.encode(json!({"kid": KID, "alg": "HS256"}).to_string());
    let public = service_key().verifying_key().to_encoded_point(false);
    let secret = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
    let tag = hmac::sign(&secret, format!("{header}.{claims}").as_bytes());
    let overall = format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(tag));
    let refused = check(&answer(&overall, &tokens), &expected(1)).unwrap_err();
    assert_eq!(refused, overall_fault(TokenFault::Algorithm("HS256".to_owned())));
}

#[test]
fn an_unknown_key_or_none_is_refused() {
    let refused = with_header(r#"{"kid":"another","alg":"ES384"}"#, &service_key());
    assert_eq!(refused, overall_fault(TokenFault::UnknownKid("another".to_owned())));
    for header in [r#"{"alg":"ES384"}"#, r#"{"alg":"ES384","kid":0}"#] {
        assert_eq!(with_header(header, &service_key()), overall_fault(TokenFault::NoKid));
    }
}

#[test]
fn a_key_inside_the_header_is_not_trusted() {
    let mine = key("attacker");
    let jwk = super::service::jwk(KID, &mine);
    for header in [
        json!({"kid": KID, "alg": "ES384", "jwk": jwk}),
        json!({"kid": KID, "alg": "ES384", "jku": "https://attacker.example/jwks.json"}),
        header(),
    ] {
        let refused = with_header(&header.to_string(), &mine);
        assert_eq!(refused, overall_fault(TokenFault::Signature), "{header}");
    }
}

#[test]
fn headers_with_extensions_or_of_another_type_are_refused() {
    let with = |member: &str| {
        with_header(&format!(r#"{{"kid":"{KID}","alg":"ES384",{member}}}"#), &service_key())
    };
    assert_eq!(with(r#""crit":["exp"]"#), overall_fault(TokenFault::CriticalHeader));
    assert_eq!(with(r#""crit":[]"#), overall_fault(TokenFault::CriticalHeader));
    assert_eq!(with(r#""typ":"at+jwt""#), overall_fault(TokenFault::Type));
    assert_eq!(with(r#""typ":null"#), overall_fault(TokenFault::Type));
}

#[test]
fn a_type_of_jwt_is_as_good_as_none() {
    let tokens = gpu_tokens("3.0", 1);
    let claims = overall_claims("3.0", &tokens).to_string();
    let header = json!({"kid": KID, "alg": "ES384", "typ": "jwt"}).to_string();
    let overall = sign(&service_key(), header.as_bytes(), claims.as_bytes());
    check(&answer(&overall, &tokens), &expected(1)).unwrap();
}

#[test]
fn a_key_named_twice_is_refused_in_header_claims_and_answer() {
    let twice = |refused: NrasError| refused.to_string().contains("names a key twice");
    let header = format!(r#"{{"alg":"none","kid":"{KID}","alg":"ES384"}}"#);
    assert!(twice(with_header(&header, &service_key())));

    let tokens = gpu_tokens("3.0", 1);
    let claims = overall_claims("3.0", &tokens).to_string();
    let claims = claims.replacen('{', r#"{"x-nvidia-overall-att-result":false,"#, 1);
    let header = super::service::header().to_string();
    let overall = sign(&service_key(), header.as_bytes(), claims.as_bytes());
    assert!(twice(check(&answer(&overall, &tokens), &expected(1)).unwrap_err()));

    let good = good_answer("3.0", 1).to_string();
    let doubled = good.replacen(r#"{"GPU-0""#, r#"{"GPU-0":"","GPU-0""#, 1);
    assert_ne!(doubled, good);
    assert!(twice(NrasAnswer::parse(doubled.as_bytes()).unwrap_err()));
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let good = good_answer("2.0", 1);
    check(&good, &expected(1)).unwrap();
    for place in ["/0/1", "/1/GPU-0"] {
        let text = good.pointer(place).unwrap().as_str().unwrap().to_owned();
        for position in (0..text.len()).step_by(7).chain([text.len() - 1]) {
            let mut bytes = text.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let mut changed = good.clone();
            *changed.pointer_mut(place).unwrap() = json!(String::from_utf8(bytes).unwrap());
            assert!(check(&changed, &expected(1)).is_err(), "{place} at {position}");
        }
    }
}

#[test]
fn a_token_in_another_encoding_is_refused() {
    let tokens = gpu_tokens("3.0", 1);
    let overall = token(&overall_claims("3.0", &tokens));
    let parts: Vec<&str> = overall.split('.').collect();
    for odd in [
        String::new(),
        "..".to_owned(),
        parts[..2].join("."),
        format!("{overall}."),
        format!("{overall}=="),
        format!(" {overall}"),
        format!("{overall}\n"),
        overall.replacen('.', "..", 1),
        "A".repeat(100_000),
    ] {
        let refused = check(&answer(&odd, &tokens), &expected(1)).unwrap_err();
        let NrasError::Token { fault: TokenFault::Malformed(_), .. } = refused else {
            panic!("{odd:?}: {refused}");
        };
    }
}

#[test]
fn tokens_added_left_out_renamed_or_swapped_are_noticed() {
    let tokens = gpu_tokens("3.0", 2);
    let overall = token(&overall_claims("3.0", &tokens));
    let with = |tokens: &[(String, String)], gpus| {
        check(&answer(&overall, tokens), &expected(gpus)).unwrap_err()
    };
    assert_eq!(with(&tokens[..1], 1), NrasError::TokenCount { named: 2, tokens: 1 });
    let added = gpu_tokens("3.0", 3);
    assert_eq!(with(&added, 3), NrasError::TokenCount { named: 2, tokens: 3 });

    let mut renamed = tokens.clone();
    renamed[1].0 = "GPU-2".to_owned();
    assert_eq!(with(&renamed, 2), NrasError::Unnamed("GPU-2".to_owned()));

    let (zero, one) = (&tokens[0], &tokens[1]);
    let swapped = [(zero.0.clone(), one.1.clone()), (one.0.clone(), zero.1.clone())];
    assert_eq!(with(&swapped, 2), NrasError::DigestMismatch("GPU-0".to_owned()));
}

/// Sent eight times, the evidence of one good GPU makes an answer about eight.
#[test]
fn one_device_does_not_stand_for_two() {
    let mut claims = gpu_claims("3.0", 0);
    let first = ("GPU-0".to_owned(), token(&claims));
    claims["jti"] = json!("another");
    let tokens = [first, ("GPU-1".to_owned(), token(&claims))];
    let overall = token(&overall_claims("3.0", &tokens));
    let refused = check(&answer(&overall, &tokens), &expected(2));
    assert_eq!(refused, Err(NrasError::SameGpuTwice("GPU-1".to_owned())));
}

#[test]
fn a_device_s_token_is_no_overall_token() {
    let tokens = gpu_tokens("3.0", 1);
    let refused = check(&answer(&tokens[0].1, &tokens), &expected(1)).unwrap_err();
    assert_eq!(refused, overall_fault(TokenFault::MissingClaim("sub")));
}

#[test]
fn another_form_of_answer_is_malformed() {
    let good = good_answer("3.0", 1);
    let (overall, token) = (good["0"].clone(), good[1]["GPU-0"].clone());
    for odd in [
        json!(null),
        json!([]),
        json!({"overall": overall}),
        json!([good[0]]),
        json!([good[0], good[1], {}]),
        json!([good[1], good[0]]),
        json!([["JWS", good[0][1]], good[1]]),
        json!([["JWT", good[0][1], "more"], good[1]]),
        json!([good[0], {"SWITCH-0": token}]),
        json!([good[0], {"GPU-": token}]),
        json!([good[0], {"GPU-00000": token}]),
        json!([good[0], {"GPU-0": [token]}]),
        json!([good[0], many(65, &token)]),
    ] {
        let refused = NrasAnswer::parse(odd.to_string().as_bytes());
        assert!(matches!(refused, Err(NrasError::Malformed(_))), "{odd}");
    }
    NrasAnswer::parse(json!([good[0], many(64, &token)]).to_string().as_bytes()).unwrap();
    assert!(NrasAnswer::parse(&vec![b' '; 10_000_000]).is_err());
}

fn many(count: usize, token: &Value) -> Value {
    (0..count).map(|number| (format!("GPU-{number}"), token.clone())).collect()
}

use super::*;

fn parse(body: &str) -> Result<Request, Fault> {
    of(Route::Chat, body)
}

fn of(route: Route, body: &str) -> Result<Request, Fault> {
    Request::parse(route, Bytes::copy_from_slice(body.as_bytes()), None)
}

fn forwarded(body: &str) -> String {
    String::from_utf8(parse(body).unwrap().forwarded.to_vec()).unwrap()
}

#[test]
fn a_buffered_request_is_forwarded_byte_for_byte() {
    let body = "{ \"messages\" : [ ], \"temperature\":1.0e-2, \"x\":\"\\u00e9\" }\n";
    assert_eq!(forwarded(body), body);
}

#[test]
fn usage_is_asked_for_within_the_clients_own_bytes() {
    let both = r#"{"include_usage":true,"continuous_usage_stats":true}"#;
    for (body, want) in [
        (
            r#"{"messages":[],"stream":true}"#,
            format!(r#"{{"stream_options":{both},"messages":[],"stream":true}}"#),
        ),
        (
            r#"{"stream_options": {"include_usage":false} ,"messages":[],"stream":true}"#,
            format!(r#"{{"stream_options": {both} ,"messages":[],"stream":true}}"#),
        ),
        (
            r#"{"stream_options":null,"messages":[],"stream":true}"#,
            format!(r#"{{"stream_options":{both},"messages":[],"stream":true}}"#),
        ),
        (
            r#"{"stream":true,"messages":[],"stream_options":{"x":[1]}}"#,
            r#"{"stream":true,"messages":[],"stream_options":{"x":[1],"#.to_owned()
                + &both[1..]
                + "}",
        ),
    ] {
        assert_eq!(forwarded(body), want);
        assert_eq!(forwarded(&want), want, "asked for already");
    }
}

#[test]
fn a_salt_is_written_into_the_clients_own_bytes_in_its_place_or_first() {
    let both = r#"{"include_usage":true,"continuous_usage_stats":true}"#;
    let salted = |route, body: &str| {
        let mut request = of(route, body).unwrap();
        request.salted(|given| format!("<{}>", given.unwrap_or("-"))).unwrap();
        assert_eq!(request.received, body);
        String::from_utf8(request.forwarded.to_vec()).unwrap()
    };
    for (body, want) in [
        (r#" { "messages":[ ] }"#, r#" {"cache_salt":"<->", "messages":[ ] }"#.to_owned()),
        (r#"{"messages":[],"cache_salt": "x" }"#, r#"{"messages":[],"cache_salt": "<x>" }"#.into()),
        (r#"{"cache_salt":null,"messages":[]}"#, r#"{"cache_salt":"<->","messages":[]}"#.into()),
        (
            r#"{"cache\u005fsalt":"\u0061","messages":[],"x":{"cache_salt":1}}"#,
            r#"{"cache\u005fsalt":"<a>","messages":[],"x":{"cache_salt":1}}"#.into(),
        ),
        (
            r#"{"stream":true,"cache_salt":"x","messages":[]}"#,
            format!(
                r#"{{"stream_options":{both},"stream":true,"cache_salt":"<x>","messages":[]}}"#
            ),
        ),
        (
            r#"{"cache_salt":"x","stream_options":null,"messages":[],"stream":true}"#,
            format!(
                r#"{{"cache_salt":"<x>","stream_options":{both},"messages":[],"stream":true}}"#
            ),
        ),
        (
            r#"{"stream_options":{"include_usage":false,"y":1},"cache_salt":"x","messages":[],
                "stream":true}"#,
            format!(
                r#"{{"stream_options":{{"include_usage":true,"y":1,{rest},"messages":[],
                "stream":true}}"#,
                rest = r#""continuous_usage_stats":true},"cache_salt":"<x>""#
            ),
        ),
    ] {
        assert_eq!(salted(Route::Chat, body), want);
    }
    let tokens = r#"{"prompt":"x"}"#;
    assert_eq!(salted(Route::Tokenize, tokens), tokens, "nothing is computed there");
    assert!(salted(Route::Score, r#"{"queries":"x"}"#).starts_with(r#"{"cache_salt":"<->","#));
}

#[test]
fn a_salt_that_no_engine_takes_is_refused_where_it_counts() {
    let long = format!("\"{}\"", "x".repeat(SALT_BYTES_MAX + 1));
    for given in ["1", "\"\"", "[]", "true", "{\"a\":1}", long.as_str()] {
        let mut request = parse(&format!(r#"{{"messages":[],"cache_salt":{given}}}"#)).unwrap();
        let fault = request.salted(|_| String::new()).unwrap_err();
        let named = matches!(fault, Fault::BadParameter { param: "cache_salt", .. });
        assert!(named, "{given}: {fault:?}");
    }
    assert!(parse(r#"{"messages":[],"cache_salt":"a","cache_salt":"b"}"#).is_err());
}

#[test]
fn a_wrong_shape_is_named_by_its_parameter_and_never_quoted() {
    for (body, param) in [
        (r#"{"messages":"canary"}"#, Some("messages")),
        (r#"{"model":"m"}"#, Some("messages")),
        (r#"{"messages":[],"model":["canary"]}"#, Some("model")),
        (r#"{"messages":[],"stream":"canary"}"#, Some("stream")),
        (r#"{"messages":[],"stream":1}"#, Some("stream")),
        (r#"{"messages":[],"stream_options":"canary","stream":true}"#, Some("stream_options")),
        (
            r#"{"messages":[],"stream_options":{"include_usage":"canary"},"stream":true}"#,
            Some("stream_options"),
        ),
        (r#"{"messages":[],"n":-1}"#, Some("n")),
        (r#"{"messages":[],"max_tokens":1.5}"#, Some("max_tokens")),
        (r#"{"messages":[],"max_tokens":99999999999999999999}"#, Some("max_tokens")),
        (r#"{"messages":[],"max_completion_tokens":"canary"}"#, Some("max_completion_tokens")),
        (r#"{"messages":[],"messages":["canary"]}"#, None),
        (r#""canary""#, None),
        (r#"["canary"]"#, None),
        (r#"{"messages":["canary"#, None),
        ("{'canary':1}", None),
        ("", None),
    ] {
        let fault = parse(body).unwrap_err();
        assert_eq!(fault.status(), 400, "{body}");
        let text = String::from_utf8(fault.openai_body().to_vec()).unwrap();
        assert!(!text.contains("canary"), "{text}");
        let found = match fault {
            Fault::BadParameter { param, .. } => Some(param),
            _ => None,
        };
        assert_eq!(found, param, "{body}");
    }
}

#[test]
fn what_a_route_cannot_do_without_is_named() {
    for (route, body, param) in [
        (Route::Completions, r#"{"messages":[]}"#, "prompt"),
        (Route::Embeddings, r#"{"input":null}"#, "input"),
        (Route::Responses, r#"{"prompt":null}"#, "input"),
        (Route::Responses, r#"{"input":"x","background":true}"#, "background"),
        (
            Route::Responses,
            r#"{"input":"x","previous_response_id":"resp_1"}"#,
            "previous_response_id",
        ),
        (Route::Responses, r#"{"input":"x","conversation":{}}"#, "conversation"),
        (Route::Messages, r#"{"messages":"x"}"#, "messages"),
        (Route::Rerank, r#"{"documents":[]}"#, "query"),
        (Route::Rerank, r#"{"query":"x"}"#, "documents"),
        (Route::Score, "{}", "queries"),
        (Route::Tokenize, "{}", "prompt"),
        (Route::Detokenize, r#"{"tokens":"x"}"#, "tokens"),
        (Route::ImageGenerations, "{}", "prompt"),
        (Route::ImageGenerations, r#"{"prompt":"x","stream":true}"#, "stream"),
    ] {
        let fault = of(route, body).unwrap_err();
        let named = matches!(fault, Fault::BadParameter { param: p, .. } if p == param);
        assert!(named, "{body}: {fault:?}");
    }
}

// Only streams of chunks know the option; elsewhere it is none of our business.
#[test]
fn usage_is_asked_for_where_that_is_an_option_and_nowhere_else() {
    for (route, body) in [
        (Route::Responses, r#"{"input":"x","stream":true,"stream_options":{"x":1}}"#),
        (Route::Messages, r#"{"messages":[],"stream":true}"#),
        (Route::Embeddings, r#"{"input":"x","stream":true}"#),
        (Route::Rerank, r#"{"query":"x","documents":[],"stream":true}"#),
    ] {
        let request = of(route, body).unwrap();
        assert_eq!(request.forwarded, body, "{route:?}");
        assert_eq!(request.stream, route.streams(), "{route:?}");
    }
    let request = of(Route::Completions, r#"{"prompt":"x","stream":true}"#).unwrap();
    assert!(request.forwarded.starts_with(b"{\"stream_options\":{\"include_usage\":true"));
}

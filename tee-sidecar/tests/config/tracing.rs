//! `tracing.*`: the collector, what it is told in headers, and how many traces.

use tee_sidecar::config::{changed, effective};

use super::support::{file, load, load_with};

#[test]
fn the_collectors_address_is_kept_without_slash_and_the_path_of_traces() {
    for (text, kept) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318"),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318"),
        ("https://otlp.example.com/otlp/v1/traces/", "https://otlp.example.com/otlp"),
    ] {
        let settings = load(&format!("tracing: {{otlpEndpoint: '{text}'}}")).unwrap();
        assert_eq!(settings.tracing.endpoint.as_deref(), Some(kept), "{text}");
    }
    assert_eq!(load("").unwrap().tracing.endpoint, None);
}

#[test]
fn a_ratio_is_a_part_of_a_whole() {
    let ratio = |text: &str| {
        let settings = load(&format!("tracing: {{sampleRatio: {text}}}"));
        settings
            .map(|settings| (settings.tracing.ratio.numerator, settings.tracing.ratio.denominator))
    };
    for (text, expected) in [
        ("0", (0, 1)),
        ("0.0", (0, 1)),
        ("'0.000'", (0, 1)),
        ("1", (1, 1)),
        ("0.05", (1, 20)),
        ("1.0", (1, 1)),
        ("1/3", (1, 3)),
        ("0.000001", (1, 1_000_000)),
    ] {
        assert_eq!(ratio(text).unwrap(), expected, "{text}");
    }
    for text in ["1.01", "2", "-1", "all", "''", "5%", "1e-3", "4/3", "0/0"] {
        let error = ratio(text).expect_err(text);
        assert!(error.to_string().contains("from 0 to 1"), "{text}: {error}");
    }
}

#[test]
fn headers_are_a_list_with_encoded_values_from_the_file_or_another() {
    let kept = file("x-api-key=a%2Cb%3D,Authorization=Basic%20dXNlcg==\n");
    let yaml = format!("tracing: {{otlpHeadersFile: '{}'}}", kept.path().display());
    let text = "x-api-key=a%2Cb%3D,Authorization=Basic%20dXNlcg==";
    for settings in [
        load(&yaml).unwrap(),
        load(&format!("tracing: {{otlpHeaders: '{text}'}}")).unwrap(),
        load_with("", &[("SIDECAR__TRACING__OTLPHEADERS", text)]).unwrap(),
    ] {
        let headers = settings.tracing.header_map();
        assert_eq!(headers["x-api-key"], "a,b=");
        assert_eq!(headers["authorization"], "Basic dXNlcg==");
        assert!(headers.values().all(|value| value.is_sensitive()));
        let shown = format!("{settings:?} {headers:?} {}", effective(&settings));
        assert!(!shown.contains("dXNl") && !shown.contains("a%2C"), "{shown}");
    }
}

#[test]
fn headers_that_are_none_are_refused_and_not_repeated() {
    for text in [
        "HUSH",
        "a=HUSH,HUSH",
        "=HUSH",
        "HUSH HUSH=1",
        "a=HUSH%0Ab",
        "content-type=HUSH",
        "Host=HUSH",
        "a=HUSH,",
    ] {
        let kept = file(text);
        let in_file = format!("tracing: {{otlpHeadersFile: '{}'}}", kept.path().display());
        for (yaml, key) in [
            (format!("tracing: {{otlpHeaders: '{text}'}}"), "tracing.otlpHeaders"),
            (in_file, "tracing.otlpHeadersFile"),
        ] {
            let error = load(&yaml).expect_err(text);
            assert_eq!(error.problems().len(), 1, "{error}");
            assert_eq!(error.problems()[0].key, key, "{text}");
            assert!(!format!("{error} {error:?}").contains("HUSH"), "{error}");
        }
    }
}

#[test]
fn a_collectors_other_key_is_a_change_that_is_named_and_not_shown() {
    let with = |key: &str| {
        load(&format!("tracing: {{otlpEndpoint: 'http://c', otlpHeaders: 'k={key}'}}")).unwrap()
    };
    let (one, other) = (with("one"), with("other"));
    assert_eq!(changed(&one, &other), ["tracing.otlpHeaders"]);
    assert!(effective(&one).contains("otlpHeaders: <secret>"));
    assert!(effective(&load("").unwrap()).contains("otlpHeaders: <none>"));
}

//! Forms with files: raw bytes, with the client's own boundary.

use broker_core::Digest32;
use tee_sidecar::route::Route;

use crate::support::{all_routes, answering, charged, post, proved, streaming};

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=\"b o\"");
const TEXT: &str = r#"{"text":"hello","usage":{"type":"tokens","input_tokens":14,
    "output_tokens":3,"total_tokens":17}}"#;
const IMAGE: &str = r#"{"data":[{"b64_json":"AAAA"}],
    "usage":{"input_tokens":14,"output_tokens":3}}"#;

/// A form with one file; bytes that are no text are in it.
fn form(field: &str) -> Vec<u8> {
    let head = format!(
        "--b o\r\nContent-Disposition: form-data; name=\"{field}\"; \
         filename=\"a\u{e9}.wav\"\r\n\r\n"
    );
    [head.as_bytes(), &[0, 159, 146, 150, 13, 10, 255], b"\r\n--b o--\r\n"].concat()
}

/// A form with one file and these fields.
fn form_with(fields: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, value): &(&str, &str)| {
        format!("--b o\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields: String = fields.iter().map(part).collect();
    [fields.as_bytes(), &form("file")].concat()
}

/// The fields that ask for a stream, with its count.
const STREAM: [(&str, &str); 2] = [("stream", "true"), ("stream_include_usage", "true")];

const ROUTES: [Route; 3] = [Route::Transcriptions, Route::ImageEdits, Route::ImageVariations];

#[test]
fn a_form_reaches_a_scripted_engine_byte_for_byte_with_its_boundary_and_is_charged_by_tokens() {
    for route in ROUTES {
        let body = if route == Route::Transcriptions { TEXT } else { IMAGE };
        let engine = answering(body);
        let sidecar = all_routes(&engine);
        let request = form("file");
        let answer = post(sidecar.addr, route.path(), &[FORM], &request);
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{route:?}");
        let seen = &engine.seen()[0];
        assert_eq!(seen.body, request);
        assert_eq!(seen.header("content-type"), Some(FORM.1));
        let read = proved(&sidecar, route, &request, &answer);
        assert_eq!(charged(&read), (14, 3, "complete"), "{route:?}");
        // The whole context is held: nothing else bounds what a file becomes.
        assert_eq!(read.charge.unwrap().hold.get(), 4096 * 100 + 4096 * 200);
    }
}

// B15: names and filenames are part of what is signed.
#[test]
fn two_forms_with_the_same_file_under_different_names_have_different_hashes() {
    let engine = answering(TEXT);
    let sidecar = all_routes(&engine);
    let hashes = ["file", "elif"].map(|field| {
        let request = form(field);
        let answer = post(sidecar.addr, "/v1/audio/transcriptions", &[FORM], &request);
        let read = proved(&sidecar, Route::Transcriptions, &request, &answer);
        assert_eq!(read.request_hash, Digest32::sha256(&request));
        read.request_hash
    });
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn what_has_no_price_or_is_no_form_is_refused_or_withheld() {
    let engine = answering(r#"{"text":"SECRET","usage":{"type":"duration","seconds":9}}"#);
    let sidecar = all_routes(&engine);
    let path = "/v1/audio/transcriptions";
    let request = form("file");
    let withheld = post(sidecar.addr, path, &[FORM], &request);
    assert_eq!(withheld.status, 502);
    assert!(withheld.text().contains("no price") && !withheld.text().contains("SECRET"));
    let read = proved(&sidecar, Route::Transcriptions, &request, &withheld);
    assert_eq!(charged(&read), (0, 0, "upstream_error"));
    let json = [("content-type", "application/json")];
    for (route, headers, body) in [
        (Route::Transcriptions, &json[..], request),
        (Route::ImageEdits, &[FORM][..], form_with(&STREAM)),
        (Route::Transcriptions, &[FORM][..], form_with(&STREAM[..1])),
        (Route::Transcriptions, &[FORM][..], form_with(&[("stream", "")])),
        (Route::ImageEdits, &[FORM][..], form_with(&[("n", "1"), ("n", "9")])),
    ] {
        let refused = post(sidecar.addr, route.path(), headers, &body);
        assert_eq!((refused.status, refused.error_type().as_str()), (400, "bad_request"));
        proved(&sidecar, route, &body, &refused);
    }
    let long = vec![b'x'; 1024 * 1024 + 1];
    let refused = post(sidecar.addr, path, &[FORM], long);
    assert_eq!(refused.status, 413);
    assert_eq!(engine.requests(), 1);
    sidecar.audit_is_clean();
}

// A field that says nothing of the sort must not turn what is withheld into what is free.
#[test]
fn a_form_that_asks_for_no_stream_is_withheld_without_a_count() {
    for stream in ["false", "true"] {
        let fields = [("stream", stream), STREAM[1]];
        let engine = answering(r#"{"text":"SECRET","usage":{"type":"duration","seconds":9}}"#);
        let sidecar = all_routes(&engine);
        let request = form_with(&fields);
        let withheld = post(sidecar.addr, "/v1/audio/transcriptions", &[FORM], &request);
        assert_eq!(withheld.status, 502, "{stream}");
        assert!(withheld.text().contains("no price") && !withheld.text().contains("SECRET"));
    }
}

#[test]
fn a_form_s_model_is_looked_at_and_as_many_answers_as_it_asks_for_are_held() {
    let engine = answering(IMAGE);
    let sidecar = all_routes(&engine);
    let path = Route::ImageEdits.path();
    let other = post(sidecar.addr, path, &[FORM], form_with(&[("model", "another")]));
    assert_eq!((other.status, other.error_type().as_str()), (404, "not_found"));
    let request = form_with(&[("model", "tiny"), ("n", "3")]);
    let answer = post(sidecar.addr, path, &[FORM], &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let read = proved(&sidecar, Route::ImageEdits, &request, &answer);
    assert_eq!(read.charge.unwrap().hold.get(), 4096 * 100 + 3 * 4096 * 200);
    assert_eq!(engine.requests(), 1);
}

// Not vLLM's own events: what they say cannot be counted, and was handed over all the same.
#[test]
fn a_streamed_transcription_in_unknown_events_pays_its_prompt() {
    let engine =
        streaming(&["data: {\"type\":\"transcript.text.delta\",\"delta\":\"all of it\"}\n\n"]);
    let sidecar = all_routes(&engine);
    let request = form_with(&STREAM);
    let answer = post(sidecar.addr, "/v1/audio/transcriptions", &[FORM], &request);
    assert!(!answer.complete);
    let read = proved(&sidecar, Route::Transcriptions, &request, &answer);
    let third = (request.len() as u64).div_ceil(3) + 4;
    assert_eq!(charged(&read), (third, 0, "truncated_upstream"));
}

#[test]
fn a_streamed_transcription_that_failed_costs_nothing() {
    let engine = streaming(&["data: {\"error\":{\"message\":\"x\"}}\n\n", "data: [DONE]\n\n"]);
    let sidecar = all_routes(&engine);
    let request = form_with(&STREAM);
    let answer = post(sidecar.addr, "/v1/audio/transcriptions", &[FORM], &request);
    let read = proved(&sidecar, Route::Transcriptions, &request, &answer);
    assert_eq!(charged(&read), (0, 0, "upstream_error"));
}

fn chunk(text: &str, usage: &str) -> String {
    format!(
        "data: {{\"id\":\"trsc-1\",\"object\":\"transcription.chunk\",\
         \"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]{usage}}}\n\n"
    )
}

// vLLM counts speech in tokens where it is streamed and usage is asked for in the form.
#[test]
fn a_streamed_transcription_of_a_scripted_engine_passes_as_it_is_and_is_charged_by_its_total() {
    let total = "data: {\"id\":\"trsc-1\",\"choices\":[],\
                 \"usage\":{\"prompt_tokens\":120,\"completion_tokens\":2}}\n\n";
    let (one, two) = (chunk("hello", ""), chunk(" there", ""));
    let running = ",\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":1}";
    let counted = chunk("hello", running);
    let request = form_with(&STREAM);
    let third = (request.len() as u64).div_ceil(3) + 4;
    for (sent, input, output, outcome) in [
        (vec![&one[..], &two, total, "data: [DONE]\n\n"], 120, 2, "complete"),
        (vec![&counted[..], &two], 120, 1 + 2 + 4, "truncated_upstream"),
        // Without any count it is an estimate: what was streamed cannot be withheld.
        (vec![&one[..], &two, "data: [DONE]\n\n"], third, 11_u64.div_ceil(3) + 4, "complete"),
    ] {
        let engine = streaming(&sent);
        let sidecar = all_routes(&engine);
        let answer = post(sidecar.addr, "/v1/audio/transcriptions", &[FORM], &request);
        assert_eq!(answer.text(), sent.concat());
        assert_eq!(answer.complete, outcome == "complete");
        let read = proved(&sidecar, Route::Transcriptions, &request, &answer);
        assert_eq!(charged(&read), (input, output, outcome));
    }
}

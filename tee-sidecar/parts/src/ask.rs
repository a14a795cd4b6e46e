//! A request: read, and rewritten for the engine.

use std::hint::black_box;

use bytes::Bytes;
use tee_sidecar::exchange::request::Request;
use tee_sidecar::route::Route;

/// A streamed chat of so many bytes, or some hundreds more: a conversation in messages of 500
/// letters, with what JSON escapes in them.
pub fn body(bytes: usize) -> Bytes {
    let said = "Tell me of \\\"tides\\\", caf\u{e9}s and the moon.\\n".repeat(12);
    let mut text =
        r#"{"model":"tiny","messages":[{"role":"system","content":"Be brief."}"#.to_owned();
    while text.len() + 600 < bytes {
        for role in ["user", "assistant"] {
            text.push_str(&format!(r#",{{"role":"{role}","content":"{said}"}}"#));
        }
    }
    let tail = r#"],"max_tokens":256,"temperature":0.7,"stream":true}"#;
    let rest = bytes.saturating_sub(text.len() + tail.len() + 30);
    text.push_str(&format!(r#",{{"role":"user","content":"{}"}}{tail}"#, "x".repeat(rest)));
    Bytes::from(text)
}

/// What happens to a body before the engine gets it: the options of usage and a salt are written
/// in, and what it may cost is bounded.
///
/// # Panics
/// The body is none.
pub fn read(body: &Bytes) -> Request {
    let mut request = Request::parse(Route::Chat, body.clone(), None).unwrap();
    request.salted(|_| SALT.to_owned()).unwrap();
    black_box(request.size.bound(CONTEXT));
    request
}

const SALT: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
/// Tokens that the engine takes.
const CONTEXT: u64 = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_size_and_gets_options_and_salt() {
        for bytes in [1_000, 100_000] {
            let body = body(bytes);
            assert!(body.len().abs_diff(bytes) < 700, "{}", body.len());
            let request = read(&body);
            assert!(request.stream && request.received == body);
            let text = std::str::from_utf8(&request.forwarded).unwrap();
            assert!(text.contains("continuous_usage_stats") && text.contains("cache_salt"));
        }
    }
}

//! What a path behind `/v1/proxy` asks for: one normal form, and an allow-list of that.
//!
//! Percent-escapes are decoded once, doubled and trailing slashes dropped, one `/v1` behind the
//! prefix dropped. A path that some other reader could take for another one is refused: dot
//! segments, escapes that are broken or hide further escapes, backslashes, parameters behind `;`,
//! control characters. Letters keep their case. The query is no part of a path.

use crate::route::Route;

/// What is served behind `/v1/proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// An inference route: charged.
    Inference(Route),
    /// An attestation report.
    Report,
    /// The signature of the answer with this id.
    Signature(String),
}

/// Whether an error at this path has Anthropic's shape.
pub(super) fn is_anthropic_s(path: &str, is_alias: impl Fn(&str) -> bool) -> bool {
    let messages = Route::Messages;
    // Most paths need no closer look.
    if !path.contains(messages.name()) && !path.contains('%') {
        return false;
    }
    path == messages.path() || proxied(path, is_alias) == Some(Some(Endpoint::Inference(messages)))
}

/// Whether an error at this path has 0G's shape, on the 0G network.
pub(super) fn is_network_s(path: &str) -> bool {
    let owned = segments(path).unwrap_or_default();
    let known = matches!(names(&owned).as_slice(), ["v1", "proxy" | "user", ..]);
    known || path.starts_with("/v1/proxy") || path.starts_with("/v1/user")
}

/// What the path asks for: `None` where it is not behind `/v1/proxy`, `Some(None)` where nothing is
/// served. `is_alias` knows the names of services, which may stand in front of a route.
pub(super) fn proxied(path: &str, is_alias: impl Fn(&str) -> bool) -> Option<Option<Endpoint>> {
    let Some(owned) = segments(path) else {
        return path.starts_with("/v1/proxy").then_some(None);
    };
    let names = names(&owned);
    let ["v1", "proxy", rest @ ..] = names.as_slice() else { return None };
    let direct = endpoint(rest);
    Some(direct.or_else(|| match rest {
        [name, rest @ ..] if is_alias(name) => endpoint(rest),
        _ => None,
    }))
}

fn endpoint(segments: &[&str]) -> Option<Endpoint> {
    match segments.strip_prefix(&["v1"]).unwrap_or(segments) {
        ["attestation", "report"] => Some(Endpoint::Report),
        ["signature", id] => Some(Endpoint::Signature((*id).to_owned())),
        names => Route::named(&names.join("/")).map(Endpoint::Inference),
    }
}

/// A path's names between its slashes; `None` for a spelling that is refused.
fn segments(path: &str) -> Option<Vec<String>> {
    let decoded = decoded(path)?;
    let ambiguous =
        |c: char| c.is_control() || matches!(c, '\\' | '%' | ';' | '?' | '#' | '\u{fffd}');
    if !decoded.starts_with('/') || decoded.contains(ambiguous) {
        return None;
    }
    let segments = decoded.split('/').filter(|segment| !segment.is_empty());
    let segments: Vec<_> = segments.map(str::to_owned).collect();
    let dots = segments.iter().any(|segment| segment == "." || segment == "..");
    (!dots).then_some(segments)
}

fn names(segments: &[String]) -> Vec<&str> {
    segments.iter().map(String::as_str).collect()
}

/// The path with its escapes decoded, once.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        rest = if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            bytes.extend(byte);
            after
        } else {
            bytes.push(*first);
            after
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Option<Option<Endpoint>> {
        proxied(path, |name| name == "my-service")
    }

    #[test]
    fn every_spelling_of_a_route_is_that_route() {
        for path in [
            "/v1/proxy/chat/completions",
            "/v1/proxy/v1/chat/completions",
            "/v1/proxy/chat/completions/",
            "//v1//proxy///chat/completions//",
            "/v1/proxy/chat%2Fcompletions",
            "/v1/proxy/%63hat/completions",
            "/v1/%70roxy/chat/completions",
            "/v1/proxy/my-service/chat/completions",
            "/v1/proxy/my-service/v1/chat/completions",
        ] {
            assert_eq!(at(path), Some(Some(Endpoint::Inference(Route::Chat))), "{path}");
        }
        for route in Route::ALL {
            for spelling in ["/v1/proxy/", "/v1/proxy/v1/", "/v1/proxy/my-service/v1/"] {
                let path = format!("{spelling}{}", route.name());
                assert_eq!(at(&path), Some(Some(Endpoint::Inference(route))), "{path}");
                assert_eq!(is_anthropic_s(&path, |_| true), route == Route::Messages, "{path}");
            }
        }
        assert_eq!(at("/v1/proxy/attestation/report"), Some(Some(Endpoint::Report)));
        for (path, id) in [
            ("/v1/proxy/signature/chatcmpl-1", "chatcmpl-1"),
            ("/v1/proxy/v1/signature/a%3Ab/", "a:b"),
            ("/v1/proxy/signature/v1", "v1"),
        ] {
            assert_eq!(at(path), Some(Some(Endpoint::Signature(id.into()))), "{path}");
        }
    }

    #[test]
    fn whatever_else_is_behind_the_proxy_is_refused() {
        for path in [
            "/v1/proxy",
            "/v1/proxy/",
            "/v1/proxy/v1",
            "/v1/proxy/v1/v1/chat/completions",
            "/v1/proxy/v1/v1/completions",
            "/v1/proxy/chat",
            "/v1/proxy/chat/completions/x",
            "/v1/proxy/Chat/completions",
            "/v1/proxy/chat/completions;x",
            "/v1/proxy/chat;x/completions",
            "/v1/proxy/chat\\completions",
            "/v1/proxy/chat%5Ccompletions",
            "/v1/proxy/chat%252Fcompletions",
            "/v1/proxy/%2563hat/completions",
            "/v1/proxy/chat/completions%3Fx=1",
            "/v1/proxy/chat/completions%00",
            "/v1/proxy/chat/completions%0a",
            "/v1/proxy/chat/completions%",
            "/v1/proxy/chat/completions%2",
            "/v1/proxy/chat/completions%zz",
            "/v1/proxy/chat/completions%ff",
            "/v1/proxy/chat/completions%20",
            "/v1/proxy/./chat/completions",
            "/v1/proxy/x/../chat/completions",
            "/v1/proxy/%2e%2e/proxy/chat/completions",
            "/v1/proxy/.%2e/metrics",
            "/v1/proxy/other-service/chat/completions",
            "/v1/proxy/my-service/my-service/chat/completions",
            "/v1/proxy/signature",
            "/v1/proxy/signature/a/b",
            "/v1/proxy/signature/a%2Fb",
            "/v1/proxy/attestation",
            "/v1/proxy/images",
            "/v1/proxy/images/x",
            "/v1/proxy/audio/transcriptions/x",
            "/v1/proxy/models",
            "/v1/proxy/responses/resp_1",
            "/v1/proxy/messages/count_tokens",
        ] {
            assert_eq!(at(path), Some(None), "{path}");
            assert!(is_network_s(path), "{path}");
        }
    }

    #[test]
    fn a_path_elsewhere_is_not_behind_the_proxy() {
        for path in ["/", "/v1", "/v1/chat/completions", "/V1/proxy/chat/completions", "/proxy/v1"]
        {
            assert_eq!(at(path), None, "{path}");
            assert!(!is_network_s(path), "{path}");
        }
    }
}

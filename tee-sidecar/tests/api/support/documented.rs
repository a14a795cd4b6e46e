//! Every answer that a test sees has to be one that the OpenAPI document tells of.

use std::sync::OnceLock;

use serde_json::Value;
use tee_sidecar::http::openapi::View;

use super::Response;

/// The documents of a sidecar on the network and of one that is not, with every route.
fn documents() -> &'static [Value; 2] {
    static DOCUMENTS: OnceLock<[Value; 2]> = OnceLock::new();
    DOCUMENTS
        .get_or_init(|| [true, false].map(|network| View { network, ..View::all() }.document()))
}

/// Fails where neither document knows the answer to this request.
pub(super) fn expect(method: &str, path: &str, answer: &Response) {
    // What the HTTP server refuses by itself has no body and none of our headers.
    let is_ours = answer.header("x-aci-version").is_some();
    if !is_ours || matches!(method, "HEAD" | "OPTIONS") {
        return;
    }
    let faults: Vec<String> =
        documents().iter().filter_map(|known| undocumented(known, method, path, answer)).collect();
    assert!(faults.len() < 2, "{method} {path}: {}\n{}", faults[0], answer.head);
}

/// Why a document does not know the answer.
fn undocumented(known: &Value, method: &str, path: &str, answer: &Response) -> Option<String> {
    let path = path.split('?').next().unwrap();
    let paths = known["paths"].as_object().unwrap();
    let fits = |template: &&String| matches(template, path);
    // Other spellings, and what is not there.
    let template = paths.keys().find(|known| *known == path).or_else(|| paths.keys().find(fits))?;
    let operation = &paths[template][method.to_ascii_lowercase()];
    if operation.is_null() {
        let refused = [404, 405].contains(&answer.status);
        return (!refused).then(|| format!("{} for an unknown method", answer.status));
    }
    let (exact, range) = (answer.status.to_string(), format!("{}XX", answer.status / 100));
    let responses = &operation["responses"];
    let told = [&responses[&exact], &responses[&range]].into_iter().find(|told| !told.is_null());
    let Some(told) = told else { return Some(format!("{exact} is not documented")) };
    let told = resolved(known, told);
    let media = answer.header("content-type").map(|media| media.split(';').next().unwrap().trim());
    let content = &told["content"];
    match media {
        Some(media) if content[media].is_null() && content["*/*"].is_null() => {
            return Some(format!("{exact} with {media}"));
        }
        None if content.is_object() && content["*/*"].is_null() => {
            return Some(format!("{exact} without a type"));
        }
        _ => {}
    }
    // A route that the host has not switched on names no exchange.
    let unserved = [400, 404].contains(&answer.status) && answer.header("x-receipt-id").is_none();
    let headers = told["headers"].as_object().unwrap();
    let missing = headers.iter().find(|(name, header)| {
        let of_exchange = ["x-receipt-id", "ZG-Res-Key", "provider"].contains(&name.as_str());
        let required = resolved(known, header)["required"] == true;
        required && !(unserved && of_exchange) && answer.header(name).is_none()
    });
    missing.map(|(name, _)| format!("{exact} without {name}"))
}

/// What a reference leads to.
fn resolved<'a>(known: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(at) => known.pointer(at.trim_start_matches('#')).unwrap(),
        None => part,
    }
}

/// A parameter is one segment, but for a tile's place.
fn matches(template: &str, path: &str) -> bool {
    if let Some(prefix) = template.strip_suffix("{path}") {
        return path.starts_with(prefix);
    }
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(known, given)| known == given || known.starts_with('{'))
}

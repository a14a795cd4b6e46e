//! The span of the engine's part of an exchange. Its id is the one that the engine is told as its
//! parent, so that the engine's own spans stand below it.

use broker_core::UsageSource;
use reqwest::Url;

use super::{Attributes, PARENT_IS_OURS, Span, SpanKind, Told, at, status};
use crate::route::Route;

/// The engine's part, where it was asked at all: all tries of the request as one.
pub(super) fn span(told: &Told) -> Option<Span> {
    let asked = told.engine.asked?;
    let (trace, _, span, flags) = told.trace.parts();
    let route = Route::ALL.into_iter().find(|route| route.path() == told.end.route);
    let path = route.map_or(told.end.route, Route::engine_path);
    let error = error(told);
    Some(Span {
        trace_id: trace.to_vec(),
        span_id: span.to_vec(),
        parent_span_id: told.span.to_vec(),
        flags: u32::from(flags) | PARENT_IS_OURS,
        name: format!("POST {path}"),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: at(told, asked),
        end_time_unix_nano: at(told, told.engine.ended.unwrap_or(told.total)),
        attributes: attributes(told, route, path, error.as_deref()).0,
        status: status(error.as_deref()),
        ..Span::default()
    })
}

fn attributes(told: &Told, route: Option<Route>, path: &str, error: Option<&str>) -> Attributes {
    let engine = &told.engine;
    let mut attributes = Attributes::default();
    attributes.text("http.request.method", "POST");
    attributes.text("url.template", path);
    if let Some(url) = engine.url.as_deref().and_then(|url| Url::parse(url).ok()) {
        // No more of the address: whatever else a host put into it is nobody's business.
        let host = url.host_str().unwrap_or_default();
        attributes.text("server.address", host.trim_matches(['[', ']']));
        attributes.count("server.port", url.port_or_known_default().unwrap_or(0).into());
    }
    if engine.tries > 1 {
        attributes.count("http.request.resend_count", u64::from(engine.tries.saturating_sub(1)));
    }
    if let Some(status) = engine.status {
        attributes.count("http.response.status_code", status.into());
    }
    if let Some(error) = error {
        attributes.text("error.type", error);
    }
    if let Some(operation) = route.and_then(operation) {
        attributes.text("gen_ai.operation.name", operation);
    }
    let [.., first] = told.steps;
    if let (Some(first), Some(asked)) = (first, engine.asked) {
        let time = first.saturating_sub(asked);
        attributes.seconds("gen_ai.response.time_to_first_chunk", time);
    }
    let Some(bill) = &told.end.bill else { return attributes };
    if let Some(model) = &bill.model {
        attributes.text("gen_ai.request.model", &**model);
    }
    let usage = &bill.usage;
    if usage.source != UsageSource::None {
        attributes.count("gen_ai.usage.input_tokens", usage.input);
        attributes.count("gen_ai.usage.output_tokens", usage.output);
        if usage.cached_input > 0 {
            attributes.count("gen_ai.usage.cache_read.input_tokens", usage.cached_input);
        }
    }
    attributes
}

/// How the engine failed, in a word, if it did.
fn error(told: &Told) -> Option<String> {
    let (engine, outcome) = (&told.engine, told.end.outcome);
    match (engine.error, engine.status) {
        (Some(error), _) => Some(error.to_owned()),
        (None, Some(status)) if status >= 400 => Some(status.to_string()),
        _ if matches!(outcome, "truncated_upstream" | "upstream_error") => Some(outcome.to_owned()),
        _ => None,
    }
}

/// What generative AI calls it; `None` for what has no name there.
const fn operation(route: Route) -> Option<&'static str> {
    match route {
        Route::Chat | Route::Responses | Route::Messages => Some("chat"),
        Route::Completions => Some("text_completion"),
        Route::Embeddings => Some("embeddings"),
        _ => None,
    }
}

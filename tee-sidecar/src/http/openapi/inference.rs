//! What is told of the inference routes.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::about::{About, Asks, JSON, Shape, Tag, shape};
use super::faults::{BODY, EXCHANGE, TOO_OFTEN, UNAUTHORIZED, UNAVAILABLE};
use crate::route::Route;
use crate::shapes::{EngineAnswer, EngineError, EventStream};

/// A route by its own path.
pub(in super::super) fn about(route: Route) -> About {
    told(route, Tag::Inference)
}

/// The same behind 0G's prefix.
pub(in super::super) fn proxied(route: Route) -> About {
    told(route, Tag::Proxy)
}

fn told(route: Route, tag: Tag) -> About {
    let asks = match route {
        Route::Messages => Asks::AccountOfAnthropic,
        _ => Asks::Account,
    };
    let stream: (&str, Shape) = (EVENTS, shape::<EventStream>());
    let whole: (&str, Shape) = (JSON, shape::<EngineAnswer>());
    let content = if route.streams() { vec![whole, stream] } else { vec![whole] };
    let foreign: [(&str, Shape); 1] = [("*/*", shape::<EngineError>())];
    let media = if route.is_multipart() { "multipart/form-data" } else { JSON };
    let refused = [UNAUTHORIZED, TOO_OFTEN, UNAVAILABLE].into_iter().chain(BODY).chain(EXCHANGE);
    About::new(tag, summary(route))
        .asks(asks)
        .exchange()
        .reads(if route.streams() { STREAMED } else { WHOLE })
        .takes(media, body(route))
        .gives(StatusCode::OK, "The model server's answer, byte for byte.", &content)
        .answers("4XX".to_owned(), PASSED_ON, &foreign)
        .answers("5XX".to_owned(), PASSED_ON, &foreign)
        .refuses(refused)
}

const fn summary(route: Route) -> &'static str {
    match route {
        Route::Chat => "A chat completion",
        Route::Completions => "A text completion",
        Route::Embeddings => "Texts as vectors",
        Route::Responses => "An answer in OpenAI's Responses",
        Route::Messages => "An answer in Anthropic's Messages",
        Route::Rerank => "Documents in the order in which they fit a query",
        Route::Score => "How well texts fit each other",
        Route::Tokenize => "A text as tokens",
        Route::Detokenize => "Tokens as a text",
        Route::Transcriptions => "Speech as text",
        Route::ImageGenerations => "An image of a text",
        Route::ImageEdits => "An image changed",
        Route::ImageVariations => "An image in other forms",
    }
}

/// What a request is refused without: one of each of these sets.
pub(super) const fn needs(route: Route) -> &'static [&'static [&'static str]] {
    match route {
        Route::Chat | Route::Messages => &[&["messages"]],
        Route::Completions => &[&["prompt", "prompt_embeds"]],
        Route::Embeddings => &[&["input", "messages"]],
        Route::Responses => &[&["input", "prompt"]],
        Route::Rerank => &[&["query"], &["documents"]],
        Route::Score => &[&["queries", "text_1", "data_1"]],
        Route::Tokenize => &[&["prompt", "messages"]],
        Route::Detokenize => &[&["tokens"]],
        Route::ImageGenerations => &[&["prompt"]],
        Route::Transcriptions | Route::ImageEdits | Route::ImageVariations => &[],
    }
}

/// The body of a request: what we read of it, and whatever else the model server knows.
pub(super) fn body(route: Route) -> Value {
    if route.is_multipart() {
        return json!({ "type": "object", "description": "A form; it is passed on as it comes." });
    }
    let model = json!({ "type": "string", "description": "The served model, unless left out." });
    let mut members = Map::from_iter([("model".to_owned(), model)]);
    let mut required = Vec::new();
    let mut one_of_each = Vec::new();
    for set in needs(route) {
        for name in *set {
            members.insert((*name).to_owned(), member(name));
        }
        match set {
            [name] => required.push(*name),
            names => one_of_each.push(json!({
                "anyOf": names.iter().map(|name| json!({ "required": [name] })).collect::<Vec<_>>()
            })),
        }
    }
    for name in read(route) {
        members.insert((*name).to_owned(), member(name));
    }
    let mut schema = json!({ "type": "object", "properties": members, "required": required });
    if let (false, Value::Object(schema)) = (one_of_each.is_empty(), &mut schema) {
        schema.insert("allOf".to_owned(), one_of_each.into());
    }
    schema
}

/// What else is read of a body.
fn read(route: Route) -> Vec<&'static str> {
    let mut names = Vec::new();
    if route.streams() {
        names.push("stream");
    }
    match route {
        Route::Chat => names.extend(["n", "max_tokens", "max_completion_tokens"]),
        Route::Completions => names.extend(["n", "best_of", "max_tokens"]),
        Route::Responses => names.push("max_output_tokens"),
        Route::Messages => names.push("max_tokens"),
        _ => {}
    }
    names
}

fn member(name: &str) -> Value {
    match name {
        "messages" | "tokens" => json!({ "type": "array" }),
        "stream" => json!({ "type": ["boolean", "null"] }),
        "n" | "best_of" | "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
            json!({ "type": ["integer", "null"], "minimum": 0, "maximum": u32::MAX })
        }
        _ => json!({ "not": { "type": "null" } }),
    }
}

const PASSED_ON: &str = "An error of the model server's, passed on as it came.";
const EVENTS: &str = "text/event-stream";
const WHOLE: &[(&str, &str)] = &[
    ("Idempotency-Key", "1 to 255 bytes: under one key a request is charged once."),
    ("x-request-id", "Up to 128 visible characters, for the logs on both sides."),
    ("traceparent", "The W3C trace that the exchange joins."),
];
const STREAMED: &[(&str, &str)] = &[
    ("Idempotency-Key", "1 to 255 bytes: under one key a request is charged once."),
    ("x-request-id", "Up to 128 visible characters, for the logs on both sides."),
    ("traceparent", "The W3C trace that the exchange joins."),
    ("X-Receipt-Checkpoints", "A signed checkpoint after so many events of a stream, 8 at least."),
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::exchange::request::Request;
    use crate::fault::Fault;

    /// A body with these members, each of which any route takes.
    fn with(names: &[&str]) -> Bytes {
        let members = names.iter().map(|name| ((*name).to_owned(), json!(["x"])));
        Value::Object(members.collect()).to_string().into()
    }

    // What the document requires is what the server cannot do without, no more and no less.
    #[test]
    fn a_body_is_refused_without_what_is_said_to_be_needed_and_taken_with_it() {
        for route in Route::ALL.into_iter().filter(|route| !route.is_multipart()) {
            let firsts: Vec<&str> = needs(route).iter().map(|set| set[0]).collect();
            for (place, set) in needs(route).iter().enumerate() {
                for name in *set {
                    let mut names = firsts.clone();
                    names[place] = name;
                    Request::parse(route, with(&names), None).unwrap();
                    names.remove(place);
                    let refused = Request::parse(route, with(&names), None).unwrap_err();
                    let Fault::BadParameter { param, .. } = refused else { panic!("{refused}") };
                    assert_eq!(param, set[0], "{route:?}");
                }
            }
        }
    }
}

//! The handlers.

use std::hash::{BuildHasher, RandomState};

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{Clock, SystemClock};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::answer::{Choice, Completion, FINGERPRINT, Head, Message, Usage};
use super::events::Events;
use super::wish::Wish;
use super::{Demo, MODEL_LEN_MAX};

/// `POST /v1/chat/completions`
pub(crate) async fn completions(
    demo: web::Data<Demo>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let wish = match Wish::read(&body, &demo) {
        Ok(wish) => wish,
        Err(refusal) => return refusal.respond(),
    };
    if wish.stream {
        let head = head(&demo, &request, "chat.completion.chunk");
        streamed(&demo, head, wish)
    } else {
        let head = head(&demo, &request, "chat.completion");
        buffered(&demo, head, wish).await
    }
}

/// `GET /v1/models`
pub(crate) async fn models(demo: web::Data<Demo>) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "object": "list",
        "data": [{
            "id": demo.model,
            "object": "model",
            "created": SystemClock.now().as_secs(),
            "owned_by": OWNER,
            "root": demo.model,
            "parent": null,
            "max_model_len": MODEL_LEN_MAX,
            "permission": [],
        }],
    }))
}

fn streamed(demo: &Demo, head: Head, wish: Wish) -> HttpResponse {
    let events = Events::new(head, wish, demo.script.clone());
    let pause = demo.pause;
    let body = stream::unfold(events, move |mut events| async move {
        if events.token_is_next() && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let event = events.next()?;
        Some((event, events))
    });
    HttpResponse::Ok().content_type("text/event-stream; charset=utf-8").streaming(body)
}

async fn buffered(demo: &Demo, head: Head, wish: Wish) -> HttpResponse {
    tokio::time::sleep(demo.pause.saturating_mul(u32::try_from(wish.tokens).unwrap_or(u32::MAX)))
        .await;
    let choice = |index| Choice {
        index,
        message: Message {
            role: "assistant",
            content: demo.script.text(wish.tokens),
            refusal: (),
            annotations: (),
            audio: (),
            function_call: (),
            reasoning: (),
        },
        logprobs: (),
        finish_reason: wish.finish_reason,
        stop_reason: (),
        token_ids: (),
        routed_experts: (),
    };
    HttpResponse::Ok().insert_header(ContentType::json()).json(Completion {
        head,
        choices: (0..wish.choices).map(choice).collect(),
        service_tier: (),
        system_fingerprint: FINGERPRINT,
        usage: Usage::whole(wish.prompt_tokens, wish.tokens * wish.choices),
        prompt_logprobs: (),
        prompt_token_ids: (),
        prompt_text: (),
        kv_transfer_params: (),
        ec_transfer_params: (),
        metrics: (),
    })
}

fn head(demo: &Demo, request: &HttpRequest, object: &'static str) -> Head {
    let asked = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let id = asked.map_or_else(|| format!("{:016x}", random()), str::to_owned);
    Head {
        id: format!("chatcmpl-{id}"),
        object,
        created: SystemClock.now().as_secs(),
        model: demo.model.clone(),
    }
}

/// The standard library's only source of randomness: the seed of a hash.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

const OWNER: &str = "tee-sidecar demo: a script, not a model";

//! Which web pages may call the public routes from a browser.

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, ORIGIN, RETRY_AFTER,
};

/// Pages of exactly these origins. There is no wildcard: credentials are allowed.
pub fn cors(origins: Vec<String>) -> Cors {
    Cors::default()
        .allowed_origin_fn(move |origin, _| {
            origins.iter().any(|o| o.as_bytes() == origin.as_bytes())
        })
        .allowed_methods([Method::GET, Method::POST])
        .allowed_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE, ORIGIN])
        .allowed_headers([
            "x-requested-with",
            "x-request-id",
            "idempotency-key",
            "x-receipt-checkpoints",
            "x-api-key",
            "anthropic-version",
        ])
        .expose_headers([CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER])
        .expose_headers(OURS.map(HeaderName::from_static))
        .supports_credentials()
        .max_age(AGE_SECS_MAX)
}

const OURS: [&str; 6] = [
    "zg-res-key",
    "provider",
    "x-receipt-id",
    "x-request-id",
    "x-aci-version",
    "x-aci-keyset-digest",
];
/// Twelve hours.
const AGE_SECS_MAX: usize = 43_200;

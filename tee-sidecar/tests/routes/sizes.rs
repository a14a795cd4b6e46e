//! How long a body may be: each route has its own limit, or the one of all.

use broker_core::{LedgerReader, UserId};
use tee_sidecar::route::Route;

use crate::support::*;

const ANSWER: &str =
    r#"{"choices":[],"data":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

/// A body of so many bytes that each of the routes below takes.
fn body_of(bytes: usize) -> String {
    let (head, tail) = (r#"{"messages":[],"input":"x","query":"x","documents":[],"pad":""#, "\"}");
    format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len()))
}

// 413 comes before anything is held, forwarded or kept in memory.
#[test]
fn a_body_beyond_its_route_s_limit_is_refused_before_anything_is_held() {
    const ALL: usize = 1000;
    let engine = answering(ANSWER);
    let sidecar = Sidecar::with(&engine, |settings| {
        settings.limits.request_bytes_max = ALL;
        settings.limits.route_bytes_max = vec![(Route::Chat, 300), (Route::Rerank, 4000)];
        // A place that is not given back is missed.
        settings.limits.concurrent_max = 1;
    });
    let mut forwarded = 0;
    for (route, max) in [(Route::Chat, 300), (Route::Rerank, 4000), (Route::Embeddings, ALL)] {
        for prefix in ["/v1/", "/v1/proxy/"] {
            let path = format!("{prefix}{}", route.name());
            let taken = post(sidecar.addr, &path, &[], body_of(max));
            assert_ne!(taken.status, 413, "{path}: {}", taken.text());
            forwarded += 1;
            assert_eq!(engine.requests(), forwarded, "{path}");
            let long = body_of(max + 1);
            let refused = post(sidecar.addr, &path, &[], &long);
            assert_eq!((refused.status, refused.error_type().as_str()), (413, "payload_too_large"));
            assert!(refused.text().contains(&max.to_string()), "{}", refused.text());
            // In pieces, so that nothing announces how long it is.
            let mut conn = Conn::open(sidecar.addr);
            conn.send_chunked(&path, format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len()).as_bytes());
            assert_eq!(conn.response().status, 413, "{path}");
            let receipt = sidecar.receipt(&refused.receipt());
            assert_eq!((receipt.outcome.as_str(), receipt.fee.get()), ("refused", 0));
        }
    }
    assert_eq!(engine.requests(), forwarded);
    let account = sidecar.reader().account(&UserId::named("open")).unwrap();
    assert!(account.held.is_zero());
    sidecar.audit_is_clean();
}

#[test]
fn an_estimate_takes_what_chat_takes() {
    let engine = answering(ANSWER);
    let sidecar = Sidecar::with(&engine, |settings| {
        settings.limits.route_bytes_max = vec![(Route::Chat, 300)];
    });
    assert_eq!(post(sidecar.addr, "/v1/estimate", &[], body_of(300)).status, 200);
    assert_eq!(post(sidecar.addr, "/v1/estimate", &[], body_of(301)).status, 413);
}

//! Which routes there are.

use tee_sidecar::route::Route;

use crate::support::{Sidecar, all_routes, answering, get, post};

#[test]
fn a_route_that_the_host_left_out_is_not_there_and_nothing_reaches_the_engine() {
    let engine = answering("{}");
    let sidecar = Sidecar::with(&engine, |settings| settings.service.routes = vec![Route::Chat]);
    for route in Route::ALL {
        if route == Route::Chat {
            continue;
        }
        let proxied = format!("/v1/proxy/{}", route.name());
        for path in [route.path(), proxied.as_str()] {
            for answer in [post(sidecar.addr, path, &[], "{}"), get(sidecar.addr, path, &[])] {
                assert_eq!(answer.status, 404, "{path}: {}", answer.text());
                assert_eq!(answer.header("x-receipt-id"), None, "{path}");
            }
        }
        let text = post(sidecar.addr, route.path(), &[], "{}").text();
        assert!(text.contains("is not served here"), "{text}");
    }
    assert_eq!(engine.requests(), 0);
}

#[test]
fn what_nobody_asked_for_is_what_engines_count_in_tokens() {
    let engine = answering("{}");
    let sidecar = Sidecar::start(&engine);
    for route in Route::ALL {
        let status = post(sidecar.addr, route.path(), &[], "{}").status;
        let served = Route::BY_DEFAULT.contains(&route);
        assert_eq!(status, if served { 400 } else { 404 }, "{route:?}");
    }
}

#[test]
fn a_path_beside_the_list_is_not_there_although_the_engine_may_have_it() {
    let engine = answering("{}");
    let sidecar = all_routes(&engine);
    for path in [
        "/tokenize",
        "/v2/rerank",
        "/v1/messages/count_tokens",
        "/v1/responses/resp_1",
        "/v1/responses/resp_1/cancel",
        "/v1/chat/completions/render",
        "/v1/audio/translations",
        "/v1/load_lora_adapter",
        "/pooling",
        "/v1/proxy/pooling",
        "/v1/proxy/v1/images",
    ] {
        assert_eq!(post(sidecar.addr, path, &[], "{}").status, 404, "{path}");
    }
    assert_eq!(engine.requests(), 0);
}

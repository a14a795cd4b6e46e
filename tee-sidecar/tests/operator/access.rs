//! Who may reach the operator's routes. (R4)

use std::net::SocketAddr;

use tee_sidecar::config::Secret;

use super::support::{Sidecar, ask, chain, engine, seed_body};

const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/service"),
    ("GET", "/v1/service"),
    ("GET", "/v1/service/a"),
    ("PUT", "/v1/service/a"),
    ("DELETE", "/v1/service/a"),
    ("GET", "/v1/contract-service"),
    ("POST", "/v1/sync-service"),
    ("POST", "/v1/settle"),
    ("POST", "/v1/sync-account"),
    ("GET", "/v1/user"),
    ("GET", "/v1/user/0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    ("GET", "/v1/request"),
    ("GET", "/metrics"),
];

#[test]
fn no_operators_route_is_on_the_public_port() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine("e", "tiny");
    let sidecar = Sidecar::start(folder.path(), &chain(), engine, |_| {});
    for (method, path) in ROUTES {
        for path in [(*path).to_owned(), format!("{path}?a=1"), format!("{path}/")] {
            let json = [("content-type", "application/json")];
            let answer = ask(sidecar.public, method, &path, &json, &seed_body(engine));
            assert!([400, 401, 404].contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
    assert!(sidecar.chain.service_now().is_none());
}

#[test]
fn beyond_loopback_every_route_asks_for_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine("e", "tiny");
    let sidecar = Sidecar::start(folder.path(), &chain(), engine, |settings| {
        settings.server.admin_listen = SocketAddr::from(([0, 0, 0, 0], 0));
        settings.server.allow_plain_http = true;
        settings.admin_token = Some(Secret::new("right".to_owned()));
    });
    let tokens = ["", "Bearer", "Bearer wrong", "Bearer right2", "Bearer righ", "Basic right"];
    for (method, path) in ROUTES {
        for token in tokens {
            let headers = [("authorization", token), ("content-type", "application/json")];
            let answer = ask(sidecar.admin, method, path, &headers, &seed_body(engine));
            assert_eq!(answer.status, 401, "{method} {path} {token}: {answer:?}");
            assert!(answer.error().contains("admin.token"), "{answer:?}");
        }
    }
    assert!(sidecar.chain.service_now().is_none());
    let headers = [("authorization", "Bearer right"), ("content-type", "application/json")];
    let answer = ask(sidecar.admin, "POST", "/v1/service", &headers, &seed_body(engine));
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(ask(sidecar.admin, "GET", "/metrics", &headers[..1], "").status, 200);
}

#[test]
fn a_registration_of_another_type_or_method_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine("e", "tiny");
    let sidecar = Sidecar::start(folder.path(), &chain(), engine, |_| {});
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let headers = [("content-type", kind)];
        let answer = ask(sidecar.admin, "POST", "/v1/service", &headers, &seed_body(engine));
        assert_eq!(answer.status, 400, "{kind}: {answer:?}");
        assert!(answer.error().contains("application/json"), "{answer:?}");
    }
    let answer = sidecar.admin("PATCH", "/v1/service", "");
    assert_eq!(answer.status, 405, "{answer:?}");
    let page = [("content-type", "application/json"), ("origin", "https://evil.example")];
    let answer = ask(sidecar.admin, "POST", "/v1/service", &page, &seed_body(engine));
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(sidecar.chain.service_now().is_none());
}

//! What web pages may do.

use broker_core::testing::{ONE, SimChain, SimOptions};

use crate::support::{CHAT, Conn, Response, World, ask, post};

const PAGE: &str = "https://app.example";

fn world() -> World {
    World::with(SimChain::new(SimOptions::default()), |settings| {
        settings.server.allow_origins = vec![PAGE.to_owned()];
    })
}

fn preflight(world: &World, origin: &str, method: &str, headers: &str) -> Response {
    let mut conn = Conn::open(world.sidecar.addr);
    let headers = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", headers),
    ];
    conn.send("OPTIONS", CHAT, &headers, b"");
    conn.response()
}

// R9: an origin is named, never a wildcard.
#[test]
fn a_page_of_a_named_origin_may_ask_and_no_other() {
    let world = world();
    let good = preflight(&world, PAGE, "POST", "authorization,content-type");
    assert_eq!(good.status, 200, "{}", good.head);
    assert_eq!(good.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(good.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(good.header("access-control-max-age"), Some("43200"));
    for (origin, method, headers) in [
        ("https://evil.example", "POST", "authorization"),
        ("https://app.example.evil.example", "POST", "authorization"),
        ("http://app.example", "POST", "authorization"),
        ("null", "POST", "authorization"),
        (PAGE, "DELETE", "authorization"),
        (PAGE, "POST", "x-other"),
    ] {
        let bad = preflight(&world, origin, method, headers);
        assert_eq!(bad.status, 400, "{origin} {method} {headers}");
        assert_eq!(bad.header("access-control-allow-origin"), None);
    }
    let user = world.user(1, ONE);
    let bearer = user.bearer();
    for (origin, allowed) in [(PAGE, Some(PAGE)), ("https://evil.example", None)] {
        let headers = [("authorization", bearer.as_str()), ("origin", origin)];
        let answer = post(world.sidecar.addr, CHAT, &headers, ask());
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert_ne!(answer.header("access-control-allow-origin"), Some("*"));
    }
    let headers = [("authorization", bearer.as_str()), ("origin", PAGE)];
    let answer = post(world.sidecar.addr, CHAT, &headers, ask());
    let exposed = answer.header("access-control-expose-headers").unwrap().to_lowercase();
    for name in ["zg-res-key", "provider", "content-type", "content-encoding"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

#[test]
fn without_named_origins_no_page_is_told_that_it_may() {
    let world = World::start();
    let answer = preflight(&world, PAGE, "POST", "authorization");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_ne!(answer.status, 200);
}

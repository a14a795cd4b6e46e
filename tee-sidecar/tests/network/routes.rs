//! Which spelling of a path reaches what.

use broker_core::testing::{ONE, SimChain, SimOptions};

use crate::support::{CHAT, Conn, MODEL, PREFIX, SOON, World, ask, flat, get, post, wait_until};

const NO_ENDPOINT: &str = "endpoint not supported";

/// Spellings of the chat, and paths that are near one.
const SPELLINGS: [&str; 44] = [
    CHAT,
    "/v1/proxy/chat/completions?x=1",
    "/v1/proxy/chat/completions/",
    "/v1/proxy/chat/completions//",
    "//v1/proxy/chat/completions",
    "/v1//proxy/chat/completions",
    "/v1/proxy//chat//completions",
    "/v1/proxy/v1/chat/completions",
    "/v1/proxy/v1/v1/chat/completions",
    "/v1/proxy/chat%2Fcompletions",
    "/v1%2Fproxy%2Fchat%2Fcompletions",
    "/v1/proxy/chat%252Fcompletions",
    "/v1/proxy/%63hat/completions",
    "/v1/proxy/%2563hat/completions",
    "/v1/proxy/CHAT/completions",
    "/V1/PROXY/chat/completions",
    "/v1/proxy/chat/completions;x=1",
    "/v1/proxy/chat;x/completions",
    "/v1/proxy/chat\\completions",
    "/v1/proxy/chat%5Ccompletions",
    "/v1/proxy/./chat/completions",
    "/v1/proxy/x/../chat/completions",
    "/v1/proxy/%2e%2e/proxy/chat/completions",
    "/v1/x/%2e%2e/proxy/chat/completions",
    "/v1/proxy/chat/completions/x",
    "/v1/proxy/chat/completions%00",
    "/v1/proxy/chat/completions%zz",
    "/v1/proxy/chat/completions%",
    "/v1/proxy/completions",
    "/v1/proxy/v1/completions",
    "/v1/proxy/messages",
    "/v1/proxy/embeddings",
    "/v1/proxy/images/generations",
    "/v1/proxy/attestation/../chat/completions",
    "/v1/proxy/signature/../chat/completions",
    "/v1/proxy/signature/x/chat/completions",
    "/v1/proxy/some-name/chat/completions",
    "/v1/proxy",
    "/v1/proxy/",
    "/v1/chat/completions",
    "/v1/chat/completions/",
    "/v1//chat/completions",
    "/chat/completions",
    "/v1/completions",
];

// R1: nothing reaches the engine without a token, whatever the path and the method.
#[test]
fn no_spelling_and_no_method_reaches_the_engine_without_a_token() {
    let world = World::start();
    for path in SPELLINGS {
        for method in ["POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "FOO"] {
            let mut conn = Conn::open(world.sidecar.addr);
            let length = ask().len().to_string();
            let headers = [("content-length", length.as_str()), ("connection", "close")];
            conn.send(method, path, &headers, ask().as_bytes());
            let status = conn.head().status;
            assert!(matches!(status, 400 | 401 | 404 | 405), "{method} {path}: {status}");
        }
    }
    assert!(world.engine.seen().is_empty());
    world.sidecar.audit_is_clean();
}

// R1: and with a token, nothing reaches it that is not charged.
#[test]
fn with_a_token_a_spelling_is_charged_or_refused() {
    let world = World::start();
    let user = world.user(1, ONE);
    let mut served = 0;
    for path in SPELLINGS {
        let answer = world.chat(path, &user.bearer());
        if answer.status == 200 {
            served += 1;
            assert_eq!(world.sidecar.receipt(&answer.receipt()).fee.get(), 40);
        } else if path.starts_with("/v1/proxy") {
            assert_eq!((answer.status, flat(&answer).as_str()), (400, NO_ENDPOINT));
        } else {
            assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        }
        assert_eq!(world.engine.seen().len(), served, "{path}");
    }
    assert_eq!(served, 12);
}

#[test]
fn what_is_free_is_found_behind_the_proxy_too() {
    let world = World::start();
    let addr = world.sidecar.addr;
    for path in ["/v1/proxy/attestation/report", "/v1/proxy/v1/attestation/report/?model=tiny"] {
        let report = get(addr, path, &[]);
        assert_eq!(report.status, 200, "{path}");
        assert_eq!(report.json()["signing_address"], world.service.tee_signer.to_string());
    }
    let missing = get(addr, "/v1/proxy/signature/none", &[]);
    let text = format!("{PREFIX}Chat id not found or expired, chat_id_not_found");
    assert_eq!((missing.status, flat(&missing)), (400, text));
    let missing = get(addr, "/v1/signature/none", &[]);
    assert_eq!((missing.status, missing.error_type().as_str()), (404, "not_found"));
    assert_eq!(missing.json()["error"]["code"], "chat_id_not_found");
    let wrong = post(addr, "/v1/proxy/attestation/report", &[], "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
}

#[test]
fn an_engine_s_id_is_found_by_its_user_s_token() {
    let world = World::start();
    let users = [world.user(1, ONE), world.user(2, ONE)];
    let ids = users.each_ref().map(|user| world.chat(CHAT, &user.bearer()).receipt());
    for (user, id) in users.iter().zip(&ids) {
        let found = world.get("/v1/proxy/signature/engine-1", user);
        assert_eq!(found.json()["receipt_id"], id.as_str());
    }
    // Two users hold it, so it says nothing about who asks.
    let missing = get(world.sidecar.addr, "/v1/proxy/signature/engine-1", &[]);
    assert_eq!(missing.status, 400);
    let bad = [("authorization", "Bearer app-sk-x")];
    let bad = get(world.sidecar.addr, "/v1/proxy/signature/engine-1", &bad);
    assert!(flat(&bad).contains("invalid base64"), "{}", bad.text());
}

#[test]
fn an_error_behind_the_proxy_has_0g_s_shape() {
    let world = World::start();
    let user = world.user(1, ONE);
    let bearer = user.bearer();
    let auth = [("authorization", bearer.as_str())];
    for (body, status, text) in [
        ("nonsense".to_owned(), 400, PREFIX.to_owned() + "the request body must be a JSON object"),
        (
            "{\"messages\":[],\"model\":\"other\"}".to_owned(),
            429,
            "the model 'other' is not served here; ask for 'tiny'".to_owned(),
        ),
        (
            "x".repeat(1024 * 1024 + 1),
            413,
            "the request body is longer than 1048576 bytes, the limit here".to_owned(),
        ),
    ] {
        let answer = post(world.sidecar.addr, CHAT, &auth, body);
        assert_eq!((answer.status, flat(&answer)), (status, text));
    }
    assert!(world.engine.seen().is_empty());
}

// The answer that an engine's failure becomes is signed as it leaves.
#[test]
fn an_error_of_the_engine_s_is_signed_in_the_shape_it_has() {
    let mut world = World::start();
    let user = world.user(1, ONE);
    assert_eq!(world.chat(CHAT, &user.bearer()).status, 200);
    world.engine.die();
    for (path, body) in
        [(CHAT, Some("{\"error\":\"Bad Gateway\"}")), ("/v1/chat/completions", None)]
    {
        let answer = world.chat(path, &user.bearer());
        assert_eq!(answer.status, 502);
        assert!(body.is_none_or(|body| answer.text() == body));
        world.sidecar.signature(&answer.receipt(), ask().as_bytes(), &answer.body);
    }
}

// Early clients put the service's name into their paths.
#[test]
fn the_registered_name_may_stand_in_front_of_a_route_and_no_other_may() {
    let world = World::with(SimChain::new(SimOptions::default()), |settings| {
        settings.service.serving_url = Some("http://127.0.0.1".into());
    });
    let registration = serde_json::json!({
        "URL": format!("http://{}", world.engine.addr), "Type": "chatbot", "Name": "llama-tee",
        "Model": MODEL, "inputPrice": 1, "outputPrice": 2,
    });
    let named = "/v1/proxy/llama-tee/chat/completions";
    let user = world.user(1, ONE);
    assert_eq!(world.chat(named, &user.bearer()).status, 400, "it has no name yet");
    let json = [("content-type", "application/json")];
    let registered = post(world.sidecar.admin, "/v1/service", &json, registration.to_string());
    assert_eq!(registered.status, 204, "{}", registered.text());
    world.chain.owner_acknowledges(true).unwrap();
    wait_until("the name counts", SOON, || world.chat(named, &user.bearer()).status == 200);
    assert_eq!(flat(&world.chat("/v1/proxy/other/chat/completions", &user.bearer())), NO_ENDPOINT);
    assert_eq!(post(world.sidecar.addr, named, &[], ask()).status, 400);
    assert_eq!(world.engine.seen().len(), 1);
}

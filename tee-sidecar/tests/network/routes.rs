//! Which spelling of a path reaches what.

use broker_core::testing::{ONE, SimChain, SimOptions};

use tee_sidecar::route::{Dialect, Route};

use crate::support::{
    CHAT, Conn, Engine, MODEL, PREFIX, SOON, Step, World, ask, flat, get, post, wait_until, whole,
};

const NO_ENDPOINT: &str = "endpoint not supported";

/// What routes with files take.
const FORM: &str = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n--x--\r\n";

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

/// Spellings of each route that are served, and spellings that are not.
const SERVED: [&str; 6] =
    ["/v1/N", "/v1/proxy/N", "/v1/proxy/v1/N", "/v1/proxy/N/", "//v1//proxy//N", "/v1/proxy/N?x=1"];
const NOT_SERVED: [&str; 8] = [
    "/N",
    "/v1/N/",
    "/v1/proxy/v1/v1/N",
    "/v1/proxy/N;x",
    "/v1/proxy/N/x",
    "/v1/proxy/N%00",
    "/v1/proxy/%2e%2e/proxy/N",
    "/v1/x/%2e%2e/proxy/N",
];

fn spellings() -> Vec<String> {
    let mut all: Vec<String> = SPELLINGS.map(str::to_owned).to_vec();
    for route in Route::ALL.into_iter().filter(|route| *route != Route::Chat) {
        let forms = SERVED.iter().chain(&NOT_SERVED);
        all.extend(forms.map(|form| form.replace('N', route.name())));
    }
    all
}

/// A request that every route takes, and an answer that is one on every route.
const ASK: &str = r#"{"messages":[],"prompt":"x","input":"x","query":"x","documents":["x"],
    "queries":"x","tokens":[1],"max_tokens":10}"#;
const ANSWER: &str = r#"{"choices":[],"content":[],"output":[],"data":[],"results":[],"tokens":[],
    "prompt":"","text":"","usage":{"prompt_tokens":20,"completion_tokens":10,"input_tokens":20,
    "output_tokens":10}}"#;

fn everything() -> World {
    let engine = Engine::start(|_| vec![Step::Raw(whole(200, ANSWER.as_bytes()))]);
    World::before(engine, SimChain::new(SimOptions::default()), |settings| {
        settings.service.routes = Route::ALL.to_vec();
    })
}

// R1: nothing reaches the engine without a token, whatever the path and the method.
#[test]
fn no_spelling_and_no_method_reaches_the_engine_without_a_token() {
    let world = everything();
    for path in spellings() {
        for method in ["POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "FOO"] {
            let mut conn = Conn::open(world.sidecar.addr);
            let length = ASK.len().to_string();
            let headers = [("content-length", length.as_str()), ("connection", "close")];
            conn.send(method, &path, &headers, ASK.as_bytes());
            let status = conn.head().status;
            assert!(matches!(status, 400 | 401 | 404 | 405), "{method} {path}: {status}");
        }
    }
    assert!(world.engine.seen().is_empty());
    world.sidecar.audit_is_clean();
}

// R1: and with a token, nothing reaches it that is not charged as its route is.
#[test]
fn with_a_token_a_spelling_is_charged_or_refused() {
    let world = everything();
    let user = world.user(1, ONE);
    let bearer = user.bearer();
    let form = ("content-type", "multipart/form-data; boundary=x");
    let mut served = 0;
    for path in spellings() {
        let headers = [("authorization", bearer.as_str()), form];
        let is_form = ["transcriptions", "edits", "variations"].iter().any(|n| path.contains(n));
        let body = if is_form { FORM } else { ASK };
        let answer = post(world.sidecar.addr, &path, &headers, body);
        if answer.status == 200 {
            served += 1;
            let receipt = world.sidecar.receipt(&answer.receipt());
            let endpoint = receipt.proof.unwrap().claims.endpoint;
            let (plain, name) = (path.replace("//", "/"), endpoint.trim_start_matches("/v1/"));
            assert!(plain.contains(name) || plain.contains('%'), "{path}: {endpoint}");
            let route = Route::ALL.into_iter().find(|route| route.path() == endpoint).unwrap();
            let fee = match route.dialect() {
                Dialect::Uncounted => 0,
                Dialect::Pooling => 20,
                _ => 40,
            };
            assert_eq!(receipt.fee.get(), fee, "{path}");
        } else if path.starts_with("/v1/proxy") {
            assert_eq!((answer.status, flat(&answer).as_str()), (400, NO_ENDPOINT));
        } else {
            assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        }
        assert_eq!(world.engine.seen().len(), served, "{path}");
    }
    // Twelve of the chat, six of others among its spellings, six of each other route.
    assert_eq!(served, 12 + 6 + 6 * 12);
}

// What the host has not switched on is not there for 0G's clients either.
#[test]
fn a_route_that_is_switched_off_is_no_endpoint_behind_the_proxy() {
    let world = World::start();
    let user = world.user(1, ONE);
    for route in Route::ALL.into_iter().filter(|route| !Route::BY_DEFAULT.contains(route)) {
        let answer = world.chat(&format!("/v1/proxy/{}", route.name()), &user.bearer());
        assert_eq!((answer.status, flat(&answer).as_str()), (400, NO_ENDPOINT), "{route:?}");
        assert_eq!(answer.header("x-receipt-id"), None);
    }
    // 0G's shape is kept on Anthropic's route too.
    let refused = post(world.sidecar.addr, "/v1/proxy/messages", &[], "{}");
    assert!(flat(&refused).starts_with(PREFIX), "{}", refused.text());
    assert!(world.engine.seen().is_empty());
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

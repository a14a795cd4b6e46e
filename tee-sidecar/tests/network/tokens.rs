//! Who is let in, by token.

use broker_core::testing::{Action, Fault, ONE, SimChain, SimOptions};

use crate::support::{CHAT, PREFIX, World, flat, get, post};

#[test]
fn a_user_s_token_is_served_everywhere_and_the_answer_says_who_served_it() {
    let world = World::start();
    let user = world.user(1, ONE);
    let persistent = user.token(|token| {
        token["tokenId"] = 7.into();
        token["expiresAt"] = 0.into();
    });
    for (count, path) in
        [CHAT, "/v1/proxy/v1/chat/completions", "/v1/chat/completions"].iter().enumerate()
    {
        for bearer in [user.bearer(), persistent.clone()] {
            let answer = world.chat(path, &bearer);
            assert_eq!(answer.status, 200, "{path} {}", answer.text());
            let id = answer.receipt();
            let provider = world.chain.options().provider.to_string();
            assert_eq!(answer.header("provider"), Some(provider.as_str()));
            assert_eq!(answer.header("x-accel-buffering"), Some("no"));
            let receipt = world.sidecar.receipt(&id);
            assert_eq!((receipt.user, receipt.fee.get()), (user.id, 40));
            let signature = format!("/v1/proxy/signature/{id}?model=tiny");
            let found = get(world.sidecar.addr, &signature, &[]);
            assert_eq!(found.json()["receipt_id"], id, "no token is needed");
        }
        assert_eq!(world.engine.seen().len(), 2 * (count + 1));
    }
    for seen in world.engine.seen() {
        assert!(!seen.head.to_lowercase().contains("authorization"), "{}", seen.head);
    }
    world.sidecar.audit_is_clean();
}

// R6, R8, and every rejection of the protocol, in both shapes of an error.
#[test]
fn every_other_token_is_refused_in_the_protocol_s_words() {
    let world = World::start();
    let user = world.user(1, ONE);
    for token in [3, 4] {
        world.chain.act(Action::RevokeToken { user: user.id, token }).unwrap();
    }
    let good = user.bearer();
    let encoded = good.strip_prefix("Bearer app-sk-").unwrap();
    let flipped = good.replacen("ey", "eY", 1);
    let missing = "missing or invalid Authorization header, must be Bearer \
                   app-sk-<base64(rawMessage:signature)>";
    for (bearer, text) in [
        (String::new(), missing),
        (encoded.to_owned(), missing),
        (format!("Bearer {encoded}"), missing),
        (good.trim_end_matches('=').to_owned() + "!", "invalid base64 in Authorization header"),
        (
            "Bearer app-sk-e30=".to_owned(),
            "invalid Authorization payload, expect base64(rawMessage:signature)",
        ),
        (user.sign("{}"), "invalid session token format in Authorization"),
        (flipped, "invalid session token format in Authorization"),
        (
            user.token(|token| token["provider"] = token["address"].clone()),
            "session token is for different provider",
        ),
        (
            user.token(|token| token["expiresAt"] = 0.into()),
            "ephemeral token must have an expiration time",
        ),
        (
            user.token(|token| {
                token["expiresAt"] = (token["timestamp"].as_u64().unwrap() + 90_000_000).into();
            }),
            "ephemeral token duration cannot exceed 24 hours",
        ),
        (user.token(|token| token["expiresAt"] = 1000.into()), "session token expired"),
        (
            user.token(|token| token["generation"] = 1.into()),
            "invalid session token (future generation)",
        ),
        (user.token(|token| token["tokenId"] = 3.into()), "session token has been revoked"),
        (
            user.token(|token| token["address"] = "0x".to_owned().into()),
            "invalid session token format in Authorization",
        ),
        (
            world.user(2, 0).token(|token| token["address"] = user.address.to_string().into()),
            "signature verification failed: address mismatch",
        ),
    ] {
        let answer = world.chat(CHAT, &bearer);
        assert_eq!((answer.status, flat(&answer)), (400, format!("{PREFIX}{text}")), "{bearer}");
        answer.receipt();
        let answer = world.chat("/v1/chat/completions", &bearer);
        assert_eq!((answer.status, answer.error_type().as_str()), (401, "unauthorized"));
        assert_eq!(answer.json()["error"]["message"], text);
    }
    let without = post(world.sidecar.addr, CHAT, &[], "{}");
    assert_eq!((without.status, flat(&without)), (400, format!("{PREFIX}{missing}")));
    assert!(world.engine.seen().is_empty());
}

#[test]
fn a_generation_that_was_revoked_is_refused_and_the_next_one_is_served() {
    let world = World::start();
    let user = world.user(1, ONE);
    world.chain.act(Action::RevokeAll { user: user.id }).unwrap();
    let answer = world.chat(CHAT, &user.bearer());
    let text = format!("{PREFIX}session token has been revoked (generation expired)");
    assert_eq!((answer.status, flat(&answer)), (400, text));
    let next = user.token(|token| token["generation"] = 1.into());
    assert_eq!(world.chat(CHAT, &next).status, 200);
}

// R13: a node that is down says nothing about anybody's account.
#[test]
fn where_the_chain_cannot_be_asked_nobody_is_refused_for_good() {
    let world = World::with(SimChain::new(SimOptions::default()), |settings| {
        settings.settlement.every_secs = 3600;
    });
    let (known, unknown) = (world.user(1, ONE), world.user(2, ONE));
    assert_eq!(world.chat(CHAT, &known.bearer()).status, 200);
    world.chain.inject(Fault::Down(u32::MAX));
    let answer = world.chat(CHAT, &unknown.bearer());
    assert_eq!((answer.status, flat(&answer).as_str()), (503, "Service Unavailable"));
    assert!(answer.header("retry-after").is_some());
    let answer = world.chat("/v1/chat/completions", &unknown.bearer());
    assert!(answer.text().contains("the chain cannot be asked"), "{}", answer.text());
    // A forged token is not worth a question to the chain.
    let forged = unknown.token(|token| token["address"] = known.address.to_string().into());
    let answer = world.chat(CHAT, &forged);
    let text = format!("{PREFIX}signature verification failed: address mismatch");
    assert_eq!((answer.status, flat(&answer)), (400, text));
    let forged = known.token(|token| token["address"] = unknown.address.to_string().into());
    assert_eq!(world.chat(CHAT, &forged).status, 400);
    // What is known is still good for its time.
    assert_eq!(world.get("/v1/user/x/unsettledfee", &known).status, 400);
    world.chain.calm();
}

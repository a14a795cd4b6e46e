//! What the operator reads: users, requests, metrics.

use super::support::{Sidecar, chain, engine, seed_body, wait_until};

#[test]
fn users_requests_and_metrics_tell_what_was_charged() {
    let folder = tempfile::tempdir().unwrap();
    let old = engine("old", "tiny");
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    // Above what a float holds exactly.
    let price = "9007199254740993";
    let body = seed_body(old).replace("100000", price);
    assert_eq!(sidecar.admin("POST", "/v1/service", &body).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    for _ in 0..3 {
        assert_eq!(sidecar.chat("tiny").status, 200);
    }
    let fee = 10 * 9_007_199_254_740_993_u128 + 5 * 200_000;

    let page = sidecar.admin("GET", "/v1/request?processed=false&limit=2&offset=1", "");
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains(&format!("\"fee\":{}}}", 3 * fee)), "{}", page.body);
    let page = page.json();
    assert_eq!(page["metadata"]["total"], 3);
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["fee"], fee.to_string());
    assert_eq!((&items[0]["inputCount"], &items[0]["outputCount"]), (&10.into(), &5.into()));
    assert_eq!(
        (&items[0]["processed"], &items[0]["serviceName"]),
        (&false.into(), &"llama8Bb".into())
    );
    let none = sidecar.admin("GET", "/v1/request?processed=true", "").json();
    assert_eq!((&none["metadata"]["total"], &none["fee"]), (&0.into(), &0.into()));
    for query in ["processed=1", "limit=-1", "limit=1001", "offset=x", "user=alice"] {
        let answer = sidecar.admin("GET", &format!("/v1/request?{query}"), "");
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert!(answer.error().starts_with("Provider: list request: "), "{answer:?}");
    }

    let users = sidecar.admin("GET", "/v1/user", "").json();
    let user = &users["items"][0];
    assert_eq!(users["metadata"]["total"], 1, "{users}");
    assert_eq!((&user["owed"], &user["held"]), (&(3 * fee).to_string().into(), &"0".into()));
    assert_eq!(user["frozen"], false);
    let path = format!("/v1/user/{}", user["user"].as_str().unwrap());
    assert_eq!(&sidecar.admin("GET", &path, "").json(), user);
    let stranger = format!("/v1/user/0x{}", "11".repeat(20));
    assert_eq!(sidecar.admin("GET", &stranger, "").status, 404);
    assert_eq!(sidecar.admin("GET", "/v1/user/alice", "").status, 400);
    assert_eq!(sidecar.admin("POST", "/v1/sync-account", "").status, 202);

    let metrics = sidecar.admin("GET", "/metrics", "");
    assert_eq!(metrics.status, 200);
    for line in [
        "tee_sidecar_settlement_gate_open 1.0\n",
        "tee_sidecar_users 1.0\n",
        "tee_sidecar_users_frozen 0.0\n",
        "tee_sidecar_settlement_problems 0.0\n",
        "tee_sidecar_vouchers_refused 0.0\n",
    ] {
        assert!(metrics.body.contains(line), "{line}: {}", metrics.body);
    }
    assert!(metrics.body.ends_with("# EOF\n"), "{}", metrics.body);
}

#[test]
fn readiness_and_metrics_say_why_paid_work_waits() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &chain(), engine("old", "tiny"), |_| {});
    wait_until("the chain was asked", || {
        let ready = sidecar.admin("GET", "/readyz", "");
        assert_eq!(ready.status, 503);
        ready.body.contains("register it with POST /v1/service")
    });
    let metrics = sidecar.admin("GET", "/metrics", "").body;
    assert!(metrics.contains("tee_sidecar_settlement_gate_open 0.0\n"), "{metrics}");
    assert!(metrics.contains("tee_sidecar_settlement_gate_reasons 1.0\n"), "{metrics}");
    let why = "tee_sidecar_settlement_obstacle{kind=\"no_service\"} 1\n";
    assert!(metrics.contains(why), "{metrics}");
}

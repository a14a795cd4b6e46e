//! Who gets a request, and who gets none.

use crate::support::*;

#[test]
fn equals_take_turns() {
    let engines = [quick(), quick(), quick()];
    let all: Vec<&Engine> = engines.iter().collect();
    let sidecar = before(&all);
    (0..12).for_each(|_| assert_eq!(ask(&sidecar).status, 200));
    assert_eq!(seen(&all), [4, 4, 4]);
    assert_eq!(readiness(&sidecar), (200, "null".to_owned()));
    sidecar.audit_is_clean();
}

#[test]
fn a_slow_engine_gets_less() {
    let (slow, fast) = (gated(), quick());
    let sidecar = before(&[&slow, &fast]);
    let mut waiting = Conn::open(sidecar.addr);
    waiting.send("POST", CHAT, &[], ASK.as_bytes());
    slow.wait_for_request();
    (0..10).for_each(|_| assert_eq!(ask(&sidecar).status, 200));
    assert_eq!(seen(&[&slow, &fast]), [1, 10]);
    let metrics = get(sidecar.admin, "/metrics", &[]).text();
    let line = "tee_sidecar_upstream_engine_in_flight{engine=\"1\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    slow.open_gate();
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn an_engine_with_another_model_or_context_gets_nothing_until_it_has_the_right_one() {
    for other in [models("other", 4096), models(MODEL, 8192), whole(200, b"<html>")] {
        let (right, wrong) = (quick(), quick());
        wrong.lists(other);
        let sidecar = before(&[&right, &wrong]);
        (0..6).for_each(|_| assert_eq!(ask(&sidecar).status, 200));
        assert_eq!(seen(&[&right, &wrong]), [6, 0]);
        let (status, notes) = readiness(&sidecar);
        assert_eq!(status, 200);
        assert!(notes.contains("model server 2 of 2 gets no requests: it "), "{notes}");
        assert!(!notes.contains("127.0.0.1") && !notes.contains("other\""), "{notes}");
        let metrics = get(sidecar.admin, "/metrics", &[]).text();
        for line in ["{engine=\"1\"} 1\n", "{engine=\"2\"} 0\n"] {
            assert!(metrics.contains(&format!("upstream_engine_up{line}")), "{metrics}");
        }
        wrong.lists(models(MODEL, 4096));
        wait_until("a well engine", SOON, || readiness(&sidecar).1 == "null");
        (0..4).for_each(|_| assert_eq!(ask(&sidecar).status, 200));
        assert_eq!(seen(&[&right, &wrong]), [8, 2]);
    }
}

#[test]
fn the_configured_model_decides_whatever_most_engines_serve() {
    let engines = [quick(), quick(), quick()];
    let [first, second, third] = &engines;
    first.lists(models("other", 4096));
    second.lists(models("other", 4096));
    let sidecar = Sidecar::with(first, |settings| {
        settings.upstream.urls = vec![url(second), url(third)];
        settings.upstream.model = Some(MODEL.to_owned());
    });
    (0..3).for_each(|_| assert_eq!(ask(&sidecar).status, 200));
    assert_eq!(seen(&[first, second, third]), [0, 0, 3]);
}

#[test]
fn without_a_well_engine_nothing_is_forwarded_and_readiness_says_of_each_what_it_has() {
    let (mut gone, wrong) = (quick(), quick());
    let sidecar = before(&[&gone, &wrong]);
    assert_eq!(ask(&sidecar).status, 200);
    gone.die();
    wrong.lists(models("other", 4096));
    // The one that answers says what is served now: it is well, and the model another one.
    wait_until("another model", SOON, || {
        get(sidecar.addr, "/v1/models", &[]).json()["data"][0]["id"] == "other"
    });
    wrong.lists(whole(500, b"{}"));
    wait_until("not ready", SOON, || readiness(&sidecar).0 == 503);
    let (_, notes) = readiness(&sidecar);
    for note in
        ["model server 1 of 2 gets requests last: it cannot be reached", "model server 2 of 2 gets"]
    {
        assert!(notes.contains(note), "{notes}");
    }
    let asked = post(sidecar.addr, CHAT, &[], r#"{"model":"other","messages":[]}"#);
    assert_eq!(asked.status, 502, "{}", asked.text());
    let receipt = sidecar.receipt(&asked.receipt());
    assert_eq!((receipt.outcome.as_str(), receipt.fee.get()), ("upstream_error", 0));
    assert_eq!(seen(&[&gone, &wrong]), [1, 0]);
}

//! Quotes of a guest under dstack, from an agent that a thread plays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use broker_core::Address;
use serde_json::{Value, json};
use tee_sidecar::attest::dstack::Agent;
use tee_sidecar::attest::{AttestError, Attester as _, DstackAttester, Platform};
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::evidence::tdx::TrustRoot;
use tee_sidecar::evidence::{Nonce32, ReportData};

use crate::fake_dstack::{Answer, FakeAgent, answer, good, good_json, ok};

fn report_data(byte: u8) -> ReportData {
    ReportData::ecdsa_and_nonce(Address([7; 20]), &Nonce32::from_bytes([byte; 32]))
}

/// The cause of an error of this call at this socket.
fn cause(error: &AttestError, expected_call: &str, expected_socket: &Path) -> String {
    let AttestError::Dstack { socket, call, cause } = error else { panic!("{error}") };
    assert_eq!((*call, socket.as_path()), (expected_call, expected_socket));
    cause.clone()
}

/// Why an agent that answers so gives no quote.
async fn no_quote(answer: impl Fn(&Value) -> Vec<u8> + Send + Sync + 'static) -> String {
    let folder = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(
        &folder.path().join("dstack.sock"),
        Box::new(move |call, asked| if call == "Info" { good(call, asked) } else { answer(asked) }),
    );
    let attester = DstackAttester::connect(agent.socket()).await.unwrap();
    let refused = attester.quote(&report_data(1)).await.unwrap_err();
    assert_eq!(agent.calls().len(), 2, "asked once, and nothing is asked again");
    cause(&refused, "GetQuote", &agent.socket())
}

/// Why an agent that says so of its guest is refused.
async fn no_info(answer: Answer) -> String {
    let folder = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(&folder.path().join("dstack.sock"), answer);
    let refused = DstackAttester::connect(agent.socket()).await.err().unwrap();
    cause(&refused, "Info", &agent.socket())
}

#[tokio::test]
async fn a_quote_comes_with_its_log_and_configuration_and_the_guest_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let agent = FakeAgent::good(&folder.path().join("dstack.sock"));
    let attester = DstackAttester::connect(agent.socket()).await.unwrap();
    let platform = SoftwarePlatform::new().unwrap();
    for byte in [3, 4] {
        let quote = attester.quote(&report_data(byte)).await.unwrap();
        assert_eq!(quote.bytes[568..632], *report_data(byte).as_bytes());
        let expected = platform.quote_now(&report_data(byte)).unwrap();
        assert_eq!(quote.event_log, expected.event_log);
        assert_eq!(quote.vm_config, expected.vm_config);
    }
    let calls = agent.calls();
    let expected = json!({"report_data": report_data(4).to_string()});
    assert_eq!(calls[0], ("Info".to_owned(), json!({})));
    assert_eq!(calls[2], ("GetQuote".to_owned(), expected));

    let info = attester.info();
    assert_eq!(info["tcb_info"], platform.info()["tcb_info"]);
    assert!(info["tcb_info"]["app_compose"].is_string());
    assert_eq!(info["vm_config"], platform.info()["vm_config"]);
    assert_eq!(info["app_id"], platform.info()["app_id"]);
    assert!(info.get("not_for_the_world").is_none());
    assert_eq!(attester.platform(), Platform::Dstack);
    assert!(matches!(attester.trust_root(), TrustRoot::Intel));
    assert!(attester.collateral().is_none());
}

#[tokio::test]
async fn an_agents_error_is_told_in_its_words_whatever_the_status() {
    for status in ["200 OK", "400 Bad Request", "500 Internal Server Error"] {
        let body = r#"{"error": "QGS is down\nreally"}"#;
        let cause = no_quote(move |_| answer(status, body)).await;
        assert!(cause.contains("QGS is down really") && cause.contains(&status[..3]), "{cause}");
    }
    for (status, body) in [("500 Oops", "<html>"), ("404 Not Found", ""), ("204 Nothing", "")] {
        let cause = no_quote(move |_| answer(status, body)).await;
        assert!(cause.contains(&status[..3]) && !cause.contains("html"), "{cause}");
    }
}

#[tokio::test]
async fn a_good_body_under_a_bad_status_is_no_quote() {
    let body = |asked: &Value| good_json("GetQuote", asked).to_string();
    for status in ["500 Oops", "201 Created", "206 Partial Content"] {
        let cause = no_quote(move |asked| answer(status, body(asked))).await;
        assert!(cause.contains(&status[..3]), "{cause}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let head = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /Other\r\nContent-Length: 0\r\n\r\n";
    let cause = no_quote(|_| head.as_bytes().to_vec()).await;
    assert!(cause.contains("307"), "{cause}");
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_no_quote() {
    let whole = |asked: &Value| ok(&good_json("GetQuote", asked));
    for kept in [0, 10, 60, 3000] {
        no_quote(move |asked| whole(asked)[..kept].to_vec()).await;
    }
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"quo\r\n";
    no_quote(|_| chunked.to_vec()).await;
    // Without a length, only the JSON itself tells that it was cut.
    let cause = no_quote(|asked| {
        let json = good_json("GetQuote", asked).to_string();
        [b"HTTP/1.1 200 OK\r\n\r\n", &json.as_bytes()[..json.len() - 1]].concat()
    });
    let cause = cause.await;
    assert!(cause.contains("ends early"), "{cause}");
}

#[tokio::test]
async fn an_answer_without_end_is_read_to_the_bound_only() {
    for head in ["Content-Length: 3000000", "Server: endless"] {
        let cause = no_quote(move |_| {
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            [head.into_bytes(), vec![b' '; 3_000_000]].concat()
        });
        let cause = cause.await;
        assert!(cause.contains("exceeds 2097152 bytes"), "{cause}");
    }
}

#[tokio::test]
async fn what_is_no_quote_for_this_report_data_is_refused_with_its_reason() {
    let other = report_data(2).to_string();
    let changes = [
        ("quote", json!(""), "does not run on TDX"),
        ("quote", json!("0xabcd"), "no hex"),
        ("quote", json!("abc"), "no hex"),
        ("quote", Value::Null, "another type"),
        ("quote", json!([1, 2]), "another type"),
        ("report_data", json!(other), "another report data"),
        ("report_data", json!(""), "another report data"),
        ("report_data", json!("00".repeat(63)), "another report data"),
        ("event_log", json!(""), "event_log"),
        ("event_log", json!("{}"), "event_log"),
        ("event_log", json!([]), "another type"),
        ("vm_config", json!({}), "another type"),
    ];
    for (field, value, reason) in changes {
        let told = format!("{field} {value}");
        let cause = no_quote(move |asked| {
            let mut json = good_json("GetQuote", asked);
            json[field] = value.clone();
            ok(&json)
        });
        let cause = cause.await;
        assert!(cause.contains(reason), "{told}: {cause}");
    }
    for field in ["quote", "report_data", "event_log"] {
        let cause = no_quote(move |asked| {
            let mut json = good_json("GetQuote", asked);
            json.as_object_mut().unwrap().remove(field);
            ok(&json)
        });
        let cause = cause.await;
        assert!(cause.contains("missing"), "{field}: {cause}");
    }
    for body in ["", "null", "[]", "{}", "7", "\"quote\"", &"[".repeat(100_000)] {
        let body = body.to_owned();
        let cause = no_quote(move |_| answer("200 OK", &body)).await;
        assert!(cause.contains("not the expected JSON"), "{cause}");
    }
}

#[tokio::test]
async fn an_older_agent_without_a_configuration_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let older = |call: &str, asked: &Value| {
        let mut json = good_json(call, asked);
        json.as_object_mut().unwrap().remove("vm_config");
        ok(&json)
    };
    let agent = FakeAgent::start(&folder.path().join("dstack.sock"), Box::new(older));
    let attester = DstackAttester::connect(agent.socket()).await.unwrap();
    assert_eq!(attester.info()["vm_config"], "");
    assert_eq!(attester.quote(&report_data(1)).await.unwrap().vm_config, "");
}

#[tokio::test]
async fn a_guest_that_is_not_described_is_refused() {
    for (field, value, reason) in [
        ("tcb_info", json!(""), "tcb_info"),
        ("tcb_info", json!("{"), "tcb_info"),
        ("tcb_info", json!("[]"), "app_compose"),
        ("tcb_info", json!("{}"), "app_compose"),
        ("tcb_info", json!(r#"{"app_compose": {}}"#), "app_compose"),
        ("tcb_info", json!({"app_compose": ""}), "in a string"),
        ("tcb_info", Value::Null, "in a string"),
        ("vm_config", json!({}), "vm_config"),
    ] {
        let cause = no_info(Box::new(move |call, asked| {
            let mut json = good_json(call, asked);
            json[field] = value.clone();
            ok(&json)
        }));
        let cause = cause.await;
        assert!(cause.contains(reason), "{field}: {cause}");
    }
    let cause = no_info(Box::new(|_, _| answer("200 OK", "[]"))).await;
    assert!(cause.contains("not the expected JSON"), "{cause}");
    let cause = no_info(Box::new(|_, _| ok(&json!({"error": "locked"})))).await;
    assert!(cause.contains("locked"), "{cause}");
}

#[tokio::test]
async fn a_slow_agent_is_given_up_and_the_next_call_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Box::new(|call: &str, asked: &Value| {
        if asked["report_data"] == report_data(9).to_string() {
            thread::sleep(Duration::from_secs(60));
        }
        good(call, asked)
    });
    let agent = FakeAgent::start(&folder.path().join("dstack.sock"), slow);
    let client = Agent::new(agent.socket()).unwrap().with_patience(Duration::from_secs(3));
    let attester = DstackAttester::over(Arc::new(client)).await.unwrap();
    let started = Instant::now();
    let refused = attester.quote(&report_data(9)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(cause(&refused, "GetQuote", &agent.socket()), "no answer within 3000 ms");
    let quote = attester.quote(&report_data(8)).await.unwrap();
    assert_eq!(quote.bytes[568..632], *report_data(8).as_bytes());
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let agent = FakeAgent::good(&folder.path().join("dstack.sock"));
    let attester = DstackAttester::connect(agent.socket()).await.unwrap();
    for byte in 0..100 {
        let report_data = report_data(byte);
        let call = attester.quote(&report_data);
        let _ = tokio::time::timeout(Duration::from_millis(u64::from(byte % 4)), call).await;
    }
    let quote = attester.quote(&report_data(200)).await.unwrap();
    assert_eq!(quote.bytes[568..632], *report_data(200).as_bytes());
}

#[tokio::test]
async fn a_socket_that_is_missing_or_dead_or_none_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    drop(std::os::unix::net::UnixListener::bind(at("dead")).unwrap());
    std::fs::create_dir(at("folder")).unwrap();
    let long = PathBuf::from("/").join("x".repeat(200));
    for (socket, remedy) in [
        (at("missing"), "mount the guest agent's socket"),
        (at("dead"), "does the guest agent run"),
        (at("folder"), "Docker"),
        (long, ""),
    ] {
        let refused = DstackAttester::connect(socket.clone()).await.err().unwrap();
        let cause = cause(&refused, "Info", &socket);
        assert!(cause.contains(remedy), "{cause}");
    }
}

//! Reports fetched from a server, who may be anybody.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Url;
use serde_json::Value;
use tee_sidecar::attest::ReportQuery;
use tee_sidecar::auditor::{Failure, Served, audit_served};
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;

use crate::support::{
    Desk, Judged, NONCE, identities, report, runtime, served_report, service, signer,
};

/// The head of one request: its target, and its header lines in lower case up to the colon.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) headers: Vec<String>,
}

impl Request {
    pub(crate) fn read(stream: impl std::io::Read) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        let head = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
        let headers = head.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some(format!("{}:{value}", name.to_lowercase()))
        });
        let headers = headers.collect();
        Some(Self { target: first.split(' ').nth(1)?.to_owned(), headers })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// What a server understands that does as it is asked.
    pub(crate) fn query(&self) -> ReportQuery {
        let url = Url::parse(&format!("http://a.example{}", self.target)).unwrap();
        let value = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        ReportQuery {
            nonce: value("nonce"),
            binding: value("binding"),
            include_tls_fingerprint: value("include_tls_fingerprint"),
            ..ReportQuery::default()
        }
    }
}

type Asked = Arc<Mutex<Vec<Request>>>;

/// A server in a thread, which notes what it is asked for.
fn serve(answer: impl Fn(&Request, &mut TcpStream) + Send + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Asked::default();
    let notes = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(request) = Request::read(stream.try_clone().unwrap()) else { continue };
            notes.lock().unwrap().push(request.clone());
            answer(&request, &mut stream);
        }
    });
    (addr, asked)
}

/// A server that answers with status 200.
fn serve_body(body: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> (SocketAddr, Asked) {
    serve(move |request, stream| stream.write_all(&whole("200 OK", "", &body(request))).unwrap())
}

pub(crate) fn whole(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn genuine(request: &Request) -> Vec<u8> {
    served_report(&request.query(), None)
}

/// Whatever was asked for, a report with another nonce that is good otherwise.
fn replayed(_: &Request) -> Vec<u8> {
    report(None).to_string().into_bytes()
}

fn plain(addr: SocketAddr) -> Served {
    let url = format!("http://{addr}");
    Served { url, binding_v2: false, tls: false, bearer: None, save: None }
}

/// An auditor who leaves the nonce to the program.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.options.nonce = None;
    desk
}

fn judge(served: &Served) -> Judged {
    Judged(audit_served(served, &desk().options))
}

#[test]
fn a_server_that_answers_the_fresh_nonce_is_proved_and_each_nonce_is_another() {
    let (addr, asked) = serve_body(genuine);
    for binding_v2 in [false, true] {
        let judged = judge(&Served { binding_v2, ..plain(addr) });
        judged.proved();
        assert!(judged.checks(CheckResult::Proved).contains(&"nonce"));
    }
    let asked = asked.lock().unwrap();
    let nonces: Vec<_> = asked.iter().map(|one| one.query().nonce.unwrap()).collect();
    assert!(nonces.iter().all(|nonce| nonce.len() == 64));
    assert_ne!(nonces[0], nonces[1]);
    let query = format!("?nonce={}", nonces[0]);
    assert_eq!(asked[0].target, format!("/v1/attestation/report{query}"));
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(asked[1].query().binding.as_deref(), Some("v2"));
}

#[test]
fn a_nonce_of_the_auditors_own_is_what_the_server_is_asked_for() {
    let (addr, asked) = serve_body(genuine);
    Judged(audit_served(&plain(addr), &Desk::new().options)).proved();
    assert_eq!(asked.lock().unwrap()[0].query().nonce.as_deref(), Some(NONCE));
}

#[test]
fn a_server_that_replays_an_old_report_is_refuted() {
    let (addr, _) = serve_body(replayed);
    judge(&plain(addr)).refuted_by(&["nonce"]);
    let (addr, _) = serve_body(|request| {
        let mut old = report(None);
        old["request_nonce"] = Value::from(request.query().nonce);
        old.to_string().into_bytes()
    });
    let judged = judge(&plain(addr));
    judged.refuted_by(&["report_data", "gpu.nonce", "gpu0.nonce"]);
}

#[test]
fn a_server_is_asked_for_its_aci_report_where_the_address_names_it() {
    let answer = |request: &Request, replay: bool| {
        let nonce = request.query().nonce.filter(|_| !replay);
        let reports = service(Arc::new(signer()), identities(2), None);
        let report = reports.aci_report_for(nonce.as_deref(), None);
        runtime().block_on(report).unwrap().to_vec()
    };
    let named = |addr| Served { url: format!("http://{addr}/v1/aci/attestation"), ..plain(addr) };
    let (addr, asked) = serve_body(move |request| answer(request, false));
    judge(&named(addr)).proved();
    let target = asked.lock().unwrap().pop().unwrap().target;
    assert!(target.starts_with("/v1/aci/attestation?nonce="), "{target}");
    let unbound = judge(&Served { binding_v2: true, ..named(addr) });
    assert_eq!(unbound.checks(CheckResult::Missing), ["binding"]);
    let (addr, _) = serve_body(move |request| answer(request, true));
    let replayed = judge(&named(addr));
    assert!(replayed.checks(CheckResult::Refuted).contains(&"nonce"), "{:#?}", replayed.0);
}

#[test]
fn a_server_that_ignores_the_binding_has_not_proved_it() {
    let (addr, _) = serve_body(|request| {
        let query = ReportQuery { binding: None, ..request.query() };
        served_report(&query, None)
    });
    let judged = judge(&Served { binding_v2: true, ..plain(addr) });
    assert_eq!(judged.checks(CheckResult::Missing), ["binding"], "{:#?}", judged.0);
    assert_eq!(judged.exit(), Exit::Missing);
    judge(&plain(addr)).proved();
}

#[test]
fn a_tls_key_cannot_be_proved_over_a_connection_without_tls() {
    let (silent, _) = serve_body(|request| {
        let query = ReportQuery { include_tls_fingerprint: None, ..request.query() };
        served_report(&query, None)
    });
    // A fingerprint that nobody can compare with anything.
    let own = broker_core::Digest32::sha256(b"any key");
    let (naming, _) = serve_body(move |request| served_report(&request.query(), Some(own)));
    for addr in [silent, naming] {
        let judged = judge(&Served { tls: true, ..plain(addr) });
        assert!(matches!(judged.exit(), Exit::Missing | Exit::Usage), "{:#?}", judged.0);
    }
}

#[test]
fn the_saved_report_is_the_servers_to_the_byte_and_no_file_is_overwritten() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let kept = sent.clone();
    let (addr, _) = serve_body(move |request| {
        let body = [&genuine(request)[..], b"\r\n \n"].concat();
        kept.lock().unwrap().push(body.clone());
        body
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.json");
    let served = Served { save: Some(path.clone()), ..plain(addr) };
    judge(&served).proved();
    assert!(std::fs::read(&path).unwrap() == sent.lock().unwrap()[0]);

    let again = judge(&served);
    assert_eq!(again.exit(), Exit::Failed);
    assert!(again.0.unwrap_err().to_string().contains("kept.json"));
    assert!(std::fs::read(&path).unwrap() == sent.lock().unwrap()[0]);
}

#[test]
fn what_refutes_a_server_is_kept_as_well() {
    for body in [&b"<html>"[..], b"\xff\x00", b""] {
        let (addr, _) = serve_body(move |_| body.to_vec());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.json");
        let judged = judge(&Served { save: Some(path.clone()), ..plain(addr) });
        assert_eq!(judged.exit(), Exit::Malformed, "{:?}", judged.0);
        assert_eq!(std::fs::read(&path).unwrap(), body);
    }
}

#[test]
fn a_bearer_token_is_sent_without_the_space_around_it() {
    let (addr, asked) = serve_body(genuine);
    let desk = desk();
    let token = |text: &[u8]| Served { bearer: Some(desk.file("token", text)), ..plain(addr) };
    judge(&token(b" a.b-c \r\n")).proved();
    let sent = asked.lock().unwrap().pop().unwrap();
    assert_eq!(sent.header("authorization"), Some("Bearer a.b-c"));

    let absent = Served { bearer: Some("no/such/token".into()), ..plain(addr) };
    assert_eq!(judge(&absent).exit(), Exit::Missing);
    let smuggled = judge(&token(b"a\r\nx-other: b"));
    assert!(smuggled.0.is_err());
    assert!(!format!("{:?}", smuggled.0).contains("x-other"), "{:?}", smuggled.0);
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn only_a_plain_200_is_an_answer() {
    for status in [
        "201 Created",
        "206 Partial Content",
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let (addr, _) = serve(move |request, stream| {
            stream.write_all(&whole(status, "", &genuine(request))).unwrap();
        });
        let judged = judge(&plain(addr));
        assert_eq!(judged.exit(), Exit::Missing, "{status}: {:?}", judged.0);
        let Err(Failure::Unreachable(why)) = judged.0 else { panic!("{status}") };
        assert!(why.contains(&status[..3]) && !why.contains("nonce="), "{why}");
    }
}

#[test]
fn nobody_is_sent_on_to_another_server() {
    let (elsewhere, asked) = serve_body(genuine);
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 T", "308 P"] {
        let (addr, _) = serve(move |request, stream| {
            let location = format!("location: http://{elsewhere}{}\r\n", request.target);
            stream.write_all(&whole(status, &location, &genuine(request))).unwrap();
        });
        assert_eq!(judge(&plain(addr)).exit(), Exit::Missing, "{status}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    for framing in ["content-length: 1099511627776", "transfer-encoding: chunked"] {
        let written = Arc::new(AtomicUsize::new(0));
        let (count, is_chunked) = (written.clone(), framing.ends_with("chunked"));
        let (addr, _) = serve(move |_, stream| {
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let spaces = vec![b' '; 0x1_0000];
            while count.load(Ordering::SeqCst) < ENDLESS_BYTES {
                let chunk = [&b"10000\r\n"[..], &spaces[..], b"\r\n"].concat();
                let piece = if is_chunked { &chunk[..] } else { &spaces[..] };
                if stream.write_all(piece).is_err() {
                    return;
                }
                count.fetch_add(spaces.len(), Ordering::SeqCst);
            }
        });
        let judged = judge(&plain(addr));
        assert!(matches!(judged.exit(), Exit::Missing | Exit::Malformed), "{:?}", judged.0);
        let written = written.load(Ordering::SeqCst);
        assert!(written < ENDLESS_BYTES / 2, "{framing}: {written} bytes were taken");
    }
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    for framing in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let (addr, _) = serve(move |request, stream| {
            let (head, body) = (format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"), genuine(request));
            // As one chunk it is whole, and only the end is not there.
            let size = format!("{:x}\r\n", body.len());
            let size = if framing.ends_with("chunked") { size.as_bytes() } else { b"" };
            let end: &[u8] = if size.is_empty() { b"" } else { b"\r\n" };
            stream.write_all(&[head.as_bytes(), size, &body, end].concat()).unwrap();
        });
        let judged = judge(&plain(addr));
        assert_eq!(judged.exit(), Exit::Missing, "{framing}: {:?}", judged.0);
        assert!(judged.0.is_err());
    }
    let (addr, _) = serve(|_, _| {});
    assert_eq!(judge(&plain(addr)).exit(), Exit::Missing);
    let (addr, _) = serve(|_, stream| stream.write_all(b"220 mail.example ESMTP\r\n").unwrap());
    assert_eq!(judge(&plain(addr)).exit(), Exit::Missing);
}

#[test]
fn json_that_is_no_report_is_malformed() {
    for body in [&b"[]"[..], b"{}", b"null", b"\"\"", br#"{"error":{"message":"no"}}"#] {
        let (addr, _) = serve_body(move |_| body.to_vec());
        let judged = judge(&plain(addr));
        assert_eq!(judged.exit(), Exit::Malformed, "{:?}", judged.0);
    }
}

#[test]
fn an_address_that_names_a_report_is_asked_as_it_stands() {
    let (addr, asked) = serve_body(genuine);
    for path in ["/attestation/report", "/v1/attestation/report", "/a/b/attestation/report"] {
        judge(&Served { url: format!("http://{addr}{path}"), ..plain(addr) }).proved();
        let target = asked.lock().unwrap().pop().unwrap().target;
        assert!(target.starts_with(&format!("{path}?nonce=")), "{target}");
    }
    let url = format!("http://{addr}/attestation/report?model=m");
    judge(&Served { url, ..plain(addr) }).proved();
    let target = asked.lock().unwrap().pop().unwrap().target;
    assert!(target.starts_with("/attestation/report?model=m&nonce="), "{target}");
}

/// Far more than is read, and than sockets hold on their way.
const ENDLESS_BYTES: usize = 256 * 1024 * 1024;

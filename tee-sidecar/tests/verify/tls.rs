//! Reports over TLS: whose certificate counts, and that the bound key is the connection's own.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker_core::Digest32;
use rcgen::{CertifiedKey, KeyPair, PublicKeyData as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tee_sidecar::attest::ReportQuery;

use crate::served::{Request, whole};
use crate::support::{Desk, NOW_SECS, served_report};

#[test]
fn a_certificate_that_no_authority_signed_ends_the_connection_before_anything_is_asked() {
    let server = Server::start(own_key);
    let stranger = certificate(HOST);
    let output = server.audit(&stranger.cert.pem(), &["--tls"]);
    assert_eq!(output.status.code(), Some(20), "{output:?}");
    assert!(error(&output).to_lowercase().contains("certificate"), "{output:?}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_certificate_of_another_host_ends_the_connection() {
    let server = Server::named("other.example", own_key);
    let output = server.audit(&server.certified.cert.pem(), &[]);
    assert_eq!(output.status.code(), Some(20), "{output:?}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_server_that_binds_the_key_of_its_connection_is_proved() {
    let server = Server::start(own_key);
    for args in [&["--tls"][..], &["--tls", "--binding", "v2"]] {
        let output = server.audit(&server.certified.cert.pem(), args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(result(&output, "tls"), ["proved"]);
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
}

/// Whoever ends the TLS connection and passes the genuine report on.
#[test]
fn a_server_between_the_auditor_and_the_attested_key_is_refuted() {
    let other: Spki = |_| Some(Digest32::sha256(b"the key behind"));
    let server = Server::start(other);
    for args in [&["--tls"][..], &["--tls", "--binding", "v2"]] {
        let output = server.audit(&server.certified.cert.pem(), args);
        assert_eq!(output.status.code(), Some(10), "{output:?}");
        assert_eq!(result(&output, "tls"), ["refuted"]);
        assert_eq!(refuted(&output), ["tls"]);
    }
}

#[test]
fn a_server_that_binds_no_tls_key_when_asked_has_not_proved_it() {
    let server = Server::start(|_| None);
    let output = server.audit(&server.certified.cert.pem(), &["--tls"]);
    assert_eq!(output.status.code(), Some(20), "{output:?}");
    assert_eq!(result(&output, "tls"), ["missing"]);
    let unasked = server.audit(&server.certified.cert.pem(), &[]);
    assert_eq!(unasked.status.code(), Some(0), "{unasked:?}");
    assert_eq!(result(&unasked, "tls"), ["not_checked"]);
}

/// The key that reports name, from that of the connection.
type Spki = fn(&KeyPair) -> Option<Digest32>;

fn own_key(key: &KeyPair) -> Option<Digest32> {
    Some(Digest32::sha256(&key.subject_public_key_info()))
}

/// A server in a thread, under a certificate that it signed itself.
struct Server {
    addr: SocketAddr,
    certified: CertifiedKey<KeyPair>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(spki: Spki) -> Self {
        Self::named(HOST, spki)
    }

    fn named(host: &str, spki: Spki) -> Self {
        let certified = certificate(host);
        let config = Arc::new(config(&certified));
        let spki = spki(&certified.signing_key);
        let listener = TcpListener::bind((HOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                let Some(request) = Request::read(&mut stream) else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let query = request.query();
                let asked = query.include_tls_fingerprint.filter(|_| spki.is_some());
                let query = ReportQuery { include_tls_fingerprint: asked, ..query };
                let body = served_report(&query, spki);
                let _ = stream.write_all(&whole("200 OK", "", &body));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self { addr, certified, asked }
    }

    /// The command, on a machine that trusts just this authority.
    fn audit(&self, authority_pem: &str, args: &[&str]) -> Output {
        let desk = Desk::new();
        let authorities = desk.file("authorities.pem", authority_pem.as_bytes());
        let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
        command.env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR");
        command.args(["verify", &format!("https://{}", self.addr), "--json", "--nonce", "auto"]);
        command.args(["--at", &NOW_SECS.to_string(), "--policy"]);
        command.arg(desk.options.policy.as_ref().unwrap());
        command.args(args).output().unwrap()
    }
}

fn certificate(host: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([host.to_owned()]).unwrap()
}

fn config(certified: &CertifiedKey<KeyPair>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![certified.cert.der().clone()];
    builder.with_single_cert(chain, PrivateKeyDer::from(key)).unwrap()
}

fn printed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn error(output: &Output) -> String {
    printed(output)["error"].as_str().unwrap().to_owned()
}

fn findings(output: &Output, member: &str, value: &str, wanted: &str) -> Vec<String> {
    let printed = printed(output);
    let findings = printed["findings"].as_array().unwrap();
    let matching = findings.iter().filter(|finding| finding[member] == value);
    matching.map(|finding| finding[wanted].as_str().unwrap().to_owned()).collect()
}

fn result(output: &Output, check: &str) -> Vec<String> {
    findings(output, "check", check, "result")
}

fn refuted(output: &Output) -> Vec<String> {
    findings(output, "result", "refuted", "check")
}

const HOST: &str = "127.0.0.1";

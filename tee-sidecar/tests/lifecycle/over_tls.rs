//! TLS that ends in the process: the key that is made, what is served over it, what is refused.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::PublicKeyData as _;

use crate::certificates::{Files, TlsConn, spki, tls_get, tls_sidecar, with_tls};
use crate::support::{
    ASK_STREAM, CHAT, Conn, Engine, Replica, SOON, Step, chunk_event, get, notes, quick,
    sha256_hex, sse, wait_until, waiting,
};

#[test]
fn where_there_is_no_key_one_is_made_for_its_owner_only_and_a_request_for_it() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let (mut sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let files = Files::of(folder.path());
    let mode = std::fs::metadata(&files.key).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let pair = files.pair();
    assert!(pair.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256));
    assert_eq!(TlsConn::open(addr).spki(), spki(&pair));
    let request = std::fs::read_to_string(&files.request).unwrap();
    let base64 = request.trim().strip_prefix("-----BEGIN CERTIFICATE REQUEST-----").unwrap();
    let base64 = base64.strip_suffix("-----END CERTIFICATE REQUEST-----").unwrap();
    let base64: String = base64.split_whitespace().collect();
    let der = BASE64_STANDARD.decode(base64).unwrap();
    let has = |bytes: &[u8]| der.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&pair.subject_public_key_info()) && has(&[127, 0, 0, 1]));
    let log = sidecar.log();
    assert!(log.contains("does not exist yet") && log.contains("that key signs its own"), "{log}");
    assert!(notes(&sidecar).contains("signed by its own key"));
    // The next start has the same key.
    assert!(sidecar.terminate().success());
    crate::support::start(&mut sidecar);
    assert_eq!(TlsConn::open(sidecar.public().unwrap()).spki(), spki(&pair));
}

#[test]
fn reports_bind_the_key_of_the_connection_in_every_layout_that_has_a_place_for_it() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let (_sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let key = TlsConn::open(addr).spki().to_string();
    for query in ["include_tls_fingerprint=true", "version=2", "binding=v2"] {
        let report = tls_get(addr, &format!("/v1/attestation/report?{query}")).json();
        assert_eq!(report["tls_cert_fingerprint"], key.as_str(), "{query}");
    }
    let plain = tls_get(addr, "/v1/attestation/report").json();
    assert_eq!(plain.get("tls_cert_fingerprint"), None);
    let aci = tls_get(addr, "/v1/aci/attestation").json();
    let listed = aci["attestation"]["workload_keyset"]["tls_public_keys"].to_string();
    assert!(listed.contains(&key), "{listed}");
}

#[test]
fn a_stream_over_tls_is_signed_over_the_bytes_that_came_out_of_it() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), waiting());
    let (_sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let mut conn = TlsConn::open(addr);
    conn.ask("POST", CHAT, ASK_STREAM);
    engine.open_gate();
    let answer = conn.rest();
    assert_eq!((answer.status, answer.complete), (200, true));
    assert!(answer.body.ends_with(b"data: [DONE]\n\n"));
    let signed = tls_get(addr, &format!("/v1/signature/{}", answer.receipt())).json();
    let text = format!("{}:{}", sha256_hex(ASK_STREAM.as_bytes()), sha256_hex(&answer.body));
    assert_eq!(signed["text"], text);
    assert_eq!((&signed["outcome"], &signed["fee"]), (&"complete".into(), &"1500".into()));
}

// S-rows of the plain listener hold behind TLS too: a client that leaves stops the engine, and
// pays for what it was handed.
#[test]
fn a_client_that_leaves_a_stream_over_tls_is_seen_at_once() {
    let engine =
        Engine::start(|_| vec![sse(), Step::Chunk(chunk_event(1, true).into_bytes()), Step::Gate]);
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let mut conn = TlsConn::open(addr);
    conn.ask("POST", CHAT, ASK_STREAM);
    let mut first = [0; 1];
    std::io::Read::read_exact(&mut conn.stream, &mut first).unwrap();
    engine.wait_for_request();
    drop(conn);
    engine.aborted.recv_timeout(SOON).expect("the engine was not stopped");
    let admin = sidecar.admin().unwrap();
    wait_until("its receipt", SOON, || {
        let told = get(admin, "/v1/request", &[]).text();
        told.contains("client_gone")
    });
}

#[test]
fn http_1_1_is_spoken_and_nothing_else() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let (_sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let both = TlsConn::offering(addr, &[b"h2", b"http/1.1"]).unwrap();
    assert_eq!(both.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let refused = TlsConn::offering(addr, &[b"h2"]).err().expect("it speaks HTTP/2");
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    // Who speaks no TLS gets nothing that could be taken for an answer.
    let mut plain = Conn::open(addr);
    assert!(plain.try_send("GET", "/healthz", &[], b"").is_none());
}

#[test]
fn a_key_that_others_may_read_or_that_is_none_stops_the_start_and_says_what_to_do() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let files = Files::of(folder.path());
    std::fs::create_dir_all(files.key.parent().unwrap()).unwrap();
    let refused = |mode: u32, content: &str| {
        std::fs::write(&files.key, content).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut replica = Replica::new(folder.path(), 0, "");
        replica.configure(&with_tls(folder.path(), &engine, ""));
        replica.start();
        assert_eq!(replica.wait_for_end(SOON).code(), Some(1));
        replica.log()
    };
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let log = refused(0o644, &pem);
    assert!(log.contains("server.tls.keyFile") && log.contains("run chmod 600"), "{log}");
    let log = refused(0o600, "-----BEGIN CANARY-----\nCANARY\n-----END CANARY-----\n");
    assert!(log.contains("holds no private key") && log.contains("openssl pkcs8"), "{log}");
    assert!(!log.contains("CANARY"), "{log}");
    assert!(!files.request.exists());
}

#[test]
fn an_admin_listener_beyond_loopback_speaks_tls_and_the_command_knows_its_key() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = "admin: {token: canary-token}\n\
                auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}]}\n";
    let text = with_tls(folder.path(), &engine, more);
    let text = text
        .replace("adminListen: '127.0.0.1:0'", &format!("adminListen: '0.0.0.0:{}'", free.port()));
    let mut replica = Replica::new(folder.path(), 0, "");
    replica.configure(&text);
    replica.start();
    wait_until("serving", SOON, || replica.admin().is_some());
    wait_until("ready", SOON, || tls_get(free, "/readyz").status == 200);
    assert!(Conn::open(free).try_send("GET", "/readyz", &[], b"").is_none(), "it is plain");
    // There is nothing to settle; the sidecar says so itself.
    let asked = replica.run(&["ledger", "settle"]);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("answers 4") || said.contains("answers 5"), "{said}");
    // Who has another key is not told the token.
    Files::of(folder.path()).write_key(&rcgen::KeyPair::generate().unwrap());
    let asked = replica.run(&["ledger", "settle"]);
    assert_eq!(asked.status.code(), Some(20), "{asked:?}");
    assert!(!replica.log().contains("canary"));
}

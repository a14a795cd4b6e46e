//! Certificates and keys that change while clients are served.

use rcgen::KeyPair;

use crate::certificates::{Authority, Files, TlsConn, audit, spki, tls_get, tls_sidecar};
use crate::support::{
    ASK_STREAM, CHAT, SOON, get, notes, quick, reload, sha256_hex, wait_until, waiting,
};

/// The certificate that a new connection is shown, and what is wrong with it.
fn shown(addr: std::net::SocketAddr) -> Vec<u8> {
    TlsConn::open(addr).stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_certificate_is_taken_while_a_stream_runs_which_ends_as_if_nothing_had_been() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), waiting());
    let (sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let (authority, files) = (Authority::new(), Files::of(folder.path()));
    let mut conn = TlsConn::open(addr);
    conn.ask("POST", CHAT, ASK_STREAM);
    engine.wait_for_request();
    let own = shown(addr);
    files.write_cert(&authority.certify(&files.pair(), 4000));
    reload(&sidecar);
    let renewed = shown(addr);
    assert_ne!(renewed, own);
    assert_eq!(notes(&sidecar), "null");
    let metrics = get(sidecar.admin().unwrap(), "/metrics", &[]).text();
    let expires = "tee_sidecar_tls_certificate_expiry_timestamp_seconds 64092124800.0
";
    assert!(metrics.contains(expires), "{metrics}");
    files.write_cert(&authority.certify(&files.pair(), 4001));
    reload(&sidecar);
    assert_ne!(shown(addr), renewed);
    engine.open_gate();
    let answer = conn.rest();
    assert!(answer.complete, "{answer:?}");
    let signed = tls_get(addr, &format!("/v1/signature/{}", answer.receipt())).json();
    assert!(signed["text"].as_str().unwrap().ends_with(&sha256_hex(&answer.body)));
}

#[test]
fn what_cannot_be_used_is_told_and_the_certificate_before_stays() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let (sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let (authority, files) = (Authority::new(), Files::of(folder.path()));
    let good = authority.certify(&files.pair(), 4000);
    files.write_cert(&good);
    reload(&sidecar);
    let kept = shown(addr);
    let stranger = authority.certify(&KeyPair::generate().unwrap(), 4000);
    let expired = authority.certify(&files.pair(), 2001);
    for (text, why) in [
        (stranger.as_str(), "for another key than keyFile holds"),
        (expired.as_str(), "has expired"),
        ("", "holds no certificate"),
        (&good[..good.len() / 2], "PEM"),
    ] {
        files.write_cert(text);
        reload(&sidecar);
        assert_eq!(shown(addr), kept, "{why}");
        assert!(sidecar.log().contains(why), "{why}: {}", sidecar.log());
        assert!(notes(&sidecar).contains("cannot be used"), "{why}");
    }
    std::fs::remove_file(&files.cert).unwrap();
    reload(&sidecar);
    assert_eq!(shown(addr), kept);
    files.write_cert(&good);
    reload(&sidecar);
    assert_eq!((shown(addr), notes(&sidecar).as_str()), (kept, "null"));
}

// A16: a rotated key is bound without a restart.
#[test]
fn a_new_key_with_its_certificate_is_shown_and_bound_by_reports_from_then_on() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let (sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let (authority, files) = (Authority::new(), Files::of(folder.path()));
    // Kept reports of the old key are not served for the new one.
    for query in ["version=2", "binding=v2"] {
        tls_get(addr, &format!("/v1/attestation/report?{query}"));
    }
    let old = files.pair();
    let new = KeyPair::generate().unwrap();
    files.write_key(&new);
    reload(&sidecar);
    assert_eq!(TlsConn::open(addr).spki(), spki(&old), "its certificate is not there yet");
    files.write_cert(&authority.certify(&new, 4000));
    reload(&sidecar);
    assert_eq!(TlsConn::open(addr).spki(), spki(&new));
    for query in ["version=2", "binding=v2"] {
        let report = tls_get(addr, &format!("/v1/attestation/report?{query}")).json();
        assert_eq!(report["tls_cert_fingerprint"], spki(&new).to_string(), "{query}");
    }
    let keyset = tls_get(addr, "/v1/aci/attestation").json()["attestation"].clone();
    let listed = keyset["workload_keyset"]["tls_public_keys"].to_string();
    assert!(listed.contains(&spki(&new).to_string()), "{listed}");
    // Receipts are signed under the keyset that lists it as soon as that one is kept.
    let digest = tls_get(addr, "/v1/aci/attestation").json()["workload_keyset_digest"].clone();
    let digest = digest.as_str().unwrap();
    wait_until("the new keyset", SOON, || {
        tls_get(addr, "/healthz").header("x-aci-keyset-digest") == Some(digest)
    });
    assert_eq!(tls_get(addr, &format!("/v1/aci/keysets/{digest}")).status, 200);
    let (output, tls) = audit(folder.path(), addr, &authority.pem);
    assert_eq!((output.status.code(), tls), (Some(0), vec!["proved".to_owned()]), "{output:?}");
}

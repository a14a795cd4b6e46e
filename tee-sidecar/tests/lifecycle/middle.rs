//! Who ends the connection: this process, as `verify --tls` proves, or somebody in between.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::{Authority, Files, TlsConn, audit, tls_sidecar};
use crate::support::{quick, reload};

#[test]
fn verify_proves_the_key_of_a_sidecar_and_refutes_whoever_stands_in_front_of_it() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let (sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let (authority, files) = (Authority::new(), Files::of(folder.path()));
    files.write_cert(&authority.certify(&files.pair(), 4000));
    reload(&sidecar);
    let (output, tls) = audit(folder.path(), addr, &authority.pem);
    assert_eq!((output.status.code(), tls), (Some(0), vec!["proved".to_owned()]), "{output:?}");
    // A certificate of the same authority for the same address: a browser sees no difference.
    let between = middle(addr, &authority);
    let (output, tls) = audit(folder.path(), between, &authority.pem);
    assert_eq!((output.status.code(), tls), (Some(10), vec!["refuted".to_owned()]), "{output:?}");
}

/// Ends TLS with a key of its own, and hands everything on.
fn middle(behind: SocketAddr, authority: &Authority) -> SocketAddr {
    let pair = KeyPair::generate().unwrap();
    let pem = authority.certify(&pair, 4000);
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut client = StreamOwned::new(connection, stream.unwrap());
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n > 0) {
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let Some(path) = head.split(' ').nth(1) else { continue };
            let mut server = TlsConn::open(behind);
            server.ask("GET", path, "");
            let mut answer = Vec::new();
            let _ = server.stream.read_to_end(&mut answer);
            let _ = client.write_all(&answer);
            client.conn.send_close_notify();
            let _ = client.flush();
        }
    });
    addr
}

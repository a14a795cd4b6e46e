//! Keys, certificates and clients of TLS that tests make.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use broker_core::Digest32;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use tee_sidecar::evidence::certificates::spki_sha256;

use crate::support::{Engine, PRICES, Replica, Response, program, settings, started};

/// Where a sidecar has its files of TLS.
pub(crate) struct Files {
    pub(crate) key: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) request: PathBuf,
}

impl Files {
    pub(crate) fn of(folder: &Path) -> Self {
        let at = |name: &str| folder.join("tls").join(name);
        Self { key: at("key.pem"), cert: at("cert.pem"), request: at("cert.csr") }
    }

    pub(crate) fn pair(&self) -> KeyPair {
        KeyPair::from_pem(&std::fs::read_to_string(&self.key).unwrap()).unwrap()
    }

    /// A key of ours in the key's place, for its owner only.
    pub(crate) fn write_key(&self, pair: &KeyPair) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(self.key.parent().unwrap()).unwrap();
        let fresh = self.key.with_extension("fresh");
        std::fs::write(&fresh, pair.serialize_pem()).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(fresh, &self.key).unwrap();
    }

    pub(crate) fn write_cert(&self, pem: &str) {
        std::fs::create_dir_all(self.cert.parent().unwrap()).unwrap();
        std::fs::write(&self.cert, pem).unwrap();
    }
}

/// A whole configuration with TLS, called by the address that tests call it by.
pub(crate) fn with_tls(folder: &Path, engine: &Engine, more: &str) -> String {
    let files = Files::of(folder);
    let (cert, key) = (files.cert.display(), files.key.display());
    let server = format!(", tls: {{certFile: '{cert}', keyFile: '{key}'}}");
    let more = format!("servingUrl: https://127.0.0.1\n{PRICES}{more}");
    // An auditor wants GPUs.
    settings(folder, engine, &server, &more).replace("provider: none", "provider: simulated")
}

/// A sidecar with TLS, and where it speaks it.
pub(crate) fn tls_sidecar(folder: &Path, engine: &Engine) -> (Replica, SocketAddr) {
    let replica = started(folder, &with_tls(folder, engine, ""));
    let addr = replica.public().unwrap();
    (replica, addr)
}

/// An authority that signs what it is asked to.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate of this key for the address of the tests, that ends with this year.
    pub(crate) fn certify(&self, pair: &KeyPair, last_year: i32) -> String {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        params.signed_by(pair, &self.issuer).unwrap().pem()
    }
}

pub(crate) fn spki(pair: &KeyPair) -> Digest32 {
    Digest32::sha256(&pair.subject_public_key_info())
}

/// A connection that takes any certificate and tells which key it ended at.
pub(crate) struct TlsConn {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsConn {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::offering(addr, &[]).unwrap()
    }

    /// With these protocols, whose order is the client's wish.
    pub(crate) fn offering(addr: SocketAddr, protocols: &[&[u8]]) -> std::io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(Anyone));
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = TcpStream::connect(addr)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream })
    }

    /// SHA-256 of the key that the connection ended at.
    pub(crate) fn spki(&self) -> Digest32 {
        let chain = self.stream.conn.peer_certificates().unwrap();
        spki_sha256(&chain[0]).unwrap()
    }

    /// Asks, with the connection closed by the server behind the answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(head.as_bytes()).unwrap();
    }

    /// What comes until the server closes.
    pub(crate) fn rest(&mut self) -> Response {
        let mut all = Vec::new();
        // A server that cuts a stream off does not say goodbye.
        let _ = self.stream.read_to_end(&mut all);
        parsed(&all)
    }
}

fn parsed(all: &[u8]) -> Response {
    let at = all.windows(4).position(|four| four == b"\r\n\r\n").expect("no head") + 4;
    let head = String::from_utf8(all[..at].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut response = Response { status, head, body: all[at..].to_vec(), complete: true };
    if response.header("transfer-encoding").is_some() {
        (response.body, response.complete) = unchunked(&all[at..]);
    }
    response
}

fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}

pub(crate) fn tls_get(addr: SocketAddr, path: &str) -> Response {
    let mut conn = TlsConn::open(addr);
    conn.ask("GET", path, "");
    conn.rest()
}

/// `verify` against this address, on a machine that trusts just this authority; its findings of
/// `tls`.
pub(crate) fn audit(folder: &Path, addr: SocketAddr, authority: &str) -> (Output, Vec<String>) {
    let authorities = folder.join("authorities.pem");
    std::fs::write(&authorities, authority).unwrap();
    let policy = folder.join("policy.yaml");
    std::fs::write(&policy, "simulated: accept\n").unwrap();
    let mut command = Command::new(program());
    command.env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR");
    command.args(["verify", &format!("https://{addr}"), "--json", "--nonce", "auto", "--tls"]);
    let output = command.arg("--policy").arg(policy).output().unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let findings = printed["findings"].as_array().cloned().unwrap_or_default();
    let tls = findings.iter().filter(|finding| finding["check"] == "tls");
    let results = tls.map(|finding| finding["result"].as_str().unwrap().to_owned()).collect();
    (output, results)
}

/// Takes any certificate: tests look at its key.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

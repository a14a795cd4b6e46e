//! `server.*`: where it listens, to whom, and with what it ends TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::super::raw::{RawServer, RawTls};
use super::super::text::{Text, Texts};
use super::super::{Server, TlsFiles};
use super::values::{self, Check};

/// Reads the section.
pub(super) fn server(check: &mut Check, raw: &RawServer) -> Server {
    let listen = listen_address(check, "server.listen", raw.listen.as_ref());
    let admin = listen_address(check, "server.adminListen", raw.admin_listen.as_ref());
    let key = "server.allowPlainHttp";
    let choices = [("true", true), ("false", false)];
    let allow_plain_http = check.choice(key, raw.allow_plain_http.as_ref(), &choices, false);
    let tls = tls(check, &raw.tls);
    // A section that is there, and wrong, still says what is meant.
    let has_tls = raw.tls.cert_file.is_some() || raw.tls.key_file.is_some();
    if !allow_plain_http && !has_tls {
        needs_plain_http(check, "server.listen", listen, raw.listen.as_ref());
        needs_plain_http(check, "server.adminListen", admin, raw.admin_listen.as_ref());
    }
    let same = |listen: SocketAddr| Some(listen) == admin && listen.port() != 0;
    if listen.is_some_and(same) {
        let (key, rule) = ("server.adminListen", "must differ from server.listen");
        match &raw.admin_listen {
            Some(given) => check.refuse(key, given, rule),
            None => check.refuse_key(key, rule),
        }
    }
    let listen = listen.unwrap_or(LISTEN);
    let admin_listen = admin.unwrap_or(ADMIN_LISTEN);
    let allow_origins = origins(check, raw.allow_origins.as_ref());
    let given = raw.drain_secs.as_ref();
    let drain_secs = check.number("server.drainSecs", given, 0..=HOUR, DRAIN_SECS);
    Server { listen, admin_listen, allow_plain_http, allow_origins, tls, drain_secs }
}

fn tls(check: &mut Check, raw: &RawTls) -> Option<TlsFiles> {
    let (cert_key, key_key) = ("server.tls.certFile", "server.tls.keyFile");
    let cert = file(check, cert_key, raw.cert_file.as_ref());
    let key = file(check, key_key, raw.key_file.as_ref());
    match (&raw.cert_file, &raw.key_file) {
        (Some(_), None) => check.refuse_key(key_key, "is required with server.tls.certFile"),
        (None, Some(_)) => check.refuse_key(cert_key, "is required with server.tls.keyFile"),
        _ => {}
    }
    let (cert, key) = (cert?, key?);
    let given = raw.cert_file.as_ref()?;
    // The request for a certificate is written beside it.
    if cert.extension().is_some_and(|extension| extension == REQUEST) {
        check.refuse(cert_key, given, "must not end in .csr, as the request for it does");
    }
    if cert == key || cert.with_extension(REQUEST) == key {
        check.refuse(cert_key, given, "must be another file than server.tls.keyFile and its .csr");
    }
    Some(TlsFiles { cert, key })
}

fn file(check: &mut Check, key: &str, given: Option<&Text>) -> Option<PathBuf> {
    let rule = "must be the path of a file";
    check.parsed(key, given, None, rule, |text| {
        let path = Path::new(text);
        (path.file_name().is_some() && !text.ends_with('/')).then(|| Some(path.to_owned()))
    })
}

/// The pages that browsers may call us from. Exact: a wildcard would let every page spend tokens.
fn origins(check: &mut Check, given: Option<&Texts>) -> Vec<String> {
    let mut origins = Vec::new();
    for (index, text) in given.into_iter().flat_map(Texts::items).enumerate() {
        let is_origin = values::web_address(text.as_str())
            .is_some_and(|url| url.origin().ascii_serialization() == text.as_str());
        if is_origin {
            origins.push(text.as_str().to_owned());
        } else {
            let rule = "must be an exact origin as browsers send it: https://app.example, without \
                        path or default port";
            check.refuse(&format!("server.allowOrigins[{index}]"), text, rule);
        }
    }
    origins
}

fn needs_plain_http(
    check: &mut Check,
    key: &str,
    address: Option<SocketAddr>,
    given: Option<&Text>,
) {
    if let (Some(address), Some(given)) = (address, given)
        && !is_loopback(address)
    {
        let rule = "plain HTTP on an address that is not loopback needs server.allowPlainHttp: \
                    true; or set server.tls";
        check.refuse(key, given, rule);
    }
}

/// `None` where the text is no address, so that rules about addresses stay silent.
fn listen_address(check: &mut Check, key: &str, given: Option<&Text>) -> Option<SocketAddr> {
    let default = if key == "server.listen" { LISTEN } else { ADMIN_LISTEN };
    let rule = "must be an IP address and a port, as 127.0.0.1:8080 or [::1]:8080";
    match given {
        None => Some(default),
        Some(_) => check.parsed(key, given, None, rule, |text| text.parse().ok().map(Some)),
    }
}

/// Whether only this machine reaches the address.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LISTEN: SocketAddr = SocketAddr::new(LOOPBACK, 8080);
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(LOOPBACK, 3080);

/// The extension of a request for a certificate.
const REQUEST: &str = "csr";

/// Container hosts give a process half a minute to end.
const DRAIN_SECS: u64 = 25;
const HOUR: u64 = 3_600;

//! The address of a database: what of it is said, and how its server is known.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::{Host, SslMode, TargetSessionAttrs};
use postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::ledger::LedgerError;

/// Where the database is and how it is reached.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    name: String,
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`.
    pub(super) fn parse(url: &str) -> Result<Self, LedgerError> {
        let (url, own) = take_own(url)?;
        // What is wrong with an address is not repeated: a part of its password may be in it.
        let config: Config = url.parse().map_err(|_| unreadable(NO_ADDRESS))?;
        let mut config = config;
        if config.get_hosts().is_empty() {
            return Err(unreadable("it names no host"));
        }
        let is_near = config.get_hosts().iter().all(is_near)
            && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
        let mode = match own.mode {
            Some(mode) => mode,
            None if is_near => SslMode::Disable,
            None => SslMode::Require,
        };
        config.ssl_mode(mode).target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(KEEPALIVES_IDLE);
        config.keepalives_interval(KEEPALIVES_INTERVAL).keepalives_retries(KEEPALIVES_MAX);
        // A server that takes nothing for so long is gone.
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("broker-ledger");
        }
        let tls = match mode {
            SslMode::Disable => None,
            _ => Some(tls(own.roots.as_deref())?),
        };
        let name = name(&config);
        Ok(Self { config, tls, name })
    }

    /// Hosts, ports and database: never a user, never a password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn connect(&self) -> Result<Client, postgres::Error> {
        match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        }
    }
}

/// What this program reads of an address itself.
struct Own {
    mode: Option<SslMode>,
    roots: Option<String>,
}

/// Takes `sslmode` and `sslrootcert` out of the address's query.
fn take_own(url: &str) -> Result<(String, Own), LedgerError> {
    let is_ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
    // With a second @ a part of the password would be taken for the host, and said.
    if !is_ours || url.matches('@').count() > 1 {
        return Err(unreadable(NO_ADDRESS));
    }
    let mut own = Own { mode: None, roots: None };
    let Some((place, query)) = url.split_once('?') else { return Ok((url.to_owned(), own)) };
    let mut rest = Vec::new();
    for option in query.split('&') {
        match option.split_once('=') {
            Some(("sslmode", mode)) => own.mode = Some(ssl_mode(mode)?),
            Some(("sslrootcert", file)) => own.roots = Some(percent_decoded(file)?),
            _ => rest.push(option),
        }
    }
    let rest = rest.join("&");
    let url = if rest.is_empty() { place.to_owned() } else { format!("{place}?{rest}") };
    Ok((url, own))
}

/// Certificates are always checked, with the server's name: so `verify-full` is what `require` is.
fn ssl_mode(mode: &str) -> Result<SslMode, LedgerError> {
    Ok(match mode {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        "require" | "verify-full" => SslMode::Require,
        _ => return Err(unreadable("its sslmode is none of disable, prefer and require")),
    })
}

fn percent_decoded(text: &str) -> Result<String, LedgerError> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                let digits = std::str::from_utf8(&digits).ok();
                let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                code.ok_or_else(|| unreadable("its sslrootcert is not percent-encoded"))?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| unreadable("its sslrootcert is no text"))
}

/// True where nobody is between this process and the server.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    }
}

/// The platform's roots, or those of a file in PEM.
fn tls(roots: Option<&str>) -> Result<MakeRustlsConnect, LedgerError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let refused = |why: String| LedgerError::Storage(format!("TLS cannot be set up: {why}"));
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| refused(error.to_string()))?;
    let config = match roots {
        None => {
            let builder = builder.with_platform_verifier();
            builder.map_err(|error| refused(error.to_string()))?.with_no_client_auth()
        }
        Some(file) => {
            let mut store = RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(file);
            for certificate in certificates.map_err(|error| refused(format!("{file}: {error}")))? {
                let certificate = certificate.map_err(|e| refused(format!("{file}: {e}")))?;
                store.add(certificate).map_err(|error| refused(format!("{file}: {error}")))?;
            }
            if store.is_empty() {
                return Err(refused(format!("{file} has no certificate in it")));
            }
            builder.with_root_certificates(store).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn name(config: &Config) -> String {
    let mut name = "postgres://".to_owned();
    let mut ports = config.get_ports().iter().copied();
    let mut port = DEFAULT_PORT;
    for (n, host) in config.get_hosts().iter().enumerate() {
        // One port may stand for all hosts.
        port = ports.next().unwrap_or(port);
        let comma = if n > 0 { "," } else { "" };
        let host = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        };
        // Writing into a text cannot fail.
        let _ = write!(name, "{comma}{host}:{port}");
    }
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{name}/{database}")
}

fn unreadable(why: &str) -> LedgerError {
    LedgerError::Foreign { path: "the ledger's PostgreSQL address".to_owned(), why: why.to_owned() }
}

const NO_ADDRESS: &str = "it is not of the form postgres://user:password@host:port/database; \
                          special characters in it are written as % and two hex digits";
const DEFAULT_PORT: u16 = 5432;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVES_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_MAX: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        Address::parse(url).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn an_address_is_said_without_user_and_password() {
        for (url, name) in [
            ("postgres://u:secret@127.0.0.1:5433/l", "postgres://127.0.0.1:5433/l"),
            ("postgresql://u:secret@localhost/l?sslmode=disable", "postgres://localhost:5432/l"),
            (
                "postgres://u:secret?secret/@[::1],localhost:7/l",
                "postgres://::1:5432,localhost:7/l",
            ),
        ] {
            assert_eq!(Address::parse(url).unwrap().name(), name);
        }
    }

    #[test]
    fn whatever_is_wrong_with_an_address_its_password_is_not_repeated() {
        for url in [
            "postgres://u:@secret@h/l",
            "postgres://u:p@secret/secret@h/l",
            "postgres://u:secret@h:secret/l",
            "postgres://u:secret@h/l?secret=1",
            "postgres://u:secret@h/l?sslmode=secret",
            "postgres://u:secret@h/l?sslrootcert=%se",
            "mysql://u:secret@h/l",
            "host=h password=secret",
            "postgres://",
        ] {
            let error = Address::parse(url).err().unwrap_or_else(|| panic!("{url}")).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_server_elsewhere_has_to_prove_who_it_is() {
        assert_eq!(mode("postgres://u@localhost/l"), SslMode::Disable);
        assert_eq!(mode("postgres://u@127.0.0.1,[::1]/l"), SslMode::Disable);
        assert_eq!(
            mode("postgres://u@localhost/l?sslmode=disable&application_name=x"),
            SslMode::Disable
        );
        let roots = tempfile::NamedTempFile::new().unwrap();
        let empty = format!("postgres://u@h/l?sslrootcert={}", roots.path().display());
        let error = Address::parse(&empty).err().unwrap().to_string();
        assert!(error.contains("has no certificate"), "{error}");
        assert_eq!(mode("postgres://u@h/l?sslmode=disable"), SslMode::Disable);
    }
}

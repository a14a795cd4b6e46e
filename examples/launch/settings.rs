//! What the sidecar is told by environment, and what the caller's environment says already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::Error;

/// What is known before anything is started.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The model server's base address.
    pub upstream: Option<String>,
    caller: Vec<(String, String)>,
}

impl Wanted {
    /// Takes the sidecar's variables from `caller`; they win over `upstream`.
    pub fn from_caller(
        caller: impl Iterator<Item = (String, String)>,
        upstream: Option<String>,
    ) -> Self {
        let ours = |(name, _): &(String, String)| name.to_uppercase().starts_with(PREFIX);
        let mut wanted = Self { upstream, caller: caller.filter(ours).collect() };
        if let Some(url) = wanted.callers("UPSTREAM__URL") {
            wanted.upstream = Some(url.to_owned());
        }
        wanted
    }

    fn callers(&self, key: &str) -> Option<&str> {
        let named = |name: &str| name.to_uppercase().strip_prefix(PREFIX) == Some(key);
        self.caller.iter().find(|(name, _)| named(name)).map(|(_, value)| value.as_str())
    }
}

/// What the sidecar is started with.
#[derive(Debug)]
pub struct Settings {
    /// Where its public routes answer.
    pub public: SocketAddr,
    /// Where its operator's routes answer.
    pub admin: SocketAddr,
    /// The model server's base address.
    pub upstream: String,
    /// Variables to add to the caller's.
    pub variables: Vec<(String, String)>,
}

/// Fills in what the caller left open.
pub fn settings(wanted: Wanted) -> Result<Settings, Error> {
    let upstream = match &wanted.upstream {
        Some(url) => base(url).to_owned(),
        None => return Err(Error::Said("no upstream".to_owned())),
    };
    let public = listen(wanted.callers("SERVER__LISTEN"), PUBLIC_PORT)?;
    let admin = listen(wanted.callers("SERVER__ADMINLISTEN"), ADMIN_PORT)?;
    let defaults = [
        ("UPSTREAM__URL", upstream.clone()),
        ("SERVER__LISTEN", public.to_string()),
        ("SERVER__ADMINLISTEN", admin.to_string()),
        ("TEE__PROVIDER", "simulated".to_owned()),
        ("GPU__PROVIDER", "none".to_owned()),
        ("LEDGER__URL", "sqlite://./data/ledger.db".to_owned()),
    ];
    let open = |(key, _): &(&str, String)| wanted.callers(key).is_none();
    let variables =
        defaults.into_iter().filter(open).map(|(key, value)| (format!("{PREFIX}{key}"), value));
    Ok(Settings {
        variables: variables.collect(),
        public: reachable(public),
        admin: reachable(admin),
        upstream,
    })
}

/// The address under which `/v1` begins, which is often given with it.
fn base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/v1").unwrap_or(url)
}

/// The caller's address, else the usual port, else a free one.
fn listen(caller: Option<&str>, usual_port: u16) -> Result<SocketAddr, Error> {
    if let Some(address) = caller {
        let unreadable = |_| Error::Said(format!("{address:?} is not an address with a port"));
        return address.parse().map_err(unreadable);
    }
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, usual_port));
    if TcpListener::bind(usual).is_ok() {
        return Ok(usual);
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Where a program on this machine finds a server that listens on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

const PREFIX: &str = "SIDECAR__";
const PUBLIC_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 3080;

#[cfg(test)]
mod tests {
    use super::*;

    fn from(caller: &[(&str, &str)], upstream: Option<&str>) -> Settings {
        let caller = caller.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings(Wanted::from_caller(caller, upstream.map(str::to_owned))).unwrap()
    }

    fn variable<'a>(settings: &'a Settings, key: &str) -> Option<&'a str> {
        let found = settings.variables.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_callers_variables_win_whatever_their_case() {
        let settings = from(
            &[
                ("sidecar__upstream__url", "http://10.0.0.1:8000/"),
                ("SIDECAR__SERVER__LISTEN", "0.0.0.0:9000"),
                ("SIDECAR__TEE__PROVIDER", "dstack"),
                ("PATH", "/bin"),
            ],
            Some("http://127.0.0.1:1"),
        );
        assert_eq!(settings.upstream, "http://10.0.0.1:8000");
        assert_eq!(settings.public.to_string(), "127.0.0.1:9000");
        assert_eq!(variable(&settings, "SIDECAR__UPSTREAM__URL"), None);
        assert_eq!(variable(&settings, "SIDECAR__SERVER__LISTEN"), None);
        assert_eq!(variable(&settings, "SIDECAR__TEE__PROVIDER"), None);
        assert_eq!(variable(&settings, "SIDECAR__GPU__PROVIDER"), Some("none"));
    }

    #[test]
    fn what_is_left_open_is_filled_in() {
        let settings = from(&[], Some("http://127.0.0.1:8001/v1/"));
        assert_eq!(variable(&settings, "SIDECAR__TEE__PROVIDER"), Some("simulated"));
        assert_eq!(variable(&settings, "SIDECAR__UPSTREAM__URL"), Some("http://127.0.0.1:8001"));
        let listen = settings.public.to_string();
        assert_eq!(variable(&settings, "SIDECAR__SERVER__LISTEN"), Some(listen.as_str()));
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(listen(None, port).unwrap().port(), port);
    }
}

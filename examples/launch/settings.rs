//! What the sidecar is told by environment, and what the caller's environment says already.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::Error;

/// What is known before anything is started.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The model server's base address.
    pub upstream: Option<String>,
    caller: Vec<(String, OsString)>,
}

impl Wanted {
    /// Takes the sidecar's variables from `caller`; they win over `upstream`.
    pub fn from_caller(
        caller: impl Iterator<Item = (OsString, OsString)>,
        upstream: Option<String>,
    ) -> Result<Self, Error> {
        // A name that is no text is none of ours; values stay as they are until one is needed.
        let ours = caller.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let ours = ours.filter(|(name, _)| name.to_uppercase().starts_with(PREFIX));
        let mut wanted = Self { upstream, caller: ours.collect() };
        if let Some((_, url)) = wanted.text("UPSTREAM__URL")? {
            wanted.upstream = Some(url.to_owned());
        }
        Ok(wanted)
    }

    /// The caller's variable for `key`, with the name as the caller spells it.
    fn callers(&self, key: &str) -> Option<(&str, &OsStr)> {
        let named = |name: &str| name.to_uppercase().strip_prefix(PREFIX) == Some(key);
        let found = self.caller.iter().find(|(name, _)| named(name));
        found.map(|(name, value)| (name.as_str(), value.as_os_str()))
    }

    fn text(&self, key: &str) -> Result<Option<(&str, &str)>, Error> {
        let Some((name, value)) = self.callers(key) else { return Ok(None) };
        let no_text = || Error::Said(format!("{name} must be UTF-8 text"));
        value.to_str().map(|value| Some((name, value))).ok_or_else(no_text)
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
    let (public_name, public) = listen(&wanted, "SERVER__LISTEN", PUBLIC_PORT)?;
    let (admin_name, admin) = listen(&wanted, "SERVER__ADMINLISTEN", ADMIN_PORT)?;
    let defaults = [
        ("UPSTREAM__URL", upstream.clone()),
        ("TEE__PROVIDER", "simulated".to_owned()),
        ("GPU__PROVIDER", "simulated".to_owned()),
        ("LEDGER__URL", LEDGER.to_owned()),
    ];
    let open = |(key, _): &(&str, String)| wanted.callers(key).is_none();
    let defaults = defaults.into_iter().filter(open);
    let mut variables: Vec<(String, String)> =
        defaults.map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect();
    // Also where the caller chose them: a port that was left to us is decided by now.
    variables.extend([(public_name, public.to_string()), (admin_name, admin.to_string())]);
    Ok(Settings { variables, public: reachable(public), admin: reachable(admin), upstream })
}

/// The address under which `/v1` begins, which is often given with it.
fn base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/v1").unwrap_or(url)
}

/// The caller's address, else the usual port, else a free one; and the variable that tells it,
/// spelled as the caller does, whose spelling would count beside ours.
fn listen(wanted: &Wanted, key: &str, usual_port: u16) -> Result<(String, SocketAddr), Error> {
    if let Some((name, text)) = wanted.text(key)? {
        let unreadable = |_| Error::Said(format!("{name}: {text:?} is not an address with a port"));
        let address: SocketAddr = text.parse().map_err(unreadable)?;
        let decided = if address.port() == 0 { free(address.ip())? } else { address };
        return Ok((name.to_owned(), decided));
    }
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, usual_port));
    let address =
        if TcpListener::bind(usual).is_ok() { usual } else { free(Ipv4Addr::LOCALHOST.into())? };
    Ok((format!("{PREFIX}{key}"), address))
}

fn free(ip: IpAddr) -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind((ip, 0))?.local_addr()?)
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
/// A folder of its own, which `make clean` may remove: a host's ledger lies elsewhere.
const LEDGER: &str = "sqlite://./data/quickstart/ledger.db";

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(caller: &[(&str, &str)], upstream: Option<&str>) -> Wanted {
        let caller = caller.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Wanted::from_caller(caller, upstream.map(str::to_owned)).unwrap()
    }

    fn from(caller: &[(&str, &str)], upstream: Option<&str>) -> Settings {
        settings(wanted(caller, upstream)).unwrap()
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
        assert_eq!(variable(&settings, "SIDECAR__SERVER__LISTEN"), Some("0.0.0.0:9000"));
        assert_eq!(variable(&settings, "SIDECAR__TEE__PROVIDER"), None);
        assert_eq!(variable(&settings, "SIDECAR__GPU__PROVIDER"), Some("simulated"));
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
    fn the_ledger_is_the_quick_starts_own_unless_the_caller_names_one() {
        let upstream = Some("http://127.0.0.1:1");
        let own = from(&[], upstream);
        let ledger = "sqlite://./data/quickstart/ledger.db";
        assert_eq!(variable(&own, "SIDECAR__LEDGER__URL"), Some(ledger));
        let callers = from(&[("SIDECAR__LEDGER__URL", "sqlite:///srv/ledger.db")], upstream);
        assert_eq!(variable(&callers, "SIDECAR__LEDGER__URL"), None);
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let (name, address) = listen(&Wanted::default(), "SERVER__LISTEN", port).unwrap();
        assert_eq!(name, "SIDECAR__SERVER__LISTEN");
        assert_ne!(address.port(), port);
    }

    #[test]
    fn a_port_left_to_the_system_is_chosen_here_so_that_it_can_be_told() {
        let caller = [("sidecar__server__listen", "0.0.0.0:0")];
        let settings = from(&caller, Some("http://127.0.0.1:1"));
        assert_ne!(settings.public.port(), 0);
        let told = format!("0.0.0.0:{}", settings.public.port());
        assert_eq!(variable(&settings, "sidecar__server__listen"), Some(told.as_str()));
        assert_eq!(variable(&settings, "SIDECAR__SERVER__LISTEN"), None);
    }

    #[test]
    fn what_is_no_text_is_an_error_only_where_it_is_read() {
        use std::os::unix::ffi::OsStringExt;
        let odd = || OsString::from_vec(vec![0xff]);
        let upstream = || Some("http://127.0.0.1:1".to_owned());
        let strangers = [(odd(), "x".into()), ("SIDECAR__LOG__FILTER".into(), odd())];
        assert!(Wanted::from_caller(strangers.into_iter(), upstream()).is_ok());
        let read = [("SIDECAR__UPSTREAM__URL".into(), odd())];
        let refused = Wanted::from_caller(read.into_iter(), upstream()).unwrap_err();
        assert_eq!(refused.to_string(), "SIDECAR__UPSTREAM__URL must be UTF-8 text");
    }
}

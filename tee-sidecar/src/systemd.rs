//! The service manager is told how far this process is, where it wants to know (`Type=notify`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Whom to tell; nobody by default.
#[derive(Debug, Default)]
pub struct Systemd(Option<SocketAddr>);

impl Systemd {
    /// The socket that `NOTIFY_SOCKET` names: a path, or a name behind an `@`.
    ///
    /// # Errors
    /// It is neither.
    pub fn at(socket: &OsStr) -> io::Result<Self> {
        let address = match socket.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(socket),
        };
        address.map(|address| Self(Some(address)))
    }

    /// It serves, and what was reloaded is in force.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being read anew.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// It ends, which may take so long.
    pub fn stopping(&self, limit: Duration) {
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", limit.as_micros()));
    }

    fn tell(&self, state: &str) {
        let Some(address) = &self.0 else { return };
        let told = UnixDatagram::unbound().and_then(|socket| {
            // It reads at once or not at all: we wait for nobody.
            socket.set_nonblocking(true)?;
            socket.send_to_addr(state.as_bytes(), address)
        });
        if let Err(error) = told {
            tracing::warn!(%error, state, "the service manager was not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_at_a_path_or_a_name_is_told_and_none_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("tee-sidecar-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, at) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}").into()),
        ] {
            let systemd = Systemd::at(&at).unwrap();
            systemd.ready();
            assert_eq!(told(&socket), "READY=1");
            systemd.reloading();
            assert_eq!(told(&socket), "RELOADING=1");
            systemd.stopping(Duration::from_secs(2));
            assert_eq!(told(&socket), "STOPPING=1\nEXTEND_TIMEOUT_USEC=2000000");
        }
        Systemd::default().ready();
        Systemd::at(OsStr::new("/nobody/listens/here")).unwrap().ready();
    }
}

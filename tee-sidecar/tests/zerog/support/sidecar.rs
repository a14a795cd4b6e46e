//! The sidecar as a process, at an address that the chain can be told before it runs.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Engine, SOON, get, wait_until};

/// A running `tee-sidecar serve`; killed when dropped.
pub(crate) struct Sidecar {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
    pub(super) child: Child,
}

impl Sidecar {
    /// Without a chain: everyone may ask.
    pub(crate) fn alone(engine: &Engine) -> Self {
        Self::launch(engine, "")
    }

    /// The same before an engine that runs already.
    pub(crate) fn before(engine: SocketAddr) -> Self {
        Self::launch_before(engine, "")
    }

    pub(super) fn launch(engine: &Engine, more: &str) -> Self {
        Self::launch_before(engine.addr, more)
    }

    fn launch_before(engine: SocketAddr, more: &str) -> Self {
        let (public, admin) = free_addresses();
        let listen = format!("{{listen: '{public}', adminListen: '{admin}'}}");
        let mut sidecar = Self::spawn(engine, (public, admin), &listen, more);
        sidecar.wait_until_it_answers();
        sidecar
    }

    /// With the operator's listener where it is if nobody says otherwise; `None` where another
    /// process has that port.
    pub(super) fn launch_at_default(engine: &Engine, more: &str) -> Option<Self> {
        let default = SocketAddr::from(([127, 0, 0, 1], 3080));
        drop(TcpListener::bind(default).ok()?);
        let (public, _) = free_addresses();
        let listen = format!("{{listen: '{public}'}}");
        let mut sidecar = Self::spawn(engine.addr, (public, default), &listen, more);
        let mut is_up = false;
        wait_until("a sidecar that answers, or ends", SOON, || {
            is_up = TcpStream::connect(public).is_ok();
            is_up || sidecar.child.try_wait().unwrap().is_some()
        });
        if !is_up {
            // Somebody was faster, or it is worth a failure.
            assert!(sidecar.log().contains("3080"), "{}", sidecar.log());
            return None;
        }
        sidecar.wait_until_it_answers();
        Some(sidecar)
    }

    fn spawn(
        engine: SocketAddr,
        (public, admin): (SocketAddr, SocketAddr),
        listen: &str,
        more: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "server: {listen}\n\
             upstream: {{url: 'http://{engine}'}}\n\
             tee: {{provider: simulated}}\n\
             gpu: {{provider: none}}\n\
             ledger: {{url: 'sqlite://{}'}}\n\
             service: {{inputPrice: 100, outputPrice: 200, servingUrl: 'http://{public}'}}\n\
             {more}",
            folder.path().join("ledger.db").display(),
        );
        std::fs::write(folder.path().join("config.yaml"), text).unwrap();
        let child = start(folder.path());
        Self { public, admin, folder, child }
    }

    pub(super) fn wait_until_it_answers(&mut self) {
        wait_until("a sidecar that answers", SOON, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended: {}", self.log());
            [self.public, self.admin].iter().all(|addr| TcpStream::connect(addr).is_ok())
        });
    }

    /// Waits until it takes requests.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + SOON;
        while std::time::Instant::now() < deadline {
            let answer = get(self.admin, "/readyz", &[]);
            if answer.status == 200 {
                return;
            }
            last = answer.text();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("not ready: {last}\n{}", self.log());
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The address of its signing key.
    pub(crate) fn signer(&self) -> String {
        let report = get(self.public, "/attestation/report", &[]).json();
        report["signing_address"].as_str().unwrap().to_owned()
    }

    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log.txt")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn start(folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log.txt")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    command.args(["serve", "--config"]).arg(folder.join("config.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Two at once, so that they differ.
fn free_addresses() -> (SocketAddr, SocketAddr) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [public, admin] = listeners.map(|listener| listener.local_addr().unwrap());
    (public, admin)
}

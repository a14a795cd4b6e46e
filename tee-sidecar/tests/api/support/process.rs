//! The sidecar as a process of its own, for what only a process can show: its end, its log.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::{Engine, get};

/// A running `tee-sidecar serve`; killed when dropped.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts on a ledger in `folder`, with `more` at the end of its configuration.
    pub(crate) fn start(folder: &Path, engine: &Engine, more: &str) -> Self {
        let (addr, admin) = (free_port(), free_port());
        let config = folder.join("config.yaml");
        let text = format!(
            "server: {{listen: '{addr}', adminListen: '{admin}'}}\n\
             upstream: {{url: 'http://{}'}}\n\
             tee: {{provider: simulated}}\n\
             gpu: {{provider: none}}\n\
             ledger: {{url: 'sqlite://{}'}}\n\
             service: {{inputPrice: 100, outputPrice: '200'}}\n{more}",
            engine.addr,
            folder.join("ledger.db").display(),
        );
        std::fs::write(&config, text).unwrap();
        let log = folder.join("log.txt");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program())
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut process = Self { addr, config, log, child };
        process.wait_until_ready();
        process
    }

    fn wait_until_ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(self.addr).is_err()
            || get(self.addr, "/readyz", &[]).status != 200
        {
            assert!(Instant::now() < until, "not ready: {}", self.log());
            assert!(self.child.try_wait().unwrap().is_none(), "ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Another subcommand on the same configuration.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(program()).args(args).arg("--config").arg(&self.config).output().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tee-sidecar")
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

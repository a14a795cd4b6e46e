//! The sidecar as a process of its own, for what only a process can show: its end, its log.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::{Conn, Engine, SOON, wait_until};

/// A `tee-sidecar serve`; killed when dropped.
pub(crate) struct Replica {
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// Where the log of the last start begins.
    from: usize,
}

impl Replica {
    /// The settings of sidecar `number`, but for its ports, and its log, in `folder`. It does not
    /// run yet.
    pub(crate) fn new(folder: &Path, number: usize, settings: &str) -> Self {
        let config = folder.join(format!("replica-{number}.yaml"));
        let ports = "server: {listen: '127.0.0.1:0', adminListen: '127.0.0.1:0'}\n";
        std::fs::write(&config, format!("{ports}{settings}")).unwrap();
        let log = folder.join(format!("replica-{number}.log"));
        Self { config, log, child: None, from: 0 }
    }

    /// Starts it, and does not wait.
    pub(crate) fn start(&mut self) {
        self.start_by(Command::new(program()));
    }

    fn start_by(&mut self, mut command: Command) {
        let log = std::fs::File::options().create(true).append(true).open(&self.log).unwrap();
        self.from = log.metadata().unwrap().len() as usize;
        command.args(["serve", "--config"]).arg(&self.config).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Where the public routes are, once it serves.
    pub(crate) fn public(&self) -> Option<SocketAddr> {
        self.told("public")
    }

    /// Where the operator's routes are, once it serves.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.told("admin")
    }

    /// Of the last start, in either format of the log.
    fn told(&self, name: &str) -> Option<SocketAddr> {
        let log = self.log();
        let lines = log.get(self.from..)?;
        let serving = |line: &&str| line.contains(" serving public=") || line.contains(SERVING);
        let line = lines.split_inclusive('\n').rfind(serving)?.strip_suffix('\n')?;
        let (text, json) = (format!(" {name}="), format!("\"{name}\":\""));
        let (_, told) = line.split_once(&text).or_else(|| line.split_once(&json))?;
        told.split([' ', '"']).next()?.parse().ok()
    }

    pub(crate) fn wait_until_ready(&mut self) -> SocketAddr {
        let mut addr = None;
        wait_until("serving", SOON, || {
            assert!(self.ended().is_none(), "ended: {}", self.log());
            addr = self.public();
            addr.is_some_and(|addr| {
                let asked = Conn::try_open(addr);
                let answer = asked.and_then(|mut conn| conn.try_send("GET", "/readyz", &[], b""));
                answer.is_some_and(|answer| answer.status == 200)
            })
        });
        addr.unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Another configuration, ports included, for the next start or reload.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(&self.config, text).unwrap();
    }

    /// Where its configuration is.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// A signal, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        // The shell's own `kill`: a slim image has no program of that name.
        let sent = Command::new("sh").args(["-c", r#"kill -s "$1" "$0""#, &pid, name]).status();
        assert!(sent.unwrap().success());
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        // Longer than its grace period and everything behind it.
        self.wait_for_end(Duration::from_secs(60))
    }

    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let mut ended = None;
        wait_until("the end of the process", limit, || {
            ended = self.ended();
            ended.is_some()
        });
        ended.unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Another subcommand on the same configuration.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(program()).args(args).arg("--config").arg(&self.config).output().unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A sidecar that runs.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    replica: Replica,
}

impl Process {
    /// Starts on a ledger in `folder`, with `more` at the end of its configuration.
    pub(crate) fn start(folder: &Path, engine: &Engine, more: &str) -> Self {
        Self::launch(Command::new(program()), folder, engine, more)
    }

    /// The same, but no file of its grows beyond so many blocks of 512 bytes: a full disk.
    pub(crate) fn start_on_small_disk(folder: &Path, engine: &Engine, blocks: u32) -> Self {
        let mut command = Command::new("sh");
        // Ignored, the signal becomes an error of the write.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, program()]);
        Self::launch(command, folder, engine, "")
    }

    fn launch(command: Command, folder: &Path, engine: &Engine, more: &str) -> Self {
        let settings = format!(
            "upstream: {{url: 'http://{}'}}\n\
             tee: {{provider: simulated}}\n\
             gpu: {{provider: none}}\n\
             ledger: {{url: 'sqlite://{}'}}\n\
             service: {{inputPrice: 100, outputPrice: '200'}}\n{more}",
            engine.addr,
            folder.join("ledger.db").display(),
        );
        let mut replica = Replica::new(folder, 0, &settings);
        replica.start_by(command);
        Self { addr: replica.wait_until_ready(), replica }
    }
}

impl Deref for Process {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.replica
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Replica {
        &mut self.replica
    }
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tee-sidecar")
}

/// Of a log in JSON.
const SERVING: &str = "\"message\":\"serving\"";

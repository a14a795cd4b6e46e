//! The sidecar as a process of its own, for what only a process can show: its end, its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::{Engine, SOON, get, wait_until};

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

    fn launch(mut command: Command, folder: &Path, engine: &Engine, more: &str) -> Self {
        let config = folder.join("config.yaml");
        let text = format!(
            "server: {{listen: '127.0.0.1:0', adminListen: '127.0.0.1:0'}}\n\
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
        let before = std::fs::metadata(&log).unwrap().len();
        command.args(["serve", "--config"]).arg(&config).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { addr: unknown, config, log, child };
        process.wait_until_ready(before as usize);
        process
    }

    /// Reads where it serves from what this start has added to the log, and waits for the engine.
    fn wait_until_ready(&mut self, log_before: usize) {
        wait_until("serving", SOON, || {
            let log = self.log();
            assert!(self.child.try_wait().unwrap().is_none(), "ended: {log}");
            let served = log.get(log_before..).and_then(public_address);
            served.is_some_and(|addr| {
                self.addr = addr;
                true
            })
        });
        wait_until("ready", SOON, || {
            assert!(self.child.try_wait().unwrap().is_none(), "ended: {}", self.log());
            get(self.addr, "/readyz", &[]).status == 200
        });
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        // The shell's own `kill`: a slim image has no program of that name.
        let sent = Command::new("sh").args(["-c", r#"kill -s TERM "$0""#, &pid]).status();
        assert!(sent.unwrap().success());
        // Longer than its grace period and everything behind it.
        self.wait_for_end(Duration::from_secs(60))
    }

    /// How it ended, once it has.
    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let mut ended = None;
        wait_until("the end of the process", limit, || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
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

/// From the line `serving public=ADDR admin=ADDR`, once it is whole.
fn public_address(log: &str) -> Option<SocketAddr> {
    let line = log.split_inclusive('\n').rfind(|line| line.contains(" serving public="))?;
    let (_, told) = line.strip_suffix('\n')?.split_once(" serving public=")?;
    told.split(' ').next()?.parse().ok()
}

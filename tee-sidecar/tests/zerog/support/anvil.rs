//! One chain: an anvil process that ends with the test, however that ends.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::network::Options;

/// A running anvil.
pub(crate) struct Anvil {
    pub(crate) addr: SocketAddr,
    log: PathBuf,
    guard: Child,
    _folder: tempfile::TempDir,
}

impl Anvil {
    pub(crate) fn start(packages: &Path, options: &Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("anvil.log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new("sh");
        // The shell ends it when our end of the pipe closes, which it also does if we are killed.
        command.args(["-c", r#""$0" "$@" & read -r _; kill -KILL "$!"; wait"#]);
        command.arg(packages.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"));
        command.args(["--host", "127.0.0.1", "--port", "0", "--chain-id", "31337"]);
        command.args(["--accounts", &options.accounts.to_string()]);
        if let Some(gas) = options.block_gas_limit {
            command.args(["--gas-limit", &gas.to_string()]);
        }
        // It may keep states of old blocks below its user's folder.
        command.env("HOME", folder.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output);
        let guard = command.spawn().unwrap();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut anvil = Self { addr: unknown, log, guard, _folder: folder };
        anvil.wait_until_it_listens();
        anvil
    }

    fn wait_until_it_listens(&mut self) {
        let deadline = Instant::now() + START;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap();
            if let Some(addr) = listening(&log) {
                self.addr = addr;
                return;
            }
            assert!(Instant::now() < deadline, "anvil is not up after {START:?}\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// From the line `Listening on ADDR`, once it is whole.
fn listening(log: &str) -> Option<SocketAddr> {
    let (_, told) = log.split_once("Listening on ")?;
    told.split_once('\n')?.0.trim().parse().ok()
}

const START: Duration = Duration::from_secs(60);

//! Sidecars as processes of their own, all with the same settings but for their ports.
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) use crate::network::{
    Conn, Engine, Response, Step, chunk_event, get, post, sha256_hex, sse, whole,
};

/// What the scripted engine serves.
pub(crate) const MODEL: &str = "tiny";

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One sidecar of a fleet; killed when dropped.
pub(crate) struct Replica {
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// Where the log of the last start begins.
    from: usize,
}

impl Replica {
    /// The settings of replica `number`, and its log, in `folder`; `shared` are those that all of
    /// them have. It does not run yet.
    pub(crate) fn new(folder: &Path, number: usize, shared: &str) -> Self {
        let config = folder.join(format!("replica-{number}.yaml"));
        let ports = "server: {listen: '127.0.0.1:0', adminListen: '127.0.0.1:0'}\n";
        std::fs::write(&config, format!("{ports}{shared}")).unwrap();
        let log = folder.join(format!("replica-{number}.log"));
        Self { config, log, child: None, from: 0 }
    }

    /// Starts it, and does not wait.
    pub(crate) fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(&self.log).unwrap();
        self.from = log.metadata().unwrap().len() as usize;
        let mut command = Command::new(program());
        command.args(["serve", "--config"]).arg(&self.config).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Where the public routes are, once it serves.
    pub(crate) fn public(&self) -> Option<SocketAddr> {
        self.told(" serving public=")
    }

    /// Where the operator's routes are, once it serves.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.told(" admin=")
    }

    fn told(&self, what: &str) -> Option<SocketAddr> {
        let log = self.log();
        let lines = log.get(self.from..)?;
        let line = lines.split_inclusive('\n').rfind(|line| line.contains(" serving public="))?;
        let (_, told) = line.strip_suffix('\n')?.split_once(what)?;
        told.split(' ').next()?.parse().ok()
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

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("sh").args(["-c", r#"kill -s TERM "$0""#, &pid]).status();
        assert!(sent.unwrap().success());
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

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tee-sidecar")
}

/// What a program said, on both outputs.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// An engine whose count of tokens follows from what it is sent: its own tokens are the request's
/// bytes modulo 7, and 1.
pub(crate) fn engine() -> Engine {
    Engine::start(|seen| {
        let tokens = generated(seen.body.len());
        if seen.text().contains("\"stream\":true") {
            let mut steps = vec![sse()];
            for k in 1..=tokens {
                steps.push(Step::Chunk(chunk_event(k, true).into_bytes()));
                steps.push(Step::Pause(Duration::from_millis(2)));
            }
            steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
            steps.push(Step::EndChunks);
            return steps;
        }
        let body = format!(
            "{{\"choices\":[],\"usage\":{{\"prompt_tokens\":13,\"completion_tokens\":{tokens}}}}}"
        );
        vec![Step::Pause(Duration::from_millis(tokens)), Step::Raw(whole(200, body.as_bytes()))]
    })
}

fn generated(bytes_sent: usize) -> u64 {
    bytes_sent as u64 % 7 + 1
}

/// A request, and what a complete answer to it costs at 100 and 200 neuron.
pub(crate) fn request(turn: u64) -> (String, u128) {
    let stream = turn.is_multiple_of(2);
    let pad = "x".repeat((turn % 11) as usize);
    let text = format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[],\"max_tokens\":8,\"stream\":{stream},\
         \"user\":\"{pad}\"}}"
    );
    let ours = "\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},";
    let sent = text.len() + if stream { ours.len() } else { 0 };
    (text, 13 * 100 + u128::from(generated(sent)) * 200)
}

/// Numbers that look random and are the same in each run of one seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % limit
    }
}

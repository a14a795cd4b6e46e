//! The built sidecar in front of a real vLLM, checked from outside by `real/openai_client.py`.
//!
//! Needs a running vLLM (`REAL_VLLM_URL`) or an installed one, and Python with the packages that
//! `.ci/install-clients` installs. Where something is missing the test says so and passes, but
//! never under `CI=true`.
#![cfg(feature = "simulator")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[test]
fn users_of_a_real_vllm_get_what_was_promised() {
    promised(&[], |home, folder| home.vllm(folder));
}

#[test]
fn users_of_a_real_vllm_that_embeds_get_what_was_promised() {
    promised(&["--pooling"], |home, folder| {
        home.installed(folder, &["--runner", "pooling", "--convert", "embed"])
    });
}

/// Runs the checks against a sidecar before this vLLM.
fn promised(options: &[&str], vllm: fn(&RealHome, &Path) -> Result<Vllm, String>) {
    // Two at once would need twice the memory, and take longer than one after the other.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let home = RealHome::find();
    let folder = tempfile::tempdir().expect("a folder for ledger and logs");
    let python = match home.python() {
        Ok(python) => python,
        Err(missing) => return skipped(&missing),
    };
    let vllm = match vllm(&home, folder.path()) {
        Ok(vllm) => vllm,
        Err(missing) => return skipped(&missing),
    };
    let mut sidecar = Sidecar::start(folder.path(), &vllm.url);
    let totals = folder.path().join("totals.json");

    let mut script = Command::new(python);
    script
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/openai_client.py"))
        .args(["--sidecar", &format!("http://{}", sidecar.public)])
        .args(["--engine", &vllm.url, "--key", KEY, "--model", MODEL])
        .args(["--input-price", INPUT_PRICE, "--output-price", OUTPUT_PRICE])
        .args(options)
        .arg("--totals")
        .arg(&totals)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(expected) = home.expected() {
        script.arg("--expected").arg(expected);
    }
    let checks = script.output().expect("python starts");
    assert!(checks.status.success(), "{}\n{}", shown(&checks), sidecar.group.log());
    println!("{}", String::from_utf8_lossy(&checks.stdout));

    sidecar.stop();
    the_ledger_agrees(&sidecar, &totals);
}

/// The stopped ledger passes the audit and holds what the exchanges must have cost.
fn the_ledger_agrees(sidecar: &Sidecar, totals: &Path) {
    let audit = sidecar.ledger("audit");
    assert!(audit.status.success(), "ledger audit\n{}", shown(&audit));
    let status = sidecar.ledger("status");
    assert!(status.status.success(), "ledger status\n{}", shown(&status));
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let stated = |name: &str| {
        let line = status.lines().find_map(|line| line.trim().strip_prefix(name));
        let value = line.and_then(|rest| rest.strip_prefix(':'));
        value.map(str::trim).unwrap_or_else(|| panic!("no {name} in:\n{status}")).to_owned()
    };
    let totals = fs::read(totals).expect("the script wrote its totals");
    let totals: serde_json::Value = serde_json::from_slice(&totals).expect("totals are JSON");
    assert_eq!(stated("earned_neuron"), totals["earned_neuron"].to_string(), "{status}");
    assert_eq!(stated("receipts"), totals["receipts"].to_string(), "{status}");
    assert_eq!(stated("held_neuron"), "0", "{status}");
}

/// A missing component is a failure only where every component is promised.
fn skipped(missing: &str) {
    let promised = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!promised, "CI=true, but {missing}");
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let line = format!("\nSKIPPED: {missing}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

/// Where the real components are installed.
struct RealHome(PathBuf);

impl RealHome {
    fn find() -> Self {
        let folder =
            |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        let home = folder("REAL_HOME").or_else(|| Some(cache()?.join("tee-sidecar-real")));
        Self(home.unwrap_or_default())
    }

    /// The interpreter that has the clients.
    fn python(&self) -> Result<PathBuf, String> {
        let python = self.0.join("clients/bin/python");
        let has_packages = Command::new(&python)
            .args(["-c", "import anthropic, eth_account, langchain_openai, openai"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if has_packages {
            Ok(python)
        } else {
            let path = python.display();
            Err(format!(
                "{path} lacks anthropic, openai, LangChain or eth-account: .ci/install-clients"
            ))
        }
    }

    /// A running vLLM: the one named, else the one installed.
    fn vllm(&self, folder: &Path) -> Result<Vllm, String> {
        if let Some(url) = std::env::var_os("REAL_VLLM_URL").filter(|url| !url.is_empty()) {
            let url = url.to_string_lossy().trim_end_matches('/').to_owned();
            return Ok(Vllm { url, _group: None });
        }
        self.installed(folder, &["--enable-auto-tool-choice", "--tool-call-parser", "hermes"])
    }

    /// One of the installed program's, with these options.
    fn installed(&self, folder: &Path, options: &[&str]) -> Result<Vllm, String> {
        let program = self.0.join("vllm/venv/bin/vllm");
        let model = self.0.join("model/scripted/hf");
        if !program.exists() || !model.exists() {
            return Err(format!("no vLLM and no model of the tests in {}", self.0.display()));
        }
        Ok(Vllm::start(&program, &model, options, folder.join("vllm.log")))
    }

    /// What the scripted model says.
    fn expected(&self) -> Option<PathBuf> {
        let path = self.0.join("model/scripted/expected.json");
        path.exists().then_some(path)
    }
}

/// A vLLM and, if it was started here, its processes.
struct Vllm {
    url: String,
    _group: Option<Group>,
}

impl Vllm {
    fn start(program: &Path, model: &Path, options: &[&str], log: PathBuf) -> Self {
        let address = free_address();
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(model)
            .args(["--served-model-name", MODEL, "--host", "127.0.0.1"])
            .args(["--port", &address.port().to_string(), "--dtype", "float32"])
            .args(["--max-model-len", "4096", "--max-num-seqs", "8", "--enforce-eager"])
            .args(options)
            .envs([("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "1")])
            .envs([("VLLM_NO_USAGE_STATS", "1"), ("DO_NOT_TRACK", "1")])
            .envs([("VLLM_CPU_KVCACHE_SPACE", "1"), ("VLLM_CPU_OMP_THREADS_BIND", "nobind")])
            .envs([("CUDA_VISIBLE_DEVICES", ""), ("OMP_NUM_THREADS", "1")])
            .envs([("VLLM_WORKER_MULTIPROC_METHOD", "fork"), ("TORCHDYNAMO_DISABLE", "1")]);
        let mut group = Group::start(&mut command, log);
        group.wait_until(VLLM_START, || status(address, "/health") == Some(200));
        Self { url: format!("http://{address}"), _group: Some(group) }
    }
}

/// The program under test.
struct Sidecar {
    public: SocketAddr,
    config: PathBuf,
    group: Group,
}

impl Sidecar {
    fn start(folder: &Path, upstream: &str) -> Self {
        let (public, admin) = (free_address(), free_address());
        let config = folder.join("config.yaml");
        let ledger = folder.join("ledger.db");
        let text = format!(
            "server: {{ listen: \"{public}\", adminListen: \"{admin}\" }}\n\
             upstream: {{ url: \"{upstream}\" }}\n\
             tee: {{ provider: simulated }}\n\
             gpu: {{ provider: none }}\n\
             ledger: {{ url: \"sqlite://{}\" }}\n\
             service:\n  inputPrice: \"{INPUT_PRICE}\"\n  outputPrice: \"{OUTPUT_PRICE}\"\n  \
             routes: [{ROUTES}]\n\
             auth:\n  mode: apiKeys\n  apiKeys:\n    \
             - {{ account: alice, key: \"{KEY}\", creditNeuron: \"{CREDIT}\" }}\n",
            ledger.display()
        );
        fs::write(&config, text).expect("the configuration is written");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--config"]).arg(&config);
        let mut group = Group::start(&mut command, folder.join("sidecar.log"));
        group.wait_until(SIDECAR_START, || status(public, "/readyz") == Some(200));
        Self { public, config, group }
    }

    /// As an operator stops it; it must end well.
    fn stop(&mut self) {
        self.group.signal("TERM");
        let status = self.group.leader.wait().expect("the sidecar ends");
        assert!(status.success(), "the sidecar ended with {status}\n{}", self.group.log());
    }

    fn ledger(&self, what: &str) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(["ledger", what, "--config"]).arg(&self.config);
        command.output().expect("the program starts")
    }
}

/// A process with all its children, ended with the test.
struct Group {
    leader: Child,
    log: PathBuf,
}

impl Group {
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let output = File::create(&log).expect("a log");
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(output.try_clone().expect("the log again")).stderr(output);
        Self { leader: command.spawn().expect("the program starts"), log }
    }

    fn wait_until(&mut self, limit: Duration, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + limit;
        while !ready() {
            if let Some(status) = self.leader.try_wait().expect("a child") {
                panic!("ended before it served: {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not up after {limit:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The standard library knows no signals but KILL for one process.
    fn signal(&self, name: &str) {
        let group = format!("-{}", self.leader.id());
        let script = r#"kill -s "$0" -- "$1""#;
        let sent = Command::new("sh").args(["-c", script, name, &group]).output();
        sent.expect("a shell");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.leader.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal("KILL");
            self.leader.wait().expect("a killed process ends");
        }
    }
}

/// The status of a GET, if there is an answer.
fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    connection.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn shown(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tee-sidecar");
const MODEL: &str = "tiny";
const KEY: &str = "sk-real-vllm-test";
/// What vLLM has, for models that generate and for those that embed.
const ROUTES: &str = "chat/completions, completions, responses, messages, embeddings, score, \
                      rerank, tokenize, detokenize";
const INPUT_PRICE: &str = "100000";
const OUTPUT_PRICE: &str = "200000";
/// One 0G: far more than the exchanges cost together.
const CREDIT: &str = "1000000000000000000";
const SIDECAR_START: Duration = Duration::from_secs(60);
const VLLM_START: Duration = Duration::from_secs(300);

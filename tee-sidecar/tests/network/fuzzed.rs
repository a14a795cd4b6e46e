//! schemathesis, which makes requests of the OpenAPI document and holds the answers to it; behind
//! the sidecar is a scripted engine. `.ci/install-clients` installs it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use broker_core::testing::{ONE, SimChain, SimOptions};
use tee_sidecar::route::Route;

use crate::support::{CHAT, Engine, Step, User, World, get, whole};

/// Whatever a route looks for in an answer in one piece.
const ANSWER: &str = r#"{"id":"engine-1","choices":[],"output":[],"content":[],"data":[],
    "results":[],"tokens":[],"prompt":"","text":"","usage":{"prompt_tokens":2,"total_tokens":3,
    "completion_tokens":1,"input_tokens":2,"output_tokens":1}}"#;

/// Server errors, and whatever of an answer is not in the document.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method";

#[test]
fn schemathesis_finds_no_server_error_and_no_undocumented_answer_before_a_scripted_engine() {
    let Some(program) = program() else { return };
    let engine = Engine::start(|_| vec![Step::Raw(whole(200, ANSWER.as_bytes()))]);
    let world = World::before(engine, SimChain::new(SimOptions::default()), |settings| {
        settings.service.routes = Route::ALL.to_vec();
    });
    let user = world.user(1, 1_000_000 * ONE);
    let run = Run { program, folder: tempfile::tempdir().unwrap(), user };
    let sidecar = &world.sidecar;
    run.holds(sidecar.addr, EVERYTHING, &[], "");
    let answer = world.chat(CHAT, &run.user.bearer());
    let tariff = get(sidecar.addr, "/v1/tariff", &[]).json();
    let keyset = answer.header("x-aci-keyset-digest").unwrap();
    // What is there, too: by ids that a fuzzer does not guess.
    for (name, value, paths) in [
        ("id", answer.receipt().as_str(), "receipts|signature"),
        ("digest", tariff["digest"].as_str().unwrap(), "tariff"),
        ("digest", keyset, "keysets"),
        ("address", &run.user.address.to_string(), "unsettledfee|user"),
    ] {
        let known = format!("[parameters]\n\"path.{name}\" = \"{value}\"\n");
        let paths = format!("({paths}).*{{{name}}}");
        run.holds(sidecar.admin, "coverage", &["--include-path-regex", &paths], &known);
    }
    // The last, since it may register another service.
    run.holds(sidecar.admin, EVERYTHING, &["--include-tag", "Operator"], "");
    world.sidecar.audit_is_clean();
}

/// Values at the edges of their rules, then made-up ones.
const EVERYTHING: &str = "coverage,fuzzing";

struct Run {
    program: PathBuf,
    folder: tempfile::TempDir,
    user: User,
}

impl Run {
    /// Runs it against this listener, always with the same requests.
    fn holds(&self, addr: SocketAddr, phases: &str, options: &[&str], settings: &str) {
        let config = self.folder.path().join("schemathesis.toml");
        std::fs::write(&config, settings).unwrap();
        let output = Command::new(&self.program)
            .arg("--config-file")
            .arg(&config)
            .args(["run", &format!("http://{addr}/openapi.json"), "--checks", CHECKS])
            .args(["--phases", phases, "--max-examples", "15", "--generation-deterministic"])
            .args(["--suppress-health-check", "all", "--warnings", "off", "--no-shrink"])
            .arg("--no-color")
            .args(["--header", &format!("Authorization: {}", self.user.bearer())])
            .args(options)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let faults = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{options:?}\n{text}\n{faults}");
        println!("{text}");
    }
}

/// Where it is installed. A missing component is a failure only where every component is promised.
fn program() -> Option<PathBuf> {
    let folder =
        |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let home = folder("REAL_HOME").or_else(|| Some(cache()?.join("tee-sidecar-real")));
    let program = home.unwrap_or_default().join("schemathesis/bin/schemathesis");
    if works(&program) {
        return Some(program);
    }
    let missing = format!("no schemathesis at {}: .ci/install-clients", program.display());
    let promised = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!promised, "CI=true, but {missing}");
    // Past the capture of the test harness, which shows nothing of tests that pass.
    std::io::stderr().write_all(format!("\nSKIPPED: {missing}\n").as_bytes()).unwrap();
    None
}

fn works(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

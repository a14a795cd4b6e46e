//! The same with Prometheus itself: its tool reads the files, and the server scrapes a sidecar.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::files::{path_of, queries};
use super::{at_work, stream};
use crate::support::{KEY, wait_until};

#[test]
fn promtool_accepts_the_rules_and_every_alarm_fires_and_is_silent_when_it_should() {
    let Some(promtool) = program("promtool") else { return };
    let folder = path_of("examples/monitoring");
    for args in [
        ["check", "rules", "alerts.yml"].as_slice(),
        &["check", "config", "--syntax-only", "prometheus.yml"],
        &["test", "rules", "alerts_test.yml"],
    ] {
        let output = Command::new(&promtool).args(args).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "promtool {args:?}\n{}", shown(&output));
    }
}

#[test]
fn prometheus_scrapes_a_sidecar_and_has_an_answer_for_every_panel() {
    let Some(promtool) = program("promtool") else { return };
    let Some(prometheus) = program("prometheus") else { return };
    let (folder, sidecar) = at_work();
    let server = Server::start(&prometheus, folder.path(), sidecar.admin);
    let ask = |query: &str| {
        let url = format!("http://{}", server.addr);
        let args = ["query", "instant", url.as_str(), query];
        Command::new(&promtool).args(args).output().unwrap()
    };
    let has = |query: &str| {
        let output = ask(query);
        output.status.success() && !output.stdout.trim_ascii().is_empty()
    };
    // Rates are of two scrapes, between which something happened.
    wait_until("a scrape", || has("up{job=\"tee-sidecar\"} == 1"));
    assert_eq!(stream(sidecar.public, KEY).status, 200);
    wait_until("a rate", || has("sum(rate(tee_sidecar_exchanges_total[1m])) > 0"));
    for query in queries() {
        let output = ask(&query);
        assert!(output.status.success(), "{query}\n{}", shown(&output));
        // What is compared is empty where nothing is wrong.
        let empty = output.stdout.trim_ascii().is_empty();
        assert!(!empty || query.contains(" > 0"), "no answer to {query}");
    }
    let up = ask("ALERTS{alertstate=\"firing\"}");
    assert!(up.stdout.trim_ascii().is_empty(), "an alarm at rest\n{}", shown(&up));
    let failed = ask("prometheus_rule_evaluation_failures_total > 0");
    assert!(failed.stdout.trim_ascii().is_empty(), "a rule fails\n{}", shown(&failed));
}

/// A Prometheus of the test's own.
struct Server {
    addr: SocketAddr,
    child: Child,
}

impl Server {
    fn start(program: &Path, folder: &Path, sidecar: SocketAddr) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let rules = path_of("examples/monitoring/alerts.yml").canonicalize().unwrap();
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n\
             \x20 - {{job_name: tee-sidecar, static_configs: [{{targets: ['{sidecar}']}}]}}\n\
             \x20 - {{job_name: prometheus, static_configs: [{{targets: ['{addr}']}}]}}\n",
            rules.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("series").display()))
            .arg(format!("--web.listen-address={addr}"))
            .args(["--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { addr, child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A program of Prometheus's; says so where it is not there.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| p.is_file());
    if found.is_none() {
        skipped(&format!("{name} is not there (Debian: apt-get install prometheus)"));
    }
    found
}

/// A missing component is a failure only where every component is promised.
fn skipped(missing: &str) {
    let promised = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!promised, "CI=true, but {missing}");
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let line = format!("\nSKIPPED: {missing}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

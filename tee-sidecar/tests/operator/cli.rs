//! What the operator asks on the command line, and a start on a chain that is wrong or away.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use broker_core::command::Books;
use broker_core::ledger::statement::Statement;
use broker_core::settlement::Policy;
use broker_core::testing::Action;
use broker_core::{Account, Neuron, Timestamp, UserId};
use tee_sidecar::cli::settle::preview;
use tee_sidecar::config::Network;
use tee_sidecar::startup::{Application, StartError};

use super::support::{Sidecar, chain, engine, seed_body, settings};

const KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const CONTRACT: &str = "0x0165878A594ca255338adfa4d48449f69242Eb8F";

fn program(folder: &Path, args: &[&str], yaml: &str) -> Output {
    let file = folder.join("config.yaml");
    let ledger = folder.join("ledger.db");
    let text = format!("ledger: {{url: 'sqlite://{}'}}\n{yaml}", ledger.display());
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    let config = ["--config", file.to_str().unwrap()];
    command.env_clear().args(args).args(config).output().unwrap()
}

fn network_yaml(node: SocketAddr) -> String {
    format!(
        "network: {{url: 'http://{node}', chainID: 31337, privateKeys: [{KEY}], \
         contractAddress: '{CONTRACT}'}}\n"
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A node that says `chain` to every question; ends with the process.
fn node(chain: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut seen = Vec::new();
            let mut piece = [0; 4096];
            while !seen.ends_with(b"}") {
                match stream.read(&mut piece) {
                    Ok(read) if read > 0 => seen.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&seen).into_owned();
            let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
            let asked: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            let answer =
                serde_json::json!({ "jsonrpc": "2.0", "id": asked["id"], "result": chain });
            let answer = answer.to_string();
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {length}\r\n\r\n"
            );
            let _ = stream.write_all(format!("{head}{answer}").as_bytes());
        }
    });
    addr
}

#[test]
fn the_status_has_a_line_for_each_account() {
    let folder = tempfile::tempdir().unwrap();
    let old = engine("old", "tiny");
    let sidecar = Sidecar::start(folder.path(), &chain(), old, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(old)).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    assert_eq!(sidecar.chat("tiny").status, 200);
    let output = program(folder.path(), &["ledger", "status"], "");
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(printed.contains("earned_neuron: 2000000\n"), "{printed}");
    let user = UserId::named("alice");
    let line = format!(
        "user {user}: owed=2000000 vouchered=0 settled=0 cover=unlimited held=0 frozen=false\n"
    );
    assert!(printed.contains(&line), "{printed}");
}

#[test]
fn settling_asks_the_running_sidecar_and_says_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &chain(), engine("old", "tiny"), |_| {});
    let yaml = format!("server: {{adminListen: '{}'}}\n", sidecar.admin);
    let output = program(folder.path(), &["ledger", "settle"], &yaml);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("settle: asked the sidecar"));
    drop(sidecar);
    let output = program(folder.path(), &["ledger", "settle"], &yaml);
    assert_eq!(output.status.code(), Some(20));
    assert!(text(&output.stderr).contains("start it with `tee-sidecar serve`"));
}

#[test]
fn a_dry_run_needs_a_chain_that_answers_and_is_the_configured_one() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sidecar::start(folder.path(), &chain(), engine("old", "tiny"), |_| {}));
    let args = ["ledger", "settle", "--dry-run"];
    let output = program(folder.path(), &args, "");
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("network is not configured"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = program(folder.path(), &args, &network_yaml(nobody));
    assert_eq!(output.status.code(), Some(20), "{}", text(&output.stderr));
    let output = program(folder.path(), &args, &network_yaml(node("0x1")));
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("is of chain 1"), "{}", text(&output.stderr));
}

#[test]
fn a_start_on_another_chain_ends_and_one_without_a_node_waits() {
    let old = engine("old", "tiny");
    let start = |node: SocketAddr, folder: &Path| {
        let mut settings = settings(old, folder.join("ledger.db"));
        let wallet = hex::decode(KEY).unwrap().try_into().unwrap();
        settings.network = Some(Network {
            url: format!("http://{node}"),
            chain_id: 31_337,
            wallet: tee_sidecar::config::Secret::new(wallet),
            contract: broker_core::Address([7; 20]),
            confirmations: 0,
            max_gas_price: None,
        });
        actix_web::rt::System::new().block_on(Application::build(settings)).map(drop)
    };
    let folder = tempfile::tempdir().unwrap();
    let error = start(node("0x1"), folder.path()).unwrap_err();
    assert!(matches!(error, StartError::Network(_)), "{error}");
    assert!(error.to_string().contains("network.chainID is 31337"), "{error}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    start(nobody, folder.path()).unwrap();
}

#[test]
fn the_preview_says_who_is_due_and_why_and_what_is_left_of_it() {
    let chain = chain();
    let user = |byte| UserId::new([byte; 20]);
    let escrow = Neuron::new(10_u128.pow(18));
    let mut statements = Vec::new();
    for (byte, owed, frozen) in [(1, 5_000_000_000_000_000, false), (2, 7, false), (3, 9, true)] {
        let user = user(byte);
        chain.act(Action::Deposit { user, amount: escrow }).unwrap();
        let earned = Neuron::new(owed);
        statements.push(Statement {
            user,
            account: Account { cover: escrow, earned, frozen, ..Account::default() },
            books: Books { nonce: Some(0), ..Books::default() },
            oldest_unsealed: Some(Timestamp(500)),
            settled: Neuron::ZERO,
            open: None,
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let now = Timestamp(1_000);
    let lines = runtime.block_on(preview(&statements, &chain, &Policy::default(), now)).unwrap();
    let value = |name: &str| {
        let line = lines.iter().find(|(line, _)| line == name);
        line.unwrap_or_else(|| panic!("{name}: {lines:?}")).1.clone()
    };
    assert_eq!(value("users_due"), "1");
    assert_eq!(value("amount_neuron"), "5000000000000000");
    let cost: u128 = value("gas_cost_neuron").parse().unwrap();
    assert_eq!(value("net_neuron"), (5_000_000_000_000_000 - cost).to_string());
    let gas: u128 = value("gas").parse().unwrap();
    assert_eq!(gas * value("gas_price_neuron").parse::<u128>().unwrap(), cost);
    assert!(value(&format!("user {}", user(1))).ends_with("due=amount"), "{lines:?}");
    assert!(value(&format!("user {}", user(2))).ends_with("due=waits"), "{lines:?}");
    assert!(value(&format!("user {}", user(3))).ends_with("due=never: frozen"), "{lines:?}");
    assert!(value("obstacle").contains("register it with POST /v1/service"), "{lines:?}");
}

//! The examples of embedding broker-core, run as a reader would run them. Each checks its own
//! claims and fails if one is wrong; what it prints is looked at here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// What examples of embedding may use. Whoever copies one needs broker-core and tokio, and not
/// what its sidecar is made of.
const ALLOWED: [&str; 3] = ["broker_core", "std", "tokio"];

const EMBEDDING: [&str; 5] = [
    "embed.rs",
    "prepaid_api_keys.rs",
    "postpaid_invoicing.rs",
    "verify_receipt.rs",
    "settle_dry_run.rs",
];

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// What a run that went well printed.
fn output(program: &str, arguments: &[&str]) -> String {
    let run = run(program, arguments);
    let (out, errors) = (text(&run.stdout), text(&run.stderr));
    assert!(run.status.success(), "{}\n{out}\n{errors}", run.status);
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn embedding_takes_twenty_lines_and_a_nonce_is_charged_once_across_processes() {
    let program = env!("CARGO_BIN_EXE_embed");
    let out = output(program, &[]);
    assert!(out.starts_with("held 536400 neuron\ncharged 11600 neuron, receipt "), "{out}");
    assert!(out.contains("\nleft 988400 neuron\naudit clean: 3 entries, head "), "{out}");

    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("fees.db").display().to_string();
    let first = output(program, &[&ledger]);
    let receipt = first.split("receipt ").nth(1).unwrap().lines().next().unwrap();
    let second = run(program, &[&ledger]);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let why = text(&second.stderr);
    assert!(why.contains("Finished") && why.contains(receipt), "{why}");
}

#[test]
fn prepaid_customers_spend_what_they_paid_and_not_more() {
    let out = output(env!("CARGO_BIN_EXE_prepaid-api-keys"), &[]);
    for said in [
        "nobody: 401",
        "bob: 402: costs up to 2890 neuron, 0 are left",
        "alice: 409: asked and paid before, receipt ",
        "alice: 402: costs up to 2890 neuron, 2880 are left",
        "spent 2240 of 4010 neuron\naudit clean\n",
    ] {
        assert!(out.contains(said), "{said} is missing in\n{out}");
    }
    assert!(!out.contains("sk-"), "a key is in the output:\n{out}");
}

#[test]
fn invoices_are_whole_neuron_in_csv_and_in_json_and_the_same_in_both() {
    let program = env!("CARGO_BIN_EXE_postpaid-invoicing");
    let csv = output(program, &[]);
    let (header, rows) = csv.split_once('\n').unwrap();
    assert_eq!(header, "month,account,requests,input_tokens,output_tokens,fee_neuron");
    let rows: Vec<Vec<String>> =
        rows.lines().map(|row| row.split(',').map(str::to_owned).collect()).collect();
    let months: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(months, ["2028-01", "2028-02", "2028-02", "2028-03", "2028-03"]);
    // 20 or 21 prompt tokens six times at 100,000, and 7 + 14 + … + 42 others at 200,000.
    let fees: Vec<u128> = rows.iter().map(|row| row[5].parse().unwrap()).collect();
    assert_eq!(fees, [42_000_000, 42_000_000, 41_400_000, 42_000_000, 41_400_000]);

    let json = output(program, &["--json"]);
    let objects: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_json = |object: &serde_json::Value| -> Vec<String> {
        let plain = |name: &str| object[name].to_string().trim_matches('"').to_owned();
        header.split(',').map(plain).collect()
    };
    assert_eq!(objects.iter().map(of_json).collect::<Vec<_>>(), rows);
    assert!(objects.iter().all(|object| object["fee_neuron"].is_string()), "{json}");
}

#[test]
fn a_receipt_is_proved_without_a_ledger_and_each_lie_about_it_is_refuted() {
    let out = output(env!("CARGO_BIN_EXE_verify-receipt"), &[]);
    assert!(out.contains("\nas it is: proved\n"), "{out}");
    assert_eq!(out.matches(": refuted: ").count(), 7, "{out}");
    assert_eq!(out.matches(": proved").count(), 2, "{out}");
}

#[cfg(feature = "simulated-chain")]
#[test]
fn a_dry_run_says_that_its_chain_is_simulated_who_is_due_and_what_is_in_the_way() {
    let out = output(env!("CARGO_BIN_EXE_settle-dry-run"), &[]);
    assert!(out.starts_with("the chain is SIMULATED"), "{out}");
    for said in [
        "owes 7000000000000000 neuron: amount\n",
        "owes 30000000000000 neuron: waits\n",
        "owes 500000000000000 neuron: refund\n",
        "in the way: gas costs ",
        "settled on the SIMULATED chain: 7500000000000000 neuron\naudit clean\n",
    ] {
        assert!(out.contains(said), "{said} is missing in\n{out}");
    }
}

#[test]
fn embedding_needs_broker_core_and_an_async_runtime() {
    for name in EMBEDDING {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let source = std::fs::read_to_string(&path).unwrap();
        let crates: Vec<_> = source
            .lines()
            .filter_map(|line| line.strip_prefix("use "))
            .map(|path| path.split("::").next().unwrap())
            .collect();
        assert!(crates.contains(&"broker_core"), "{name}: {crates:?}");
        let other = crates.iter().find(|name| !ALLOWED.contains(name));
        assert_eq!(other, None, "{name} uses it");
        for foreign in ["actix", "tee_sidecar", "examples::"] {
            assert!(!source.contains(foreign), "{name} mentions {foreign}");
        }
    }
}

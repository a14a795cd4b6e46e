//! One receipt.

use broker_core::jcs::Json;
use broker_core::receipt::Claims;
use broker_core::statement::Author;
use broker_core::{Digest32, Neuron, Outcome, Receipt, Tariff, Usage};

use crate::host::*;

const ALL: [&str; 6] =
    ["--request", "request.json", "--response", "response.txt", "--tariff", "tariff.json"];

fn statement(author: Author<'_>, digest: &str) -> String {
    statement_at(author, digest, 1_790_000_000_000)
}

fn statement_at(author: Author<'_>, digest: &str, at: i64) -> String {
    let terms = Json::parse(tariff().terms().as_bytes()).unwrap();
    let digest = Json::Text(digest.to_owned());
    author.sign(
        "tee-sidecar.tariff.v1",
        vec![("terms", terms), ("digest", digest), ("at", Json::Integer(at))],
    )
}

#[test]
fn an_honest_receipt_is_proved_in_every_part() {
    let host = Host::new();
    let receipts = host.receipts(1..=9);
    let log = MemoryLog::of(&receipts);
    let proved = host.verify_receipt(&host.with_place(&receipts[4], &log, 4), &ALL);
    proved.ends(0, "it is leaf 4 of 9");
    for check in ["signature", "request", "response", "fee", "log"] {
        let line = |line: &&str| line.starts_with("proved") && line.contains(check);
        assert!(proved.text.lines().any(|l| line(&l)), "{check}: {}", proved.text);
    }
    assert!(proved.text.contains("rolling hash"), "{}", proved.text);
    // The document alone, in another spelling, with its place in files.
    let pretty = receipts[4].replace(",\"", " ,\n\"");
    let place: serde_json::Value =
        serde_json::from_str(&host.with_place(&receipts[4], &log, 4)).unwrap();
    host.write("place.json", &place["inclusion"].to_string());
    host.write("head.json", &host.head(&log, 7));
    let files = ["--inclusion", "place.json", "--head", "head.json"];
    host.verify_receipt(&pretty, &files).ends(0, "it is leaf 4 of 9");
}

#[test]
fn a_tariff_may_be_signed_and_then_must_be() {
    let host = Host::new();
    let digest = format!("sha256:{}", tariff().digest());
    let signed = statement(host.author(), &digest);
    host.write("tariff.json", &signed);
    host.verify_receipt(&host.receipt(1), &ALL).ends(0, "offered by the keyset");
    let cheaper = signed.replacen("\"input_price\":\"100\"", "\"input_price\":\"99\"", 1);
    host.write("tariff.json", &cheaper);
    host.verify_receipt(&host.receipt(1), &ALL).ends(10, "not that of its terms");
    let other = signed.replacen("\"unit\"", "\"since\":1,\"unit\"", 1);
    host.write("tariff.json", &other);
    host.verify_receipt(&host.receipt(1), &ALL).ends(30, "states no tariff");
    let at = signed.find("\"signature\":\"").unwrap() + 13;
    let forged = format!("{}{}{}", &signed[..at], "0".repeat(8), &signed[at + 8..]);
    host.write("tariff.json", &forged);
    host.verify_receipt(&host.receipt(1), &ALL).ends(10, "REFUTED      tariff");
}

#[test]
fn a_head_or_a_tariff_of_a_keyset_s_last_second_holds_and_a_later_one_does_not() {
    let host = Host::new();
    let receipt = host.receipt(1);
    let log = MemoryLog::of(std::slice::from_ref(&receipt));
    host.write("receipt.json", &host.with_place(&receipt, &log, 0));
    let digest = format!("sha256:{}", tariff().digest());
    for (at, code, head, offer) in [
        (1_899_999_999_999, 0, "proved       log.head", "proved       tariff"),
        (1_900_000_000_000, 10, "REFUTED      log.head", "REFUTED      tariff"),
    ] {
        host.write("head.json", &host.head(&log, at));
        host.write("tariff.json", &statement_at(host.author(), &digest, at as i64));
        let args = ["receipt", "receipt.json", "--keyset", "keyset.json", "--head", "head.json"];
        host.verify(&args).ends(code, head);
        host.verify_receipt(&receipt, &ALL).ends(code, offer);
        host.write("receipt.json", &host.with_place(&receipt, &log, 0));
        let bill = host.verify_invoice(std::slice::from_ref(&receipt), &[]);
        bill.ends(code, offer);
    }
    let terms = Json::parse(tariff().terms().as_bytes()).unwrap();
    let members = vec![("terms", terms), ("digest", Json::Text(digest))];
    host.write("tariff.json", &host.author().sign("tee-sidecar.tariff.v1", members));
    host.verify_receipt(&receipt, &ALL).ends(30, "'at' is missing");
}

#[test]
fn what_is_wrong_comes_before_side_inputs_that_cannot_be_had() {
    let host = Host::new();
    let receipt = host.receipt(1);
    let forged = receipt.replacen("\"output_tokens\":1,", "\"output_tokens\":2,", 1);
    host.write("empty.json", "");
    let keys = ["--keyset", "away.json"];
    for (input, code) in [("away.json", 20), ("empty.json", 30)] {
        for option in ["--tariff", "--inclusion", "--keyset"] {
            host.verify_receipt(&receipt, &[option, input]).ends(code, input);
            host.verify_receipt(&forged, &[option, input]).ends(10, "receipt.signature");
        }
        let bill = [&["--settlement", input][..], &keys].concat();
        host.verify_invoice(std::slice::from_ref(&forged), &bill).ends(10, "invoice.signature");
    }
    for option in ["--request", "--response"] {
        host.verify_receipt(&receipt, &[option, "away.json"]).ends(20, "away.json");
        host.verify_receipt(&forged, &[option, "away.json"]).ends(10, "receipt.signature");
    }
    let tx = format!("0x{}", "12".repeat(32));
    let away = ["--settlement", &tx, "--rpc", "http://127.0.0.1:1/key"];
    let judged = host.verify_invoice(&[forged], &away);
    judged.ends(10, "invoice.signature");
    assert!(!judged.text.contains("/key"), "{}", judged.text);
}

#[test]
fn a_host_that_shows_no_place_a_minute_later_has_not_kept_its_promise() {
    let host = Host::new();
    for inclusion in ["", ",\"inclusion\":null"] {
        let bundle = format!("{{\"receipt\":{}{inclusion}}}", host.receipt(1));
        let at = |at: &str| host.verify_receipt(&bundle, &["--at", at]);
        at("1790000059").ends(0, "not checked  receipt.log");
        at("1790000060").ends(20, "MISSING      receipt.log");
    }
    host.verify_receipt(&host.receipt(1), &["--at", "1790000060"]).ends(0, "--inclusion FILE");
    host.verify_invoice(&host.receipts(1..=2), &[]).ends(0, "not checked  invoice.log");
}

#[test]
fn what_is_missing_is_20_what_cannot_be_read_30_and_what_is_wrong_10() {
    let host = Host::new();
    let receipt = host.receipt(1);
    host.write("receipt.json", &receipt);
    host.verify(&["receipt", "receipt.json"]).ends(20, "nothing says whose keys count");
    host.verify(&["receipt", "nowhere.json", "--keyset", "keyset.json"]).ends(20, "nowhere.json");
    host.verify_receipt("{}", &[]).ends(30, "api_version");
    host.verify_receipt("{\"receipt\":{}}", &[]).ends(30, "api_version");
    host.verify_receipt(&receipt[1..], &[]).ends(30, "receipt.json");
    let deep = format!("[{}0]", "0,".repeat(40_000));
    host.verify_invoice(std::slice::from_ref(&deep), &[]).ends(30, "more than any receipt");
    host.verify_receipt(&deep.repeat(14), &[]).ends(30, "longer than any such file");
    host.write("receipt.json", &receipt);
    host.verify(&["receipt", "receipt.json", "--keyset", "tariff.json"]).ends(30, "not_after");
    host.verify(&["receipt"]).ends(64, "RECEIPT");
    host.verify(&["receipt", "--partial"]).ends(64, "--response");

    let forged = receipt.replacen("\"output_tokens\":1,", "\"output_tokens\":2,", 1);
    host.verify_receipt(&forged, &[]).ends(10, "receipt.signature");
    let other = host.keyset().replacen("1900000000", "1900000001", 1);
    host.write("other.json", &other);
    let args = ["receipt", "receipt.json", "--keyset", "other.json"];
    host.verify_receipt(&receipt, &[]).ends(0, "receipt.signature");
    host.verify_receipt(&receipt, &[]).ends(0, "not checked  receipt.request");
    host.verify(&args).ends(20, "which is not the one at hand");
    let late = host.resigned(&receipt, "\"served_at\":1790000000", "\"served_at\":1900000000");
    host.verify_receipt(&late, &[]).ends(10, "its keyset ended at 1900000000");
    let impossible = host.resigned(&receipt, "\"complete\":true", "\"complete\":false");
    host.verify_receipt(&impossible, &[]).ends(10, "contradicts itself");
    host.write("request.json", "{}");
    host.verify_receipt(&receipt, &ALL).ends(10, "request.received");
    // Prices have changed since: the tariff of now is not the one of then.
    let dearer = Tariff::per_token(Neuron::new(101), Neuron::new(200));
    host.write("now.json", &dearer.terms());
    host.verify_receipt(&receipt, &["--tariff", "now.json"]).ends(10, "give the one of then");
}

/// A request that was refused before its body was read, as the receipt says.
fn refused(host: &Host, request_hash: Digest32) -> String {
    let (receipt, claims) = answered(3, b"{\"error\":{}}", Outcome::Refused);
    let (usage, fee) = (Usage::default(), Neuron::ZERO);
    let receipt = Receipt { status: 413, usage, fee, request_hash, ..receipt };
    host.signed((receipt, Claims { unread: true, forwarded_hash: None, ledger: None, ..claims }))
}

#[test]
fn of_a_request_that_was_refused_unread_nothing_is_claimed() {
    let host = Host::new();
    let honest = refused(&host, Digest32::sha256(b""));
    let judged = host.verify_receipt(&honest, &["--request", "request.json"]);
    judged.ends(0, "refused before its body was read");
    assert!(judged.text.contains("not checked  receipt.request"), "{}", judged.text);
    let hashed = refused(&host, Digest32::sha256(REQUEST));
    host.verify_receipt(&hashed, &[]).ends(10, "contradicts itself");
    host.verify_invoice(&[hashed], &["--gaps-allowed"]).ends(10, "contradicts itself");
}

#[test]
fn what_is_charged_stands_in_the_log() {
    let host = Host::new();
    let (receipt, claims) = host.exchange(3);
    let unplaced = host.signed((receipt, Claims { ledger: None, ..claims }));
    host.verify_receipt(&unplaced, &[]).ends(10, "charges something and promises no log");
}

#[test]
fn half_an_answer_and_its_checkpoints_prove_what_was_sent_and_what_it_costs() {
    let host = Host::new();
    let whole = host.checkpointed(7);
    let (receipt, claims) = answered(7, whole.as_bytes(), Outcome::Complete);
    let receipt = host.signed((receipt, claims));
    host.write("response.txt", &whole);
    host.verify_receipt(&receipt, &ALL).ends(0, "rolling hash");

    let cut = whole.find("data: {\"n\":3}").unwrap() + 5;
    host.write("response.txt", &whole[..cut]);
    let part = ["--response", "response.txt", "--partial"];
    let proved = host.verify_receipt(&receipt, &part);
    proved.ends(0, "ending there it owes 1400 neuron");
    proved.ends(0, "5 bytes behind the checkpoint prove nothing");
    proved.ends(0, "the receipt charges 2400 neuron for all of it");
    // Without a receipt, as long as the answer goes on.
    let args = ["receipt", "--response", "response.txt", "--partial", "--keyset", "keyset.json"];
    host.verify(&args).ends(0, "it will be found under 00000000-0000-4000-8000-000000000007");
    let asked = [&args[..], &["--request", "request.json"]].concat();
    host.verify(&asked).ends(0, "receipt.request");

    host.write("response.txt", &whole[..20]);
    host.verify(&args).ends(20, "no checkpoint");
    host.verify_receipt(&receipt, &part).ends(20, "no checkpoint");
    host.write("response.txt", &whole[..cut].replacen("\"n\":1", "\"n\":9", 1));
    host.verify(&args).ends(10, "not those that it covers");
    host.verify_receipt(&receipt, &part).ends(10, "not those that it covers");
    host.verify_receipt(&host.receipt(8), &part).ends(10, "the checkpoint is of the receipt");
}

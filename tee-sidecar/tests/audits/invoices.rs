//! Whole bills.

use broker_core::log::leaf_hash;
use broker_core::receipt::{Claims, ReadReceipt};
use broker_core::requests::{Collected, proved_leaf};
use broker_core::verify::Settled;
use broker_core::{Address, Neuron, Outcome, Receipt, Usage};
use serde_json::{Value, json};

use crate::host::*;

/// The voucher over all of these receipts.
pub(crate) fn voucher(receipts: &[String]) -> Settled {
    voucher_with(receipts, Neuron::ZERO, 1)
}

pub(crate) fn voucher_with(receipts: &[String], carry: Neuron, nonce: u64) -> Settled {
    let mut collected = Collected::new(user(), carry);
    for document in receipts {
        let read = ReadReceipt::parse(document.as_bytes()).unwrap();
        let fee = read.charge.unwrap().fee;
        let id = broker_core::ReceiptId::parse(&read.id).unwrap();
        let leaf = proved_leaf(&id, fee, &leaf_hash(document.as_bytes()));
        collected.add_leaf(fee, leaf).unwrap();
    }
    Settled {
        user: user(),
        provider: Address([0xee; 20]),
        total: collected.total(),
        requests_hash: collected.root(),
        nonce,
        carry,
    }
}

pub(crate) fn settlement(settled: &Settled) -> String {
    json!({
        "user": settled.user.to_string(),
        "provider": settled.provider.to_string(),
        "totalFee": settled.total.to_string(),
        "requestsHash": format!("0x{}", settled.requests_hash),
        "nonce": settled.nonce.to_string(),
        "signature": "0x",
        "carry": settled.carry.to_string(),
    })
    .to_string()
}

#[test]
fn a_bill_adds_up_by_tariff_and_outcome() {
    let host = Host::new();
    let mut receipts = host.receipts(1..=4);
    receipts.push(host.signed(answered(5, b"data: x\n\n", Outcome::ClientGone)));
    let (receipt, claims) = host.exchange(6);
    let usage = Usage::new(0, 0);
    let free = Receipt { usage, fee: Neuron::ZERO, outcome: Outcome::Refused, ..receipt };
    receipts.push(host.signed((free, claims)));
    let judged = host.verify_invoice(&receipts, &["--account", &user().to_string()]);
    // 10 · 100 + n · 200 each.
    judged.ends(0, "6 receipts, signed, charge 0xabababababababababababababababababababab 8000");
    judged.ends(0, "client_gone: 1 receipt, 2000 neuron");
    judged.ends(0, "complete: 4 receipts, 6000 neuron");
    judged.ends(0, "refused: 1 receipt, 0 neuron");
    let json = host.verify_invoice(&receipts, &["--json"]);
    let json: Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(json["verdict"], "proved");
}

#[test]
fn receipts_may_come_in_lines_pages_and_with_their_places() {
    let host = Host::new();
    let receipts = host.receipts(1..=30);
    let parsed = |range: std::ops::Range<usize>| -> Vec<Value> {
        receipts[range].iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    };
    let page = |range| json!({"object": "list", "data": parsed(range), "has_more": true});
    let pages = [page(0..10), page(10..20), page(20..30)];
    let log = MemoryLog::of(&receipts);
    let placed: Vec<_> =
        (0..).zip(&receipts).map(|(n, text)| host.with_place(text, &log, n)).collect();
    let raw_page = format!("{{\"object\":\"list\",\"data\":[{}]}}", receipts.join(","));
    for (name, text) in [
        ("lines", receipts.join("\n")),
        ("lines of Windows", format!("\n{}\r\n\r\n", receipts.join("\r\n"))),
        ("two on a line", receipts.concat()),
        ("pages", pages.iter().map(Value::to_string).collect::<String>()),
        ("pages, pretty", pages.iter().map(|p| format!("{p:#}\n")).collect()),
        ("a page on each line", pages.iter().map(|p| format!("{p}\n")).collect()),
        ("a page as served", raw_page),
        ("with places", placed.join("\n")),
        ("with places, pretty", {
            let pretty = placed
                .iter()
                .map(|text| format!("{:#}", serde_json::from_str::<Value>(text).unwrap()));
            pretty.collect()
        }),
    ] {
        host.write("receipts.json", &text);
        let args = ["invoice", "--receipts", "receipts.json", "--tariff", "tariff.json"];
        let judged = host.verify(&[&args[..], &["--keyset", "keyset.json", "--no-gaps"]].concat());
        assert!(judged.text.contains("30 receipts, signed"), "{name}: {}", judged.text);
        judged.ends(0, "exchanges 1 to 30 are all there");
    }
}

/// A voucher and the numbers of a bill of which a part cannot be read say nothing against its host.
#[test]
fn what_was_not_brought_along_refutes_nothing() {
    let host = Host::new();
    let receipts = host.receipts(1..=6);
    host.write("voucher.json", &settlement(&voucher(&receipts)));
    let paid = ["--settlement", "voucher.json"];
    host.verify_invoice(&receipts, &paid).ends(0, "nonce 1: its");
    // The third is of a keyset whose report was forgotten.
    let digest = host.author().keyset.to_string();
    let mut forgotten = receipts.clone();
    forgotten[2] = forgotten[2].replace(&digest, &"0".repeat(64));
    let mut cut = receipts.clone();
    cut[2].truncate(100);
    for (bill, code) in [(forgotten, 20), (cut, 30)] {
        for told in [&paid[..], &["--no-gaps"]] {
            let judged = host.verify_invoice(&bill, told);
            judged.ends(code, "documents of the file count for nothing");
            assert!(!judged.text.contains("REFUTED"), "{}", judged.text);
        }
    }
    // Without one that can be read all the same it is a gap, and the voucher takes too much.
    let dropped = [&receipts[..2], &receipts[3..]].concat();
    host.verify_invoice(&dropped, &paid).ends(10, "receipts are withheld, or not in the file");
    host.verify_invoice(&dropped, &["--no-gaps"]).ends(10, "exchanges are missing (3)");
}

#[test]
fn a_document_too_long_to_be_read_hides_nothing_of_those_before_it() {
    let host = Host::new();
    let mut receipts = host.receipts(1..=3);
    let more = receipts[1].replacen("\"fee\":\"1400\"", "\"fee\":\"1500\"", 1);
    assert_ne!(more, receipts[1]);
    let endless = format!("{{\"a\":\"{}\"}}", "x".repeat(9 << 20));
    receipts.push(endless);
    let judged = host.verify_invoice(&receipts, &["--no-gaps"]);
    judged.ends(30, "longer than any receipt or page");
    judged.ends(30, "3 receipts, signed, charge");
    let (receipt, claims) = host.exchange(2);
    receipts[1] = host.signed((Receipt { fee: Neuron::new(1500), ..receipt }, claims));
    host.verify_invoice(&receipts, &["--no-gaps"]).ends(10, "100 neuron too much in all");
}

#[test]
fn what_is_missing_malformed_or_misused_has_its_own_code() {
    let host = Host::new();
    let receipts = host.receipts(1..=5);
    host.verify_invoice(&[], &[]).ends(20, "no receipt in the file");
    for unread in [".", "/dev/null"] {
        let args = ["invoice", "--receipts", unread, "--tariff", "tariff.json"];
        let judged = host.verify(&[&args[..], &["--keyset", "keyset.json"]].concat());
        judged.ends(64, "has to be read twice");
    }
    host.verify_invoice(&receipts, &["--from-seq", "3", "--to-seq", "2"]).ends(64, "--from-seq");
    host.verify_invoice(&receipts, &["--rpc", "http://127.0.0.1:1"]).ends(64, "--settlement");
    let tx = format!("0x{}", "12".repeat(32));
    host.verify_invoice(&receipts, &["--settlement", &tx]).ends(64, "--rpc");
    let away = ["--settlement", &tx, "--rpc", "http://127.0.0.1:1/key"];
    let judged = host.verify_invoice(&receipts, &away);
    judged.ends(20, "127.0.0.1:1");
    assert!(!judged.errors.contains("/key"), "{}", judged.errors);
    let broken = [&receipts[..2], &["{\"a\":".to_owned(), "nonsense".to_owned()]].concat();
    let judged = host.verify_invoice(&broken, &[]);
    judged.ends(30, "document 3: no JSON");
    judged.ends(30, "2 receipts, signed");
    host.verify_invoice(&["{}".to_owned()], &[]).ends(30, "api_version");
    let short = receipts[0].replacen("keyset_digest\":\"sha256:", "keyset_digest\":\"sha256:0", 1);
    host.verify_invoice(&[short], &[]).ends(30, "workload_keyset_digest");
    let keyset = host.keyset().replacen("1900000000", "1900000001", 1);
    host.write("keyset.json", &keyset);
    host.verify_invoice(&receipts, &[]).ends(20, "keyset sha256:");
}

#[test]
fn a_range_is_billed_without_the_rest_and_its_ends_count() {
    let host = Host::new();
    let receipts = host.receipts(1..=9);
    let range = ["--from-seq", "3", "--to-seq", "6", "--no-gaps"];
    let judged = host.verify_invoice(&receipts, &range);
    judged.ends(0, "4 receipts, signed");
    judged.ends(0, "5 receipts are outside of the range");
    host.verify_invoice(&receipts[..5], &range).ends(10, "are missing (6)");
    host.verify_invoice(&receipts[3..], &range).ends(10, "are missing (3)");
}

fn judged_missing(judged: &Judged, why: &str) {
    judged.ends(20, why);
    judged.ends(20, "MISSING      settlement.carry");
}

#[test]
fn a_later_voucher_s_carry_is_what_the_one_before_was_shown_to_leave() {
    let host = Host::new();
    let receipts = host.receipts(1..=6);
    host.write("first.json", &settlement(&voucher_with(&receipts[..3], Neuron::ZERO, 7)));
    let second = voucher_with(&receipts[3..], Neuron::new(900), 8);
    host.write("second.json", &settlement(&second));
    let both = ["--settlement", "first.json", "--settlement", "second.json"];
    judged_missing(&host.verify_invoice(&receipts, &both), "nonce 8: it says that 900 neuron");
}

#[test]
fn a_range_of_which_nothing_is_known_is_one_gap() {
    let host = Host::new();
    let elsewhere = host.receipts([17]);
    let range = ["--from-seq", "1000", "--to-seq", "2000"];
    let judged = host.verify_invoice(&elsewhere, &[&range[..], &["--no-gaps"]].concat());
    judged.ends(10, "1001 of the account's exchanges are missing (1000 to 2000)");
    judged.ends(10, "no receipt in the file is within the bill");
    host.verify_invoice(&elsewhere, &range).ends(20, "(1000 to 2000)");
    let allowed = [&range[..], &["--gaps-allowed"]].concat();
    host.verify_invoice(&elsewhere, &allowed).ends(20, "is within the bill");
    host.verify_invoice(&elsewhere, &["--to-seq", "3", "--no-gaps"]).ends(10, "(1 to 3)");
    host.verify_invoice(&elsewhere, &["--from-seq", "18", "--no-gaps"]).ends(10, "(18)");
    // What has no number is in no range.
    let (receipt, claims) = host.exchange(3);
    let usage = Usage::new(0, 0);
    let free = Receipt { usage, fee: Neuron::ZERO, outcome: Outcome::Refused, ..receipt };
    let unplaced = [host.signed((free, Claims { ledger: None, ..claims }))];
    let judged = host.verify_invoice(&unplaced, &[&range[..], &["--no-gaps"]].concat());
    judged.ends(10, "(1000 to 2000)");
    host.verify_invoice(&unplaced, &["--no-gaps"]).ends(20, "nothing shows whether any is missing");
    host.verify_invoice(&unplaced, &["--gaps-allowed"]).ends(0, "nothing shows whether any");
}

#[test]
fn an_id_is_used_again_outside_of_the_range_too() {
    let host = Host::new();
    let mut receipts = host.receipts(1..=4);
    receipts.push(host.resigned(&host.receipt(5), "000000000005", "000000000001"));
    let range = ["--from-seq", "1", "--to-seq", "4"];
    host.verify_invoice(&receipts, &range).ends(10, "000000000001 is there 2 times");
}

#[test]
fn vouchers_pay_receipts_one_after_another_and_the_rest_is_named() {
    let host = Host::new();
    let receipts = host.receipts(1..=12);
    let carry = Neuron::new(55);
    host.write("first.json", &settlement(&voucher_with(&receipts[2..6], carry, 7)));
    let second = settlement(&voucher_with(&receipts[6..10], Neuron::ZERO, 8));
    host.write("second.json", &second);
    // In any order: the nonces tell.
    let both = ["--carry", "55", "--settlement", "second.json", "--settlement", "first.json"];
    let first = id(3).to_string();
    let judged = host.verify_invoice(&receipts, &[&both[..], &["--first", &first]].concat());
    judged.ends(0, "nonce 7: its 7655 neuron and its requestsHash are those of 4 receipts");
    judged.ends(0, "4 receipts and of 55 neuron that are carried over");
    judged.ends(0, "nonce 8: its 10800 neuron");
    judged.ends(0, "2 receipts with a fee stand before it");
    judged.ends(0, "2 receipts with 6600 neuron in all stand behind it");
    let judged = host.verify_invoice(&receipts, &both);
    judged.ends(10, "nonce 7: 5 receipts in their order come to");
    judged.ends(10, "nobody knows where this one begins");
    // By the file's own word alone nothing is carried over.
    let told = ["--first", &first, "--settlement", "first.json"];
    judged_missing(&host.verify_invoice(&receipts, &told), "55 neuron of it are carried over");
    let bare =
        settlement(&voucher_with(&receipts[2..6], carry, 7)).replace("\"carry\":\"55\"", "\"x\":0");
    host.write("first.json", &bare);
    let with = ["--first", &first, "--settlement", "first.json", "--carry"];
    host.verify_invoice(&receipts, &[&with[..], &["55"]].concat()).ends(0, "nonce 7: its 7655");
    host.verify_invoice(&receipts, &[&with[..], &["54"]].concat()).ends(10, "nonce 7");
    host.write("first.json", "{\"user\":\"0x\"}");
    host.verify_invoice(&receipts, &[&with[..], &["55"]].concat()).ends(30, "first.json");
}

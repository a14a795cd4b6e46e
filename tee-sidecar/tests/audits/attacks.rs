//! The attack table: what a host tries, the command that refutes it, and its exit code.

use broker_core::verify::Settled;
use broker_core::{Neuron, Outcome, Tariff};

use crate::host::*;
use crate::invoices::{settlement, voucher};

const WHOLE: [&str; 2] = ["--response", "response.txt"];

#[test]
fn a_dropped_receipt() {
    let host = Host::new();
    let all = host.receipts(1..=10);
    let mut fewer = all.clone();
    fewer.remove(4);
    // From the list of the user's receipts: the count of the account's exchanges shows it.
    host.verify_invoice(&fewer, &["--no-gaps"]).ends(10, "are missing (5)");
    host.verify_invoice(&fewer, &[]).ends(20, "withheld, cut off by a crash");
    host.verify_invoice(&fewer, &["--gaps-allowed"]).ends(0, "withheld, cut off by a crash");
    host.verify_invoice(&fewer, &["--gaps-allowed", "--no-gaps"]).ends(64, "--no-gaps");
    host.verify_invoice(&all, &["--no-gaps"]).ends(0, "exchanges 1 to 10 are all there");
    // From the list, but not from the bill that was paid.
    host.write("voucher.json", &settlement(&voucher(&all)));
    let paid = ["--settlement", "voucher.json"];
    host.verify_invoice(&fewer, &paid).ends(10, "receipts are withheld, or not in the file");
    // From the log.
    let (old, new) = (MemoryLog::of(&all[..8]), MemoryLog::of(&fewer));
    let (from, to) = (host.head(&old, 1), host.head(&new, 2));
    host.verify_log(&from, &to, Some(&new.path(8))).ends(10, "does not begin with the first");
    // The user who holds the receipt asks for its place.
    let shown = host.with_place(&all[4], &new, 4);
    host.verify_receipt(&shown, &[]).ends(10, "does not stand in the log");
}

#[test]
fn reordered_receipts() {
    let host = Host::new();
    let all = host.receipts(1..=9);
    let mut moved = all.clone();
    moved.swap(2, 5);
    let (old, new) = (MemoryLog::of(&all[..7]), MemoryLog::of(&moved));
    let (from, to) = (host.head(&old, 1), host.head(&new, 2));
    host.verify_log(&from, &to, Some(&new.path(7))).ends(10, "does not begin with the first");
    host.write("voucher.json", &settlement(&voucher(&moved)));
    let judged = host.verify_invoice(&all, &["--settlement", "voucher.json"]);
    judged.ends(10, "not that of these receipts in this order");
}

#[test]
fn a_forked_log() {
    let host = Host::new();
    let one = MemoryLog::of(&host.receipts(1..=6));
    let other = MemoryLog::of(&host.receipts([1, 2, 3, 4, 5, 7]));
    let (from, to) = (host.head(&one, 1), host.head(&other, 2));
    host.verify_log(&from, &to, None).ends(10, "two roots are signed for the same 6 leaves");
    // Both went on since.
    let later = MemoryLog::of(&host.receipts([1, 2, 3, 4, 5, 7, 8, 9]));
    let to = host.head(&later, 3);
    for path in [later.path(6), later.path(5), later.path(4)] {
        host.verify_log(&from, &to, Some(&path)).ends(10, "does not begin with the first");
    }
    // Another log altogether.
    let elsewhere = host.resigned(&host.head(&later, 3), "sha256:5e5e", "sha256:5e5f");
    host.verify_log(&from, &elsewhere, None).ends(10, "of different logs");
}

#[test]
fn edited_usage() {
    let host = Host::new();
    let receipts = host.receipts(1..=5);
    let log = MemoryLog::of(&receipts);
    let with = |from: &str, to: &str| receipts[2].replacen(from, to, 1);
    let unsigned = with("\"output_tokens\":3", "\"output_tokens\":30");
    host.verify_receipt(&unsigned, &[]).ends(10, "REFUTED      receipt.signature");
    // Signed again: it is not the one in the log, and the fee has to follow.
    let signed = host.resigned(&receipts[2], "\"output_tokens\":3", "\"output_tokens\":30");
    host.verify_receipt(&signed, &["--tariff", "tariff.json"]).ends(10, "come to 7000");
    host.verify_receipt(&host.with_place(&signed, &log, 2), &[]).ends(10, "not stand in the log");
    let mut invoice = receipts.clone();
    invoice[2].clone_from(&signed);
    host.verify_invoice(&invoice, &[]).ends(10, "the fee is 1600 neuron");
    invoice[2].clone_from(&unsigned);
    host.verify_invoice(&invoice, &[]).ends(10, "invoice.signature");
    let dear = host.resigned(&receipts[2], "\"fee\":\"1600\"", "\"fee\":\"1601\"");
    invoice[2].clone_from(&dear);
    host.verify_invoice(&invoice, &[]).ends(10, "1 neuron too much in all");
}

#[test]
fn another_price_after_the_fact() {
    let host = Host::new();
    let dear = Tariff::per_token(Neuron::new(100), Neuron::new(900));
    host.write("dear.json", &dear.terms());
    let (mut receipt, claims) = host.exchange(3);
    receipt.fee = dear.fee(&receipt.usage).unwrap();
    let raised = host.signed_at(&dear, (receipt, claims));
    // The user kept the tariff that was in force.
    host.verify_receipt(&raised, &["--tariff", "tariff.json"]).ends(10, "cites the tariff");
    // The receipt cites the old tariff and states the new price.
    let posing = host.resigned(
        &raised,
        &format!("sha256:{}", dear.digest()),
        &format!("sha256:{}", tariff().digest()),
    );
    host.verify_receipt(&posing, &["--tariff", "tariff.json"]).ends(10, "unit prices");
    host.verify_invoice(&[posing], &[]).ends(10, "unit prices");
    // On the bill the tariff is one that nobody showed.
    host.verify_invoice(std::slice::from_ref(&raised), &[]).ends(20, "not at hand");
    // What the log had before is not what the host shows now.
    let log = MemoryLog::of(&host.receipts(1..=5));
    host.verify_receipt(&host.with_place(&raised, &log, 2), &[]).ends(10, "not stand in the log");
    // The voucher was made at the new price, of receipts at the old one.
    let paid = voucher(std::slice::from_ref(&raised));
    host.write("voucher.json", &settlement(&paid));
    let judged = host.verify_invoice(&[host.receipt(3)], &["--settlement", "voucher.json"]);
    judged.ends(10, "and it takes 3700");
}

#[test]
fn a_truncated_stream_signed_as_whole() {
    let host = Host::new();
    let whole = EVENTS.concat();
    let cut = EVENTS[..2].concat();
    // The client has less than was signed.
    host.write("response.txt", &cut);
    host.verify_receipt(&host.receipt(1), &WHOLE).ends(10, "the receipt is about 59 bytes");
    // The client has more.
    let short = host.signed(answered(1, cut.as_bytes(), Outcome::Complete));
    host.write("response.txt", &whole);
    host.verify_receipt(&short, &WHOLE).ends(10, "is about the first 30 bytes only (complete)");
    // The client has just that, and the engine never said that it was all.
    host.write("response.txt", &cut);
    host.verify_receipt(&short, &WHOLE).ends(10, "does not end with [DONE]");
    let honest = host.signed(answered(1, cut.as_bytes(), Outcome::TruncatedUpstream));
    host.verify_receipt(&honest, &WHOLE).ends(0, "truncated_upstream");
    // Other bytes of the same length, and a rolling hash of others.
    host.write("response.txt", &whole.replacen("\"n\":1", "\"n\":9", 1));
    host.verify_receipt(&host.receipt(1), &WHOLE).ends(10, "response.returned");
    host.write("response.txt", &whole);
    let (receipt, mut claims) = host.exchange(1);
    claims.chain_head = Some(LOG);
    host.verify_receipt(&host.signed((receipt, claims)), &WHOLE).ends(10, "chain_head");
    let recounted = host.resigned(&host.receipt(1), "\"bytes\":59", "\"bytes\":60");
    host.verify_receipt(&recounted, &WHOLE).ends(10, "counts 60 bytes");
    // Fewer bytes signed than a checkpoint had promised already.
    let checkpointed = host.checkpointed(7);
    let short = host.signed(answered(7, cut.as_bytes(), Outcome::ClientGone));
    host.write("response.txt", &checkpointed[..checkpointed.len() - 20]);
    let part = ["--response", "response.txt", "--partial"];
    host.verify_receipt(&short, &part).ends(10, "is about 30 bytes, and this part has");
}

#[test]
fn an_id_used_again() {
    let host = Host::new();
    let mut receipts = host.receipts(1..=5);
    let again = host.resigned(&host.receipt(6), "000000000006", "000000000002");
    receipts.push(again);
    host.verify_invoice(&receipts, &[]).ends(10, "000000000002 is there 2 times");
    // One exchange billed twice under two ids.
    receipts.pop();
    let twice = host.resigned(&host.receipt(6), "\"account_seq\":6", "\"account_seq\":2");
    receipts.push(twice);
    host.verify_invoice(&receipts, &[]).ends(10, "number 2 of the account's exchanges");
    // The checkpoints of one answer under the id of another.
    host.write("response.txt", &host.checkpointed(7));
    let part = ["--response", "response.txt", "--partial"];
    host.verify_receipt(&host.receipt(8), &part).ends(10, "the checkpoint is of the receipt");
}

#[test]
fn a_disk_rolled_back() {
    let host = Host::new();
    let all = host.receipts(1..=9);
    let (before, rolled) = (MemoryLog::of(&all), MemoryLog::of(&all[..6]));
    let from = host.head(&before, 1);
    host.verify_log(&from, &host.head(&rolled, 2), None).ends(10, "from 9 leaves to 6");
    // The host went on from the old disk until the log was longer than before.
    let mut again = all[..6].to_vec();
    again.extend(host.receipts(20..=30));
    let later = MemoryLog::of(&again);
    let to = host.head(&later, 3);
    host.verify_log(&from, &to, Some(&later.path(9))).ends(10, "does not begin with the first");
    // And the account's exchanges were counted again from there.
    let recounted = host.resigned(&host.receipt(20), "\"account_seq\":20", "\"account_seq\":7");
    let both = [&all[..], &[recounted]].concat();
    host.verify_invoice(&both, &[]).ends(10, "number 7 of the account's exchanges is there");
}

#[test]
fn another_account_s_receipts_and_vouchers() {
    let host = Host::new();
    let mut receipts = host.receipts(1..=3);
    let other = format!("0x{}", "cd".repeat(20));
    let theirs = host.resigned(&host.receipt(4), &user().to_string(), &other);
    receipts.push(theirs);
    host.verify_invoice(&receipts, &[]).ends(10, "it is charged to 0xcdcd");
    receipts.pop();
    host.verify_invoice(&receipts, &["--account", &other]).ends(10, "invoice.account");
    let paid = Settled { user: other.parse().unwrap(), ..voucher(&receipts) };
    host.write("voucher.json", &settlement(&paid));
    let judged = host.verify_invoice(&receipts, &["--settlement", "voucher.json"]);
    judged.ends(10, "another account's");
}

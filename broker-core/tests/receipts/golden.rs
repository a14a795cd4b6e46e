//! Both sides agree to the byte.

use std::process::Command;

use broker_core::Receipt;
use broker_core::jcs::Json;
use broker_core::keyset::Keyset;
use broker_core::log::leaf_hash;
use broker_core::receipt::{Proof, ReadReceipt};
use broker_core::stream::{Chain, Checkpoint};
use broker_core::{Digest32, Neuron, Tariff, Usage};

use super::vectors::*;

#[test]
fn the_vectors_are_what_the_independent_program_writes() {
    let script = folder().join("tests/vectors/receipts.py");
    let run = Command::new("python3").arg("-B").arg(script).output();
    let Ok(run) = run else {
        println!("SKIPPED: python3 is not there to make the vectors again");
        assert_ne!(option_env!("CI"), Some("true"), "nothing is skipped here");
        return;
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.stdout == written(), "run tests/vectors/receipts.py > ../fixtures/receipts/…");
}

#[test]
fn a_keyset_s_text_and_digest_never_change() {
    let vectors = Vectors::read();
    assert_eq!(our_keyset(), vectors.at("keyset").canonical());
    let keyset = Keyset::parse(our_keyset().as_bytes()).unwrap();
    assert_eq!(format!("sha256:{}", keyset.digest()), vectors.text("keyset_digest"));
    assert_eq!(keyset.not_after(), 1_800_000_000);
}

#[test]
fn a_tariff_s_terms_and_digest_never_change_and_are_read_back() {
    let vectors = Vectors::read();
    for (ours, theirs) in [plain(), tiered()].into_iter().zip(vectors.list("tariffs")) {
        assert_eq!(ours.terms(), theirs.get("terms").unwrap().text().unwrap());
        let digest = format!("sha256:{}", ours.digest());
        assert_eq!(digest, theirs.get("digest").unwrap().text().unwrap());
        let terms = Json::parse(ours.terms().as_bytes()).unwrap();
        assert_eq!(Tariff::from_terms(&terms), Some(ours));
    }
}

#[test]
fn receipts_are_the_same_documents_with_the_same_signatures_and_leaves() {
    let vectors = Vectors::read();
    let key = key();
    let made =
        [(streamed(&vectors), plain()), (left(&vectors), tiered()), (refused(&vectors), plain())];
    for (((record, claims), tariff), theirs) in made.into_iter().zip(vectors.list("receipts")) {
        let receipt = record.clone().proved(claims, &tariff, author(&key));
        let document = receipt.document(&tariff).unwrap();
        assert_eq!(document, theirs.get("canonical").unwrap().text().unwrap());
        let leaf = digest(theirs.get("leaf_hash").unwrap().text().unwrap());
        assert_eq!(leaf_hash(document.as_bytes()), leaf);
        let logged = receipt.proof.as_ref().unwrap().claims.ledger.is_some();
        assert_eq!(receipt.log_leaf(&tariff), logged.then_some(leaf));

        let read = ReadReceipt::parse(document.as_bytes()).unwrap();
        read.verify(&vectors.keyset()).unwrap();
        read.check_fee(&tariff).unwrap();
        assert_eq!(read.log_leaf(), leaf);
        says_the_same(&read, &receipt);
        // Written in another way it is the same receipt.
        let pretty = document.replace(",\"", " ,\n \"").replacen("{", "{ ", 1);
        ReadReceipt::parse(pretty.as_bytes()).unwrap().verify(&vectors.keyset()).unwrap();
    }
}

fn says_the_same(read: &ReadReceipt, receipt: &Receipt) {
    let claims = &receipt.proof.as_ref().unwrap().claims;
    assert_eq!(read.id, receipt.id.to_string());
    assert_eq!(read.usage, Some(receipt.usage));
    assert_eq!(read.request_hash, receipt.request_hash);
    assert_eq!(read.response_hash, receipt.response_hash);
    assert_eq!(read.forwarded_hash, claims.forwarded_hash);
    assert_eq!(read.place, claims.ledger);
    assert_eq!(read.served_at, receipt.served_at.0 / 1000);
    let charge = read.charge.as_ref().unwrap();
    assert_eq!((charge.account, charge.fee), (receipt.user, receipt.fee));
    assert_eq!(charge.hold, claims.hold);
    let closed = read.closed.as_ref().unwrap();
    assert_eq!((closed.outcome, closed.status), (receipt.outcome, u64::from(receipt.status)));
    assert_eq!((closed.bytes, closed.events), (receipt.bytes, receipt.events));
    assert_eq!(closed.chain_head, claims.chain_head);
}

#[test]
fn a_proof_survives_being_stored_and_nothing_else_is_one() {
    let vectors = Vectors::read();
    let key = key();
    for (record, claims) in [streamed(&vectors), left(&vectors), refused(&vectors)] {
        let proof = record.proved(claims, &plain(), author(&key)).proof.unwrap();
        let bytes = proof.to_bytes();
        assert_eq!(Proof::from_bytes(&bytes).as_ref(), Some(&*proof));
        for cut in 0..bytes.len() {
            assert_eq!(Proof::from_bytes(&bytes[..cut]), None, "{cut} bytes");
        }
        assert_eq!(Proof::from_bytes(&[bytes.as_slice(), &[0]].concat()), None);
        assert_eq!(Proof::from_bytes(&[&[2], &bytes[1..]].concat()), None);
    }
}

#[test]
fn the_rolling_hash_and_its_checkpoint_never_change() {
    let vectors = Vectors::read();
    let mut chain = Chain::new(&id(1));
    let mut at_two = chain.clone();
    for (n, event) in vectors.list("events").iter().enumerate() {
        chain.feed(event.text().unwrap().as_bytes());
        let head = vectors.list("chain_heads")[n].text().unwrap();
        assert_eq!(chain.head().to_string(), head);
        if n == 1 {
            at_two = chain.clone();
        }
    }
    let request = Digest32::sha256(vectors.text("request").as_bytes());
    let fee = Neuron::new(4_400_000);
    let made = Checkpoint::at(&at_two, id(1), request, &Usage::new(42, 1), fee);
    let comment = made.comment(author(&key()));
    assert_eq!(comment, format!(": checkpoint {}\n\n", vectors.text("checkpoint")));
    let theirs = Json::parse(vectors.text("checkpoint").as_bytes()).unwrap();
    assert_eq!(Checkpoint::verify(theirs, &vectors.keyset()), Ok(made));
}

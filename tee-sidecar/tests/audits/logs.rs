//! Two heads.

use serde_json::json;
use std::io::{Read as _, Write as _};

use crate::host::*;

#[test]
fn a_log_that_only_grew_is_proved_from_any_size_to_any_other() {
    let host = Host::new();
    let receipts = host.receipts(1..=11);
    for from in [0, 1, 4, 7, 10, 11] {
        let (old, new) = (MemoryLog::of(&receipts[..from]), MemoryLog::of(&receipts));
        let path = new.path(from as u64);
        let proved = host.verify_log(&host.head(&old, 1), &host.head(&new, 2), Some(&path));
        proved.ends(0, &format!("begins with that of {from}"));
    }
}

#[test]
fn a_missing_proof_is_20_and_none_is_needed_from_a_head_to_itself() {
    let host = Host::new();
    let receipts = host.receipts(1..=5);
    let (old, new) = (MemoryLog::of(&receipts[..3]), MemoryLog::of(&receipts));
    let (from, to) = (host.head(&old, 1), host.head(&new, 2));
    host.verify_log(&from, &to, None).ends(20, "--proof");
    host.verify_log(&from, &from, None).ends(0, "0 were added");
    host.verify_log(&from, &to, Some(&[])).ends(10, "length");
    let forged = to.replacen("\"tree_size\":5", "\"tree_size\":6", 1);
    host.verify_log(&from, &forged, None).ends(10, "log.to");
    host.verify_log(&from, &host.receipt(1), None).ends(30, "'type'");
    let elsewhere = to.replacen("5e5e", "5e5f", 1);
    host.verify_log(&from, &elsewhere, None).ends(10, "log.to");
    let args = ["log", "--from", "from.json", "--to", "to.json"];
    host.verify(&args).ends(20, "nothing says whose keys count");
}

#[test]
fn the_path_is_asked_of_the_server_where_it_is_needed() {
    let host = Host::new();
    let receipts = host.receipts(1..=9);
    let (old, new) = (MemoryLog::of(&receipts[..4]), MemoryLog::of(&receipts));
    host.write("from.json", &host.head(&old, 1));
    host.write("to.json", &host.head(&new, 2));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let body = json!({"from": 4, "to": 9, "path": hashes(&new.path(4))}).to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 2048];
        let count = stream.read(&mut asked).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        String::from_utf8(asked[..count].to_vec()).unwrap()
    });
    let keys = ["--keyset", "keyset.json", "--url", &url];
    let args = ["log", "--from", "from.json", "--to", "to.json"];
    host.verify(&[&args[..], &keys].concat()).ends(0, "5 were added");
    let asked = server.join().unwrap();
    assert!(asked.starts_with("GET /v1/log/proof/consistency?from=4&to=9 "), "{asked}");
    let away = ["--keyset", "keyset.json", "--url", "http://127.0.0.1:1"];
    host.verify(&[&args[..], &away].concat()).ends(20, "127.0.0.1:1");
}

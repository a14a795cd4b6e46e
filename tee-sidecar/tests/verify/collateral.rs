//! Collateral from a provisioning certification service, in the forms of Intel's and of caches.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use dcap_qvl::QuoteCollateralV3;
use serde_json::Value;
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;

use crate::support::{Desk, root};

fn near() -> Value {
    let document = std::fs::read(root().join("fixtures/near/near_report.json")).unwrap();
    serde_json::from_slice(&document).unwrap()
}

fn collateral() -> QuoteCollateralV3 {
    let path = root().join("fixtures/tdx/tdx_quote_outdated_collateral.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A cache in a thread, which notes what it is asked for.
fn serve(
    answer: impl Fn(&str) -> Option<(String, Vec<u8>)> + Send + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap().to_owned();
            notes.lock().unwrap().push(path.clone());
            let (head, body) = match answer(&path) {
                Some((headers, body)) => (format!("HTTP/1.1 200 OK\r\n{headers}"), body),
                None => ("HTTP/1.1 404 Not Found\r\n".to_owned(), Vec::new()),
            };
            let length = body.len();
            let head = format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    (addr, asked)
}

fn encoded(pem: &str) -> String {
    pem.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn cache(path: &str) -> Option<(String, Vec<u8>)> {
    let all = collateral();
    let signed = |member: &str, text: &str, signature: &[u8]| {
        format!(r#"{{"{member}":{text},"signature":"{}"}}"#, hex::encode(signature)).into_bytes()
    };
    let header = |name: &str, pem: &str| format!("{name}: {}\r\n", encoded(pem));
    Some(match path.split('?').next().unwrap() {
        "/tdx/certification/v4/tcb" => (
            header("TCB-Info-Issuer-Chain", &all.tcb_info_issuer_chain),
            signed("tcbInfo", &all.tcb_info, &all.tcb_info_signature),
        ),
        "/tdx/certification/v4/qe/identity" => (
            header("SGX-Enclave-Identity-Issuer-Chain", &all.qe_identity_issuer_chain),
            signed("enclaveIdentity", &all.qe_identity, &all.qe_identity_signature),
        ),
        "/sgx/certification/v4/pckcrl" => {
            (header("SGX-PCK-CRL-Issuer-Chain", &all.pck_crl_issuer_chain), all.pck_crl)
        }
        "/sgx/certification/v4/rootcacrl" => {
            (String::new(), hex::encode(all.root_ca_crl).into_bytes())
        }
        _ => return None,
    })
}

fn desk(pccs: SocketAddr) -> Desk {
    let mut desk = Desk::strict();
    desk.options.at = Some(1_773_500_000);
    desk.options.pccs = Some(format!("http://{pccs}/"));
    desk
}

#[test]
fn a_report_without_a_file_of_collateral_is_judged_with_what_a_cache_serves() {
    let (addr, asked) = serve(cache);
    desk(addr).judge(&near()).proved();
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "/tdx/certification/v4/tcb?fmspc=90C06F000000",
            "/tdx/certification/v4/qe/identity",
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
            "/sgx/certification/v4/rootcacrl",
        ]
    );
}

#[test]
fn what_was_fetched_is_kept_and_proves_the_report_in_later_years() {
    let (addr, _) = serve(cache);
    let mut desk = desk(addr);
    let kept = desk.path("kept.json");
    desk.options.save_collateral = Some(kept.clone());
    desk.judge(&near()).proved();
    // Nothing is overwritten: the same is the same, and anything else stays.
    desk.judge(&near()).proved();
    let mut later = Desk::strict();
    later.options.collateral = Some(kept.clone());
    for (at, exit) in [(1_773_500_000, Exit::Done), (2_100_000_000, Exit::Refuted)] {
        later.options.at = Some(at);
        assert_eq!(later.judge(&near()).exit(), exit, "{at}");
    }
    std::fs::write(&kept, "{}").unwrap();
    assert_eq!(desk.judge(&near()).exit(), Exit::Failed);
    assert_eq!(std::fs::read(&kept).unwrap(), b"{}");
}

#[test]
fn a_cache_that_lies_changes_no_verdict_but_to_the_worse() {
    let (addr, _) = serve(|path| {
        let (headers, body) = cache(path)?;
        let text = String::from_utf8(body.clone());
        let lying = text.map(|text| text.replace("\"UpToDate\"", "\"Uptodate\"").into_bytes());
        Some((headers, lying.unwrap_or(body)))
    });
    let judged = desk(addr).judge(&near());
    let refuted = judged.checks(CheckResult::Refuted);
    assert_eq!(refuted, ["model_attestations[0]: quote.tcb"], "{:#?}", judged.0);
}

#[test]
fn a_cache_that_fails_or_answers_nonsense_is_no_verdict() {
    let (silent, _) = serve(|_| None);
    assert_eq!(desk(silent).judge(&near()).exit(), Exit::Missing);
    let (nonsense, _) = serve(|path| Some((cache(path)?.0, b"<html>".to_vec())));
    assert_eq!(desk(nonsense).judge(&near()).exit(), Exit::Malformed);
    let (bare, _) = serve(|path| Some((String::new(), cache(path)?.1)));
    assert_eq!(desk(bare).judge(&near()).exit(), Exit::Malformed);
}

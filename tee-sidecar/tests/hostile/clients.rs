//! Clients that take without giving.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::*;

/// Writes until the server takes no more, but so many bytes at most; what it answered.
fn push(conn: &mut TcpStream, piece: &[u8], bytes_max: usize) -> (usize, String) {
    conn.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    conn.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut written = 0;
    while written < bytes_max && conn.write_all(piece).is_ok() {
        written += piece.len();
    }
    let mut answer = [0; 512];
    let read = conn.read(&mut answer).unwrap_or(0);
    (written, String::from_utf8_lossy(&answer[..read]).into_owned())
}

#[test]
fn heads_that_come_byte_by_byte_are_cut_off_and_stop_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (_engine, process) = serve(folder.path(), "", Vec::new);
    let mut slow = connect(process.addr, 300);
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\nx: ");
    slow.iter_mut().for_each(|conn| conn.write_all(head.as_bytes()).unwrap());
    slow.iter().for_each(|conn| conn.set_nonblocking(true).unwrap());
    wait_until("the end of all slow connections", SOON, || {
        is_served(process.addr);
        // A byte each: every one of them is busy all the time.
        slow.retain_mut(|conn| {
            let ended = matches!(conn.read(&mut [0; 512]), Ok(0))
                || conn.write_all(b"y").is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock);
            !ended
        });
        std::thread::sleep(Duration::from_millis(200));
        slow.is_empty()
    });
    is_settled(&process);
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_stop_nobody() {
    const IDLE: usize = 10_000;
    room_for(12_000);
    let folder = tempfile::tempdir().unwrap();
    let (_engine, process) = serve(folder.path(), "", Vec::new);
    is_served(process.addr);
    let before = peak_kb(&process);
    let idle = connect(process.addr, IDLE);
    is_served(process.addr);
    // Some have been of use before, and are kept for the next request.
    let mut used: Vec<_> = (0..200).map(|_| Conn::open(process.addr)).collect();
    for conn in &mut used {
        conn.send("GET", "/healthz", &[], b"");
        assert_eq!(conn.response().status, 200);
    }
    is_served(process.addr);
    let each = peak_kb(&process).saturating_sub(before) / (IDLE as u64 + 200);
    assert!(each <= 32, "{each} KB for each idle connection");
    drop((idle, used));
    is_served(process.addr);
    is_settled(&process);
}

#[test]
fn a_gigabyte_is_not_taken_in() {
    const GIGABYTE: usize = 1 << 30;
    const ENDLESS: usize = 64 * GIGABYTE;
    let folder = tempfile::tempdir().unwrap();
    let (engine, process) = serve(folder.path(), "limits: {requestBytesMax: 4194304}\n", Vec::new);
    is_served(process.addr);
    let before = peak_kb(&process);
    // Announced: refused by its head.
    let mut announced = TcpStream::connect(process.addr).unwrap();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {GIGABYTE}\r\n\r\n");
    announced.write_all(head.as_bytes()).unwrap();
    let (_, answer) = push(&mut announced, &[], 0);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Not announced: refused once it is too long, however it comes.
    let piece = [&b"100000\r\n"[..], &vec![b' '; 1 << 20], b"\r\n"].concat();
    let mut endless: Vec<_> = (0..2).map(|_| TcpStream::connect(process.addr).unwrap()).collect();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    for conn in &mut endless {
        conn.write_all(head.as_bytes()).unwrap();
        // It is read on for a second at most, so that the answer arrives.
        let (written, answer) = push(conn, &piece, ENDLESS);
        assert!(written < ENDLESS, "{written} bytes were taken");
        // An answer may be lost where the connection was cut while we wrote.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    is_served(process.addr);
    let more = peak_kb(&process).saturating_sub(before);
    assert!(more < 64 * 1024, "{more} KB more");
    assert_eq!(engine.requests(), 2);
    is_settled(&process);
}

#[test]
fn a_million_headers_and_one_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, process) = serve(folder.path(), "", Vec::new);
    is_served(process.addr);
    let before = peak_kb(&process);
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\n");
    let many = "a: b\r\n".repeat(1000);
    let endless = "a".repeat(6000);
    for (first, piece) in [("", &many), ("x: ", &endless), ("cookie: ", &endless)] {
        let mut conn = TcpStream::connect(process.addr).unwrap();
        conn.write_all(format!("{head}{first}").as_bytes()).unwrap();
        let (written, answer) = push(&mut conn, piece.as_bytes(), 6_000_000);
        // A connection that is closed while it is written to may lose the answer, and no more.
        let is_cut = written < 6_000_000 && answer.is_empty();
        assert!(is_cut || answer.starts_with("HTTP/1.1 4"), "{written}: {answer}");
        is_served(process.addr);
    }
    let more = peak_kb(&process).saturating_sub(before);
    assert!(more < 16 * 1024, "{more} KB more");
    assert_eq!(engine.requests(), 4);
    is_settled(&process);
}

#[test]
fn who_never_ends_a_body_holds_places_and_no_money() {
    let folder = tempfile::tempdir().unwrap();
    let places = "limits: {concurrentMax: 8, concurrentPerAccountMax: 8}\n";
    let (engine, process) = serve(folder.path(), places, Vec::new);
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{");
    let mut slow = connect(process.addr, 8);
    slow.iter_mut().for_each(|conn| conn.write_all(head.as_bytes()).unwrap());
    // Whoever comes next is told to come back, and when.
    wait_until("all places taken", SOON, || {
        let refused = post(process.addr, CHAT, &[], "{\"model\":\"tiny\",\"messages\":[]}");
        if refused.status == 200 {
            // It took a place that one of them was refused for.
            let mut more = TcpStream::connect(process.addr).unwrap();
            more.write_all(head.as_bytes()).unwrap();
            slow.push(more);
            return false;
        }
        let told = refused.header("retry-after").is_some_and(|secs| secs.parse::<u64>().is_ok());
        matches!(refused.status, 429 | 503) && told
    });
    is_settled(&process);
    assert_eq!(get(process.addr, "/healthz", &[]).status, 200);
    drop(slow);
    wait_until("places again", SOON, || {
        post(process.addr, CHAT, &[], "{\"model\":\"tiny\",\"messages\":[]}").status == 200
    });
    assert!(engine.requests() >= 1);
    is_settled(&process);
}

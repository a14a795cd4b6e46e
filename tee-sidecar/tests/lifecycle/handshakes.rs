//! Clients that begin a handshake and go no further.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::certificates::{tls_get, tls_sidecar};
use crate::support::quick;

/// More than actix takes at one time unless told otherwise: 256 on each thread.
const SILENT: usize = 700;

#[test]
fn clients_that_never_finish_a_handshake_keep_nobody_out_and_are_sent_away() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let (_sidecar, addr) = tls_sidecar(folder.path(), &engine);
    let mut silent: Vec<TcpStream> = (0..SILENT)
        .map(|n| {
            let mut stream = TcpStream::connect(addr).unwrap();
            // Some say nothing, some the beginning of a record whose end never comes.
            if n % 2 == 0 {
                stream.write_all(&[22, 3, 1, 64, 0, 1]).unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(tls_get(addr, "/healthz").status, 200);
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        // An end, in order or not, and no time-out of ours.
        let ended = stream.read_to_end(&mut rest).map_err(|error| error.kind());
        assert!(!matches!(ended, Err(std::io::ErrorKind::WouldBlock)), "it is still open");
    }
    assert_eq!(tls_get(addr, "/healthz").status, 200);
}

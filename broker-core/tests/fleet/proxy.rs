//! A wire between client and server that is cut at a chosen word.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Passes bytes on until it is told to cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cuts: Arc<Cuts>,
}

/// How many words are still passed on; negative for all of them.
struct Cuts {
    requests: AtomicI64,
    answers: AtomicI64,
}

/// What is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The question does not arrive.
    Request,
    /// The question is carried out, and its answer does not arrive.
    Answer,
}

impl Proxy {
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Cuts { requests: AtomicI64::new(-1), answers: AtomicI64::new(-1) };
        let cuts = Arc::new(cuts);
        let shared = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                // A server that is gone refuses.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from_client, to_client) = (client.try_clone().unwrap(), client);
                let (from_server, to_server) = (server.try_clone().unwrap(), server);
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || pass(from_client, to_server, &up.requests, b"QS", true));
                std::thread::spawn(move || {
                    pass(from_server, to_client, &down.answers, b"Z", false)
                });
            }
        });
        Self { port, cuts }
    }

    /// Cuts the connection at the n-th question or answer from now, counted from 1.
    pub(crate) fn cut(&self, what: Cut, n: i64) {
        self.counter(what).store(n, Ordering::SeqCst);
    }

    /// True where the cut came; none comes from now on.
    pub(crate) fn was_cut(&self, what: Cut) -> bool {
        self.counter(what).swap(-1, Ordering::SeqCst) < 0
    }

    fn counter(&self, what: Cut) -> &AtomicI64 {
        match what {
            Cut::Request => &self.cuts.requests,
            Cut::Answer => &self.cuts.answers,
        }
    }
}

/// Passes messages on, and closes both sides at the one that is counted down to: the words that end
/// a question are Query and Sync, and the one that ends an answer is ReadyForQuery.
fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicI64, ends: &[u8], starts: bool) {
    let mut is_first = starts;
    while let Ok(message) = read(&mut from, is_first) {
        let word = message[0];
        if !is_first && ends.contains(&word) && count.load(Ordering::SeqCst) > 0 {
            // One connection at a time is watched.
            if count.fetch_sub(1, Ordering::SeqCst) == 1 {
                count.store(-1, Ordering::SeqCst);
                break;
            }
        }
        is_first = false;
        if to.write_all(&message).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// One message with its length; the first of a client has no word before it.
fn read(from: &mut TcpStream, is_first: bool) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; if is_first { 4 } else { 5 }];
    from.read_exact(&mut message)?;
    let length = message[message.len() - 4..].try_into().map(u32::from_be_bytes);
    let length = length.map_err(|_| ErrorKind::InvalidData)? as usize;
    let start = message.len();
    message.resize(start + length - 4, 0);
    from.read_exact(&mut message[start..])?;
    Ok(message)
}

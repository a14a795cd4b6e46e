//! An engine that says exactly what a test wants, byte by byte.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{SOON, wait_until};

/// A request as the engine saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What the engine does next on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends bytes as they are.
    Raw(Vec<u8>),
    /// Sends bytes as one HTTP chunk.
    Chunk(Vec<u8>),
    /// Ends a chunked body.
    EndChunks,
    /// Waits until the test lets it go on, once.
    Gate,
    /// Waits.
    Pause(Duration),
    /// Closes the connection.
    Close,
}

type Script = dyn Fn(&Seen) -> Vec<Step> + Send + Sync;

/// A running engine; ends with the test's process, or when it is told to die.
pub(crate) struct Engine {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    gate: Sender<()>,
    /// One message for each connection that the other side closed while a script ran.
    pub(crate) aborted: Receiver<()>,
    listening: Option<std::thread::JoinHandle<()>>,
}

/// What the threads of an engine share.
struct Shared {
    script: Box<Script>,
    /// Its answer to whoever asks for its models.
    models: Mutex<Vec<u8>>,
    seen: Mutex<Vec<Seen>>,
    gated: Mutex<Receiver<()>>,
    /// HTTP chunks that the system has taken whole.
    chunks: AtomicU64,
    dead: AtomicBool,
    connections: Mutex<BTreeMap<SocketAddr, TcpStream>>,
}

impl Engine {
    pub(crate) fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    pub(crate) fn start_at(
        addr: SocketAddr,
        script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        let (gate, gated) = channel();
        let (abort, aborted) = channel();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            models: Mutex::new(whole(200, MODELS)),
            seen: Mutex::default(),
            gated: Mutex::new(gated),
            chunks: AtomicU64::default(),
            dead: AtomicBool::default(),
            connections: Mutex::default(),
        });
        let all = shared.clone();
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if all.dead.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared, abort) = (stream.unwrap(), all.clone(), abort.clone());
                std::thread::spawn(move || {
                    if shared.while_known(stream, serve).is_err() {
                        let _ = abort.send(());
                    }
                });
            }
        });
        Self { addr, shared, gate, aborted, listening: Some(listening) }
    }

    /// What it answers from now on when it is asked for its models.
    #[allow(dead_code, reason = "each test binary uses its own part of this file")]
    pub(crate) fn lists(&self, answer: Vec<u8>) {
        *self.shared.models.lock().unwrap() = answer;
    }

    /// The chat requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many those are.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.seen.lock().unwrap().len() as u64
    }

    /// The first chat request, once it is there.
    pub(crate) fn wait_for_request(&self) -> Seen {
        wait_until("a request at the engine", SOON, || !self.seen().is_empty());
        self.seen().swap_remove(0)
    }

    /// How many HTTP chunks it had written when for half a second it could write no more.
    pub(crate) fn chunks_until_held_back(&self) -> u64 {
        let mut written = 0;
        wait_until("an engine that is held back", SOON, || {
            let before = written;
            std::thread::sleep(Duration::from_millis(500));
            written = self.shared.chunks.load(Ordering::SeqCst);
            written > 0 && written == before
        });
        written
    }

    /// Lets one waiting script go on.
    pub(crate) fn open_gate(&self) {
        self.gate.send(()).unwrap();
    }

    /// Ends it as a process ends: connections break, and nobody listens any more.
    pub(crate) fn die(&mut self) {
        self.shared.dead.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.addr);
        self.listening.take().unwrap().join().unwrap();
        for connection in self.shared.connections.lock().unwrap().values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// Keeps a second handle of the connection while it is served, so that it can be broken.
    fn while_known(
        &self,
        stream: TcpStream,
        serve: impl Fn(TcpStream, &Self) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let (peer, known) = (stream.peer_addr()?, stream.try_clone()?);
        self.connections.lock().unwrap().insert(peer, known);
        let served = serve(stream, self);
        self.connections.lock().unwrap().remove(&peer);
        served
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        if request.head.starts_with("GET /v1/models") {
            let models = shared.models.lock().unwrap().clone();
            out.write_all(&models)?;
            continue;
        }
        let steps = (shared.script)(&request);
        shared.seen.lock().unwrap().push(request);
        for step in steps {
            match step {
                Step::Raw(bytes) => out.write_all(&bytes)?,
                Step::Chunk(bytes) => {
                    out.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
                    out.write_all(&[&bytes[..], b"\r\n"].concat())?;
                    shared.chunks.fetch_add(1, Ordering::SeqCst);
                }
                Step::EndChunks => out.write_all(b"0\r\n\r\n")?,
                Step::Gate => wait(&out, &shared.gated)?,
                Step::Pause(time) => std::thread::sleep(time),
                Step::Close => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Waits at the gate; an error when the other side leaves meanwhile.
fn wait(stream: &TcpStream, gated: &Mutex<Receiver<()>>) -> std::io::Result<()> {
    stream.set_nonblocking(true)?;
    loop {
        if gated.lock().unwrap().recv_timeout(Duration::from_millis(2)).is_ok() {
            return stream.set_nonblocking(false);
        }
        match stream.peek(&mut [0]) {
            Ok(0) => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Err(error),
            _ => {}
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut seen = Seen { head, body: Vec::new() };
    let length = seen.header("content-length").map_or(0, |text| text.parse().unwrap());
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body)?;
    Ok(Some(seen))
}

const MODELS: &[u8] = br#"{"object":"list","data":[{"id":"tiny","max_model_len":4096}]}"#;

/// A whole answer with a length.
pub(crate) fn whole(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head of a chunked stream of events.
pub(crate) fn sse() -> Step {
    Step::Raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
          transfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// The n-th event of an answer as vLLM sends it; with running usage if `usage`.
pub(crate) fn chunk_event(n: u64, usage: bool) -> String {
    event(&format!("{{\"content\":\"é日{n}\"}}"), "null", n, usage)
}

/// The event, the n-th, that ends an answer.
pub(crate) fn end_event(n: u64, usage: bool) -> String {
    event("{}", "\"stop\"", n, usage)
}

fn event(delta: &str, finish_reason: &str, n: u64, usage: bool) -> String {
    let tail = if usage {
        format!(
            ",\"usage\":{{\"prompt_tokens\":13,\"total_tokens\":{},\"completion_tokens\":{n}}}",
            13 + n
        )
    } else {
        String::new()
    };
    format!(
        "data: {{\"id\":\"chatcmpl-engine\",\"object\":\"chat.completion.chunk\",\"created\":1,\
         \"model\":\"tiny\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
         \"logprobs\":null,\"finish_reason\":{finish_reason}}}]{tail}}}\n\n"
    )
}

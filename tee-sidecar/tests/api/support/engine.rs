//! An engine that says exactly what a test wants, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

/// A running engine; ends with the test's process.
pub(crate) struct Engine {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    gate: Sender<()>,
    /// One message for each connection that the other side closed while a script ran.
    pub(crate) aborted: Receiver<()>,
}

impl Engine {
    pub(crate) fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (gate, gated) = channel();
        let (abort, aborted) = channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = (Arc::new(script) as Arc<Script>, seen.clone(), Arc::new(Mutex::new(gated)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, seen, gated) = shared.clone();
                let abort = abort.clone();
                std::thread::spawn(move || {
                    let served = serve(stream.unwrap(), &*script, &seen, &gated);
                    if served.is_err() {
                        let _ = abort.send(());
                    }
                });
            }
        });
        Self { addr, seen, gate, aborted }
    }

    /// The chat requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Lets one waiting script go on.
    pub(crate) fn open_gate(&self) {
        self.gate.send(()).unwrap();
    }
}

fn serve(
    stream: TcpStream,
    script: &Script,
    seen: &Mutex<Vec<Seen>>,
    gated: &Mutex<Receiver<()>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        if request.head.starts_with("GET /v1/models") {
            out.write_all(&whole(
                200,
                br#"{"object":"list","data":[{"id":"tiny","max_model_len":4096}]}"#,
            ))?;
            continue;
        }
        let steps = script(&request);
        seen.lock().unwrap().push(request);
        for step in steps {
            match step {
                Step::Raw(bytes) => out.write_all(&bytes)?,
                Step::Chunk(bytes) => {
                    out.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
                    out.write_all(&[&bytes[..], b"\r\n"].concat())?;
                }
                Step::EndChunks => out.write_all(b"0\r\n\r\n")?,
                Step::Gate => wait(&out, gated)?,
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
         \"model\":\"tiny\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"é日{n}\"}},\
         \"logprobs\":null,\"finish_reason\":null}}]{tail}}}\n\n"
    )
}

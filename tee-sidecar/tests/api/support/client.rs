//! An HTTP client that keeps the bytes as they came over the wire.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

#[path = "documented.rs"]
mod documented;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body after the transfer coding.
    pub(crate) body: Vec<u8>,
    /// The body ended as HTTP says, not by a closed connection.
    pub(crate) complete: bool,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn receipt(&self) -> String {
        let id = self.header("x-receipt-id").expect("x-receipt-id").to_owned();
        assert_eq!(self.header("zg-res-key"), Some(id.as_str()));
        assert!(self.header("x-request-id").is_some());
        id
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// An error in OpenAI's shape, and its `type`.
    pub(crate) fn error_type(&self) -> String {
        let body = self.json();
        let error = &body["error"];
        assert!(error["message"].is_string(), "{body}");
        assert!(error.get("param").is_some() && error.get("code").is_some(), "{body}");
        assert!(self.header("x-request-id").is_some());
        error["type"].as_str().unwrap().to_owned()
    }
}

/// One connection.
pub(crate) struct Conn {
    out: TcpStream,
    reader: BufReader<TcpStream>,
    /// Methods and paths that were asked for and not answered yet.
    asked: VecDeque<(String, String)>,
}

impl Conn {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        let out = TcpStream::connect(addr).unwrap();
        out.set_nodelay(true).unwrap();
        out.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let reader = BufReader::new(out.try_clone().unwrap());
        Self { out, reader, asked: VecDeque::new() }
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.asked.push_back((method.to_owned(), path.to_owned()));
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("host: 127.0.0.1\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" && !headers.iter().any(|(name, _)| *name == "content-length") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // The server may answer and close before it has read everything.
        let _ = self.out.write_all(&[head.as_bytes(), body].concat());
    }

    /// Reads status and headers.
    pub(crate) fn head(&mut self) -> Response {
        self.try_head().expect("closed in the head")
    }

    fn try_head(&mut self) -> Option<Response> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Response { status, head, body: Vec::new(), complete: false };
        if let Some((method, path)) = self.asked.pop_front() {
            documented::expect(&method, &path, &answer);
        }
        Some(answer)
    }

    /// Reads one HTTP chunk; `None` at the end, an error where the connection broke.
    pub(crate) fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(line.trim(), 16)
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
        let mut data = vec![0; size + 2];
        self.reader.read_exact(&mut data)?;
        data.truncate(size);
        Ok((size > 0).then_some(data))
    }

    /// Leaves, and waits until the server has seen it: it closes its side then.
    pub(crate) fn leave(mut self) {
        self.out.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                panic!("the server did not see that its client left: {error}")
            }
            _ => {}
        }
    }

    /// Reads a whole answer.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        self.body(head)
    }

    fn body(&mut self, mut response: Response) -> Response {
        if let Some(length) = response.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            response.complete = self.reader.read_exact(&mut body).is_ok();
            response.body = body;
        } else if response.header("transfer-encoding").is_some() {
            loop {
                match self.chunk() {
                    Ok(Some(data)) => response.body.extend(data),
                    Ok(None) => {
                        response.complete = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
        response
    }
}

pub(crate) fn post(
    addr: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Response {
    let mut conn = Conn::open(addr);
    conn.send("POST", path, headers, body.as_ref());
    conn.response()
}

pub(crate) fn get(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut conn = Conn::open(addr);
    conn.send("GET", path, headers, b"");
    conn.response()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    broker_core::Digest32::sha256(bytes).to_string()
}

impl Conn {
    /// Reads so many bytes of a body.
    pub(crate) fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        body
    }
}

impl Conn {
    /// Sends a request whose body is already in HTTP's chunks.
    pub(crate) fn send_chunked(&mut self, path: &str, chunks: &[u8]) {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        let _ = self.out.write_all(&[head.as_bytes(), chunks].concat());
    }
}

impl Conn {
    /// Asks for a chat on a connection of its own; `None` where the server went away.
    pub(crate) fn try_ask(addr: SocketAddr, body: &[u8]) -> Option<Response> {
        Self::try_open(addr)?.try_send("POST", "/v1/chat/completions", &[], body)
    }

    /// A connection; `None` where nobody takes it.
    pub(crate) fn try_open(addr: SocketAddr) -> Option<Self> {
        let out = TcpStream::connect(addr).ok()?;
        out.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let reader = BufReader::new(out.try_clone().ok()?);
        Some(Self { out, reader, asked: VecDeque::new() })
    }

    /// A request and its answer; `None` where the server went away before it said anything.
    pub(crate) fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Response> {
        self.send(method, path, headers, body);
        let head = self.try_head()?;
        Some(self.body(head))
    }
}

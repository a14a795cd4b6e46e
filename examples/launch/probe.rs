//! The least HTTP client that can ask a server on this machine whether it is up.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// GET of `path` at `host` (with its port). HTTP/1.0, so that the answer comes without chunks.
pub async fn get(host: &str, path: &str) -> std::io::Result<Page> {
    let exchange = async {
        let mut connection = TcpStream::connect(host).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        page(&answer)
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
        Ok(page) => page,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

fn page(answer: &[u8]) -> std::io::Result<Page> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(status) => Ok(Page { status, body: body.to_owned() }),
        None => Err(Error::new(ErrorKind::InvalidData, "not an HTTP answer")),
    }
}

const ANSWER_BYTES_MAX: u64 = 1 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_found() {
        let read = page(b"HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\nnot yet").unwrap();
        assert_eq!(read, Page { status: 503, body: "not yet".to_owned() });
        assert!(page(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(page(b"hello\r\n\r\n").is_err());
    }
}

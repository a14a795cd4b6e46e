//! The guest agent's calls: JSON over HTTP over a Unix socket.

use std::error::Error as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answers::{self, AgentKey, Reply};
use crate::attest::AttestError;
use crate::evidence::{Quote, ReportData};
use crate::net;

/// A client of the guest agent. Every call has a connection of its own, so that it does not matter
/// which of the server's threads makes it.
pub struct Agent {
    socket: PathBuf,
    client: reqwest::Client,
    patience: Duration,
}

impl Agent {
    /// A client of the agent that listens at `socket`. Nothing is sent yet.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(socket: PathBuf) -> Result<Self, AttestError> {
        let builder = net::plain_client_builder().unix_socket(socket.as_path());
        let built = builder.http1_only().pool_max_idle_per_host(0).build();
        let failed = |cause: reqwest::Error| AttestError::Dstack {
            socket: socket.clone(),
            call: "connect",
            cause: chain(&cause),
        };
        let client = built.map_err(failed)?;
        Ok(Self { socket, client, patience: Duration::from_secs(AGENT_SECS_MAX) })
    }

    /// The same client with another time for a whole call.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A quote over `report_data`, with the event log and the configuration beside it.
    ///
    /// # Errors
    /// The agent does not answer in time, or with something else, or for another report data.
    pub async fn quote(&self, report_data: &ReportData) -> Result<Quote, AttestError> {
        let asked = json!({ "report_data": report_data.to_string() });
        let reply = self.call(GET_QUOTE, &asked, ANSWER_BYTES_MAX).await?;
        answers::quote(&reply, report_data).map_err(|cause| self.error(GET_QUOTE, cause))
    }

    /// The 32 bytes that the key service derives for this app at `path`: the same on every start
    /// and every replica. The bytes do not depend on the algorithm, so the path names it too.
    ///
    /// # Errors
    /// The agent does not answer in time, or with something else.
    pub async fn key(
        &self,
        path: &str,
        purpose: &str,
        algorithm: &str,
    ) -> Result<AgentKey, AttestError> {
        let asked = json!({ "path": path, "purpose": purpose, "algorithm": algorithm });
        let reply = self.call(GET_KEY, &asked, KEY_BYTES_MAX).await?;
        answers::key(&reply).map_err(|cause| self.error(GET_KEY, cause))
    }

    /// What the agent says of the guest, with `tcb_info` as an object.
    pub(super) async fn info(&self) -> Result<Value, AttestError> {
        let reply = self.call(INFO, &json!({}), ANSWER_BYTES_MAX).await?;
        answers::info(&reply).map_err(|cause| self.error(INFO, cause))
    }

    /// The answer, whatever it says.
    async fn call(
        &self,
        call: &'static str,
        asked: &Value,
        bytes_max: usize,
    ) -> Result<Reply, AttestError> {
        let request = self
            .client
            .post(format!("http://dstack/{call}"))
            .header(CONTENT_TYPE, "application/json")
            .timeout(self.patience)
            .body(asked.to_string());
        let response = request.send().await.map_err(|e| self.failed(call, &e))?;
        let status = response.status();
        let body = self.read(call, response, bytes_max).await?;
        Ok(Reply { status, body })
    }

    async fn read(
        &self,
        call: &'static str,
        mut response: reqwest::Response,
        bytes_max: usize,
    ) -> Result<Zeroizing<Vec<u8>>, AttestError> {
        // As long as an answer with a key may get, so that growing leaves no copy of one behind.
        let mut body = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX));
        while let Some(piece) = response.chunk().await.map_err(|e| self.failed(call, &e))? {
            if body.len().saturating_add(piece.len()) > bytes_max {
                return Err(self.error(call, format!("the answer exceeds {bytes_max} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// What stands between us and the agent, in the words of the system.
    fn failed(&self, call: &'static str, error: &reqwest::Error) -> AttestError {
        let cause = if error.is_timeout() {
            format!("no answer within {} ms", self.patience.as_millis())
        } else if error.is_connect() {
            format!("{}; {}", chain(error), self.advice())
        } else {
            chain(error)
        };
        self.error(call, cause)
    }

    fn advice(&self) -> &'static str {
        match std::fs::metadata(&self.socket).map(|m| m.file_type().is_socket()) {
            Ok(true) => "does the guest agent run, and may this user connect?",
            Ok(false) => {
                "it is no socket: Docker makes a folder where a mounted socket was missing"
            }
            Err(_) => "mount the guest agent's socket into the container",
        }
    }

    fn error(&self, call: &'static str, cause: impl Into<String>) -> AttestError {
        AttestError::Dstack { socket: self.socket.clone(), call, cause: cause.into() }
    }
}

/// The causes below reqwest's own text, which stops at "error sending request".
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// A whole call takes at most this long: less than the ten seconds that a report may take, so that
/// the report's error says who was silent.
const AGENT_SECS_MAX: u64 = 9;
/// The longest answer that is read: event logs and compositions are tens of kilobytes.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest answer with a key.
const KEY_BYTES_MAX: usize = 16 * 1024;

const GET_QUOTE: &str = "GetQuote";
const GET_KEY: &str = "GetKey";
const INFO: &str = "Info";

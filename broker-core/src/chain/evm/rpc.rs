//! JSON-RPC over HTTP to one node: bounded in time and size, and discreet about its address.
//!
//! The path, the query and the password of a node's address may be an API key, so nothing but its
//! scheme and host is ever said, not even where the node itself repeats the rest.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use crate::chain::ChainError;
use crate::chain::evm::quantity::read_bytes;

/// What is read of one answer at most. Fifty vouchers are some 20 KB.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What is repeated of a node's own words.
const MESSAGE_CHARS_MAX: usize = 200;

/// Parts of an address from this length on may be a key.
const SECRET_CHARS_MIN: usize = 8;

/// One node.
pub(super) struct Rpc {
    client: reqwest::Client,
    url: Option<Url>,
    timeout: Duration,
}

/// Why there is no result.
#[derive(Clone, Debug)]
pub(super) enum RpcError {
    /// No answer.
    Unreachable(String),
    /// An answer that is none.
    Garbage(String),
    /// The node's error.
    Refused(Refused),
}

/// A node's error.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// Which node.
    pub(super) origin: String,
    /// JSON-RPC's number for it.
    pub(super) code: i64,
    /// In the node's words.
    pub(super) message: String,
    /// What the contract reverted with.
    pub(super) revert: Option<Vec<u8>>,
}

impl Rpc {
    pub(super) fn new(client: reqwest::Client, url: &str, timeout: Duration) -> Self {
        let url = Url::parse(url).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        Self { client, url, timeout }
    }

    /// Calls `method`. A result of `null` is a result.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let Some(url) = &self.url else {
            return Err(RpcError::Unreachable("network.url is no http or https address".into()));
        };
        let origin = origin(url);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.client.post(url.clone()).timeout(self.timeout);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let unreachable = |error: reqwest::Error| {
            let cause = causes(&error.without_url());
            RpcError::Unreachable(format!("{origin}, {method}: {}", discreet(url, &cause)))
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = read(response, &origin, method, unreachable).await?;
        let garbage = || RpcError::Garbage(format!("{origin} answers {method} with {status}"));
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(|_| {
            if status.is_success() {
                RpcError::Garbage(format!("{origin} answers {method} with no JSON"))
            } else {
                garbage()
            }
        })?;
        let fields = answer.as_object_mut().ok_or_else(garbage)?;
        if let Some(error) = fields.remove("error").filter(|error| !error.is_null()) {
            return Err(RpcError::Refused(refused(url, origin, &error)));
        }
        if !status.is_success() {
            return Err(garbage());
        }
        fields
            .remove("result")
            .ok_or_else(|| RpcError::Garbage(format!("{origin} answers {method} without a result")))
    }

    /// The node's scheme and host.
    pub(super) fn origin(&self) -> String {
        self.url.as_ref().map_or_else(|| "no node".to_owned(), origin)
    }
}

/// Scheme, host and port.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

async fn read(
    mut response: reqwest::Response,
    origin: &str,
    method: &str,
    unreachable: impl Fn(reqwest::Error) -> RpcError,
) -> Result<Vec<u8>, RpcError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(&unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(RpcError::Refused(Refused {
                origin: origin.to_owned(),
                code: 0,
                message: format!("the answer to {method} is above {ANSWER_BYTES_MAX} bytes"),
                revert: None,
            }));
        }
    }
    Ok(bytes)
}

fn refused(url: &Url, origin: String, error: &Value) -> Refused {
    let message = error.get("message").and_then(Value::as_str).unwrap_or("an error without text");
    Refused {
        origin,
        code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
        message: discreet(url, message),
        revert: error.get("data").and_then(revert),
    }
}

/// What the contract reverted with: nodes put it into `data`, or one level deeper, or behind a
/// word.
fn revert(data: &Value) -> Option<Vec<u8>> {
    if let Some(inner) = data.get("data").or_else(|| data.get("result")) {
        return read_bytes(inner);
    }
    let text = data.as_str()?;
    let hex = text.strip_prefix("Reverted ").unwrap_or(text);
    read_bytes(&Value::from(hex))
}

/// Somebody else's words: short, on one line, and without what of our address may be a key.
fn discreet(url: &Url, words: &str) -> String {
    let line: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let path = url.path_segments().into_iter().flatten().map(str::to_owned);
    let query = url.query_pairs().flat_map(|(name, value)| [name.into_owned(), value.into_owned()]);
    let login = [url.username(), url.password().unwrap_or_default()].map(str::to_owned);
    let secrets = path.chain(query).chain(login);
    let secrets = secrets.filter(|part| part.chars().count() >= SECRET_CHARS_MIN);
    let clean = secrets.fold(line, |line, secret| line.replace(&secret, "…"));
    clean.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// An error with all that is behind it: the library's own text says only that sending failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl From<RpcError> for ChainError {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::Unreachable(text) => Self::Unreachable(text),
            RpcError::Garbage(text) => Self::Node(text),
            RpcError::Refused(refused) => Self::Node(format!(
                "{} says: {} (code {})",
                refused.origin, refused.message, refused.code
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revert_data_is_found_where_nodes_put_it() {
        for data in [
            json!("0x08ca03ac"),
            json!("Reverted 0x08ca03ac"),
            json!({"data": "0x08ca03ac"}),
            json!({"result": "0x08ca03ac", "error": "revert"}),
        ] {
            assert_eq!(revert(&data), Some(vec![0x08, 0xca, 0x03, 0xac]), "{data}");
        }
        for data in [json!(null), json!("execution reverted"), json!({"data": 7}), json!([])] {
            assert_eq!(revert(&data), None, "{data}");
        }
    }

    #[test]
    fn a_key_in_the_address_is_not_repeated() {
        let address = "https://ann:password1@node.example:8443/v2/0123456789abcdef?key=topsecret";
        let url = Url::parse(address).unwrap();
        assert_eq!(origin(&url), "https://node.example:8443");
        let words = "bad\nkey 0123456789abcdef or topsecret or password1";
        assert_eq!(discreet(&url, words), "bad key … or … or …");
        assert_eq!(discreet(&url, &"x".repeat(1000)).len(), MESSAGE_CHARS_MAX);
    }
}

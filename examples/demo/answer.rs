//! The JSON of vLLM's answers: one field per field, in its order, with its nulls.

use serde::Serialize;

/// What every answer to one request begins with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
}

/// An answer in one piece.
#[derive(Debug, Serialize)]
pub(crate) struct Completion {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) choices: Vec<Choice>,
    pub(crate) service_tier: Null,
    pub(crate) system_fingerprint: &'static str,
    pub(crate) usage: Usage,
    pub(crate) prompt_logprobs: Null,
    pub(crate) prompt_token_ids: Null,
    pub(crate) prompt_text: Null,
    pub(crate) kv_transfer_params: Null,
    pub(crate) ec_transfer_params: Null,
    pub(crate) metrics: Null,
}

#[derive(Debug, Serialize)]
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) message: Message,
    pub(crate) logprobs: Null,
    pub(crate) finish_reason: &'static str,
    pub(crate) stop_reason: Null,
    pub(crate) token_ids: Null,
    pub(crate) routed_experts: Null,
}

#[derive(Debug, Serialize)]
pub(crate) struct Message {
    pub(crate) role: &'static str,
    pub(crate) content: String,
    pub(crate) refusal: Null,
    pub(crate) annotations: Null,
    pub(crate) audio: Null,
    pub(crate) function_call: Null,
    pub(crate) reasoning: Null,
}

/// One event of a stream. `Some(())` writes `null`, `None` writes nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Chunk<'a> {
    #[serde(flatten)]
    pub(crate) head: &'a Head,
    pub(crate) choices: Vec<ChunkChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt_token_ids: Option<Null>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt_text: Option<Null>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_fingerprint: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ChunkChoice<'a> {
    pub(crate) index: usize,
    pub(crate) delta: Delta<'a>,
    pub(crate) logprobs: Null,
    pub(crate) finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_reason: Option<Null>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_ids: Option<Null>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    pub(crate) content: &'a str,
}

/// Counted tokens. Which of the details are present depends on where the count stands.
#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
    completion_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<Null>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<Null>,
}

impl Usage {
    /// The last event of a stream.
    pub(crate) fn last(prompt: usize, completion: usize) -> Self {
        Self {
            prompt_tokens: prompt,
            total_tokens: prompt + completion,
            completion_tokens: completion,
            prompt_tokens_details: None,
            completion_tokens_details: None,
        }
    }

    /// Every other event of a stream.
    pub(crate) fn running(prompt: usize, completion: usize) -> Self {
        Self { completion_tokens_details: Some(()), ..Self::last(prompt, completion) }
    }

    /// An answer in one piece.
    pub(crate) fn whole(prompt: usize, completion: usize) -> Self {
        Self { prompt_tokens_details: Some(()), ..Self::running(prompt, completion) }
    }
}

/// A field that the demo never fills.
pub(crate) type Null = ();

/// Names the program that answered.
pub(crate) const FINGERPRINT: &str = concat!("tee-sidecar-demo-", env!("CARGO_PKG_VERSION"));

//! The events of a stream, in vLLM's order and bytes.

use bytes::Bytes;

use super::Script;
use super::answer::{Chunk, ChunkChoice, Delta, FINGERPRINT, Head, Usage};
use super::wish::Wish;

/// Says one event after the other.
pub(crate) struct Events {
    head: Head,
    wish: Wish,
    script: Script,
    next: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Role { choice: usize },
    Token { number: usize, choice: usize },
    Usage,
    Done,
    End,
}

impl Events {
    pub(crate) fn new(head: Head, wish: Wish, script: Script) -> Self {
        Self { head, wish, script, next: Step::Role { choice: 0 } }
    }

    /// Whether the next event begins another token, for which a model would have to work.
    pub(crate) fn token_is_next(&self) -> bool {
        matches!(self.next, Step::Token { choice: 0, .. })
    }

    /// An event that begins the answer of one choice.
    fn role(&self, choice: usize) -> Chunk<'_> {
        let delta = Delta { role: Some("assistant"), content: "" };
        Chunk {
            usage: self.running(0),
            prompt_token_ids: Some(()),
            prompt_text: Some(()),
            ..self.chunk(vec![ChunkChoice {
                index: choice,
                delta,
                logprobs: (),
                finish_reason: None,
                stop_reason: None,
                token_ids: None,
            }])
        }
    }

    /// An event with one token, counted from 0.
    fn token(&self, number: usize, choice: usize) -> Chunk<'_> {
        let last = number + 1 == self.wish.tokens;
        // vLLM puts the fingerprint into the event that it takes to be the stream's last.
        let fingerprint = (last && !self.wish.include_usage).then_some(FINGERPRINT);
        Chunk {
            usage: self.running(number + 1),
            system_fingerprint: fingerprint,
            ..self.chunk(vec![ChunkChoice {
                index: choice,
                delta: Delta { role: None, content: self.script.token(number) },
                logprobs: (),
                finish_reason: last.then_some(self.wish.finish_reason),
                stop_reason: last.then_some(()),
                token_ids: Some(()),
            }])
        }
    }

    fn usage(&self) -> Chunk<'_> {
        let tokens = self.wish.tokens * self.wish.choices;
        Chunk {
            usage: Some(Usage::last(self.wish.prompt_tokens, tokens)),
            system_fingerprint: Some(FINGERPRINT),
            ..self.chunk(Vec::new())
        }
    }

    /// The count of one choice so far, where it was asked for.
    fn running(&self, tokens: usize) -> Option<Usage> {
        let wanted = self.wish.continuous_usage;
        wanted.then(|| Usage::running(self.wish.prompt_tokens, tokens))
    }

    fn chunk<'a>(&'a self, choices: Vec<ChunkChoice<'a>>) -> Chunk<'a> {
        Chunk {
            head: &self.head,
            choices,
            usage: None,
            prompt_token_ids: None,
            prompt_text: None,
            system_fingerprint: None,
        }
    }

    fn after(&self, step: Step) -> Step {
        let (choices, tokens) = (self.wish.choices, self.wish.tokens);
        match step {
            Step::Role { choice } if choice + 1 < choices => Step::Role { choice: choice + 1 },
            Step::Role { .. } => Step::Token { number: 0, choice: 0 },
            Step::Token { number, choice } if choice + 1 < choices => {
                Step::Token { number, choice: choice + 1 }
            }
            Step::Token { number, .. } if number + 1 < tokens => {
                Step::Token { number: number + 1, choice: 0 }
            }
            Step::Token { .. } if self.wish.include_usage => Step::Usage,
            Step::Token { .. } | Step::Usage => Step::Done,
            Step::Done | Step::End => Step::End,
        }
    }
}

impl Iterator for Events {
    type Item = serde_json::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = match self.next {
            Step::Role { choice } => written(&self.role(choice)),
            Step::Token { number, choice } => written(&self.token(number, choice)),
            Step::Usage => written(&self.usage()),
            Step::Done => Ok(Bytes::from_static(b"data: [DONE]\n\n")),
            Step::End => return None,
        };
        self.next = self.after(self.next);
        Some(event)
    }
}

fn written(chunk: &Chunk<'_>) -> serde_json::Result<Bytes> {
    let mut event = b"data: ".to_vec();
    serde_json::to_writer(&mut event, chunk)?;
    event.extend_from_slice(b"\n\n");
    Ok(event.into())
}

#[cfg(test)]
mod tests;

//! The most tokens that a request's body can lead to.

use serde::Deserialize;

use crate::error::Error;
use crate::tariff::TokenBound;

/// How the most that a request can cost is found from its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ceiling {
    /// Generated tokens of one answer at most, where the body names no limit.
    pub(super) max_output_tokens: u64,
    /// The model's context; bounds the prompt and each answer.
    pub(super) context_tokens: Option<u64>,
    /// Tokens that a chat template may put around a prompt.
    pub(super) template_tokens: u64,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self { max_output_tokens: 4096, context_tokens: None, template_tokens: 1024 }
    }
}

/// What of a body bounds its answer. A member that stands twice is an error: an engine may take
/// the other one.
#[derive(Deserialize)]
struct Wish {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u64>,
    best_of: Option<u64>,
}

impl Ceiling {
    /// A token is at least a byte, so the body bounds the prompt; the context bounds both sides.
    pub(super) fn bound(&self, body: &[u8]) -> Result<TokenBound, Error> {
        let wish = read(body)?;
        let context = self.context_tokens.unwrap_or(u64::MAX);
        let input = (body.len() as u64).saturating_add(self.template_tokens).min(context);
        let named = wish.max_tokens.max(wish.max_completion_tokens);
        let each = named.unwrap_or(self.max_output_tokens).min(context);
        let answers = wish.n.unwrap_or(1).max(wish.best_of.unwrap_or(1)).max(1);
        Ok(TokenBound { input, output: each.saturating_mul(answers) })
    }
}

fn read(body: &[u8]) -> Result<Wish, Error> {
    // serde also takes a list for a struct.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::Body("the request's body is no JSON object".to_owned()));
    }
    // serde's own words may quote the body.
    serde_json::from_slice(body).map_err(|error| {
        Error::Body(format!(
            "the request's body cannot be read at line {}, column {}: max_tokens, \
             max_completion_tokens, n and best_of stand there once, as whole numbers, or not at \
             all",
            error.line(),
            error.column()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(body: &str) -> Option<u64> {
        Ceiling::default().bound(body.as_bytes()).ok().map(|bound| bound.output)
    }

    #[test]
    fn the_body_bounds_its_answers() {
        for (body, most) in [
            (r#"{"max_tokens":64}"#, Some(64)),
            (r#"{"max_tokens":64,"max_completion_tokens":80}"#, Some(80)),
            (r#"{"max_tokens":64,"n":3}"#, Some(192)),
            (r#"{"max_tokens":64,"n":3,"best_of":5}"#, Some(320)),
            (r#"{"max_tokens":64,"n":0}"#, Some(64)),
            (r#"{"max_tokens":null}"#, Some(4096)),
            (r#" {"messages":[{"max_tokens":7}]}"#, Some(4096)),
            (r#"{"max_tokens":18446744073709551615,"n":9}"#, Some(u64::MAX)),
            (r#"{"max_tokens":64.5}"#, None),
            (r#"{"max_tokens":-1}"#, None),
            (r#"{"max_tokens":"64"}"#, None),
            (r#"{"max_tokens":1,"max_tokens":2}"#, None),
            ("[1,2,3,4]", None),
            ("{", None),
            ("", None),
        ] {
            assert_eq!(output(body), most, "{body}");
        }
    }

    #[test]
    fn the_prompt_is_bounded_by_its_bytes_and_all_by_the_context() {
        let body = br#"{"max_tokens":900,"n":2}"#;
        let bytes = body.len() as u64;
        let bound = Ceiling::default().bound(body).unwrap();
        assert_eq!(bound, TokenBound { input: bytes + 1024, output: 1800 });
        let small = Ceiling { context_tokens: Some(512), ..Ceiling::default() };
        assert_eq!(small.bound(body).unwrap(), TokenBound { input: 512, output: 1024 });
    }

    #[test]
    fn what_is_wrong_is_said_without_a_word_of_the_body() {
        let error = Ceiling::default().bound(br#"{"max_tokens":"a secret"}"#).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 1, column 24"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

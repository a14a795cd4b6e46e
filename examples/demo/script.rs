//! What the demo says, cut into tokens, and how it counts a prompt.

use serde_json::Value;

/// A text that is said token by token.
#[derive(Clone, Debug)]
pub struct Script {
    pieces: Vec<String>,
}

impl Script {
    /// Every word is a token, together with the blank before it.
    pub fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut piece = String::new();
        for letter in text.chars() {
            if letter == ' ' && !piece.is_empty() {
                pieces.push(std::mem::take(&mut piece));
            }
            piece.push(letter);
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
        Self { pieces }
    }

    /// Tokens of the whole text; the end of the turn is one more, as in a real model.
    pub fn tokens(&self) -> usize {
        self.pieces.len() + 1
    }

    /// The text of a token, counted from 0. The end of the turn has none; after it, the text starts
    /// over, which is what `ignore_eos` shows.
    pub fn token(&self, number: usize) -> &str {
        self.pieces.get(number % self.tokens()).map_or("", String::as_str)
    }

    /// The text of the first `count` tokens.
    pub fn text(&self, count: usize) -> String {
        (0..count).map(|number| self.token(number)).collect()
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new(TEXT)
    }
}

/// The demo's rule, not a tokenizer: three tokens to open the answer, and for each message four and
/// one per four bytes of its text. It stays far below the bytes of the request, as any real count.
pub fn prompt_tokens(messages: &[Value]) -> usize {
    let texts = messages.iter().map(|message| text_bytes(message.get("content")));
    texts.map(|bytes| 4 + bytes.div_ceil(4)).sum::<usize>() + 3
}

fn text_bytes(content: Option<&Value>) -> usize {
    match content {
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(parts)) => parts.iter().map(|part| text_bytes(part.get("text"))).sum(),
        _ => 0,
    }
}

const TEXT: &str = "Hello! This is the demo upstream of tee-sidecar: a script, not a model, so \
    every question gets these words. Naïve café ☕, 日本語 and 🦀 show that bytes arrive as they \
    were sent. What you can trust here is the wire, the count and the signature, not the wisdom.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_join_to_the_text() {
        let script = Script::default();
        assert_eq!(script.text(script.tokens()), TEXT);
        assert_eq!(Script::new("a b  c").pieces, ["a", " b", " ", " c"]);
    }

    #[test]
    fn after_the_end_of_the_turn_the_text_starts_over() {
        let script = Script::new("one two");
        assert_eq!(script.tokens(), 3);
        assert_eq!(script.text(5), "one twoone two");
    }

    #[test]
    fn a_prompt_is_counted_by_its_text_whatever_its_form() {
        let plain = serde_json::json!([{"role": "user", "content": "12345"}]);
        let parts = serde_json::json!([{"content": [{"type": "text", "text": "12345"}]}]);
        assert_eq!(prompt_tokens(plain.as_array().unwrap()), 9);
        assert_eq!(prompt_tokens(parts.as_array().unwrap()), 9);
        assert_eq!(prompt_tokens(&[]), 3);
    }
}

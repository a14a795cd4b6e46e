//! Another program's words on their way into our log.

/// The beginning of `text`, in one line, without anything that could be a key in hex or base64.
/// No piece of a key is copied on the way.
pub(super) fn redacted(text: &str) -> String {
    let end = text.char_indices().nth(CHARACTERS_MAX);
    let text = end.map_or(text, |(end, _)| text.split_at(end).0);
    let mut shown = String::new();
    // Words, each with the character behind it.
    for piece in text.split_inclusive(|character| !is_of_word(character)) {
        let behind = piece.chars().next_back().filter(|character| !is_of_word(*character));
        let word = behind.and_then(|behind| piece.strip_suffix(behind)).unwrap_or(piece);
        shown.push_str(unless_key(word));
        shown.extend(behind.map(|behind| if behind.is_control() { ' ' } else { behind }));
    }
    shown
}

fn is_of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "+/=_-".contains(character)
}

fn unless_key(word: &str) -> &str {
    let digits = word.chars().any(|c| c.is_ascii_digit());
    if digits && word.len() >= KEY_CHARACTERS_MIN { "(…)" } else { word }
}

/// What of a foreign text is shown.
const CHARACTERS_MAX: usize = 200;
/// A word of so many letters and digits is no word.
const KEY_CHARACTERS_MIN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_and_keys_of_every_spelling_are_not() {
        let plain = "failed to get key: KMS http://10.0.2.2:8000/prpc: status 502 (try again)";
        assert_eq!(redacted(plain), plain);
        for key in [
            "5f".repeat(32),
            format!("0x{}", "5F".repeat(32)),
            "Xl9fX19fX19fX19fX19fX19fX19fX19fX19fX19fXw==".to_owned(),
            "a1_-a1_-a1_-a1_-a1_-a1_-".to_owned(),
        ] {
            assert_eq!(redacted(&format!("no: {key}.")), "no: (…).");
            assert_eq!(redacted(&key), "(…)");
        }
    }

    #[test]
    fn a_text_is_one_short_line() {
        assert_eq!(redacted("a\nb\r\u{1b}[31mc"), "a b  [31mc");
        assert_eq!(redacted(&"é ".repeat(1000)).chars().count(), CHARACTERS_MAX);
    }
}

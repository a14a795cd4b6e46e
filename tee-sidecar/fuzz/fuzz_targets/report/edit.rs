//! Changes to a JSON document that keep it one: a field goes, says something else, or says what
//! another one says. Of changed bytes nearly all fall into the middle of a quote.

use serde_json::{Map, Value};

/// One to three edits that follow from `seed`; nothing for what is no JSON object.
pub(crate) fn edited(document: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(document).ok()?;
    let mut dice = Dice(u64::from(seed).wrapping_mul(ODD) | 1);
    for _ in 0..=dice.below(3) {
        edit(&mut document, &mut dice);
    }
    serde_json::to_vec(&document).ok()
}

fn edit(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(fields) if !fields.is_empty() => edit_one_of(fields, dice),
        Value::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(4) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => edit(&mut items[at], dice),
            }
        }
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            // Events and GPU evidence are JSON in a text.
            Ok(mut inner) if inner.is_object() || inner.is_array() => {
                edit(&mut inner, dice);
                *text = inner.to_string();
            }
            _ => *text = edit_text(text, dice),
        },
        Value::Bool(flag) => *flag = !*flag,
        other => *other = Value::from(dice.below(300)),
    }
}

fn edit_one_of(fields: &mut Map<String, Value>, dice: &mut Dice) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let (name, other) = (&names[dice.below(names.len())], &names[dice.below(names.len())]);
    match dice.below(10) {
        0 | 1 => drop(fields.shift_remove(name)),
        2 => drop(fields.insert(name.clone(), Value::Null)),
        3 => drop(fields.insert(name.clone(), fields[other].clone())),
        4 => drop(fields.insert(FURTHER[dice.below(FURTHER.len())].to_owned(), digits(dice))),
        _ => edit(&mut fields[name.as_str()], dice),
    }
}

/// One character is another digit, or a piece is gone.
fn edit_text(text: &str, dice: &mut Dice) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return "00".to_owned();
    }
    let at = dice.below(characters.len());
    match dice.below(4) {
        0 => characters.truncate(at),
        1 => drop(characters.drain(at..characters.len().min(at + 2))),
        _ => characters[at] = char::from(b"0123456789abcdef"[dice.below(16)]),
    }
    characters.into_iter().collect()
}

fn digits(dice: &mut Dice) -> Value {
    Value::from(format!("{:02x}", dice.below(256)).repeat(32))
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(ODD);
        (self.0 >> 33) as usize % end
    }
}

const ODD: u64 = 1_442_695_040_888_963_407;

/// Fields that a report may have beside its own.
const FURTHER: [&str; 4] =
    ["tls_cert_fingerprint", "request_nonce", "report_data", "signing_public_key"];

//! The bytes of each mode, as vLLM 0.32 was seen to send them (with its own fingerprint and count).

use super::*;

fn events(choices: usize, include_usage: bool, continuous_usage: bool) -> Vec<String> {
    let wish = Wish {
        stream: true,
        include_usage,
        continuous_usage,
        choices,
        prompt_tokens: 18,
        tokens: 2,
        finish_reason: "length",
    };
    let head = Head {
        id: "chatcmpl-1".to_owned(),
        object: "chat.completion.chunk",
        created: 7,
        model: "tiny".to_owned(),
    };
    Events::new(head, wish, Script::new("Café ☕ is"))
        .map(|event| String::from_utf8(event.unwrap().to_vec()).unwrap())
        .collect()
}

fn event(rest: &str) -> String {
    let rest = rest.replace("FINGERPRINT", FINGERPRINT);
    format!("data: {HEAD}{rest}\n\n")
}

const HEAD: &str = concat!(
    r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"#,
    r#""model":"tiny","choices":["#,
);
const ROLE: &str = concat!(
    r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"#,
    r#""finish_reason":null}]"#,
);
const FIRST: &str = concat!(
    r#"{"index":0,"delta":{"content":"Café"},"logprobs":null,"#,
    r#""finish_reason":null,"token_ids":null}]"#,
);
const LAST: &str = concat!(
    r#"{"index":0,"delta":{"content":" ☕"},"logprobs":null,"#,
    r#""finish_reason":"length","stop_reason":null,"token_ids":null}]"#,
);
const USAGE: &str = concat!(
    r#"],"usage":{"prompt_tokens":18,"total_tokens":20,"completion_tokens":2},"#,
    r#""system_fingerprint":"FINGERPRINT"}"#,
);

#[test]
fn without_usage_the_last_token_carries_the_fingerprint() {
    let expected = [
        event(&format!(r#"{ROLE},"prompt_token_ids":null,"prompt_text":null}}"#)),
        event(&format!("{FIRST}}}")),
        event(&format!(r#"{LAST},"system_fingerprint":"FINGERPRINT"}}"#)),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(events(1, false, false), expected);
}

#[test]
fn with_usage_the_usage_event_carries_the_fingerprint() {
    let expected = [
        event(&format!(r#"{ROLE},"prompt_token_ids":null,"prompt_text":null}}"#)),
        event(&format!("{FIRST}}}")),
        event(&format!("{LAST}}}")),
        event(USAGE),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(events(1, true, false), expected);
}

#[test]
fn running_usage_stands_in_every_event() {
    let usage = |total: usize, completion: usize| {
        format!(
            "\"usage\":{{\"prompt_tokens\":18,\"total_tokens\":{total},\
             \"completion_tokens\":{completion},\"completion_tokens_details\":null}}"
        )
    };
    let start = usage(18, 0);
    let expected = [
        event(&format!(r#"{ROLE},{start},"prompt_token_ids":null,"prompt_text":null}}"#)),
        event(&format!("{FIRST},{}}}", usage(19, 1))),
        event(&format!("{LAST},{}}}", usage(20, 2))),
        event(USAGE),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(events(1, true, true), expected);
}

#[test]
fn two_choices_take_turns_and_are_counted_together() {
    let events = events(2, true, true);
    assert_eq!(events.len(), 2 + 2 * 2 + 2);
    let indexes: Vec<_> = events
        .iter()
        .map(|event| (event.contains(r#""index":0"#), event.contains(r#""index":1"#)))
        .collect();
    let (zero, one, none) = ((true, false), (false, true), (false, false));
    assert_eq!(indexes, [zero, one, zero, one, zero, one, none, none]);
    assert!(events[6].contains(r#""total_tokens":22,"completion_tokens":4}"#));
}

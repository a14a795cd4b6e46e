//! Bytes that others have signed or stored: they never change.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use books::{NOW, hold, key, neuron, receipt, user};
use broker_core::{
    Bucket, Cover, Digest32, Entry, EntryKind, Movement, Receipt, ReleaseReason, RequestKey,
    SignError, Signature, Usage, UsageSource, recover_text_signer, signed_text,
};

/// The request and the answer's tokens of a signed exchange that was published in 2024.
const REQUEST: &str = include_str!("../../fixtures/exchange-2024-request.json");
const TOKENS: &str = include_str!("../../fixtures/exchange-2024-tokens.json");
const REQUEST_HASH: &str = "bcf152411970b14faab35a76d559b4188b78c24ced0048d0edcd320bf47bff0a";
const RESPONSE_HASH: &str = "2e704942816901eaf435945fd01d76346e5dd283d5f8a2391e525e8f9a9ef36e";
const SIGNATURE: &str = "9277f6a8a65e155c57c6738abdfd13d324d38e834b80c4dc6df5a45c6e7ec105\
                         05299edffb36ed0639529b8d96488238019e8fe240369a9344993809845cf2151c";
const SIGNER: &str = "0x50F9b35e94DFa4805A8c69C50Ba13841a06c1216";

#[test]
fn the_published_exchange_of_2024_verifies() {
    let (request, response) = hashes();
    assert_eq!((REQUEST.len(), request.to_string().as_str()), (256, REQUEST_HASH));
    assert_eq!((response_body().len(), response.to_string().as_str()), (5643, RESPONSE_HASH));
    let text = signed_text(&request, &response);
    let signer = recover_text_signer(&text, &published_signature()).unwrap();
    assert_eq!(signer.to_string(), SIGNER);
}

#[test]
fn a_flipped_byte_anywhere_in_the_answer_does_not_verify() {
    let (request, _) = hashes();
    let body = response_body();
    for position in [0, 6, 1000, body.len() / 2, body.len() - 1] {
        let mut flipped = body.clone();
        flipped[position] ^= 1;
        let text = signed_text(&request, &Digest32::sha256(&flipped));
        let signer = recover_text_signer(&text, &published_signature());
        assert_ne!(signer.map(|signer| signer.to_string()), Ok(SIGNER.to_owned()), "{position}");
    }
}

#[test]
fn v_may_be_written_in_either_of_two_ways() {
    let (request, response) = hashes();
    let text = signed_text(&request, &response);
    let with_v = |v: u8| {
        let mut signature = published_signature();
        signature.0[64] = v;
        recover_text_signer(&text, &signature).map(|signer| signer.to_string())
    };
    assert_eq!((with_v(28), with_v(1)), (Ok(SIGNER.to_owned()), Ok(SIGNER.to_owned())));
    let mirrored = with_v(27).unwrap();
    assert_ne!(mirrored, SIGNER);
    assert_eq!(with_v(0), Ok(mirrored));
    for v in [2, 3, 26, 29, 255] {
        assert_eq!(with_v(v), Err(SignError::Malformed), "{v}");
    }
}

#[test]
fn the_second_encoding_of_the_same_signature_is_refused() {
    let (request, response) = hashes();
    let text = signed_text(&request, &response);
    let mut signature = published_signature();
    let high = negate(&signature.0[32..64]);
    signature.0[32..64].copy_from_slice(&high);
    signature.0[64] = 27;
    assert_eq!(recover_text_signer(&text, &signature), Err(SignError::HighS));
}

/// The constants were computed with another program from the written description of the format.
#[test]
fn a_receipt_s_digest_never_changes() {
    let plain = receipt_25();
    assert_eq!(
        plain.digest().to_string(),
        "6f78fae3873210ec03ec0511d026aee944ac9587cd339b6436719b071f19c8d6"
    );
    let aliased = Receipt { upstream_id: Some("engine".to_owned()), ..plain };
    assert_eq!(
        aliased.digest().to_string(),
        "7e741a259697aa18731e192216c7afe92373715030ffeaac992e225ecfb15e16"
    );
}

/// Computed like the receipt's.
#[test]
fn a_request_s_key_never_changes() {
    assert_eq!(
        RequestKey::derive(&user(1), b"retry-1").0.to_string(),
        "da4f94fcffe0124ae5d8dede8e65bd3cd13c3dd04775ae72687605b83b0b245f"
    );
}

/// Computed like the receipt's.
#[test]
fn the_digests_of_covers_holds_and_releases_never_change() {
    let digests = [
        Cover::UpTo(neuron(100)).digest(),
        Cover::Unlimited.digest(),
        hold(1, user(1), 60).digest(NOW),
        ReleaseReason::Crashed.digest(&key(1), NOW),
    ];
    let expected = [
        "d43d66e4705a0779a9b2759773e077d19b03944e713be1c7deac1ff63d3622be",
        "0072add6dab21009abfeb392fda3a8d1ff4be3ac98772b3b9051e2935080e228",
        "27a751fb658d21fbd3f7c90b74cada8e908bd6055c9488ee2a9bb94ab0ae07b9",
        "553e6ff1b7bf74710d92e73359fea0b174791d5c48bebc91704b39e8dd00c093",
    ];
    assert_eq!(digests.map(|digest| digest.to_string()), expected);
}

/// A cover, a hold, its fee and rest, and an exchange that moved nothing; computed like the
/// receipt's.
#[test]
fn the_links_of_the_chain_never_change() {
    use Bucket::{Available, Earned, Held, World};
    let memo = receipt_25().digest();
    let links = [
        (EntryKind::Mirror, None, vec![(World, Available, 100)]),
        (EntryKind::Reserve, Some(key(1)), vec![(Available, Held, 60)]),
        (EntryKind::Capture, Some(key(1)), vec![(Held, Earned, 25), (Held, Available, 35)]),
        (EntryKind::Release, Some(key(2)), vec![]),
    ];
    let expected = [
        "ac7137b32709cf250800d696f3689ae19591267f154023f868c715560ca27b01",
        "5d6a1176f55e4eaec865dbfa0df1ede35d573ff09914c2e716fe0e1405db001a",
        "53df2c574758b01ba21e9797c1e3c5b402d51a9dd873df2c4184a63114448a03",
        "7f07987d78cd5fbd646932c41dbb743bcd36361f87f0d1c45b9ad0aa3b3048a3",
    ];
    let mut head = Digest32::default();
    for (seq, ((kind, key, moves), expected)) in (1..).zip(links.into_iter().zip(expected)) {
        let movements = moves.into_iter().map(|(debit, credit, amount)| Movement {
            user: user(1),
            debit,
            credit,
            amount: neuron(amount),
        });
        let movements = movements.collect();
        let entry = Entry { seq, number: seq, kind, user: user(1), key, memo, at: NOW, movements };
        head = entry.digest(&head);
        assert_eq!(head.to_string(), expected, "entry {seq}");
    }
}

/// The receipt whose digest is written down above.
fn receipt_25() -> Receipt {
    let usage = Usage {
        input: 3,
        cached_input: 1,
        output: 4,
        source: UsageSource::Engine,
        ..Usage::default()
    };
    Receipt { usage, ..receipt(&hold(1, user(1), 60), 25) }
}

fn hashes() -> (Digest32, Digest32) {
    (Digest32::sha256(REQUEST.as_bytes()), Digest32::sha256(&response_body()))
}

/// The answer as it was streamed: one event for the role, one for each token, one for the end.
fn response_body() -> Vec<u8> {
    let prefix = concat!(
        r#"{"id":"chat-7ee2a39468ce48d7b2284783f21782b0","object":"chat.completion.chunk","#,
        r#""created":1728887353,"model":"meta-llama/meta-llama-3.1-8b-instruct","#,
        r#""choices":[{"index":0,"delta":"#,
    );
    let running = r#","logprobs":null,"finish_reason":null}]}"#;
    let stopped = r#","logprobs":null,"finish_reason":"stop","stop_reason":null}]}"#;
    let event = |delta: &str, tail: &str| format!("data: {prefix}{delta}{tail}\n\n");
    let tokens: Vec<String> = serde_json::from_str(TOKENS).unwrap();
    let mut body = event(r#"{"role":"assistant"}"#, running);
    for token in &tokens {
        let token = serde_json::to_string(token).unwrap();
        body.push_str(&event(&format!(r#"{{"content":{token}}}"#), running));
    }
    body.push_str(&event(r#"{"content":""}"#, stopped));
    body.push_str("data: [DONE]\n\n");
    body.into_bytes()
}

fn published_signature() -> Signature {
    let mut bytes = [0; 65];
    for (byte, n) in bytes.iter_mut().zip(0..) {
        *byte = u8::from_str_radix(&SIGNATURE[2 * n..2 * n + 2], 16).unwrap();
    }
    Signature(bytes)
}

/// The order of the curve less a number, both big-endian.
fn negate(s: &[u8]) -> Vec<u8> {
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36,
        0x41, 0x41,
    ];
    let mut difference = vec![0; 32];
    let mut borrow = 0;
    for n in (0..32).rev() {
        let digit = i32::from(order[n]) - i32::from(s[n]) - borrow;
        borrow = i32::from(digit < 0);
        difference[n] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    difference
}

//! Signed answers. The bytes are a request, a response and the signature answer, with zero bytes
//! between them.
#![no_main]

use broker_core::Digest32;
use libfuzzer_sys::fuzz_target;
use tee_evidence::answer::{AnswerError, SignatureAnswer, verify_answer};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let (Some(request), Some(response), Some(json)) = (parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let Ok(answer) = SignatureAnswer::parse(json) else { return };
    let Ok(signed_by) = verify_answer(request, response, &answer) else { return };
    let hashes = format!("{}:{}", Digest32::sha256(request), Digest32::sha256(response));
    assert!(answer.text.to_ascii_lowercase().ends_with(&hashes));
    assert!(answer.signing_address.is_none_or(|named| named == signed_by.0));
    let longer = [request, b" "].concat();
    assert_eq!(verify_answer(&longer, response, &answer), Err(AnswerError::Request));
    let longer = [response, b" "].concat();
    assert_eq!(verify_answer(request, &longer, &answer), Err(AnswerError::Response));
});

//! Changed bytes of answers: none is good.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use tee_evidence::nvidia::ocsp::{OcspAnswer, device_subjects};

use super::made_up::Responder;
use super::{DEVICE_NOW_SECS, device_chain, read, verify};
use crate::support::captured;

#[test]
fn every_changed_byte_of_a_captured_answer_is_refused() {
    let Some(folder) = captured() else { return };
    let der = STANDARD.decode(read(&folder, "ocsp/gpu_certificate_l2.b64")).unwrap();
    let chain = device_chain(&folder);
    let subject = device_subjects(&chain)[2];
    verify(&OcspAnswer::parse(&der).unwrap(), subject, DEVICE_NOW_SECS).unwrap();
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1 << (at % 8);
        let refused = OcspAnswer::parse(&changed)
            .and_then(|answer| verify(&answer, subject, DEVICE_NOW_SECS));
        assert!(refused.is_err(), "byte {at}");
    }
    for length in 0..der.len() {
        assert!(OcspAnswer::parse(&der[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn bytes_behind_an_answer_and_answers_beyond_the_bound_are_refused() {
    let der = Responder::new().good();
    OcspAnswer::parse(&der).unwrap();
    assert!(OcspAnswer::parse(&[der, vec![0]].concat()).is_err());
    let huge = OcspAnswer::parse(&vec![0x30; 32 * 1024 + 1]).unwrap_err().to_string();
    assert!(huge.contains("more than 32768 bytes"));
    let huge = OcspAnswer::parse_base64(&" ".repeat(64 * 1024 + 1)).unwrap_err().to_string();
    assert!(huge.contains("more than 32768 bytes"));
}

#[test]
fn base64_is_read_with_white_space_and_nothing_else() {
    let der = Responder::new().good();
    let text = STANDARD.encode(&der);
    let (start, end) = text.split_at(64);
    let lines = format!("\n{start}\r\n{end} \n");
    assert_eq!(OcspAnswer::parse_base64(&lines).unwrap(), OcspAnswer::parse(&der).unwrap());
    for bad in [format!("{text}!"), format!("-{text}"), text[1..].to_owned(), String::new()] {
        assert!(OcspAnswer::parse_base64(&bad).is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_and_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..512),
    ) {
        prop_assert!(OcspAnswer::parse(&bytes).is_err());
        let _ = OcspAnswer::parse_base64(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn spliced_answers_are_refused_or_as_before(
        cut in 0_usize..2000, length in 0_usize..40, to in 0_usize..2000,
    ) {
        let responder = Responder::new();
        let der = responder.good();
        let (cut, to) = (cut % der.len(), to % der.len());
        let piece = der[cut..(cut + length).min(der.len())].to_vec();
        let mut changed = der.clone();
        changed.splice(to..(to + piece.len()).min(der.len()), piece);
        let good = responder.verify(&changed);
        prop_assert!(good.is_err() || changed == der);
    }
}

//! Receipts that lie, in their form or under a good signature.

use broker_core::jcs::Json;
use broker_core::keyset::NotSigned;
use broker_core::receipt::{BadReceipt, ReadReceipt, WrongFee};
use broker_core::{Neuron, Tariff};
use proptest::prelude::*;

use super::vectors::*;

fn good() -> String {
    let vectors = Vectors::read();
    let (record, claims) = streamed(&vectors);
    record.proved(claims, &plain(), author(&key())).document(&plain()).unwrap()
}

/// The document with something changed, signed by the right key all the same.
fn signed_with(from: &str, to: &str) -> Result<ReadReceipt, BadReceipt> {
    let good = good();
    assert!(good.contains(from), "{from}");
    let (unsigned, _) =
        Json::parse(good.replacen(from, to, 1).as_bytes()).unwrap().without("signature");
    let signature = key().sign(unsigned.canonical().as_bytes());
    let Json::Object(mut members) = unsigned else { unreachable!() };
    members.push(("signature".to_owned(), Json::Text(signature.to_string())));
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    ReadReceipt::from_json(Json::Object(members))
}

#[test]
fn a_signed_receipt_that_contradicts_itself_is_refused() {
    for (from, to, error) in [
        ("\"api_version\":\"aci/1\"", "\"api_version\":\"aci/2\"", "api_version"),
        ("\"fee\":\"29800000\"", "\"fee\":\"1000000000001\"", "above the hold"),
        ("\"cached_input_tokens\":0", "\"cached_input_tokens\":43", "cached"),
        ("\"complete\":true", "\"complete\":false", "'complete'"),
        ("\"complete\":true", "\"complete\":1", "'complete'"),
        ("\"outcome\":\"complete\"", "\"outcome\":\"whole\"", "'outcome'"),
        ("\"source\":\"engine\"", "\"source\":\"guess\"", "'source'"),
        ("\"unit\":\"neuron\"", "\"unit\":\"wei\"", "'unit'"),
        ("\"fee\":\"29800000\"", "\"fee\":29800000", "'fee'"),
        ("\"fee\":\"29800000\"", "\"fee\":\"+29800000\"", "'fee'"),
        ("\"input_tokens\":42", "\"input_tokens\":-42", "'input_tokens'"),
        ("\"type\":\"request.received\"", "\"type\":\"request.seen\"", "request.received"),
        ("\"type\":\"response.returned\"", "\"type\":\"response.lost\"", "response.returned"),
        ("\"type\":\"request.forwarded\"", "\"type\":\"response.returned\"", "there twice"),
        ("\"type\":\"usage.metered\"", "\"type\":\"fee.charged\"", "there twice"),
        ("\"type\":\"request.forwarded\"", "\"type\":\"request.kept\"", "nothing was forwarded"),
        ("\"method\":\"POST\"", "\"method\":5", "'method'"),
    ] {
        let refused = signed_with(from, to).unwrap_err().to_string();
        assert!(refused.contains(error), "{to}: {refused}");
    }
}

#[test]
fn a_fee_is_what_usage_and_tariff_come_to_and_no_more_than_the_hold() {
    let overcharged = signed_with("\"fee\":\"29800000\"", "\"fee\":\"29800001\"").unwrap();
    let (charged, due) = (Neuron::new(29_800_001), Neuron::new(29_800_000));
    assert_eq!(overcharged.check_fee(&plain()), Err(WrongFee::Sum { charged, due }));
    let fewer = signed_with("\"output_tokens\":128", "\"output_tokens\":127").unwrap();
    assert!(matches!(fewer.check_fee(&plain()), Err(WrongFee::Sum { .. })));
    let other = Tariff::per_token(Neuron::new(100_000), Neuron::new(199_999));
    let honest = ReadReceipt::parse(good().as_bytes()).unwrap();
    assert_eq!(honest.check_fee(&plain()), Ok(()));
    assert!(matches!(honest.check_fee(&other), Err(WrongFee::OtherTariff { .. })));
    // What the hold could not cover is not charged.
    let capped = "\"fee\":\"5\",\"hold\":\"5\"";
    let capped = signed_with("\"fee\":\"29800000\",\"hold\":\"1000000000000\"", capped).unwrap();
    assert_eq!(capped.check_fee(&plain()), Ok(()));
}

#[test]
fn another_keyset_s_receipt_is_not_this_one_s() {
    let vectors = Vectors::read();
    let read = signed_with(vectors.text("keyset_digest"), &format!("sha256:{}", "0".repeat(64)));
    let refused = read.unwrap().verify(&vectors.keyset());
    assert!(matches!(refused, Err(NotSigned::OtherKeyset(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Every byte counts: one that is changed leaves no receipt, or another one's signature.
    #[test]
    fn a_receipt_of_which_a_byte_was_changed_does_not_verify(
        at in any::<prop::sample::Index>(),
        to in 0_u8..=255,
    ) {
        let mut bytes = good().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let keyset = Vectors::read().keyset();
        let verified = ReadReceipt::parse(&bytes).is_ok_and(|read| read.verify(&keyset).is_ok());
        prop_assert!(!verified, "byte {at}");
    }

    /// What reads as a receipt is written as one and is the same, whatever it was.
    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ReadReceipt::parse(&bytes);
        let _ = Json::parse(&bytes);
    }
}

//! Half an answer and a checkpoint.

use broker_core::keyset::{Keyset, ReceiptKey, keyset_document};
use broker_core::statement::Author;
use broker_core::stream::{BadPrefix, Chain, Checkpoint, verify_prefix};
use broker_core::{Digest32, Neuron, Usage};
use proptest::prelude::*;

use super::vectors::*;

/// An answer with a checkpoint behind each of the marked events, and where each ends.
fn answer(events: &[(String, bool)]) -> (Vec<u8>, Vec<usize>) {
    let (mut chain, mut bytes, mut ends) = (Chain::new(&id(1)), Vec::new(), Vec::new());
    let key = key();
    let request = Digest32::sha256(b"{}");
    for (n, (event, marked)) in events.iter().enumerate() {
        chain.feed(event.as_bytes());
        bytes.extend(event.as_bytes());
        if *marked && chain.is_between_events() {
            let usage = Usage::new(3, n as u64);
            let point = Checkpoint::at(&chain, id(1), request, &usage, Neuron::new(n as u128));
            let comment = point.comment(author(&key));
            chain.feed(comment.as_bytes());
            bytes.extend(comment.as_bytes());
            ends.push(bytes.len());
        }
    }
    (bytes, ends)
}

fn events() -> impl Strategy<Value = Vec<(String, bool)>> {
    let event =
        "(: [a-z]{0,5}\n){0,1}data: [a-z\u{e9}\":{}]{0,40}\n\n|: checkpoint [{}a]{0,3}\n\n|\n";
    prop::collection::vec((event, prop::bool::weighted(0.4)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_prefix_verifies_up_to_its_last_checkpoint(
        events in events(),
        cut in any::<prop::sample::Index>(),
    ) {
        let (bytes, ends) = answer(&events);
        let keyset = Vectors::read().keyset();
        let cut = cut.index(bytes.len() + 1);
        let proved = verify_prefix(&bytes[..cut], &id(1), std::slice::from_ref(&keyset));
        match ends.iter().rev().find(|end| **end <= cut) {
            Some(end) => prop_assert_eq!(proved.unwrap().unproved, (cut - end) as u64),
            None => prop_assert_eq!(proved, Err(BadPrefix::NoCheckpoint)),
        }
    }

    #[test]
    fn no_byte_before_the_last_checkpoint_s_end_can_be_changed(
        events in events(), at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let (mut bytes, ends) = answer(&events);
        prop_assume!(!ends.is_empty());
        let end = *ends.last().unwrap();
        bytes.truncate(end);
        let at = at.index(end);
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let keyset = Vectors::read().keyset();
        // A comment that is no checkpoint any more proves nothing: those before it still do.
        let proved = verify_prefix(&bytes, &id(1), std::slice::from_ref(&keyset));
        let earlier = proved.is_ok_and(|p| p.checkpoint.bytes as usize + 1 > at || p.unproved == 0);
        prop_assert!(!earlier, "byte {at} of {end}");
    }
}

proptest! {
    #[test]
    fn the_rolling_hash_does_not_depend_on_how_the_bytes_are_cut(
        bytes in "[a\n]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)
    ) {
        let bytes = bytes.as_bytes();
        let mut whole = Chain::new(&id(1));
        whole.feed(bytes);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut pieces = Chain::new(&id(1));
        cuts.windows(2).for_each(|cut| pieces.feed(&bytes[cut[0]..cut[1]]));
        prop_assert_eq!(pieces, whole);
    }
}

#[test]
fn a_checkpoint_of_another_answer_or_in_another_place_proves_nothing() {
    let events: Vec<_> = (0..4).map(|n| (format!("data: {n}\n\n"), n % 2 == 1)).collect();
    let (bytes, _) = answer(&events);
    let keyset = Vectors::read().keyset();
    let proved = verify_prefix(&bytes, &id(1), std::slice::from_ref(&keyset)).unwrap();
    assert_eq!((proved.checkpoint.output_tokens, proved.checkpoint.fee), (3, Neuron::new(3)));
    assert_eq!(
        verify_prefix(&bytes, &id(2), std::slice::from_ref(&keyset)),
        Err(BadPrefix::OtherReceipt(id(1)))
    );
    // An event cut out, one put in, and two exchanged.
    let text = String::from_utf8(bytes).unwrap();
    for forged in [
        text.replacen("data: 0\n\n", "", 1),
        format!("data: x\n\n{text}"),
        text.replacen("data: 0\n\ndata: 1", "data: 1\n\ndata: 0", 1),
    ] {
        let refused = verify_prefix(forged.as_bytes(), &id(1), std::slice::from_ref(&keyset));
        assert!(matches!(refused, Err(BadPrefix::OtherBytes { .. })), "{forged}");
    }
}

#[test]
fn an_answer_whose_keys_changed_on_its_way_is_proved_by_both_keysets() {
    let keyset = Vectors::read().keyset();
    let key = ReceiptKey::from_secret(&[9; 32]);
    let next = keyset_document(None, 1_900_000_000, &[&key], &[]);
    let author = Author { key: &key, keyset: Digest32::sha256(next.as_bytes()) };
    let next = Keyset::parse(next.as_bytes()).unwrap();
    let events = [("data: 0\n\n".to_owned(), true), ("data: 1\n\n".to_owned(), false)];
    let (mut bytes, ends) = answer(&events);
    let mut chain = Chain::new(&id(1));
    chain.feed(&bytes);
    let usage = Usage::new(10, 2);
    let point = Checkpoint::at(&chain, id(1), Digest32([7; 32]), &usage, Neuron::new(2));
    bytes.extend_from_slice(point.comment(author).as_bytes());
    let proved = |keysets: &[Keyset]| verify_prefix(&bytes, &id(1), keysets).unwrap().unproved;
    assert_eq!(proved(&[keyset.clone(), next.clone()]), 0);
    assert_eq!(proved(&[next]), 0);
    assert_eq!(proved(&[keyset]), (bytes.len() - ends[0]) as u64);
}

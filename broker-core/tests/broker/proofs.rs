//! Receipts that prove themselves, and the log that they stand in.

use broker_core::keyset::{Keyset, ReceiptKey, keyset_document};
use broker_core::log;
use broker_core::receipt::ReadReceipt;
use broker_core::{Delivered, Digest32, LogTiles, ReleaseReason, Usage};

use crate::*;

fn keys() -> (ReceiptKey, Keyset) {
    let key = ReceiptKey::from_secret(&[3; 32]);
    let document = keyset_document(Some("test"), 1_800_000_000, &[&key], &[]);
    (key, Keyset::parse(document.as_bytes()).unwrap())
}

#[tokio::test]
async fn a_charge_has_a_document_that_is_checked_with_a_keyset_and_the_log_alone() {
    let (key, keyset) = keys();
    let broker =
        builder().ledger(MemoryLedger::new()).receipts(key, keyset.digest()).start().unwrap();
    broker.mirror(user(1), Cover::Unlimited).await.unwrap();
    let released = broker.reserve(user(1), "zero", BODY).await.unwrap();
    released.release(ReleaseReason::NotForwarded).await.unwrap();
    let mut documents = Vec::new();
    for nonce in ["one", "two", "three"] {
        let reserved = broker.reserve(user(1), nonce, BODY).await.unwrap();
        let mut delivered = Delivered::whole(ANSWER);
        delivered.said.endpoint = "/v1/chat/completions".to_owned();
        delivered.said.model = Some("a-model".to_owned());
        let charge = reserved.capture_hashed(Usage::new(12, 30), delivered).await.unwrap();
        let again = broker.document(charge.receipt.id).await.unwrap();
        assert_eq!(charge.document, again);
        documents.push(charge.document.unwrap());
    }
    assert_eq!(broker.extend_log().await.unwrap(), 3);
    assert_eq!(broker.extend_log().await.unwrap(), 0);
    let head = broker.read(|reader| {
        let state = reader.log()?;
        Ok((state, log::root(&LogTiles(reader), state.size)?))
    });
    let (state, root) = head.await.unwrap();
    assert_eq!(state.size, 3);
    for (index, document) in (0..).zip(&documents) {
        let receipt = ReadReceipt::parse(document.as_bytes()).unwrap();
        receipt.verify(&keyset).unwrap();
        receipt.check_fee(broker.tariff()).unwrap();
        assert_eq!(receipt.request_hash, Digest32::sha256(BODY));
        assert_eq!(receipt.response_hash, Digest32::sha256(ANSWER));
        let place = receipt.place.unwrap();
        // The first exchange was released, and its number is missing.
        assert_eq!((place.log, place.account_seq), (state.id, index + 2));
        let path = broker.read(move |reader| Ok(log::inclusion(&LogTiles(reader), index, 3)?));
        let path = path.await.unwrap();
        log::verify_inclusion(&receipt.log_leaf(), index, 3, &path, &root).unwrap();
    }
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_broker_without_a_receipt_key_makes_records_and_no_documents() {
    let broker = broker_with(10_000).await;
    let reserved = broker.reserve(user(1), "one", BODY).await.unwrap();
    let charge = reserved.capture(Usage::new(12, 30), ANSWER).await.unwrap();
    assert_eq!((charge.document, charge.receipt.proof), (None, None));
    assert_eq!(broker.document(charge.receipt.id).await.unwrap(), None);
    assert_eq!(broker.extend_log().await.unwrap(), 0);
}

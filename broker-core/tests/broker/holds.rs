//! A hold, and each way in which it ends.

use broker_core::{
    Delivered, Digest32, Error, Framed, MemoryLedger, Outcome, Refusal, ReleaseReason, Usage,
    recover_text_signer,
};

use crate::*;

#[tokio::test]
async fn a_request_is_held_for_its_worst_case_and_charged_for_its_usage() {
    let broker = broker_with(10_000).await;
    let reserved = broker.reserve(user(1), "one", BODY).await.unwrap();
    assert_eq!(reserved.amount(), CEILING);
    let held = broker.account(user(1)).await.unwrap();
    assert_eq!((held.held, held.earned), (CEILING, Neuron::ZERO));
    let id = reserved.receipt_id();

    let charge = reserved.capture(Usage::new(12, 30), ANSWER).await.unwrap();
    assert_eq!((charge.fee, charge.capped), (neuron(12 + 2 * 30), false));
    let after = broker.account(user(1)).await.unwrap();
    assert_eq!((after.held, after.earned), (Neuron::ZERO, neuron(72)));
    assert_eq!(after.available(), neuron(10_000 - 72));
    assert_eq!(broker.receipt(id).await.unwrap(), Some(charge.receipt));
    let totals = broker.totals().await.unwrap();
    assert_eq!((totals.earned, totals.receipts, totals.open_holds), (neuron(72), 1, 0));
    let statement = broker.statement(user(1)).await.unwrap().unwrap();
    assert_eq!(statement.account, after);
    assert_eq!(broker.statement(user(2)).await.unwrap(), None);
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_receipt_proves_itself_to_whoever_has_both_bodies() {
    let broker = broker_with(10_000).await;
    let reserved = broker.reserve(user(1), "one", BODY).await.unwrap();
    let receipt = reserved.capture(Usage::new(12, 30), ANSWER).await.unwrap().receipt;
    let text = format!("{}:{}", Digest32::sha256(BODY), Digest32::sha256(ANSWER));
    assert_eq!(recover_text_signer(&text, &receipt.signature), Ok(address()));
    assert_eq!((receipt.text(), receipt.signing_address), (text, broker.signing_address()));
    assert_eq!((receipt.bytes, receipt.events), (ANSWER.len() as u64, 0));
    assert_eq!((receipt.outcome, receipt.status), (Outcome::Complete, 200));
}

#[tokio::test]
async fn an_answer_in_pieces_is_charged_by_its_hash_and_says_how_it_ended() {
    let broker = broker_with(10_000).await;
    let reserved = broker.reserve(user(1), "one", BODY).await.unwrap();
    let id = reserved.receipt_id();
    let hash = Framed::new("pieces").finish();
    let mut delivered = Delivered::streamed(hash, 4_096, 17);
    delivered.outcome = Outcome::ClientGone;
    delivered.upstream_id = Some("chatcmpl-1".to_owned());
    reserved.capture_hashed(Usage::new(12, 9), delivered).await.unwrap();
    let receipt = broker.receipt(id).await.unwrap().unwrap();
    assert_eq!((receipt.response_hash, receipt.bytes, receipt.events), (hash, 4_096, 17));
    assert_eq!((receipt.outcome, receipt.fee), (Outcome::ClientGone, neuron(30)));
    let found = broker.read(|reader| reader.receipt_by_upstream_id("chatcmpl-1", None)).await;
    assert_eq!(found.unwrap(), Some(receipt));
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_fee_above_the_hold_is_cut_to_the_hold() {
    let broker = broker_with(10_000).await;
    let reserved = broker.reserve(user(1), "one", BODY).await.unwrap();
    let charge = reserved.capture(Usage::new(1_000, 1_000), ANSWER).await.unwrap();
    assert_eq!((charge.fee, charge.capped), (CEILING, true));
    let reserved = broker.reserve_amount(user(1), "two", BODY, neuron(32)).await.unwrap();
    let charge = reserved.capture(Usage::new(12, 10), ANSWER).await.unwrap();
    assert_eq!((charge.fee, charge.capped), (neuron(32), false), "the same, and not above");
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_hold_that_is_dropped_is_free_again_and_costs_nothing() {
    let broker = broker_with(10_000).await;
    drop(broker.reserve(user(1), "one", BODY).await.unwrap());
    nothing_is_held(&broker).await;
    assert_eq!(broker.account(user(1)).await.unwrap().available(), neuron(10_000));
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_hold_is_released_with_a_reason_and_its_nonce_is_spent() {
    let broker = broker_with(10_000).await;
    let reserved = broker.reserve(user(1), "one", BODY).await.unwrap();
    let id = reserved.receipt_id();
    reserved.release(ReleaseReason::NotForwarded).await.unwrap();
    assert!(broker.account(user(1)).await.unwrap().held.is_zero());
    assert_eq!(broker.receipt(id).await.unwrap(), None);
    let again = broker.reserve(user(1), "one", BODY).await.unwrap_err();
    assert_eq!(again.refusal(), Some(&Refusal::Finished { receipt: id }));
    assert_clean(&broker).await;
}

#[tokio::test]
async fn too_little_money_is_refused_with_both_numbers_and_writes_nothing() {
    let broker = broker_with(CEILING.get() + 500).await;
    let before = broker.audit().await.unwrap().entries;
    let first = broker.reserve(user(1), "one", BODY).await.unwrap();
    let short = broker.reserve(user(1), "two", BODY).await.unwrap_err();
    let (available, needed) = (neuron(500), CEILING);
    assert_eq!(short.refusal(), Some(&Refusal::InsufficientFunds { available, needed }));
    assert_eq!(broker.audit().await.unwrap().entries, before + 1);
    // What is freed can be held again, under the same name: the refusal did not use it up.
    first.capture(Usage::new(10, 0), ANSWER).await.unwrap();
    drop(broker.reserve(user(1), "two", BODY).await.unwrap());
    let stranger = broker.reserve(user(2), "one", BODY).await.unwrap_err();
    assert!(matches!(stranger.refusal(), Some(Refusal::InsufficientFunds { .. })));
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_request_keeps_the_prices_it_was_admitted_under() {
    let broker = broker_with(10_000).await;
    let dearer = broker.with_tariff(Tariff::per_token(neuron(3), neuron(4)));
    let (cheap, dear) = (
        broker.reserve(user(1), "one", BODY).await.unwrap(),
        dearer.reserve(user(1), "two", BODY).await.unwrap(),
    );
    let cheap = cheap.capture(Usage::new(10, 10), ANSWER).await.unwrap();
    let dear = dear.capture(Usage::new(10, 10), ANSWER).await.unwrap();
    assert_eq!((cheap.fee, dear.fee), (neuron(30), neuron(70)));
    assert_clean(&broker).await;
}

#[tokio::test]
async fn what_has_no_ceiling_is_refused_before_anything_is_written() {
    let broker = broker_with(10_000).await;
    let unread = broker.reserve(user(1), "one", b"not JSON").await.unwrap_err();
    assert!(matches!(unread, Error::Body(_)), "{unread}");
    let dear = broker.with_tariff(Tariff::per_token(neuron(1), neuron(u128::MAX)));
    let beyond = dear.reserve(user(1), "one", BODY).await.unwrap_err();
    assert_eq!(beyond.refusal(), Some(&Refusal::OutOfRange));
    drop(broker.reserve_amount(user(1), "one", b"not JSON", neuron(5)).await.unwrap());
    assert_clean(&broker).await;
}

#[test]
fn a_builder_that_lacks_something_says_what() {
    let text = |builder: BrokerBuilder| builder.start().unwrap_err().to_string();
    let whole = || Broker::builder().ledger(MemoryLedger::new());
    assert!(text(Broker::builder()).contains("no ledger"));
    assert!(text(whole()).contains("no tariff"));
    assert!(text(whole().tariff(TARIFF)).contains("no signer"));
    whole().tariff(TARIFF).signer(signer()).start().unwrap();
}

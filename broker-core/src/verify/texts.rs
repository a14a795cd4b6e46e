//! Receipts as they come: one document after another, alone, with their places in the log, or in
//! the pages of `GET /v1/receipts`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::plain::Plain;
use super::{Line, LineFault, Recount, Rules};
use crate::receipt::{ReadReceipt, ReceiptId};

/// Checks all receipts in `text`, which holds whole JSON documents, in their order.
pub fn check_all(rules: &Rules, text: &[u8], to: &mut Vec<Result<Line, LineFault>>) {
    each(text, &mut |document| {
        to.push(document.and_then(|document| rules.check(document)));
    });
}

/// Counts the ids of all receipts in `text`.
pub fn recount(text: &[u8], recount: &mut Recount) {
    each(text, &mut |document| {
        let id = document.ok().and_then(|document| {
            let plain = std::str::from_utf8(document).ok().and_then(Plain::read);
            plain.map(|plain| plain.id).or_else(|| {
                ReadReceipt::parse(document).ok().and_then(|read| ReceiptId::parse(&read.id))
            })
        });
        if let Some(id) = id {
            recount.count(&id);
        }
    });
}

/// Hands on every receipt's own text.
fn each(text: &[u8], to: &mut impl FnMut(Result<&[u8], LineFault>)) {
    let text = text.trim_ascii();
    if is_receipt(text) && text.ends_with(b"}") && !text.contains(&b'\n') {
        // Nearly always one receipt; where there are two on a line, the reader says so.
        return to(Ok(text));
    }
    for document in serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>() {
        match document {
            Ok(document) => unpack(document.get().as_bytes(), PAGE, to),
            Err(error) => return to(Err(LineFault::NotJson(error.to_string()))),
        }
    }
}

/// A page holds receipts, each with its place in the log or alone.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    receipt: Option<&'a RawValue>,
}

fn unpack(document: &[u8], depth: u8, to: &mut impl FnMut(Result<&[u8], LineFault>)) {
    let wrapped = match serde_json::from_slice::<Wrapped<'_>>(document) {
        Ok(wrapped) if depth > 0 && !is_receipt(document) => wrapped,
        // What is neither is for the reader of receipts to name.
        _ => return to(Ok(document)),
    };
    match wrapped {
        Wrapped { data: Some(items), .. } => {
            for item in items {
                unpack(item.get().as_bytes(), depth.saturating_sub(1), to);
            }
        }
        Wrapped { receipt: Some(receipt), .. } => to(Ok(receipt.get().as_bytes())),
        _ => to(Ok(document)),
    }
}

/// Receipts in their canonical form begin so.
fn is_receipt(text: &[u8]) -> bool {
    text.starts_with(b"{\"api_version\":")
}

/// A page, and in it a receipt with its place.
const PAGE: u8 = 2;

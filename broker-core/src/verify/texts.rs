//! Receipts as they come: one document after another, alone, with their places in the log, or in
//! the pages of `GET /v1/receipts`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::plain::Plain;
use super::{Line, LineFault, Recount, Rules};
use crate::receipt::{ReadReceipt, ReceiptId};

/// Checks all receipts in `text`, which holds whole JSON documents, in their order.
pub fn check_all(rules: &Rules, text: &[u8], to: &mut Vec<Result<Line, LineFault>>) {
    each(text, &mut |found| {
        to.push(found.and_then(|(document, plain)| match plain {
            Some(plain) => rules.plain(&plain, document),
            None => rules.read(ReadReceipt::parse(document)?),
        }));
    });
}

/// Counts the ids of all receipts in `text`.
pub fn recount(text: &[u8], recount: &mut Recount) {
    each(text, &mut |found| {
        let id = found.ok().and_then(|(document, plain)| match plain {
            Some(plain) => Some(plain.id),
            None => ReceiptId::parse(&ReadReceipt::parse(document).ok()?.id),
        });
        if let Some(id) = id {
            recount.count(&id);
        }
    });
}

/// A receipt's own text, and what the quick reader makes of it.
type Found<'a> = Result<(&'a [u8], Option<Plain<'a>>), LineFault>;

fn plain(document: &[u8]) -> Option<Plain<'_>> {
    std::str::from_utf8(document).ok().and_then(Plain::read)
}

/// Hands on every receipt.
fn each(text: &[u8], to: &mut impl FnMut(Found<'_>)) {
    let text = text.trim_ascii();
    if let Some(plain) = plain(text) {
        return to(Ok((text, Some(plain))));
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

fn unpack(document: &[u8], depth: u8, to: &mut impl FnMut(Found<'_>)) {
    if let Some(plain) = plain(document) {
        return to(Ok((document, Some(plain))));
    }
    match serde_json::from_slice::<Wrapped<'_>>(document) {
        Ok(Wrapped { data: Some(items), .. }) if depth > 0 => {
            for item in items {
                unpack(item.get().as_bytes(), depth.saturating_sub(1), to);
            }
        }
        Ok(Wrapped { receipt: Some(receipt), .. }) => {
            let receipt = receipt.get().as_bytes();
            to(Ok((receipt, plain(receipt))));
        }
        // What is neither is for the reader of receipts to name.
        _ => to(Ok((document, None))),
    }
}

/// Pages hold receipts, and no pages.
const PAGE: u8 = 1;

//! What is told of the public routes that have no work done.

use actix_web::http::StatusCode;

use super::super::{aci, attestation, estimate, health, log, models, receipts, signature, user};
use super::about::{About, Asks, JSON, Tag, shape};
use super::faults::{
    BAD_ALGORITHM, BAD_GATEWAY, BAD_PARAMETER, BAD_REQUEST, BODY, FORBIDDEN, FREE, INTERNAL,
    INVALID_REQUEST, NO_MODEL, NO_SIGNATURE, NOT_FOUND, TOO_OFTEN, UNAUTHORIZED, UNAVAILABLE, WHO,
};
use crate::attest::ReportQuery;
use crate::attest::report::shapes;
use crate::route::Route;
use crate::shapes::{LogHead, Octets, Receipt, SignedTariff, TariffTerms, Text};

const OK: StatusCode = StatusCode::OK;

pub(in super::super) fn report() -> About {
    About::new(Tag::Evidence, "Evidence of the machine, its GPUs and the key that signs answers")
        .says(
            "With a nonce the evidence was made for it; without one it may be up to 300 seconds \
             old. `binding=v2` asks for a quote that covers the GPUs' evidence and the end of the \
             receipt log too.",
        )
        .query::<ReportQuery>()
        .gives(OK, "The report.", &[(JSON, shapes::report)])
        .refuses([BAD_REQUEST, BAD_PARAMETER, BAD_ALGORITHM, NOT_FOUND, TOO_OFTEN, UNAVAILABLE])
}

pub(in super::super) fn proxied_report() -> About {
    About { tag: Tag::Proxy, ..report() }
}

pub(in super::super) fn quote() -> About {
    About::new(Tag::Evidence, "The quote of the signing key, as 0G's clients read it")
        .query::<attestation::QuoteQuery>()
        .gives(OK, "JSON, signed to the byte.", &[("text/plain", shapes::quote)])
        .with(&[("ZG-Quote-Signature", "The signing key's signature over the body.")])
        .refuses([BAD_PARAMETER, NOT_FOUND, TOO_OFTEN, UNAVAILABLE])
}

pub(in super::super) fn aci_attestation() -> About {
    About::new(Tag::Evidence, "The report of Attested Confidential Inference (aci/1)")
        .query::<aci::AciQuery>()
        .gives(OK, "The report.", &[(JSON, shapes::aci_report)])
        .refuses([INVALID_REQUEST, TOO_OFTEN, UNAVAILABLE])
}

pub(in super::super) fn aci_keyset() -> About {
    About::new(Tag::Evidence, "A keyset that signed receipts, and what attested it in its time")
        .json::<aci::KeysetBody>("The keyset and its evidence.")
        .refuses(FREE)
        .refuses([NOT_FOUND])
}

pub(in super::super) fn signature() -> About {
    About::new(Tag::Receipts, "The signature of an answer")
        .says(
            "Whoever knows a receipt id may ask. An id of the model server's is found without a \
             key only while it is one account's.",
        )
        .asks(Asks::Anybody)
        .query::<signature::Algorithm>()
        .json::<signature::SignatureBody>("The signature, and what was counted and charged.")
        .refuses([BAD_REQUEST, BAD_ALGORITHM, NO_SIGNATURE, INTERNAL])
        .refuses(WHO)
}

pub(in super::super) fn proxied_signature() -> About {
    About { tag: Tag::Proxy, ..signature() }
}

pub(in super::super) fn aci_receipt() -> About {
    About::new(Tag::Receipts, "A receipt alone, in its canonical form")
        .asks(Asks::Anybody)
        .json::<Receipt>("The receipt.")
        .refuses([NO_SIGNATURE, NOT_FOUND, INTERNAL])
        .refuses(WHO)
}

pub(in super::super) fn own_receipts() -> About {
    About::new(Tag::Receipts, "One's own receipts, the oldest first")
        .asks(Asks::Account)
        .query::<receipts::Page>()
        .json::<receipts::Receipts>("A page of at most 500.")
        .refuses([BAD_REQUEST, BAD_PARAMETER, INTERNAL])
        .refuses(WHO)
}

pub(in super::super) fn receipt() -> About {
    About::new(Tag::Receipts, "A receipt, and that it stands in the log")
        .asks(Asks::Anybody)
        .json::<receipts::WithProof>("The receipt and its proof.")
        .refuses([NO_SIGNATURE, NOT_FOUND, INTERNAL])
        .refuses(WHO)
}

pub(in super::super) fn log_head() -> About {
    About::new(Tag::Receipts, "The end of the receipt log, signed")
        .json::<LogHead>("The head as of now.")
        .refuses(FREE)
}

pub(in super::super) fn inclusion() -> About {
    About::new(Tag::Receipts, "That a receipt is in the log")
        .query::<log::Included>()
        .json::<log::Inclusion>("The path of RFC 9162.")
        .refuses([BAD_REQUEST, BAD_PARAMETER, NOT_FOUND])
        .refuses(FREE)
}

pub(in super::super) fn consistency() -> About {
    About::new(Tag::Receipts, "That one log is the beginning of another")
        .query::<log::FromTo>()
        .json::<log::Consistency>("The path of RFC 9162.")
        .refuses([BAD_REQUEST, BAD_PARAMETER])
        .refuses(FREE)
}

pub(in super::super) fn tile() -> About {
    About::new(Tag::Receipts, "A tile of the log's hashes (C2SP tlog-tiles)")
        .gives(OK, "The hashes.", &[("application/octet-stream", shape::<Octets>())])
        .refuses([NOT_FOUND])
        .refuses(FREE)
}

pub(in super::super) fn tariff() -> About {
    About::new(Tag::Service, "What new requests are charged by, signed")
        .json::<SignedTariff>("The tariff in force.")
        .refuses([TOO_OFTEN])
}

pub(in super::super) fn tariff_by_digest() -> About {
    About::new(Tag::Service, "The terms that receipts cite by this digest")
        .json::<TariffTerms>("The terms.")
        .refuses([NOT_FOUND])
        .refuses(FREE)
}

pub(in super::super) fn models() -> About {
    About::new(Tag::Service, "The served model and its prices")
        .json::<models::Models>("A list of one.")
        .refuses([TOO_OFTEN, BAD_GATEWAY])
}

pub(in super::super) fn estimate() -> About {
    About::new(Tag::Service, "What a chat request would cost at most, signed")
        .says("Nothing is held and nothing reaches the model server.")
        .asks(Asks::Account)
        .takes(JSON, super::inference::body(Route::Chat))
        .json::<estimate::EstimateBody>("The upper bound.")
        .refuses([BAD_PARAMETER, FORBIDDEN, NO_MODEL, BAD_GATEWAY, INTERNAL])
        .refuses(WHO)
        .refuses(BODY)
}

pub(in super::super) fn unsettled_fee() -> About {
    About::new(Tag::Service, "What one owes this provider and the chain has not paid yet")
        .asks(Asks::Account)
        .on_network_only()
        .json::<user::UnsettledFee>("The fee.")
        .refuses([BAD_REQUEST, FORBIDDEN, UNAUTHORIZED, INTERNAL])
        .refuses(WHO)
}

pub(in super::super) fn live() -> About {
    health("Whether the process runs; where it does not, a restart helps")
}

pub(in super::super) fn ready() -> About {
    health("Whether paid requests are taken, and why not")
}

fn health(summary: &'static str) -> About {
    let content = [(JSON, shape::<health::Health>())];
    About::new(Tag::Health, summary).without_id().gives(OK, "It does.", &content).gives(
        StatusCode::SERVICE_UNAVAILABLE,
        "It does not: `reasons` say why.",
        &content,
    )
}

pub(in super::super) fn document() -> About {
    About::new(Tag::Health, "This document")
        .says("The operator's listener has the operator's routes in it.")
        .json::<crate::shapes::Object>("OpenAPI 3.1.")
        .refuses([TOO_OFTEN])
}

pub(in super::super) fn page() -> About {
    About::new(Tag::Health, "This document for people")
        .gives(OK, "A page without scripts.", &[("text/html", shape::<Text>())])
        .refuses([TOO_OFTEN])
}

//! What is told of the operator's routes.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::super::operator::{List, requests, service, users};
use super::about::{About, Asks, JSON, Tag, shape};
use super::faults::{BAD_REQUEST, BODY, INTERNAL, NOT_FOUND, TOO_OFTEN, UNAUTHORIZED, UNAVAILABLE};
use crate::shapes::Text;

fn about(summary: &'static str) -> About {
    About::new(Tag::Operator, summary).asks(Asks::Operator).without_id().refuses([
        BAD_REQUEST,
        UNAUTHORIZED,
        INTERNAL,
    ])
}

fn accepted(summary: &'static str) -> About {
    about(summary).gives(StatusCode::ACCEPTED, "It was taken on.", &[])
}

/// The body that describes a service, read as Go reads it: keys in any case.
fn wanted(required: &[&str]) -> Value {
    let text = json!({ "type": "string", "minLength": 1, "maxLength": 1024 });
    let price = json!({
        "description": "Neuron for one token, as a whole number or a decimal string.",
        "oneOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^(0|[1-9][0-9]{0,38})$" },
        ],
    });
    json!({
        "type": "object",
        "properties": {
            "Name": text,
            "URL": { "type": "string", "format": "uri", "description": "The model server's." },
            "Type": { "type": "string", "description": "`chatbot`" },
            "Model": text,
            "verifiability": { "type": "string", "description": "`TeeML` unless given." },
            "inputPrice": price,
            "outputPrice": price,
        },
        "required": required,
    })
}

pub(in super::super) fn register() -> About {
    about("Registers the service on the chain, or changes it, and then serves it")
        .takes(JSON, wanted(&["Name", "URL", "Type", "Model", "inputPrice", "outputPrice"]))
        .gives(StatusCode::NO_CONTENT, "It is registered and served.", &[])
        .refuses(BODY)
        .refuses([NOT_FOUND, UNAVAILABLE])
}

pub(in super::super) fn list_service() -> About {
    about("The registered service").json::<List<service::Shown>>("A list of one or none.")
}

pub(in super::super) fn service() -> About {
    about("The registered service of this name")
        .json::<service::Shown>("The service.")
        .refuses([NOT_FOUND])
}

pub(in super::super) fn change() -> About {
    accepted("Changes the registered service, on the chain first")
        .takes(JSON, wanted(&["URL", "Type", "Model", "inputPrice", "outputPrice"]))
        .refuses(BODY)
        .refuses([NOT_FOUND, UNAVAILABLE])
}

pub(in super::super) fn remove() -> About {
    accepted("Removes the service from the chain").refuses([NOT_FOUND, UNAVAILABLE])
}

pub(in super::super) fn on_contract() -> About {
    about("What the chain has of this provider")
        .json::<List<service::OnChain>>("A list of one or none.")
}

pub(in super::super) fn sync_service() -> About {
    accepted("Reads the service from the chain again").refuses([NOT_FOUND])
}

pub(in super::super) fn settle() -> About {
    accepted("Asks for a collection of all that is owed").refuses([UNAVAILABLE])
}

pub(in super::super) fn sync_account() -> About {
    accepted("Reads all known accounts from the chain again").refuses([TOO_OFTEN, UNAVAILABLE])
}

pub(in super::super) fn users() -> About {
    about("How each account stands").json::<List<users::Shown>>("All accounts.")
}

pub(in super::super) fn user() -> About {
    about("How an account stands").json::<users::Shown>("The account.").refuses([NOT_FOUND])
}

pub(in super::super) fn requests() -> About {
    about("Finished exchanges, collected or not")
        .query::<requests::Query>()
        .json::<requests::Page>("A page, and the sum of the fees of all that match.")
}

pub(in super::super) fn metrics() -> About {
    about("What Prometheus scrapes").gives(
        StatusCode::OK,
        "OpenMetrics 1.0.",
        &[("application/openmetrics-text", shape::<Text>())],
    )
}

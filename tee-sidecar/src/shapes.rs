//! What the JSON of our answers looks like where a type of ours is written as a text or taken from
//! the ledger as it stands: the words of the OpenAPI document.
#![allow(clippy::exhaustive_enums, reason = "names of shapes, of which there are no values")]

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

/// The words that these are written as.
fn words(values: impl Iterator<Item = Option<impl Serialize>>) -> Vec<Value> {
    values.flatten().map(|value| json!(value)).collect()
}

/// Shapes that others name in their text, which has to lead somewhere.
pub(crate) fn named(generator: &mut SchemaGenerator) {
    generator.subschema_for::<ReceiptId>();
    generator.subschema_for::<Neuron>();
    generator.subschema_for::<NamedHash>();
    generator.subschema_for::<TariffTerms>();
}

/// A shape of one name, which the document writes once.
macro_rules! shapes {
    ($($(#[doc = $doc:literal])* $name:ident = $schema:tt;)*) => {$(
        $(#[doc = $doc])*
        pub(crate) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                let says = concat!($($doc),*).trim();
                schema.insert("description".to_owned(), says.into());
                schema
            }
        }
    )*};
}

shapes! {
    /// An amount of money in neuron, 10^-18 of a 0G: a whole number as a decimal string.
    Neuron = { "type": "string", "pattern": "^(0|[1-9][0-9]{0,38})$" };
    /// An address on the chain, or 20 bytes that name an account: 0x and 40 hex digits.
    Address = { "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$" };
    /// The id of an exchange, a UUID of version 4.
    ReceiptId = { "type": "string", "format": "uuid" };
    /// A SHA-256 in hex.
    Hash = { "type": "string", "pattern": "^[0-9a-f]{64}$" };
    /// A SHA-256 with its name in front.
    NamedHash = { "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" };
    /// An ECDSA signature over an EIP-191 text: 0x and r, s, v in hex.
    Signature = { "type": "string", "pattern": "^0x[0-9a-f]{130}$" };
    /// 32 bytes in hex.
    Nonce = { "type": "string", "pattern": "^[0-9a-f]{64}$" };
    /// A moment as RFC 3339 has it, in UTC.
    Time = { "type": "string", "format": "date-time" };
    /// How an exchange ended.
    Outcome = { "type": "string", "enum": words((1..=7).map(broker_core::Outcome::from_code)) };
    /// Who counted the tokens: the model server, or we by bytes where it did not; `none` where
    /// nothing was generated.
    UsageSource = {
        "type": "string", "enum": words((0..=2).map(broker_core::UsageSource::from_code))
    };
    /// A signed receipt of `aci/1`, section 7: canonical JSON with an Ed25519 signature.
    /// `served_at` is in seconds since 1970.
    Receipt = {
        "type": "object",
        "properties": {
            "api_version": { "const": "aci/1" },
            "chat_id": { "type": ["string", "null"] },
            "endpoint": { "type": "string" },
            "event_log": { "type": "array", "items": {
                "type": "object",
                "properties": { "type": { "type": "string" } },
                "required": ["type"]
            } },
            "key_id": { "type": "string" },
            "method": { "type": "string" },
            "model": { "type": ["string", "null"] },
            "receipt_id": { "$ref": "#/components/schemas/ReceiptId" },
            "served_at": { "type": "integer" },
            "signature": { "type": "string" },
            "workload_keyset_digest": { "type": "string" }
        },
        "required": [
            "api_version", "endpoint", "event_log", "key_id", "method", "receipt_id", "served_at",
            "signature", "workload_keyset_digest"
        ]
    };
    /// The end of the receipt log, signed. `timestamp` is in milliseconds since 1970.
    LogHead = {
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "log": { "type": "string" },
            "tree_size": { "type": "integer", "minimum": 0 },
            "root_hash": { "type": "string" },
            "timestamp": { "type": "integer" },
            "key_id": { "type": "string" },
            "signature": { "type": "string" },
            "workload_keyset_digest": { "type": "string" }
        },
        "required": [
            "type", "log", "tree_size", "root_hash", "timestamp", "key_id", "signature",
            "workload_keyset_digest"
        ]
    };
    /// The terms of a tariff. Prices are in neuron for one token, as decimal strings.
    TariffTerms = {
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "unit": { "const": "neuron" },
            "input_price": { "$ref": "#/components/schemas/Neuron" },
            "output_price": { "$ref": "#/components/schemas/Neuron" },
            "cache": { "type": ["object", "null"] },
            "tiers": { "type": "array", "items": { "type": "object" } }
        },
        "required": ["type", "unit", "input_price", "output_price", "cache", "tiers"]
    };
    /// A tariff in force, signed. `at` is in milliseconds since 1970.
    SignedTariff = {
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "terms": { "$ref": "#/components/schemas/TariffTerms" },
            "digest": { "$ref": "#/components/schemas/NamedHash" },
            "at": { "type": "integer" },
            "key_id": { "type": "string" },
            "signature": { "type": "string" },
            "workload_keyset_digest": { "type": "string" }
        },
        "required": [
            "type", "terms", "digest", "at", "key_id", "signature", "workload_keyset_digest"
        ]
    };
    /// A document of Attested Confidential Inference, as the specification has it.
    AciDocument = { "type": "object" };
    /// An object that another program wrote.
    Object = { "type": "object" };
    /// What the model server answers, byte for byte: its own API's shape.
    EngineAnswer = { "type": "object" };
    /// An error of the model server, passed on as it came.
    EngineError = {};
    /// A file of the receipt log or a text, as bytes.
    Octets = { "type": "string", "contentMediaType": "application/octet-stream" };
    /// A text.
    Text = { "type": "string" };
    /// The events of an answer, as Server-Sent Events.
    EventStream = { "type": "string", "contentMediaType": "text/event-stream" };
}
